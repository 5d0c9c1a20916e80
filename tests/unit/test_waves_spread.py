"""Waves: no two hosts that stand in for each other at once, and every group in each of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.model.host import Host, Platform
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome
from fwfix.runner.limits import Limits
from fwfix.waves import SPREAD, in_turns, split_waves, spread_waves

SPECS = st.sampled_from([None, "1,100%", "10%,50%", "3,5,7", "100%"])


def host(number: int, *, spread: str | None = None, groups: tuple[str, ...] = ()) -> Host:
    labels = {} if spread is None else {SPREAD: spread}
    return Host(name=f"h{number}", address="10.0.0.1", platform=Platform.LINUX, labels=labels, groups=groups)


FLEETS = st.lists(st.none() | st.sampled_from("abc"), max_size=40).map(
    lambda labels: [host(number, spread=label) for number, label in enumerate(labels)]
)


@given(FLEETS, SPECS)
def test_hosts_with_the_same_label_never_share_a_wave_and_every_host_has_one(
    hosts: list[Host], spec: str | None
) -> None:
    waves = spread_waves(hosts, spec)
    labels = {each.name: each.labels.get(SPREAD) for each in hosts}
    assert sorted(name for wave in waves for name in wave) == sorted(labels)
    for wave in waves:
        spread = [labels[name] for name in wave if labels[name] is not None]
        assert len(spread) == len(set(spread))


@given(FLEETS, SPECS)
def test_no_wave_starts_more_hosts_than_without_the_label(hosts: list[Host], spec: str | None) -> None:
    plain = [len(wave) for wave in split_waves([each.name for each in hosts], spec)]
    waves = [len(wave) for wave in spread_waves(hosts, spec)]
    for number in range(1, len(plain) + 1):
        assert sum(waves[:number]) <= sum(plain[:number])


@given(st.lists(st.just(None), max_size=30), SPECS)
def test_without_the_label_waves_are_as_they_were(labels: list[None], spec: str | None) -> None:
    hosts = [host(number) for number in range(len(labels))]
    assert spread_waves(hosts, spec) == split_waves([each.name for each in hosts], spec)


def test_a_wave_holds_of_each_group_what_the_group_has_of_the_fleet() -> None:
    hosts = [host(n, groups=("berlin",)) for n in range(80)]
    hosts += [host(n, groups=("paris", "berlin")) for n in range(80, 100)]
    ordered = in_turns(hosts)
    assert sorted(each.name for each in ordered) == sorted(each.name for each in hosts)
    first, second = ordered[:10], ordered[10:20]
    for wave in (first, second):
        assert sum(each.groups[0] == "paris" for each in wave) == 2


@pytest.mark.parametrize("groups", [(), ("berlin",)])
def test_one_group_keeps_the_order_of_the_inventory(groups: tuple[str, ...]) -> None:
    hosts = tuple(host(n, groups=groups) for n in range(30))
    assert in_turns(hosts) == hosts
    assert all(int(a.name[1:]) < int(b.name[1:]) for a, b in pairwise(in_turns(hosts)))


RUN = "20261121T220003Z-4f2a"


def report(outcome: Outcome) -> HostReport:
    return HostReport(name="h", address="10.0.0.1", platform="linux", outcome=outcome)


def test_a_limit_stops_when_it_is_exceeded_and_names_itself() -> None:
    limits = Limits(run_id=RUN, max_fail=1, max_unreachable=1)
    limits.count(report(Outcome.REVERTED))
    limits.count(report(Outcome.FAILED))
    assert limits.exceeded is None
    again = Limits(run_id=RUN, max_fail=0, max_unreachable=1)
    again.count(report(Outcome.UNKNOWN))
    assert again.exceeded is not None
    assert "--max-fail" in again.exceeded.message
    assert again.exceeded.next.endswith(f"fwfix apply --continue {RUN}")


def test_a_smaller_wave_of_a_saved_plan_keeps_what_stands_in_for_each_other_apart() -> None:
    from datetime import UTC, datetime

    from fwfix.cli.applying import narrow

    hosts = [host(0, spread="a"), host(1), host(2, spread="a"), host(3)]
    plans = tuple(HostPlan(host=each, outcome=PlannedOutcome.CHANGE) for each in hosts)
    plan = Plan(
        run_id="20261121T220003Z-4f2a",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        hosts=plans,
        waves=(("h0", "h1"), ("h2", "h3")),
    )
    assert narrow(plan, None, "1,2,100%").waves == (("h0",), ("h1",), ("h2", "h3"))
