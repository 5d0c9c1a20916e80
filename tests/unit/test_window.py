"""Windows open when the site's own clocks say so, DST and midnight included."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.model.window import Opening, Recurrence, clip, instant_of, intersect, merge, parse_window

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo",
         "Pacific/Chatham", "America/St_Johns"]  # fmt: skip
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(spec: str, at: str, count: int = 1) -> list[tuple[str, str]]:
    found = islice(parse_window(spec).openings(utc(at)), count)
    return [(f"{each.start:%Y-%m-%dT%H:%M}", f"{each.end:%Y-%m-%dT%H:%M}") for each in found]


def test_the_weekday_is_that_of_the_start() -> None:
    window = parse_window("Sat 22:00-02:00 Europe/Berlin")
    sunday_one, saturday_one = utc("2026-11-22T00:00"), utc("2026-11-21T00:00")
    assert next(window.openings(sunday_one)).holds(sunday_one)
    assert not next(window.openings(saturday_one)).holds(saturday_one)


def test_the_contract_example_opens_as_written() -> None:
    assert first("Mon-Fri 22:00-02:00 Europe/Berlin", "2026-11-21T12:00") == [
        ("2026-11-23T21:00", "2026-11-24T01:00")
    ]


def test_the_opening_in_progress_is_included() -> None:
    assert first("Fri 22:00+4h UTC", "2026-11-21T01:59") == [("2026-11-20T22:00", "2026-11-21T02:00")]
    assert first("Fri 22:00+4h UTC", "2026-11-21T02:00") == [("2026-11-27T22:00", "2026-11-28T02:00")]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # 2026-03-29 02:00 -> 03:00 in Berlin: 02:30 means the first instant after the gap.
        ("Sun 02:30-04:00 Europe/Berlin", ("2026-03-29T01:00", "2026-03-29T02:00")),
        ("Sun 01:00-02:30 Europe/Berlin", ("2026-03-29T00:00", "2026-03-29T01:00")),
    ],
)
def test_a_time_in_the_gap_is_the_first_instant_after_it(spec: str, expected: tuple[str, str]) -> None:
    assert first(spec, "2026-03-28T12:00") == [expected]


def test_an_opening_with_both_ends_in_the_gap_is_left_out() -> None:
    assert first("Sun 02:10-02:50 Europe/Berlin", "2026-03-28T12:00")[0][0] == "2026-04-05T00:10"


def test_a_time_that_occurs_twice_is_its_first_occurrence() -> None:
    assert first("Sun 02:30-04:00 Europe/Berlin", "2026-10-24T12:00") == [
        ("2026-10-25T00:30", "2026-10-25T03:00")
    ]


@pytest.mark.parametrize(
    ("spec", "start"),
    [
        ("1st Sat 22:00+1h UTC", "2026-12-05T22:00"),
        ("2nd Tue 22:00+1h UTC", "2026-12-08T22:00"),
        ("last Sun 22:00+1h UTC", "2026-11-29T22:00"),
        ("1st Sat,last Sun 22:00+1h UTC", "2026-11-29T22:00"),
        ("daily 23:30+1h UTC", "2026-11-21T23:30"),
        ("Fri-Mon 06:00-07:00 UTC", "2026-11-22T06:00"),
        ("2026-11-21T22:00+01:00/PT4H", "2026-11-21T21:00"),
        ("2026-11-21T22:00+01:00/2026-11-22T02:00+01:00", "2026-11-21T21:00"),
    ],
)
def test_every_way_of_naming_days_is_read(spec: str, start: str) -> None:
    assert first(spec, "2026-11-21T12:00")[0][0] == start


@pytest.mark.parametrize(
    "spec",
    ["", "Sat", "22:00-02:00 UTC", "Someday 22:00-02:00 UTC", "Sat 25:00-02:00 UTC", "Sat 22:00-02:00",
     "Sat 22:00-02:00 Mars/Olympus", "Sat 22:00+0s UTC", "Sat 22:00+99d UTC", "2026-11-21T22:00/PT4H",
     "2026-11-21T22:00+01:00/2026-11-21T21:00+01:00", "2026-11-21T22:00Z/P", "Sat 22:00-02:00 UTC extra",
     "6th Sat 22:00-23:00 UTC", "Sat 22:00-02:00 ../etc/passwd", "Sat 22:00-02:00 localtime",
     "9999-12-31T23:00-05:00/PT4H", "2026-11-22T22:00Z/PT99999999999H", "2026-11-22T22:00Z/P9999999D"],
)  # fmt: skip
def test_what_is_not_a_window_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_window(spec)


def test_a_zone_may_stand_beside_the_text_and_the_text_wins() -> None:
    beside = parse_window("Sat 22:00-02:00", "Europe/Berlin")
    assert isinstance(beside, Recurrence)
    assert beside.timezone == "Europe/Berlin"
    assert parse_window("Sat 22:00-02:00 UTC", "Europe/Berlin").timezone == "UTC"


def oracle_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Walk minute by minute: the first instant whose wall clock shows this time, or a later one."""
    instant = wall.replace(tzinfo=UTC) - timedelta(hours=15)
    while True:
        shown = instant.astimezone(zone).replace(tzinfo=None)
        before = (instant - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
        if shown == wall or (before < wall < shown):
            return instant
        instant += timedelta(minutes=1)


NEAR_DST = st.one_of(
    st.dates(date(2026, 3, 27), date(2026, 4, 6)),
    st.dates(date(2026, 10, 3), date(2026, 11, 3)),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
)


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), day=NEAR_DST, clock=st.times())
def test_instants_agree_with_a_walk_over_every_minute(zone: str, day: date, clock: object) -> None:
    wall = datetime.combine(day, clock.replace(second=0, microsecond=0))  # type: ignore[attr-defined]
    known = ZoneInfo(zone)
    assert instant_of(wall, known) == oracle_instant(wall, known)


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=NEAR_DST,
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    start=st.integers(0, 24 * 12 - 1),
    end=st.integers(0, 24 * 12 - 1),
)
def test_openings_agree_with_brute_force(
    *, zone: str, day: date, weekdays: set[int], start: int, end: int
) -> None:
    def clock(slot: int) -> str:
        return f"{slot // 12:02}:{slot % 12 * 5:02}"

    days = ",".join(DAYS[number] for number in sorted(weekdays))
    window = parse_window(f"{days} {clock(start)}-{clock(end)} {zone}")
    at = datetime.combine(day, datetime.min.time(), UTC)
    expected = []
    for offset in range(-4, 12):
        each = day + timedelta(days=offset)
        if each.weekday() not in weekdays:
            continue
        opened = datetime.combine(each, datetime.min.time()) + timedelta(minutes=start * 5)
        closed = datetime.combine(each, datetime.min.time()) + timedelta(minutes=end * 5)
        closed += timedelta(days=1 if end <= start else 0)
        pair = (oracle_instant(opened, ZoneInfo(zone)), oracle_instant(closed, ZoneInfo(zone)))
        if pair[1] > max(at, pair[0]):
            expected.append(pair)
    found = [(each.start, each.end) for each in islice(window.openings(at), len(expected))]
    assert found == expected


RANKS = ("1st", "2nd", "3rd", "4th", "5th", "last")


def oracle_days(text: str) -> set[date]:
    """Walk over the years, month by month, and count the weekdays."""
    found: set[date] = set()
    for month in (date(year, number, 1) for year in (2026, 2027, 2028) for number in range(1, 13)):
        days = [month + timedelta(days=offset) for offset in range(31)]
        days = [day for day in days if day.month == month.month]
        for item in text.split(","):
            rank, _, name = item.rpartition(" ")
            first, _, last = name.partition("-")
            span = (DAYS.index(last or first) - DAYS.index(first)) % 7 + 1
            for offset in range(span):
                same = [day for day in days if day.weekday() == (DAYS.index(first) + offset) % 7]
                if rank:
                    index = RANKS.index(rank)
                    same = same[-1:] if rank == "last" else same[index : index + 1]
                found.update(same)
    return found


RANKED = st.tuples(st.sampled_from(RANKS), st.sampled_from(DAYS)).map(" ".join)
RANGES = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map("-".join)


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(RANKED | RANGES | st.sampled_from(DAYS), min_size=1, max_size=3).map(",".join),
    zone=st.sampled_from(ZONES),
    start=st.times(),
    minutes=st.integers(1, 31 * 24 * 60),
    day=NEAR_DST,
)
def test_ranks_ranges_and_elapsed_lengths_agree_with_brute_force(
    *, days: str, zone: str, start: time, minutes: int, day: date
) -> None:
    at = datetime.combine(day, time(), UTC)
    window = parse_window(f"{days} {start:%H:%M}+{minutes}m {zone}")
    expected: list[tuple[datetime, datetime]] = []
    near = sorted(each for each in oracle_days(days) if each > day - timedelta(days=34))
    for each in near:
        begin = oracle_instant(datetime.combine(each, start.replace(second=0, microsecond=0)), ZoneInfo(zone))
        if begin + timedelta(minutes=minutes) > at:
            expected.append((begin, begin + timedelta(minutes=minutes)))
        if len(expected) == 3:
            break
    assert [(each.start, each.end) for each in islice(window.openings(at), 3)] == expected


MINUTES = st.integers(0, 200)
OPENINGS = st.lists(st.tuples(MINUTES, MINUTES).filter(lambda pair: pair[0] < pair[1]), max_size=5).map(
    lambda pairs: [Opening(start=_at(a), end=_at(b)) for a, b in pairs]
)


def _at(minute: int) -> datetime:
    return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(minutes=minute)


def _covered(openings: Iterable[Opening]) -> set[int]:
    return {minute for minute in range(201) for each in openings if each.holds(_at(minute))}


@given(openings=OPENINGS, blackouts=OPENINGS)
def test_blackouts_win_over_windows(openings: list[Opening], blackouts: list[Opening]) -> None:
    left = [piece for each in openings for piece in clip(each, sorted(blackouts))]
    assert _covered(left) == _covered(openings) - _covered(blackouts)


@given(one=OPENINGS, other=OPENINGS)
def test_a_window_of_the_command_narrows_the_hosts_own(one: list[Opening], other: list[Opening]) -> None:
    both = list(intersect(merge(sorted(one)), merge(sorted(other))))
    assert _covered(both) == _covered(one) & _covered(other)
    assert all(a.end < b.start for a, b in pairwise(both))


@given(openings=OPENINGS)
def test_merging_changes_nothing_but_the_seams(openings: list[Opening]) -> None:
    merged = list(merge(sorted(openings)))
    assert _covered(merged) == _covered(openings)
    assert all(a.end < b.start for a, b in pairwise(merged))
