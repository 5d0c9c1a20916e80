"""`fwfix maintenance`: what it shows is what apply would do."""

import json
from pathlib import Path
from time import process_time

import pytest
from typer.testing import CliRunner

from fwfix.cli.main import app

_INVENTORY = """
version: 1
maintenance_windows:
  night: {recurs: "daily 22:00+2m UTC"}
  late: {recurs: "Sat 22:00-02:00", timezone: Europe/Berlin}
policies: {p: {ports: [jetdirect]}, many: {ports: [9100-9355/tcp]}}
defaults: {policy: p, platform: linux, ssh: {user: ops}}
hosts:
  brief: {address: 10.0.0.1, window: night}
  long: {address: 10.0.0.2, window: late}
  ports: {address: 10.0.0.3, window: late, policy: many}
"""
_AT = "2026-11-21T23:30:00+01:00"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text(_INVENTORY)
    return path


def _ask(inventory: Path, *more: str, at: str = _AT) -> str:
    found = CliRunner().invoke(app, ["maintenance", "-i", str(inventory), "--at", at, *more])
    return found.stdout if found.exit_code == 0 else f"{found.exit_code} {found.exception}"


def test_the_blackouts_of_the_site_close_windows_too(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text('{version: 1, blackouts: ["2026-11-21T20:00Z/PT4H"]}')
    site.chmod(0o644)
    monkeypatch.setenv("FWFIX_SITE", str(site))
    late = json.loads(_ask(inventory, "--json", "--count", "1"))["windows"][1]
    assert not late["open"]
    assert late["openings"] == [{"start": "2026-11-22T00:00:00Z", "end": "2026-11-22T01:00:00Z"}]


def _always(inventory: Path, since: str = "2026") -> None:
    """Let the first window be open from the beginning of a year to the end of a thousand."""
    always = f"  night: {{recurs: '{since}-01-01T00:00Z/9999-12-31T00:00Z'}}"
    inventory.write_text(_INVENTORY.replace('  night: {recurs: "daily 22:00+2m UTC"}', always))


def _black_out(inventory: Path, blackout: str) -> None:
    text = f"blackouts: [{blackout}]\npolicies:"
    inventory.write_text(inventory.read_text().replace("policies:", text))


def _close(inventory: Path, *events: str) -> None:
    """Let the events of a calendar file close windows."""
    lines = "".join(f"BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n" for event in events)
    (inventory.parent / "freeze.ics").write_text(f"BEGIN:VCALENDAR\r\n{lines}END:VCALENDAR\r\n")
    _black_out(inventory, "freeze.ics")


@pytest.mark.parametrize(
    ("at", "count"),
    [("2035-06-01T12:00:00Z", 2), ("2026-11-21T12:00:00Z", 1000), ("1999-12-30T12:00:00Z", 2)],
)
def test_a_recurring_event_of_a_calendar_file_closes_however_far_ahead_it_is_asked_for(
    inventory: Path, at: str, count: int
) -> None:
    _close(inventory, "DTSTART:19991231T220000Z\r\nDURATION:PT1M\r\nRRULE:FREQ=DAILY")
    asked = _ask(inventory, "--json", "--count", str(count), at=at)
    openings = json.loads(asked)["windows"][0]["openings"]
    assert len(openings) == count
    late = [each for each in openings if each["start"] > "1999-12-31"]
    assert {(each["start"][11:], each["end"][11:]) for each in late} == {("22:01:00Z", "22:02:00Z")}


def test_a_window_of_a_thousand_years_needs_no_event_to_be_followed_for_as_long(inventory: Path) -> None:
    _always(inventory)
    _close(
        inventory,
        "DTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=YEARLY",
        *["DTSTART:20200101T120000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY"] * 10,
    )
    began = process_time()
    openings = json.loads(_ask(inventory, "--json", "--count", "2"))["windows"][0]["openings"]
    assert openings[1] == {"start": "2026-11-22T13:00:00Z", "end": "2026-11-23T12:00:00Z"}
    assert process_time() - began < 10  # to follow them all for a thousand years takes minutes


@pytest.mark.parametrize("begin", ["2026", "2000"])
@pytest.mark.parametrize("written", ["text", "event"])
def test_a_blackout_closes_a_window_however_long_that_has_been_open(
    inventory: Path, begin: str, written: str
) -> None:
    _always(inventory, begin)
    if written == "event":
        _close(inventory, "DTSTART:20200101T220000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY")
    else:
        _black_out(inventory, "daily 22:00+1h UTC")
    night = json.loads(_ask(inventory, "--json", "--count", "1"))["windows"][0]
    assert not night["open"]
    assert night["openings"] == [{"start": "2026-11-21T23:00:00Z", "end": "2026-11-22T22:00:00Z"}]


@pytest.mark.parametrize("written", ["text", "event"])
def test_no_opening_is_promised_where_nobody_looked_for_blackouts_any_more(
    inventory: Path, written: str
) -> None:
    _always(inventory)
    if written == "event":
        _close(inventory, "DTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=DAILY")
    else:
        _black_out(inventory, "daily 00:00+24h UTC")
    windows = json.loads(_ask(inventory, "--json"))["windows"]
    assert [(each["open"], each["openings"]) for each in windows] == [(False, []), (False, [])]


def test_events_that_always_close_are_followed_for_years_and_no_opening_is_found(inventory: Path) -> None:
    _close(inventory, "DTSTART:20250101T000000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=HOURLY")
    windows = json.loads(_ask(inventory, "--json"))["windows"]
    assert [(each["open"], each["openings"]) for each in windows] == [(False, []), (False, [])]


def test_the_last_start_is_one_that_can_still_come_and_too_short_a_window_is_named(inventory: Path) -> None:
    shown = _ask(inventory)
    assert "brief: may need 180 s, which fits into none of these" in shown
    assert "long: may need 180 s, started until 2026-11-22T00:57:00Z at the latest" in shown
    # Each of its 256 ports is probed, over two families, and maybe from a jump host as well.
    assert "ports: may need 470 s, started until 2026-11-22T00:52:10Z" in shown
    assert "until 2026-11-29T00:57:00Z" in _ask(inventory, at="2026-11-22T00:58:00Z")


def test_a_window_of_hosts_that_a_limit_leaves_out_is_not_called_unused(inventory: Path) -> None:
    inventory.write_text(_INVENTORY.replace("  late:", "  spare: {recurs: 'daily 10:00+1h UTC'}\n  late:"))
    shown = _ask(inventory, "-l", "long")
    night, spare, late = (shown.index(name) for name in ("night (", "spare (", "late ("))
    assert "  no selected host uses it\n" in shown[night:spare]
    assert "  no host uses it\n" in shown[spare:late]
    assert "uses it" not in shown[late:]


@pytest.mark.parametrize("at", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_at_the_end_of_the_calendar_is_a_usage_error(inventory: Path, at: str) -> None:
    assert "too far away" in _ask(inventory, at=at)


def test_the_last_start_is_that_of_all_openings_that_touch_however_few_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(_INVENTORY.replace("Sat 22:00-02:00", "Sat,Sun 00:00-00:00"))
    shown = _ask(path, "--count", "1", at="2026-11-21T12:00:00+01:00")
    assert shown.count("2026-11-21 00:00 to Sun 00:00") == 1
    assert "long: may need 180 s, started until 2026-11-22T22:57:00Z at the latest" in shown


def test_a_host_without_a_window_needs_permission_only_where_others_have_one(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(_INVENTORY.replace("window: late, policy", "policy"))
    ended = CliRunner().invoke(app, ["maintenance", "-i", str(path)])
    assert "no window at all (apply needs --now or --window): ports" in ended.output
    path.write_text("version: 1\nhosts: {free: {address: 10.0.0.1, platform: linux, policy: []}}\n")
    ended = CliRunner().invoke(app, ["maintenance", "-i", str(path)])
    assert "no window at all (may start at any time): free" in ended.output


def test_an_opening_that_lasts_for_weeks_shows_the_day_of_its_end(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(_INVENTORY.replace("Sat 22:00-02:00", "5th Sun 22:00+30d"))
    assert "Sun 2026-11-29 22:00 to Tue 2026-12-29 22:00  (" in _ask(path)
