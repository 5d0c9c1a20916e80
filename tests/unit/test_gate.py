"""A host starts only inside its window, with room for its whole budget; blackouts win."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.errors import InventoryError, RefusedError
from fwfix.loading.calendar import Calendar
from fwfix.loading.ics import IcsFile
from fwfix.loading.inventory import load_inventory
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import Inventory, WindowText
from fwfix.model.plan import HostPlan, PlannedOutcome, Reason
from fwfix.model.window import Opening
from fwfix.runner.context import Brake
from fwfix.runner.gate import GateOptions, WindowGate
from fwfix.runner.site_gate import SiteGate

NIGHT = WindowText(name="night", recurs="Sat 22:00-02:00", timezone="Europe/Berlin")
OPEN = datetime(2026, 11, 21, 21, 30, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def host(name: str = "h", window: str | None = "night") -> Host:
    return Host(name=name, address="10.0.0.1", platform=Platform.LINUX, window=window)


def gate(
    now: datetime,
    *hosts: Host,
    blackouts: tuple[str, ...] = (),
    options: GateOptions | None = None,
    windows: tuple[WindowText, ...] = (NIGHT,),
) -> WindowGate:
    return WindowGate(
        hosts or (host(),),
        windows=windows,
        blackouts=blackouts,
        options=options or GateOptions(),
        clock=Clock(now),
    )


def ask(asked: WindowGate, of: Host | None = None, *, seconds: int = 120) -> str | None:
    plan = HostPlan(host=of or host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=seconds))
    reason = asked(plan, Brake())
    return None if reason is None else reason.code


def test_a_host_starts_inside_its_window_and_not_outside() -> None:
    assert ask(gate(OPEN)) is None
    assert ask(gate(OPEN - timedelta(hours=1))) == "outside-window"
    assert ask(gate(OPEN + timedelta(hours=4))) == "outside-window"


def test_a_host_whose_budget_no_longer_fits_is_not_started() -> None:
    end = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    assert ask(gate(end - timedelta(seconds=180))) is None
    assert ask(gate(end - timedelta(seconds=179))) == "window-too-short"


def test_windows_that_touch_count_as_one() -> None:
    two = (
        WindowText(name="night", recurs="Sat 22:00-23:00", timezone="UTC"),
        WindowText(name="late", recurs="Sat 23:00-02:00", timezone="UTC"),
    )
    both = GateOptions(window="daily 00:00+24h UTC")
    now = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
    assert ask(gate(now, windows=two, options=both), host(window="late")) is None


def test_a_blackout_wins_over_a_window_and_breaking_the_glass_over_both() -> None:
    blackout = ("2026-11-21T21:00Z/PT2H",)
    assert ask(gate(OPEN, blackouts=blackout)) == "blackout"
    glass = GateOptions(break_glass="the printers are on fire")
    assert ask(gate(OPEN, blackouts=blackout, options=glass)) is None
    assert ask(gate(OPEN - timedelta(days=2), options=glass)) is None


def test_the_commands_window_only_narrows() -> None:
    narrow = GateOptions(window="2026-11-21T22:30+01:00/PT10M")
    assert ask(gate(OPEN, options=narrow)) is None
    assert ask(gate(OPEN + timedelta(minutes=20), options=narrow)) == "outside-window"
    wide = GateOptions(window="daily 00:00+24h UTC")
    assert ask(gate(OPEN - timedelta(hours=1), options=wide)) == "outside-window"


def test_a_host_without_a_window_starts_where_nobody_has_one() -> None:
    free = host(window=None)
    assert ask(gate(OPEN, free, windows=()), free) is None


def test_a_host_without_a_window_needs_a_word_where_others_have_one() -> None:
    free = host("free", window=None)
    assert ask(gate(OPEN, host(), free), free) == "no-window"
    assert ask(gate(OPEN, host(), free, options=GateOptions(now=True)), free) is None
    asked = GateOptions(window="daily 00:00+24h UTC")
    assert ask(gate(OPEN, host(), free, options=asked), free) is None


def test_a_run_in_which_nobody_may_start_is_refused_and_names_the_next_opening() -> None:
    closed = gate(OPEN - timedelta(hours=3))
    with pytest.raises(RefusedError) as refused:
        closed.refuse_closed({"h": timedelta(seconds=180)}, [host()])
    assert "2026-11-21T21:00:00Z" in str(refused.value)
    assert refused.value.code == "outside-window"
    gate(OPEN).refuse_closed({"h": timedelta(seconds=180)}, [host()])


def test_waiting_ends_when_the_window_opens() -> None:
    clock = Clock(OPEN - timedelta(minutes=31))

    class Watch(Brake):
        def pause(self, seconds: float) -> None:
            clock.now += timedelta(seconds=seconds)

    waiting = WindowGate(
        [host()], windows=(NIGHT,), blackouts=(), options=GateOptions(wait=True), clock=clock
    )
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
    assert waiting(plan, Watch()) is None
    assert timedelta(0) <= clock.now - datetime(2026, 11, 21, 21, tzinfo=UTC) < timedelta(seconds=1)


@settings(deadline=None, max_examples=40)
@given(
    minutes=st.lists(st.integers(-30 * 60, 9 * 24 * 60), min_size=1, max_size=12),
    blackouts=st.sampled_from([(), ("2026-11-21T22:00Z/PT1H",)]),
)
def test_however_the_clock_steps_nobody_who_waits_is_started_outside_a_window(
    minutes: list[int], blackouts: tuple[str, ...]
) -> None:
    opens, closes = datetime(2026, 11, 21, 21, tzinfo=UTC), datetime(2026, 11, 22, 1, tzinfo=UTC)
    week, budget = timedelta(days=7), timedelta(seconds=180)
    steps = [opens + timedelta(minutes=each) for each in minutes]
    clock = Clock(opens - timedelta(hours=1))

    class Suspended(Brake):
        """Comes back from a pause at whatever time the clock shows then."""

        def pause(self, seconds: float) -> None:
            slept = timedelta(minutes=30) if seconds > 1 else timedelta(seconds=seconds)
            clock.now = steps.pop(0) if steps else clock.now + slept

    waiting = WindowGate(
        [host()], windows=(NIGHT,), blackouts=blackouts, options=GateOptions(wait=True), clock=clock
    )
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
    assert waiting(plan, Suspended()) is None
    behind = ((clock.now - opens) // week) * week
    assert opens + behind <= clock.now <= closes + behind - budget
    assert not blackouts or not opens + timedelta(hours=1) <= clock.now < opens + timedelta(hours=2)


def test_the_rest_of_the_wait_is_said_a_few_times_and_not_for_every_host() -> None:
    clock = Clock(OPEN - timedelta(hours=3))

    class Watch(Brake):
        def pause(self, seconds: float) -> None:
            clock.now += timedelta(seconds=seconds)

    hosts = [host("a"), host("b")]
    waiting = WindowGate(hosts, windows=(NIGHT,), blackouts=(), options=GateOptions(wait=True), clock=clock)
    said: list[str] = []
    waiting.count_down_to(said.append)
    for each in hosts:
        clock.now = OPEN - timedelta(hours=3)
        plan = HostPlan(host=each, outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
        assert waiting(plan, Watch()) is None
    assert [each.split(",")[0] for each in said] == [
        f"the window opens in {left}" for left in ("1h", "30m", "10m", "5m", "1m")
    ]


def test_who_waits_for_long_keeps_nobody_from_starting_now() -> None:
    late, soon, free = host("late", "Sun 22:00-23:00 UTC"), host("soon", "Sat 22:00-23:00 UTC"), host("free")
    never = host("never", "2020-01-01T00:00Z/PT1H")
    waiting = gate(OPEN, late, never, soon, free, options=GateOptions(wait=True))
    plans = [
        HostPlan(host=each, outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
        for each in (late, never, soon, free)
    ]
    assert [each.host.name for each in waiting.soonest_first(plans)] == ["free", "soon", "late", "never"]


@pytest.mark.parametrize("keep_out", [Brake.stop, Brake.hold])
def test_who_would_have_waited_is_kept_out_by_the_stop_and_not_by_the_window(
    keep_out: Callable[[Brake, Reason], None],
) -> None:
    waiting = gate(OPEN - timedelta(hours=3), options=GateOptions(wait=True))
    brake, reason = Brake(), Reason(code="interrupted", message="enough")
    keep_out(brake, reason)
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
    assert waiting(plan, brake) is reason


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//site//freeze//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
SUMMARY:Christmas
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;TZID=Europe/Berlin:20261102T080000
DTEND;TZID=Europe/Berlin:20261102T180000
RRULE:FREQ=MONTHLY;BYMONTHDAY=2;COUNT=3
END:VEVENT
BEGIN:VEVENT
UID:3
STATUS:CANCELLED
DTSTART:20261201T000000Z
DTEND:20261202T000000Z
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_file_closes_days_wherever_they_are_and_times_in_their_zone(tmp_path: Path) -> None:
    path = tmp_path / "freeze.ics"
    path.write_text(ICS.replace("\n", "\r\n"))
    found = sorted(IcsFile(path).blackouts(datetime(2028, 1, 1, tzinfo=UTC), most=100))
    christmas = Opening(
        start=datetime(2026, 12, 23, 10, tzinfo=UTC), end=datetime(2026, 12, 27, 12, tzinfo=UTC)
    )
    assert christmas in found
    starts = [each.start for each in found if each != christmas]
    assert starts == [datetime(2026, 11, 2, 7, tzinfo=UTC), datetime(2026, 12, 2, 7, tzinfo=UTC),
                      datetime(2027, 1, 2, 7, tzinfo=UTC)]  # fmt: skip


def test_what_is_not_a_calendar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "freeze.ics"
    path.write_text("no calendar at all")
    with pytest.raises(InventoryError, match=r"freeze\.ics"):
        IcsFile(path)
    with pytest.raises(InventoryError, match=r"none\.ics"):
        IcsFile(tmp_path / "none.ics")


def test_a_bad_window_in_the_inventory_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    windows = "maintenance_windows:\n  night: {recurs: 'Sat 22:00-02:00'}\n"
    path.write_text(windows + "hosts: {h: {platform: linux}}\n")
    with pytest.raises(InventoryError, match=r"inventory\.yaml:2: .*zone"):
        load_inventory([path])


def test_a_bad_blackout_in_the_inventory_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    blackouts = "blackouts:\n- 2026-12-20T00:00Z/P14D\n- Sat 22:00-02:00\n"
    path.write_text(f"{blackouts}hosts: {{h: {{platform: linux}}}}\n")
    with pytest.raises(InventoryError, match=r"inventory\.yaml:3: .*zone"):
        load_inventory([path])


def test_a_window_that_is_misspelt_is_told_its_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    windows = "maintenance_windows:\n  berlin: {recurs: 'Sat 22:00-02:00', timezone: Europe/Berlin}\n"
    path.write_text(windows + "hosts: {h: {platform: linux}}\n")
    with pytest.raises(InventoryError, match="did you mean the window berlin"):
        Calendar(load_inventory([path])).of_text("berln")


def test_an_inventory_without_windows_has_an_empty_calendar() -> None:
    calendar = Calendar(Inventory(hosts={}, groups={}, policies={}))
    assert calendar.blackout_at(OPEN) is None


def test_waiting_for_a_window_that_never_opens_again_is_refused_before_anybody_is_contacted() -> None:
    gone = GateOptions(window="2020-01-01T00:00Z/PT1H", wait=True)
    with pytest.raises(RefusedError, match="is closed"):
        gate(OPEN, options=gone).refuse_closed({"h": timedelta(minutes=3)}, [host()])


def test_a_host_without_a_window_waits_for_the_end_of_a_blackout() -> None:
    blackouts = ("2026-11-21T21:00Z/PT2H", "2026-11-21T23:00Z/PT1H")
    free = host(window=None)
    waiting = gate(OPEN, free, blackouts=blackouts, options=GateOptions(wait=True), windows=())
    waiting.refuse_closed({"h": timedelta(minutes=3)}, [free])
    opens = waiting.next_opening({"h": timedelta(minutes=3)}, [free])
    assert opens == datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
    for_ever = gate(
        OPEN, free, blackouts=("daily 00:00-00:00 UTC",), options=GateOptions(wait=True), windows=()
    )
    with pytest.raises(RefusedError, match="blackout"):
        for_ever.refuse_closed({"h": timedelta(minutes=3)}, [free])


def test_a_host_without_a_window_is_not_started_into_a_blackout() -> None:
    free = host(window=None)
    closed = ("2026-11-21T21:32Z/PT1H",)
    assert ask(gate(OPEN, free, blackouts=closed, windows=()), free) == "blackout"
    assert ask(gate(OPEN, free, blackouts=closed, windows=()), free, seconds=59) is None
    waiting = gate(OPEN, free, blackouts=closed, options=GateOptions(wait=True), windows=())
    opens = waiting.next_opening({"h": timedelta(minutes=3)}, [free])
    assert opens == datetime(2026, 11, 21, 22, 32, tzinfo=UTC)


def test_breaking_the_glass_starts_nobody_into_a_blackout_of_the_site() -> None:
    closed = ("2026-11-21T21:32Z/PT1H",)
    asked = SiteGate(
        [host()],
        windows=[NIGHT],
        blackouts=(),
        site_blackouts=closed,
        options=GateOptions(break_glass="worm"),
        clock=Clock(OPEN),
    )
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
    reason = asked(plan, Brake())
    assert reason is not None
    assert reason.code == "blackout"
    with pytest.raises(RefusedError, match="begins at 2026-11-21T21:32:00Z"):
        asked.refuse_closed({"h": timedelta(minutes=3)}, [host()])


@pytest.mark.parametrize("wait", [False, True])
def test_breaking_the_glass_is_not_offered_where_only_the_site_is_closed(*, wait: bool) -> None:
    asked = SiteGate(
        [host(window=None)],
        windows=(),
        blackouts=(),
        site_blackouts=(f"{OPEN - timedelta(hours=1):%Y-%m-%dT%H:%MZ}/P900D",),
        options=GateOptions(wait=wait),
        clock=Clock(OPEN),
    )
    with pytest.raises(RefusedError, match="the site says: a blackout lasts until") as refused:
        asked.refuse_closed({"h": timedelta(minutes=3)}, [host(window=None)])
    assert "does not override" in refused.value.next


def test_breaking_the_glass_is_not_offered_to_a_host_that_meets_a_blackout_of_the_site() -> None:
    free = host(window=None)
    for closed in ("2026-11-21T21:00Z/PT1H", "2026-11-21T21:32Z/PT1H"):
        asked = SiteGate(
            [free],
            windows=(),
            blackouts=(),
            site_blackouts=(closed,),
            options=GateOptions(),
            clock=Clock(OPEN),
        )
        plan = HostPlan(host=free, outcome=PlannedOutcome.CHANGE, deadline=timedelta(minutes=3))
        reason = asked(plan, Brake())
        assert reason is not None
        assert "does not override" in reason.next


def expiring(now: datetime, expires_at: datetime, *, wait: bool, room: str = "PT1H") -> SiteGate:
    """Return the gate of a plan that expires, for a host whose window opens at OPEN."""
    window = WindowText(name="night", recurs=f"{OPEN:%Y-%m-%dT%H:%MZ}/{room}", timezone=None)
    return SiteGate(
        [host()],
        windows=[window],
        blackouts=(),
        site_blackouts=(),
        options=GateOptions(wait=wait),
        clock=Clock(now),
        expires_at=expires_at,
    )


def test_a_plan_that_expires_before_the_window_opens_is_refused_and_not_waited_for() -> None:
    asked = expiring(OPEN - timedelta(hours=2), OPEN - timedelta(hours=1), wait=True)
    with pytest.raises(RefusedError, match=r"may not start before .* and expires at") as refused:
        asked.refuse_closed({"h": timedelta(minutes=3)}, [host()])
    assert refused.value.code == "expired-plan"
    later = expiring(OPEN - timedelta(hours=2), OPEN + timedelta(seconds=1), wait=True)
    later.refuse_closed({"h": timedelta(minutes=3)}, [host()])


def test_no_host_is_started_once_its_plan_has_expired() -> None:
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))

    def code(expires_at: datetime) -> str | None:
        reason = expiring(OPEN, expires_at, wait=False)(plan, Brake())
        return None if reason is None else reason.code

    assert code(OPEN + timedelta(seconds=1)) is None
    assert code(OPEN) == "expired-plan"


def test_a_plan_that_expires_while_a_host_waits_for_its_turn_does_not_start_it() -> None:
    plan = HostPlan(host=host(), outcome=PlannedOutcome.CHANGE, deadline=timedelta(seconds=120))
    clock = Clock(OPEN - timedelta(seconds=10))
    window = WindowText(name="night", recurs=f"{OPEN:%Y-%m-%dT%H:%MZ}/PT1H", timezone=None)

    class Asleep(Brake):
        def pause(self, seconds: float) -> None:
            """The laptop is shut, and opened half an hour later than it should."""
            clock.now += timedelta(seconds=seconds, minutes=30)

    asked = SiteGate(
        [host()],
        windows=[window],
        blackouts=(),
        site_blackouts=(),
        options=GateOptions(wait=True),
        clock=clock,
        expires_at=OPEN + timedelta(minutes=1),
    )
    reason = asked(plan, Asleep())
    assert reason is not None
    assert reason.code == "expired-plan"


def test_a_host_without_a_window_is_held_back_also_where_a_limit_leaves_out_those_that_have_one() -> None:
    free, other = host("free", None), host("other", "Sat 22:00-02:00 Europe/Berlin")
    inventory = Inventory(hosts={"free": free, "other": other}, groups={}, policies={})
    asked = gate(OPEN, free, windows=inventory.windows_in_use)
    assert ask(asked, free) == "no-window"
    assert ask(gate(OPEN, other, windows=inventory.windows_in_use), other) is None


def test_hosts_with_the_same_window_are_looked_up_once_and_again_when_the_clock_moves_past_or_back() -> None:
    hosts = tuple(host(f"h{number}") for number in range(5_000))
    minute = GateOptions(window="Mon 03:00-03:01 UTC")
    monday = (WindowText(name="night", recurs="Mon 02:00-04:00", timezone="UTC"),)
    began = process_time()
    with pytest.raises(RefusedError, match="no host may be started") as refused:
        gate(OPEN, *hosts, windows=monday, options=minute).refuse_closed(
            {each.name: timedelta(minutes=2) for each in hosts}, hosts
        )
    assert refused.value.next == "No opening to come is long enough."
    assert process_time() - began < 5

    clock = Clock(OPEN - timedelta(hours=1))
    asked = WindowGate([host()], windows=(NIGHT,), blackouts=(), options=GateOptions(), clock=clock)
    budgets = {"h": timedelta(minutes=2)}
    opening = datetime(2026, 11, 21, 21, tzinfo=UTC)
    for now, expected in (
        (OPEN - timedelta(hours=1), opening),
        (opening, opening + timedelta(days=7)),
        (OPEN - timedelta(days=7, hours=1), opening - timedelta(days=7)),
    ):
        clock.now = now
        assert asked.next_opening(budgets, [host()]) == expected
