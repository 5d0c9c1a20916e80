"""Where ports are re-tested from: this machine, and the hosts that the inventory lends for it."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from fwfix.drivers.connect import connect_invocation, read_readings
from fwfix.errors import AuthError, ConnectError, HostError, HostKeyError, SecretError, UnreachableError
from fwfix.executors.base import Executor
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Address, Family
from fwfix.probes import ATTEMPT_SECONDS, source_address
from fwfix.rendering.environment import Renderer
from fwfix.verification import CONTROLLER, Vantage, targets_for

if TYPE_CHECKING:
    from fwfix.executors.ssh_route import Route

# sshd allows ten sessions on one connection (MaxSessions); hosts of a wave share one to each vantage.
AT_ONCE = 8


class Opener(Protocol):
    """What the lookout needs of a run's context."""

    connect_timeout: timedelta

    def open(self, host: Host) -> Executor:
        """Open a new connection to a host."""


class Forwarder(Protocol):
    """Knows the ways of SSH, and lets the hosts on them try ports: `SshConnector`."""

    def before(self, host: Host, *, deadline: float) -> "Route":
        """Return the way to the last jump host in front of a host; empty where there is none."""

    def is_direct(self, host: Host, *, deadline: float) -> bool:
        """Tell whether a Linux host sees our own address."""

    def way_to(self, host: Host, *, deadline: float) -> "Route":
        """Return the way to a host."""

    def knock(
        self, route: "Route", targets: Sequence[Target], *, until: float, deadline: float
    ) -> tuple[Reading, ...]:
        """Let the last host of a way try ports; only `open` is certain."""


class Lookout:
    """Knows the vantages of a run; keeps one connection to each and shares it between hosts.

    A vantage is asked by a script. Where it runs none, and where only ssh_config knows it, sshd is asked to
    connect (direct-tcpip).
    """

    def __init__(
        self,
        opener: Opener,
        hosts: Sequence[Host],
        renderer: Renderer,
        *,
        jumps: Mapping[str, Host] | None = None,
        forwarder: Callable[[], Forwarder] | None = None,
    ) -> None:
        """Prepare; nobody is contacted.

        Args:
            opener: opens connections.
            hosts: those marked `vantage: true`; they test every host.
            renderer: for the connect script.
            jumps: hosts of the inventory by name; one through which a host is reached tests that host.
            forwarder: made when the first host needs it; without one only scripts are sent.
        """
        self._opener = opener
        self._everywhere = tuple(host.name for host in hosts)
        self._hosts = {**(jumps or {}), **{host.name: host for host in hosts}}
        self._renderer = renderer
        self._forwarder = forwarder
        self._executors: dict[str, Executor] = {}
        self._scriptless: set[str] = set()
        self._silent: set[str] = set()
        self._opening = {name: threading.Lock() for name in self._hosts}
        self._turns = {name: threading.BoundedSemaphore(AT_ONCE) for name in self._hosts}
        # By host: hosts are tested at once, and none of them must look through what concerns the others.
        self._found: defaultdict[str, dict[str, Vantage]] = defaultdict(dict)

    def targets(self, plan: HostPlan) -> tuple[Target, ...]:
        """Return what is tested from this machine."""
        return targets_for(plan.protections, plan.probe_addresses, CONTROLLER)

    def vantages(self, plan: HostPlan) -> tuple[Vantage, ...]:
        """Return every vantage with its addresses as the host sees them, as far as known."""
        others = self._found.get(plan.host.name, {}).values()
        ours = controller_sources(plan, direct=self._is_direct(plan.host))
        return (Vantage(name=CONTROLLER, sources=ours), *others)

    def readings(self, plan: HostPlan, *, until: float) -> tuple[Reading, ...]:
        """Test a host's ports from every other vantage that answers.

        Silence that was waited for shorter than an attempt should last is not settled (C7).
        """
        found: list[Reading] = []
        jump = self._jump_before(plan.host)
        names = dict.fromkeys((*self._everywhere, *([jump[-1].target.name] if jump else ())))
        for name in names:
            if name not in {plan.host.name, *self._silent}:
                found.extend(self._from(name, plan, jump, until))
        return tuple(found)

    def _jump_before(self, host: Host) -> "Route":
        """Return the way to the jump host in front of a host; empty where there is none."""
        if self._forwarder is None or not (host.platform is Platform.LINUX or host.winrm.jump):
            return ()
        try:
            return self._forwarder().before(host, deadline=self._patience())
        except ConnectError:
            return ()

    def _is_direct(self, host: Host) -> bool:
        """Tell whether the address that a host sees is ours, and not that of a jump host or a proxy."""
        if host.platform is Platform.WINDOWS:
            return host.winrm.jump is None and host.winrm.proxy is None
        if self._forwarder is None:
            return host.ssh.jump is None
        try:
            return self._forwarder().is_direct(host, deadline=self._patience())
        except ConnectError:
            return False

    def _patience(self) -> float:
        return time.monotonic() + self._opener.connect_timeout.total_seconds()

    def close(self) -> None:
        """Close the connections to the vantages."""
        for executor in self._executors.values():
            executor.close()
        self._executors.clear()

    def _from(self, name: str, plan: HostPlan, jump: "Route", until: float) -> tuple[Reading, ...]:
        """Ask one vantage. One that cannot be asked proves and forbids nothing; it is not asked again."""
        targets = targets_for(plan.protections, plan.probe_addresses, name)
        if name in self._hosts and name not in self._scriptless:
            try:
                if readings := self._by_script(name, plan, targets, until=until):
                    return readings
            except (UnreachableError, HostKeyError, AuthError):
                self._silent.add(name)
                return ()
            except (HostError, SecretError):
                pass  # it lets us in, and runs nothing
            self._scriptless.add(name)
        try:
            return self._by_knocking(name, plan, jump, targets=targets, until=until)
        except (HostError, SecretError):
            self._silent.add(name)
            return ()

    def _by_script(
        self, name: str, plan: HostPlan, targets: Sequence[Target], *, until: float
    ) -> tuple[Reading, ...]:
        with self._turns[name]:
            seconds = _at_least_one(until)
            invocation = connect_invocation(self._renderer, targets, seconds=seconds)
            result = self._executor(name).run(invocation, deadline=time.monotonic() + seconds + 10)
        readings, sources = read_readings(result, targets)
        self._found[plan.host.name][name] = Vantage(name=name, sources=sources)
        return tuple(replace(each, settled=_is_settled(each, seconds)) for each in readings)

    def _by_knocking(
        self, name: str, plan: HostPlan, jump: "Route", *, targets: Sequence[Target], until: float
    ) -> tuple[Reading, ...]:
        if self._forwarder is None:
            return ()
        forwarder, in_front = self._forwarder(), bool(jump) and jump[-1].target.name == name
        route = jump if in_front else forwarder.way_to(self._hosts[name], deadline=self._patience())
        seconds = _at_least_one(until)
        until = time.monotonic() + seconds
        readings = forwarder.knock(route, targets, until=until, deadline=self._patience())
        if readings:
            # Our own session comes out of the jump host too: whom the host sees there, it sees here.
            seen = plan.controller_address if in_front else None
            sources = {} if seen is None else {Family.of(seen): seen}
            self._found[plan.host.name][name] = Vantage(name=name, sources=sources, certain=False)
        return tuple(replace(each, settled=each.settled or _is_settled(each, seconds)) for each in readings)

    def _executor(self, name: str) -> Executor:
        with self._opening[name]:
            if name not in self._executors:
                self._executors[name] = self._opener.open(self._hosts[name])
            return self._executors[name]


def _at_least_one(until: float) -> int:
    """Return the seconds that are left; one where the controller's own probes have used them up."""
    return max(1, round(until - time.monotonic()))


def _is_settled(reading: Reading, seconds: int) -> bool:
    return reading.result is not ProbeResult.FILTERED or seconds >= ATTEMPT_SECONDS


def controller_sources(plan: HostPlan, *, direct: bool) -> Mapping[Family, Address]:
    """Return this machine's addresses as a host sees them.

    Where the host told us whom it sees (`SSH_CONNECTION`, after any NAT: G8), that is the address;
    the other family has the address that this machine's own routes choose.

    Args:
        plan: the host, and whom it sees.
        direct: whom it sees is us, and not a jump host or a proxy.
    """
    seen = plan.controller_address
    found: dict[Family, Address] = {}
    for destination in plan.probe_addresses:
        family = Family.of(destination)
        if seen is not None and Family.of(seen) is family and direct:
            found[family] = seen
        elif (source := source_address(destination)) is not None:
            found.setdefault(family, ip_address(str(source)))
    return found
