"""From an inventory to a plan: look at every host, and let planning decide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from fwfix.model.host import Host
from fwfix.model.policy import Address, Family
from fwfix.planning import Seen as Observed
from fwfix.probes import source_address
from fwfix.runner.context import RunContext
from fwfix.runner.fleet import Seen
from fwfix.verification import CONTROLLER


def observed(seen: Mapping[str, Seen]) -> Mapping[str, Observed]:
    """Return what planning needs of what was seen."""
    return {
        name: Observed(observation=each.observation, reason=each.reason, round_trip=each.round_trip)
        for name, each in seen.items()
    }


def observed_addresses(seen: Mapping[str, Seen]) -> Iterator[Address]:
    """Return the addresses of every host that could be looked at."""
    for each in seen.values():
        if each.observation is not None:
            yield from each.observation.addresses


def assumed(hosts: Sequence[Host], context: RunContext) -> Mapping[str, Seen]:
    """Return ordinary hosts instead of a look at real ones: `plan --offline`."""
    return {
        host.name: Seen(
            observation=context.driver(host).assume(host), reason=None, prepared=None, round_trip=0.0
        )
        for host in hosts
    }


def vantage_addresses(
    hosts: Sequence[Host], vantages: Sequence[Host], *, observed: Iterable[Address] = ()
) -> Mapping[str, tuple[Address, ...]]:
    """Return where probes will come from, by name; names that stand for no address are left out.

    Args:
        hosts: what is probed.
        vantages: the hosts that may be asked to probe.
        observed: addresses of hosts that only a look at them showed, the other family's above all.
    """
    found = {host.name: host.literal_addresses for host in vantages}
    told = (address for host in hosts for address in (*host.literal_addresses, *host.probe_addresses))
    found[CONTROLLER] = _own_addresses(chain(told, observed))
    return {name: addresses for name, addresses in found.items() if addresses}


def _own_addresses(destinations: Iterable[Address]) -> tuple[Address, ...]:
    """Return this machine's address in each family, by the way to the first destination of that family."""
    found: dict[Family, Address] = {}
    for destination in destinations:
        family = Family.of(destination)
        if family not in found and (source := source_address(destination)) is not None:
            found[family] = source
        if len(found) == len(Family):
            break
    return tuple(found.values())
