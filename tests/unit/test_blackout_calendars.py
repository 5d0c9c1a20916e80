"""Blackouts from .ics files: whatever a calendar program writes closes at least as long as it says."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fwfix.errors import InventoryError
from fwfix.loading.ics import IcsFile

_ZONE = "Europe/Berlin"
_UNTIL = datetime(2030, 1, 1, tzinfo=UTC)


def _read(tmp_path: Path, *lines: str, more: Iterable[str] = ()) -> list[tuple[str, str]]:
    path = tmp_path / "freeze.ics"
    event = ("BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT")
    path.write_text("\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *more, *event, "END:VCALENDAR", "")))
    return [
        (f"{each.start:%m-%dT%H:%M}", f"{each.end:%m-%dT%H:%M}")
        for each in sorted(IcsFile(path).blackouts(_UNTIL, most=10_000))
    ]


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
    assert any(each.holds(noon) for each in IcsFile(path).blackouts(noon, most=20_000))


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


def test_a_zone_that_the_file_defines_itself_and_one_as_windows_names_it_are_known(tmp_path: Path) -> None:
    zone = ("BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0300", "TZOFFSETTO:+0300")
    own = ("BEGIN:VTIMEZONE", "TZID:Our Zone", *zone, "END:STANDARD", "END:VTIMEZONE")
    lines = ("DTSTART;TZID=Our Zone:20261124T080000", "DURATION:PT1H")
    assert _read(tmp_path, *lines, more=own) == [("11-24T05:00", "11-24T06:00")]
    windows = "DTSTART;TZID=W. Europe Standard Time:20261124T080000"
    assert _read(tmp_path, windows, "DURATION:PT1H") == [("11-24T07:00", "11-24T08:00")]


@pytest.mark.parametrize("zone", ["", ";TZID=Nowhere/City"])
def test_a_time_without_a_zone_or_in_an_unknown_one_closes_wherever_on_earth_it_is(
    tmp_path: Path, zone: str
) -> None:
    lines = (f"DTSTART{zone}:20261124T080000", f"DTEND{zone}:20261124T090000")
    assert _read(tmp_path, *lines) == [("11-23T18:00", "11-24T21:00")]
    early = (f"DTSTART{zone}:20261124T080000", "DURATION:PT1H", "RRULE:FREQ=DAILY;UNTIL=20261124T230000Z")
    # In Tokyo, say, the end of the series is 08:00 of the next day.
    assert [start for start, _ in _read(tmp_path, *early)] == ["11-23T18:00", "11-24T18:00"]


def test_whole_days_close_from_their_first_beginning_to_their_last_end_on_earth(tmp_path: Path) -> None:
    day, after = "DTSTART;VALUE=DATE:20261124", "DTEND;VALUE=DATE:20261126"
    assert _read(tmp_path, day) == [("11-23T10:00", "11-25T12:00")]
    assert _read(tmp_path, day, after) == [("11-23T10:00", "11-26T12:00")]
    excluded = _read(tmp_path, day, "RRULE:FREQ=DAILY;UNTIL=20261126", "EXDATE;VALUE=DATE:20261125")
    assert [start for start, _ in excluded] == ["11-23T10:00", "11-25T10:00"]


SERIES = (f"DTSTART;TZID={_ZONE}:20261124T080000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3")


@pytest.mark.parametrize(
    "excluded", [f"EXDATE;TZID={_ZONE}:20261125T080000,20261126T080000", "EXDATE:20261125T070000Z"]
)
def test_an_occurrence_that_is_taken_out_closes_nothing_in_whichever_zone_it_is_written(
    tmp_path: Path, excluded: str
) -> None:
    starts = [start for start, _ in _read(tmp_path, *SERIES, excluded)]
    assert starts == ["11-24T07:00", "11-26T07:00"][: 3 - excluded.count("T080000")]


@pytest.mark.parametrize(
    "which", [f"RECURRENCE-ID;TZID={_ZONE}:20261125T080000", "RECURRENCE-ID:20261125T070000Z"]
)
def test_an_occurrence_that_was_moved_or_cancelled_closes_at_its_new_time_alone(
    tmp_path: Path, which: str
) -> None:
    def changed(uid: str, *lines: str) -> list[str]:
        other = ("BEGIN:VEVENT", f"UID:{uid}", which, f"DTSTART;TZID={_ZONE}:20261125T180000", *lines)
        return [start for start, _ in _read(tmp_path, *SERIES, more=(*other, "END:VEVENT"))]

    assert changed("1", "DURATION:PT1H") == ["11-24T07:00", "11-25T17:00", "11-26T07:00"]
    assert changed("1", "STATUS:CANCELLED") == ["11-24T07:00", "11-26T07:00"]
    assert changed("2", "STATUS:CANCELLED") == ["11-24T07:00", "11-25T07:00", "11-26T07:00"]


def test_a_change_of_all_that_follow_in_a_series_is_refused(tmp_path: Path) -> None:
    which = "RECURRENCE-ID;RANGE=THISANDFUTURE:20261125T070000Z"
    with pytest.raises(InventoryError, match="RANGE"):
        _read(tmp_path, which, "DTSTART:20261125T170000Z", "DURATION:PT1H")


def test_a_cancelled_event_closes_nothing_and_one_that_is_shown_as_free_does(tmp_path: Path) -> None:
    event = ("DTSTART:20261124T080000Z", "DURATION:PT1H")
    assert _read(tmp_path, *event, "STATUS:CANCELLED") == []
    assert _read(tmp_path, *event, "STATUS:TENTATIVE", "TRANSP:TRANSPARENT") == [
        ("11-24T08:00", "11-24T09:00")
    ]


def test_what_is_no_file_at_all_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "freeze.ics")
    with pytest.raises(InventoryError, match="not a file"):
        IcsFile(tmp_path / "freeze.ics")


def test_a_file_that_is_no_calendar_is_refused_in_words_that_a_terminal_can_show(tmp_path: Path) -> None:
    (tmp_path / "freeze.ics").write_bytes(b"\x1b]0;title\x07\xff")
    with pytest.raises(InventoryError, match="is not a calendar") as caught:
        IcsFile(tmp_path / "freeze.ics")
    assert caught.value.message.isprintable()
