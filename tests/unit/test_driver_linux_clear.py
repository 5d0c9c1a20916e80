"""A host counts as clear of a run only where all places could be read in which the run has rules."""

from dataclasses import replace
from types import MappingProxyType

from fwfix.drivers.linux import LinuxDriver
from fwfix.drivers.linux_facts import facts_of
from fwfix.model.host import Host, Platform
from fwfix.model.plan import HostPlan, PlannedOutcome
from fwfix.model.policy import Family
from fwfix.model.script import Script
from fwfix.rendering.environment import Renderer

RUN = "20261121T220003Z-4f2a"
HOST = Host(name="gw", address="192.0.2.1", platform=Platform.LINUX)


def test_what_cannot_be_read_is_not_clear() -> None:
    driver = LinuxDriver(Renderer(()))
    seen = driver.assume(HOST)
    rules = {name: Script(name=name, text="", changes=True) for name in ("rules.v4", "rules.v6")}
    unplanned = HostPlan(host=HOST, outcome=PlannedOutcome.CHANGE)
    plan = replace(unplanned, scripts=rules)
    facts = facts_of(seen)
    only_ipv4 = MappingProxyType({Family.IPV4: facts.saves[Family.IPV4]})
    assert driver.is_clear(plan, RUN, seen)
    assert not driver.is_clear(plan, RUN, replace(seen, facts=replace(facts, saves=only_ipv4)))
    assert not driver.is_clear(unplanned, RUN, seen)
