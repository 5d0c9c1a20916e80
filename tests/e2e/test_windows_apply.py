"""Windows with real hosts: each in its own, blackouts, broken glass, and no window to go back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab


def interval(begin: timedelta, end: timedelta) -> str:
    now = datetime.now(UTC)
    return f"{now + begin:%Y-%m-%dT%H:%M:%SZ}/{now + end:%Y-%m-%dT%H:%M:%SZ}"


def open_now() -> str:
    return interval(timedelta(hours=-1), timedelta(hours=2))


def later() -> str:
    return interval(timedelta(hours=3), timedelta(hours=5))


def arrange(site: "Site", *, blackouts: tuple[str, ...] = (), **windows: str) -> None:
    """Give hosts windows, by the name of the host."""

    def change(content: dict[str, Any]) -> None:
        content["maintenance_windows"] = {f"w-{name}": {"recurs": text} for name, text in windows.items()}
        content["blackouts"] = list(blackouts)
        for name, host in content["hosts"].items():
            host.pop("window", None)
            if name in windows:
                host["window"] = f"w-{name}"

    site.fwfix.rewrite(change)


def events(site: "Site", run_id: str, kind: str) -> list[dict[str, Any]]:
    shown = site.fwfix.run("runs", "show", run_id).document
    return [each["body"] for each in shown["events"] if each["kind"] == kind]


def test_hosts_start_each_in_its_own_window_and_the_others_are_skipped(make_site: "MakeSite") -> None:
    site = make_site(*(HostSpec(name=name) for name in ("east", "west", "brief", "none")))
    # 90 s are not enough for what a host may need.
    brief = interval(timedelta(hours=-1), timedelta(seconds=90))
    arrange(site, east=open_now(), west=later(), brief=brief)
    ended = site.fwfix.apply("--waves", "100%", code=3)
    assert {each["name"]: (each["outcome"], (each["reason"] or {}).get("code")) for each in
            ended.document["hosts"]} == {
        "east": ("applied", None),
        "west": ("skipped", "outside-window"),
        "brief": ("skipped", "window-too-short"),
        "none": ("skipped", "no-window"),
    }  # fmt: skip
    assert "opens next at" in ended.host("west")["reason"]["next"]
    assert site.is_blocked(site.lab["east"])
    assert [site.states(site.lab[name]) for name in ("west", "brief", "none")] == [{}] * 3

    going_on = site.fwfix.apply("--continue", ended.run_id, "--now", code=3)
    assert (going_on.outcome("none"), going_on.outcome("west")) == ("applied", "skipped")
    # The window of the command only narrows, and nobody is left who may start.
    asked = site.fwfix.apply("--continue", ended.run_id, "--window", "w-east", code=5)
    assert (asked.run_id, asked.document["hosts"]) == (ended.run_id, [])
    assert site.states(site.lab["west"]) == {}


def test_a_limit_that_leaves_out_every_host_with_a_window_starts_nobody_without_one(
    make_site: "MakeSite", tmp_path: Path
) -> None:
    site = make_site(*(HostSpec(name=name) for name in ("inside", "none")))
    site.fwfix.rewrite(lambda content: content["hosts"]["inside"].update(window="daily 00:00-00:00 UTC"))
    assert site.fwfix.apply("-l", "none", code=5).document["reason"]["code"] == "no-window"
    plan = str(tmp_path / "plan.json")
    site.fwfix.run("plan", "-l", "none", "-o", plan, code=0)
    assert site.fwfix.apply(plan, code=5).document["reason"]["code"] == "no-window"
    assert site.states(site.lab["none"]) == {}


def test_closed_windows_and_blackouts_touch_no_host_until_the_glass_is_broken(site: "Site") -> None:
    arrange(site, gw=later())
    refused = site.fwfix.apply(code=5)
    assert refused.document["reason"]["code"] == "outside-window"
    assert "The next opening is at " in refused.document["reason"]["next"]
    arrange(site, gw=open_now(), blackouts=(open_now(),))
    refused = site.fwfix.apply(code=5)
    assert (refused.document["hosts"], refused.document["reason"]["code"]) == ([], "blackout")
    assert "observe" not in refused.stderr
    assert site.states() == {}

    ended = site.fwfix.apply("--break-glass", "printers on fire")
    assert ended.outcome() == "applied"
    (broken,) = events(site, ended.run_id, "break-glass")
    assert broken["reason"] == "printers on fire"
    assert broken["operator"]
    # Somebody cannot print: going back needs no window.
    assert site.fwfix.rollback(ended.run_id).outcome() == "rolled_back"
    assert site.is_open()


def test_a_killed_run_is_brought_to_an_end_whatever_the_windows_say_by_then(site: "Site") -> None:
    arrange(site, gw=open_now())
    before = site.rules()
    started = site.fwfix.start("apply")
    started.await_step("arm")
    arrange(site, gw=later(), blackouts=(open_now(),))
    started.kill()
    recovered = site.fwfix.run("runs", "recover", code=3)
    assert recovered.outcome() in {"reverted", "failed"}
    assert site.rules() == before
    assert site.is_open()
