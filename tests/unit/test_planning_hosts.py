"""Planning is a pure function: the same inputs give the same plan, and every host gets its outcome."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.deadlines import deadline_for, worst_case
from fwfix.errors import ScriptError, UsageError
from fwfix.model.draft import Desired, Draft
from fwfix.model.hazard import Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.observation import ManagementPath, Observation
from fwfix.model.plan import Acceptance, PlannedOutcome, Reason
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.planning import PlanInputs, Seen, make_plan
from fwfix.waves import default_waves, split_waves

RUN = "20261121T220003Z-4f2a"
NOW = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
JETDIRECT = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"), ip_network("fd00:5::/64")),
    action=Action.DROP,
    log=False,
)
GATEWAY = Hazard(code="forwarding-gateway", message="it forwards")


def host(name: str, **more: object) -> Host:
    return Host(name=name, address="10.1.2.3", platform=Platform.LINUX, **more)  # type: ignore[arg-type]


def observation(hostname: str = "label-gw-01", port: int = 22) -> Observation:
    return Observation(
        platform=Platform.LINUX,
        identity="machine",
        hostname=hostname,
        boot_id="boot",
        uptime=timedelta(hours=1),
        management=ManagementPath(peer=ip_address("10.9.0.9"), port=port),
        addresses=(ip_address("10.1.2.3"),),
    )


class Platformless:
    """A driver of the tests: it answers what it was told to."""

    def __init__(self, *, in_place: bool = False, fails: ScriptError | None = None) -> None:
        self.in_place, self.fails = in_place, fails
        self.asked: list[Desired] = []

    def draft(self, desired: Desired) -> Draft:
        self.asked.append(desired)
        if self.fails is not None:
            raise self.fails
        return Draft(
            backend="iptables",
            in_place=self.in_place,
            problems=(),
            supersedes="",
            fingerprint=f"sha256:{desired.observation.identity}",
            changes=(),
            hazards=(GATEWAY,),
            scripts={},
            probe_addresses=desired.observation.addresses,
        )


def inputs(*names: str, driver: Platformless | None = None, **more: object) -> PlanInputs:
    values: dict[str, object] = {
        "hosts": tuple(host(name) for name in names),
        "protections": dict.fromkeys(names, (JETDIRECT,)),
        "seen": {name: Seen(observation=observation(name), round_trip=0.5) for name in names},
        "drivers": {Platform.LINUX: driver or Platformless()},
        "run_id": RUN,
        "created_at": NOW,
        **more,
    }
    return PlanInputs(**values)  # type: ignore[arg-type]


def test_a_host_that_needs_something_is_changed_and_one_that_does_not_is_left() -> None:
    changed = make_plan(inputs("a", "b"))
    assert [each.outcome for each in changed.hosts] == [PlannedOutcome.CHANGE] * 2
    assert changed.waves == (("a",), ("b",))
    left = make_plan(inputs("a", "b", driver=Platformless(in_place=True)))
    assert [each.outcome for each in left.hosts] == [PlannedOutcome.NOOP] * 2
    assert left.waves == ()
    assert left.hosts[0].hazards == ()


def test_hazards_of_the_platform_and_of_planning_come_together() -> None:
    (planned,) = make_plan(inputs("a", protections={"a": (replace(JETDIRECT, allowed=()),)})).hosts
    assert [hazard.code for hazard in planned.hazards] == ["forwarding-gateway", "nobody-allowed"]


def test_a_host_that_did_not_answer_is_failed_with_its_reason_and_in_no_wave() -> None:
    reason = Reason(code="unreachable", message="nobody answered")
    plan = make_plan(
        inputs("a", "b", seen={"a": Seen(observation=observation("a")), "b": Seen(reason=reason)})
    )
    assert plan.hosts[1].outcome is PlannedOutcome.FAILED
    assert plan.hosts[1].reason == reason
    assert plan.waves == (("a",),)


def test_a_driver_that_cannot_help_fails_its_host_alone() -> None:
    error = ScriptError("neither iptables nor nft", code="missing-tool", next="Install one.")
    (planned,) = make_plan(inputs("a", driver=Platformless(fails=error))).hosts
    assert planned.reason == Reason(
        code="missing-tool", message="neither iptables nor nft", next="Install one."
    )


@pytest.mark.parametrize(
    ("wanted", "found", "right"),
    [
        ("label-gw-01", "label-gw-01", True),
        ("label-gw-01", "LABEL-GW-01.corp.example", True),
        ("label-gw-01.corp.example", "label-gw-01", False),
        ("label-gw-01", "label-gw-02", False),
    ],
)
def test_another_machine_at_the_address_is_refused(wanted: str, found: str, right: bool) -> None:  # noqa: FBT001
    planned = make_plan(
        inputs(
            "a", hosts=(host("a", expect_hostname=wanted),), seen={"a": Seen(observation=observation(found))}
        )
    ).hosts[0]
    assert (planned.outcome is PlannedOutcome.CHANGE) is right
    if not right:
        assert planned.reason is not None
        assert planned.reason.code == "wrong-host"


@pytest.mark.parametrize(("port", "ssh"), [(22, 22), (3389, 22), (9100, 9100)])
def test_the_port_that_carries_the_management_is_never_closed(port: int, ssh: int) -> None:
    closing = replace(JETDIRECT, service=Service(protocol=Protocol.TCP, first=port, last=port))
    seen = {"a": Seen(observation=observation("a", port=ssh))}
    (planned,) = make_plan(inputs("a", protections={"a": (closing,)}, seen=seen)).hosts
    assert planned.reason is not None
    assert planned.reason.code == "management-port"


def test_a_plan_that_is_only_shown_has_no_run_id() -> None:
    driver = Platformless()
    plan = make_plan(inputs("a", driver=driver, saved=False))
    assert plan.run_id is None
    assert driver.asked[0].run_id == RUN


def test_an_accepted_hazard_does_not_stop_its_host() -> None:
    strange = replace(JETDIRECT, service=Service(protocol=Protocol.TCP, first=9999, last=9999))
    (planned,) = make_plan(inputs("a", protections={"a": (strange,)})).hosts
    assert [hazard.code for hazard in planned.stopping(Acceptance())] == ["not-a-printing-port"]
    assert planned.stopping(Acceptance(hosts={"not-a-printing-port": frozenset({"a"})})) == ()
    assert planned.stopping(Acceptance(hosts={"not-a-printing-port": frozenset({"b"})})) != ()


def test_hosts_that_a_hazard_keeps_out_come_last_so_that_the_first_wave_tries_something_out() -> None:
    strange = replace(JETDIRECT, service=Service(protocol=Protocol.TCP, first=9999, last=9999))
    needed = {"a": (strange,), "b": (JETDIRECT,), "c": (JETDIRECT,)}
    assert make_plan(inputs("a", "b", "c", protections=needed)).waves == (("b",), ("c", "a"))
    accepted = Acceptance(everywhere=frozenset({"not-a-printing-port"}))
    plan = make_plan(inputs("a", "b", "c", protections=needed, accepted=accepted))
    assert plan.waves == (("a",), ("b", "c"))


def test_an_explicit_deadline_is_taken_exactly_and_a_short_one_is_said() -> None:
    (planned,) = make_plan(inputs("a", confirm_within=timedelta(seconds=7))).hosts
    assert planned.deadline == timedelta(seconds=7)
    assert "deadline-short" in {hazard.code for hazard in planned.hazards}
    with pytest.raises(UsageError):
        make_plan(inputs("a", confirm_within=timedelta(seconds=4)))


def test_a_slow_host_gets_more_time_than_the_default() -> None:
    fast, slow = (
        make_plan(inputs("a", seen={"a": Seen(observation=observation("a"), round_trip=seconds)})).hosts[0]
        for seconds in (0.1, 60.0)
    )
    assert fast.deadline == timedelta(seconds=120)
    assert slow.deadline > timedelta(seconds=300)
    assert "deadline-short" not in {hazard.code for hazard in slow.hazards}


def test_the_worst_case_grows_with_everything_that_takes_time() -> None:
    base = worst_case(round_trip=1, services=(JETDIRECT.service,), addresses=1)
    many = replace(JETDIRECT, service=Service(protocol=Protocol.TCP, first=9100, last=9300))
    assert worst_case(round_trip=2, services=(JETDIRECT.service,), addresses=1) > base
    assert worst_case(round_trip=1, services=(many.service,), addresses=1) > base
    assert worst_case(round_trip=1, services=(JETDIRECT.service,), addresses=1, vantages=2) > base
    assert deadline_for(Platform.WINDOWS, base, None) == timedelta(seconds=300)


def test_another_rule_for_waves_can_be_given() -> None:
    plan = make_plan(inputs("a", "b", "c"), split=lambda plans: (tuple(p.host.name for p in plans),))
    assert plan.waves == (("a", "b", "c"),)


@given(st.permutations(["a", "b", "c", "d"]), st.sampled_from([None, "50%", "1,2"]))
@settings(deadline=None)
def test_planning_twice_gives_the_same_plan(names: list[str], waves: str | None) -> None:
    first, second = (make_plan(inputs(*names, waves=waves)) for _ in range(2))
    assert first == second
    assert [each.host.name for each in first.hosts] == names


@pytest.mark.parametrize(
    ("count", "spec", "sizes"),
    [
        (0, None, []),
        (1, None, [1]),
        (2, None, [1, 1]),
        (20, None, [1, 19]),
        (21, None, [1, 1, 4, 15]),
        (1000, None, [1, 49, 200, 750]),
        (10, "100%", [10]),
        (10, "1,1,5", [1, 4, 5]),
        (10, "5,10%,100%", [5, 5]),
        (10, "33%", [4, 6]),
        (3, "50", [3]),
    ],
)
def test_waves_are_cumulative_and_percentages_round_up(
    count: int, spec: str | None, sizes: list[int]
) -> None:
    waves = split_waves([str(number) for number in range(count)], spec)
    assert [len(wave) for wave in waves] == sizes


@given(
    st.lists(st.text(max_size=3), unique=True, max_size=60),
    st.none() | st.lists(st.integers(1, 99), min_size=1),
)
def test_every_host_is_in_exactly_one_wave_in_order(names: list[str], steps: list[int] | None) -> None:
    spec = None if steps is None else ",".join(f"{step}%" if step % 2 else str(step) for step in steps)
    waves = split_waves(names, spec)
    assert [name for wave in waves for name in wave] == names
    assert all(waves)


@pytest.mark.parametrize("spec", ["", "0", "101%", "1,,2", "all", "-1", "1;2", "5 %x"])
def test_unreadable_waves_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        split_waves(["a", "b"], spec)


def test_the_default_is_said_in_the_words_of_the_option() -> None:
    assert [default_waves(count) for count in (1, 20, 21)] == ["100%", "1,100%", "1,5%,25%,100%"]
