"""Turn the policies of a host into what its ports need, once names are resolved."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from fwfix.errors import InventoryError
from fwfix.model.allow import check_not_everybody, collapse
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.policy import (
    Action,
    AllowEntry,
    Network,
    Policy,
    Protection,
    Protocol,
    Service,
    SourceKind,
)

MOST_PORTS = 256
"""How many ports one host may protect: each of them gets rules and probes of its own."""

_T = TypeVar("_T")
_Sayings = tuple[tuple[str, ...], tuple[AllowEntry, ...]]
_Wish = tuple[tuple[Network, ...], Action, bool]


def resolve_protections(
    host: Host, inventory: Inventory, addresses: Mapping[str, tuple[Network, ...]]
) -> tuple[Protection, ...]:
    """Return what one host needs, in canonical form: sorted, no two overlapping, neighbours merged.

    Args:
        host: a host of the inventory.
        inventory: where its policies stand.
        addresses: for each `host:`, `group:` and `dns:` entry its networks, by the text of the entry.

    Raises:
        InventoryError: an entry has no networks, or the sources together are nearly everybody.
    """
    try:
        wishes = _wishes(host, inventory, addresses)
    except ValueError as exc:
        raise InventoryError(f"host {host.name}: {exc}") from None
    return tuple(
        Protection(service=service, allowed=wish[0], action=wish[1], log=wish[2])
        for service, wish in _merge_neighbours(wishes)
    )


def _wishes(
    host: Host, inventory: Inventory, addresses: Mapping[str, tuple[Network, ...]]
) -> dict[tuple[Protocol, int], _Wish]:
    also = networks_of(host.allow_also, addresses)
    wishes: dict[tuple[Protocol, int], _Wish] = {}
    for name in host.policies:
        policy = inventory.policies[name]
        allowed = collapse((*networks_of(policy.allow_from, addresses), *also))
        check_not_everybody(allowed, f"policy {name} with allow_also")
        for service in policy.services:
            for port in service.ports:
                wishes[service.protocol, port] = (allowed, policy.action, policy.log)
    return wishes


def networks_of(
    entries: Iterable[AllowEntry], addresses: Mapping[str, tuple[Network, ...]]
) -> tuple[Network, ...]:
    """Return the networks of entries.

    Raises:
        ValueError: a name among them is not in `addresses`, or has none.
    """
    networks: list[Network] = []
    for entry in entries:
        found = entry.networks if entry.kind is SourceKind.LITERAL else addresses.get(entry.text, ())
        if not found:
            raise ValueError(f"{entry.text} has no address")
        networks.extend(found)
    return tuple(networks)


def resolve_all(
    hosts: Iterable[Host], inventory: Inventory, addresses: Mapping[str, tuple[Network, ...]]
) -> Mapping[str, tuple[Protection, ...]]:
    """Do the same for many hosts, by name; hosts that say the same share the answer.

    Raises:
        InventoryError: see `resolve_protections`.
    """
    answers: dict[_Sayings, tuple[Protection, ...]] = {}
    found: dict[str, tuple[Protection, ...]] = {}
    for host in hosts:
        sayings = (host.policies, host.allow_also)
        if sayings not in answers:
            answers[sayings] = resolve_protections(host, inventory, addresses)
        found[host.name] = answers[sayings]
    return found


def named_entries(hosts: Iterable[Host], inventory: Inventory) -> Mapping[AllowEntry, Host]:
    """Return the entries of the hosts' policies that have to be resolved, each with the first host of it."""
    alike: dict[_Sayings, Host] = {}
    for host in hosts:
        alike.setdefault((host.policies, host.allow_also), host)
    found: dict[AllowEntry, Host] = {}
    for (policies, also), host in alike.items():
        lists = [also, *(inventory.policies[name].allow_from for name in policies)]
        for entry in (entry for entries in lists for entry in entries):
            if entry.kind is not SourceKind.LITERAL:
                found.setdefault(entry, host)
    return found


def merge_services(services: Iterable[Service]) -> tuple[Service, ...]:
    """Return the same ports in canonical form: sorted, no two overlapping, neighbours merged."""
    same = {(service.protocol, port): None for service in services for port in service.ports}
    return tuple(service for service, _ in _merge_neighbours(same))


def find_disagreement(policies: Sequence[Policy]) -> tuple[Policy, Policy, Service] | None:
    """Return two policies of one host that want different things for the same port, and that port."""
    for position, later in enumerate(policies):
        for earlier in policies[:position]:
            if _same_wish(earlier, later):
                continue
            for one in earlier.services:
                for other in later.services:
                    if one.overlaps(other):
                        port = max(one.first, other.first)
                        last = min(one.last, other.last)
                        return earlier, later, Service(protocol=one.protocol, first=port, last=last)
    return None


def sources_key(entries: Iterable[AllowEntry]) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    """Return a key that two lists of sources share where they name the same."""
    names = sorted({entry.text for entry in entries if entry.kind is not SourceKind.LITERAL})
    return tuple(names), collapse(network for entry in entries for network in entry.networks)


def _same_wish(one: Policy, other: Policy) -> bool:
    return (
        one.action is other.action
        and one.log is other.log
        and sources_key(one.allow_from) == sources_key(other.allow_from)
    )


def _merge_neighbours(wishes: Mapping[tuple[Protocol, int], _T]) -> list[tuple[Service, _T]]:
    merged: list[tuple[Service, _T]] = []
    for protocol, port in sorted(wishes):
        wish = wishes[protocol, port]
        if merged:
            service, before = merged[-1]
            if service.protocol is protocol and service.last == port - 1 and before == wish:
                merged[-1] = (Service(protocol=protocol, first=service.first, last=port), wish)
                continue
        merged.append((Service(protocol=protocol, first=port, last=port), wish))
    return merged
