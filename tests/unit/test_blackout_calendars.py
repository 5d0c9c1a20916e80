"""Blackouts from .ics files: whatever a calendar program writes closes at least as long as it says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fwfix.errors import InventoryError
from fwfix.loading.calendar import read_ics

_ZONE = "Europe/Berlin"


def _read(tmp_path: Path, *lines: str) -> list[tuple[str, str]]:
    path = tmp_path / "freeze.ics"
    event = ("BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT")
    path.write_text("\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *event, "END:VCALENDAR", "")))
    return [(f"{each.start:%m-%dT%H:%M}", f"{each.end:%m-%dT%H:%M}") for each in read_ics(path)]


def test_an_event_over_a_change_of_the_clocks_lasts_until_the_end_that_it_names(tmp_path: Path) -> None:
    found = _read(tmp_path, f"DTSTART;TZID={_ZONE}:20261024T220000", f"DTEND;TZID={_ZONE}:20261025T060000")
    assert found == [("10-24T20:00", "10-25T05:00")]


def test_the_last_occurrence_counts_when_until_is_its_very_start_in_utc(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        f"DTSTART;TZID={_ZONE}:20261123T220000",
        "DURATION:PT2H",
        "RRULE:FREQ=DAILY;UNTIL=20261125T210000Z",
    )
    assert [start for start, _ in found] == ["11-23T21:00", "11-24T21:00", "11-25T21:00"]


def test_until_a_day_takes_that_day_in(tmp_path: Path) -> None:
    rule = "RRULE:FREQ=DAILY;UNTIL=20261125"
    found = _read(tmp_path, "DTSTART:20261124T080000Z", "DTEND:20261124T090000Z", rule)
    assert found == [("11-24T08:00", "11-24T09:00"), ("11-25T08:00", "11-25T09:00")]


def test_dates_added_to_an_event_close_as_well(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        "DTSTART:20261124T080000Z",
        "DURATION:PT1H",
        "RDATE:20261201T080000Z",
        "RDATE;VALUE=PERIOD:20261202T080000Z/PT3H",
    )
    assert found == [
        ("11-24T08:00", "11-24T09:00"),
        ("12-01T08:00", "12-01T09:00"),
        ("12-02T08:00", "12-02T11:00"),
    ]


def test_a_daily_event_that_began_decades_ago_still_closes_today(tmp_path: Path) -> None:
    path = tmp_path / "freeze.ics"
    path.write_text(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:19900101T120000Z\r\nDURATION:PT1H\r\n"
        "RRULE:FREQ=DAILY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    noon = datetime.now(UTC).replace(hour=12, minute=30)
    assert any(each.holds(noon) for each in read_ics(path))


@pytest.mark.parametrize(
    "lines",
    [
        ("DTSTART:20261124T080000Z", "DTEND:tomorrow"),
        ("DTSTART:20261124T080000Z", "DURATION:PT1H", "RRULE:FREQ=SECONDLY"),
        ("DTSTART:20261124T080000Z", "DURATION:PT1H", "RRULE:FREQ=SOMETIMES"),
        ("DURATION:PT1H",),
        ("DTSTART:20261124T080000Z", "DTEND:20261124T070000Z"),
    ],
)
def test_an_event_that_cannot_be_understood_is_an_error_and_never_ignored(
    lines: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(InventoryError, match=r"freeze\.ics"):
        _read(tmp_path, *lines)


def test_the_first_day_of_an_event_closes_even_where_its_rule_leaves_it_out(tmp_path: Path) -> None:
    lines = ("DTSTART:20261202T100000Z", "DURATION:PT2H", "RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=2")
    starts = [start for start, _ in _read(tmp_path, *lines)]
    assert starts == ["12-02T10:00", "12-04T10:00", "12-11T10:00"]
    assert [start for start, _ in _read(tmp_path, *lines, "EXDATE:20261202T100000Z")] == starts[1:]
