"""Where ports are re-tested from: this machine, and the hosts that the inventory lends for it."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Protocol

from fwfix.drivers.connect import connect_invocation, read_readings
from fwfix.errors import HostError, SecretError
from fwfix.executors.base import Executor
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Address, Family
from fwfix.probes import ATTEMPT_SECONDS, source_address
from fwfix.rendering.environment import Renderer
from fwfix.verification import CONTROLLER, Vantage, targets_for

# sshd allows ten sessions on one connection (MaxSessions); hosts of a wave share one to each vantage.
AT_ONCE = 8


class Opener(Protocol):
    """What the lookout needs of a run's context."""

    def open(self, host: Host) -> Executor:
        """Open a new connection to a host."""


class Lookout:
    """Knows the vantages of a run; keeps one connection to each and shares it between hosts."""

    def __init__(
        self,
        opener: Opener,
        hosts: Sequence[Host],
        renderer: Renderer,
        *,
        jumps: Mapping[str, Host] | None = None,
    ) -> None:
        """Prepare; nobody is contacted.

        Args:
            opener: opens connections.
            hosts: those marked `vantage: true`; they test every host.
            renderer: for the connect script.
            jumps: hosts of the inventory by name; one through which a host is reached tests that host.
        """
        self._opener = opener
        self._everywhere = tuple(host.name for host in hosts)
        self._hosts = {**(jumps or {}), **{host.name: host for host in hosts}}
        self._renderer = renderer
        self._executors: dict[str, Executor] = {}
        self._silent: set[str] = set()
        self._opening = {name: threading.Lock() for name in self._hosts}
        self._turns = {name: threading.BoundedSemaphore(AT_ONCE) for name in self._hosts}
        self._sources: dict[tuple[str, str], Mapping[Family, Address]] = {}

    def targets(self, plan: HostPlan) -> tuple[Target, ...]:
        """Return what is tested from this machine."""
        return targets_for(plan.protections, plan.probe_addresses, CONTROLLER)

    def vantages(self, plan: HostPlan) -> tuple[Vantage, ...]:
        """Return every vantage with its addresses as the host sees them, as far as known."""
        others = tuple(
            Vantage(name=name, sources=sources)
            for (host, name), sources in self._sources.items()
            if host == plan.host.name
        )
        return (Vantage(name=CONTROLLER, sources=controller_sources(plan)), *others)

    def readings(self, plan: HostPlan, *, until: float) -> tuple[Reading, ...]:
        """Test a host's ports from every other vantage that answers.

        Silence that was waited for shorter than an attempt should last is not settled (C7).
        """
        found: list[Reading] = []
        for name in self._names_for(plan):
            if name not in self._silent:
                found.extend(self._from(name, plan, until))
        return tuple(found)

    def _names_for(self, plan: HostPlan) -> tuple[str, ...]:
        """Return who can test a host: every lent vantage, and the jump host in front of it."""
        jump = plan.host.ssh.jump or plan.host.winrm.jump
        names = dict.fromkeys((*self._everywhere, *((jump,) if jump in self._hosts else ())))
        return tuple(name for name in names if name is not None and name != plan.host.name)

    def close(self) -> None:
        """Close the connections to the vantages."""
        for executor in self._executors.values():
            executor.close()
        self._executors.clear()

    def _from(self, name: str, plan: HostPlan, until: float) -> tuple[Reading, ...]:
        targets = targets_for(plan.protections, plan.probe_addresses, name)
        with self._turns[name]:
            seconds = max(1, round(until - time.monotonic()))
            invocation = connect_invocation(self._renderer, targets, seconds=seconds)
            try:
                result = self._executor(name).run(invocation, deadline=time.monotonic() + seconds + 10)
                readings, sources = read_readings(result, targets)
            except (HostError, SecretError):
                # A vantage that cannot be asked proves nothing and forbids nothing; it is not asked again.
                self._silent.add(name)
                return ()
        self._sources[plan.host.name, name] = sources
        return tuple(replace(each, settled=_is_settled(each, seconds)) for each in readings)

    def _executor(self, name: str) -> Executor:
        with self._opening[name]:
            if name not in self._executors:
                self._executors[name] = self._opener.open(self._hosts[name])
            return self._executors[name]


def _is_settled(reading: Reading, seconds: int) -> bool:
    return reading.result is not ProbeResult.FILTERED or seconds >= ATTEMPT_SECONDS


def controller_sources(plan: HostPlan) -> Mapping[Family, Address]:
    """Return this machine's addresses as a host sees them.

    Where the host told us whom it sees (`SSH_CONNECTION`, after any NAT: G8), that is the address;
    the other family has the address that this machine's own routes choose.
    """
    seen = plan.controller_address
    found: dict[Family, Address] = {}
    for destination in plan.probe_addresses:
        family = Family.of(destination)
        if seen is not None and Family.of(seen) is family and not _comes_through_another(plan.host):
            found[family] = seen
        elif (source := source_address(destination)) is not None:
            found.setdefault(family, ip_address(str(source)))
    return found


def _comes_through_another(host: Host) -> bool:
    """Tell whether the address that a host sees is that of a jump host or a proxy."""
    if host.platform is Platform.WINDOWS:
        return host.winrm.jump is not None or host.winrm.proxy is not None
    return host.ssh.jump is not None
