"""Between waves: whom have our rules turned away on the hosts that are applied already?"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fwfix.drivers.base import Counter
from fwfix.errors import HostError, SecretError
from fwfix.model.host import Platform
from fwfix.model.plan import HostPlan
from fwfix.model.wording import plural
from fwfix.runner.context import SCRIPT_SECONDS, RunContext
from fwfix.runner.fleet import each_host

# More hosts than this are added up: who reads them reads the first ones.
_MOST_LINES = 10

Packets = Mapping[str, int]
Seen = Mapping[str, object]
Write = Callable[[str, Seen], None]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What came of asking one host; None where it did not answer."""

    packets: Packets | None


class CounterWatch:
    """Reads the counters of our blocking rules, and says by how many packets they have grown."""

    def __init__(
        self,
        context: RunContext,
        *,
        forks: int,
        write: Write,
        before: Mapping[str, Packets] | None = None,
    ) -> None:
        """Prepare; nobody is asked.

        Args:
            context: of the run; knows how the counters stood when its hosts were verified.
            forks: hosts asked at the same time.
            write: puts an event into the journal.
            before: how the counters stood when an earlier part of the run read them, by host.
        """
        self._context = context
        self._forks = forks
        self._write = write
        self._before = dict(before or {})

    def __call__(self, plans: Sequence[HostPlan]) -> None:
        """Ask hosts that are applied, show what was turned away there since, and write it down."""
        self.write(self.show(plans))

    def show(self, plans: Sequence[HostPlan]) -> Seen | None:
        """Ask hosts that are applied, and show what was turned away there since; None if none is asked."""
        # Windows counts no packets, and nobody there is not the same as nobody counted.
        plans = [plan for plan in plans if plan.host.platform is not Platform.WINDOWS]
        if not plans or self._context.brake.stopped is not None:
            return None
        found = {plan.host.name: seen for plan, seen in each_host(plans, self._look, forks=self._forks)}
        silent = sorted(name for name, seen in found.items() if seen.packets is None)
        now = {name: seen.packets for name, seen in found.items() if seen.packets is not None}
        since = {name: self._since(name, packets) for name, packets in now.items()}
        turned = {name: grown for name, grown in sorted(since.items()) if grown}
        self._before.update(now)
        for line in lines_of(turned, now, silent=silent):
            self._context.observer.note(line)
        return {"packets": now, "turned_away": turned, "silent": silent}

    def write(self, seen: Seen | None) -> None:
        """Write down what was shown."""
        if seen is not None:
            self._write("counters", seen)

    def _since(self, name: str, packets: Packets) -> Packets:
        before = self._before.get(name) or packets_of(self._context.counters.get(name, ()))
        grown = {port: count - before.get(port, 0) for port, count in packets.items()}
        return {port: count for port, count in grown.items() if count > 0}

    def _look(self, plan: HostPlan) -> _Looked:
        driver = self._context.driver(plan.host)
        services = tuple(protection.service for protection in plan.protections)
        try:
            executor = self._context.open(plan.host)
            try:
                deadline = time.monotonic() + SCRIPT_SECONDS
                observation = driver.read_observation(
                    executor.run(driver.observe(services), deadline=deadline)
                )
            finally:
                executor.close()
            return _Looked(packets_of(driver.judge(plan, self._context.run_id, observation).counters))
        except (HostError, SecretError):
            return _Looked(None)


def packets_of(counters: Sequence[Counter]) -> Packets:
    """Add up the packets that our blocking rules met, by port and family."""
    found: dict[str, int] = {}
    for each in counters:
        if each.source is None:
            port = f"{each.port}/{each.protocol} {each.family.label}"
            found[port] = found.get(port, 0) + each.packets
    return found


def lines_of(
    turned: Mapping[str, Packets], now: Mapping[str, Packets], *, silent: Sequence[str]
) -> Iterator[str]:
    """Yield what to say of hosts on which packets were turned away, of those that were read, and the rest."""
    counted = [name for name, packets in now.items() if packets]
    for name, ports in list(turned.items())[:_MOST_LINES]:
        said = ", ".join(f"{plural(count, 'packet')} to {port}" for port, count in ports.items())
        yield f"turned away since: {name}: {said}"
    if len(turned) > _MOST_LINES:
        total = sum(sum(ports.values()) for ports in turned.values())
        yield f"turned away since: {plural(total, 'packet')} on {len(turned)} hosts in all"
    if not turned and counted:
        yield f"turned away since: nobody, on {plural(len(counted), 'host')}"
    if silent:
        yield f"counters not read: {_some(silent)} did not answer"
    blind = sorted(name for name, packets in now.items() if not packets)
    if blind:  # our rules are gone there
        yield f"no counters of ours on: {_some(blind)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LINES} more" if len(names) > _MOST_LINES else ""
    return f"{', '.join(names[:_MOST_LINES])}{more}"
