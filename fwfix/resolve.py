"""Look up the names of `allow_from`, in both families."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from fwfix.errors import InventoryError
from fwfix.model.allow import check_sources, network_of
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.policy import AllowEntry, Network, SourceKind
from fwfix.model.protection import named_entries

_AT_ONCE = 32
# A name without an address in one family. Any other error may hide an address and lock somebody out.
_NO_ADDRESS = frozenset(
    code
    for code in (
        socket.EAI_NONAME,
        getattr(socket, "EAI_NODATA", None),
        getattr(socket, "EAI_ADDRFAMILY", None),
    )
    if code is not None
)


def resolve_names(inventory: Inventory, hosts: Sequence[Host]) -> Mapping[str, tuple[Network, ...]]:
    """Return the networks of every `host:`, `group:` and `dns:` entry of the hosts' policies, by its text.

    A host of the inventory stands for its `address`, looked up where it is a name, and its `probe_addresses`.

    Raises:
        InventoryError: an entry has no address, or one that is never a source, or the look-up failed.
    """
    targets = {entry: _targets(inventory, entry) for entry in named_entries(hosts, inventory)}
    found = _look_up_all(inventory, targets)
    return {entry.text: _networks(inventory, entry, names, found) for entry, names in targets.items()}


def _targets(inventory: Inventory, entry: AllowEntry) -> tuple[str, ...]:
    """Return the names and addresses that an entry stands for."""
    if entry.kind is SourceKind.DNS:
        return (entry.name,)
    if entry.kind is SourceKind.HOST:
        names: Iterable[str] = (entry.name,) if entry.name in inventory.hosts else ()
    else:
        names = inventory.groups.get(entry.name, ())
    members = [inventory.hosts[name] for name in names]
    if not members:
        what = "no host of this name" if entry.kind is SourceKind.HOST else "no host in this group"
        raise _error(inventory, entry, f"{entry.text} is allowed, but there is {what} in the inventory")
    return tuple(
        target for host in members for target in (host.address, *(str(a) for a in host.probe_addresses))
    )


def _look_up_all(
    inventory: Inventory, targets: Mapping[AllowEntry, tuple[str, ...]]
) -> Mapping[str, tuple[Network, ...]]:
    wanted = {name: entry for entry, names in targets.items() for name in names}
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(wanted)), thread_name_prefix="resolve") as pool:
        futures = {name: pool.submit(_look_up, name) for name in wanted}
    found: dict[str, tuple[Network, ...]] = {}
    for name, future in futures.items():
        try:
            found[name] = future.result()
        except (OSError, UnicodeError) as exc:
            reason = getattr(exc, "strerror", None) or "it is not a DNS name"
            entry = wanted[name]
            message = f"{entry.text} is allowed, but {name} cannot be looked up: {reason}"
            raise _error(inventory, entry, message) from None
    return found


def _look_up(name: str) -> tuple[Network, ...]:
    try:
        return (network_of(ip_address(name)),)
    except ValueError:
        pass
    return (*_look_up_in(name, socket.AF_INET), *_look_up_in(name, socket.AF_INET6))


def _look_up_in(name: str, family: socket.AddressFamily) -> tuple[Network, ...]:
    try:
        answers = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno in _NO_ADDRESS:
            return ()
        raise
    return tuple(network_of(ip_address(str(sockaddr[0]).partition("%")[0])) for *_, sockaddr in answers)


def _networks(
    inventory: Inventory,
    entry: AllowEntry,
    names: Iterable[str],
    found: Mapping[str, tuple[Network, ...]],
) -> tuple[Network, ...]:
    networks: list[Network] = []
    for name in names:
        if not found[name]:
            message = f"{entry.text} is allowed, but {name} has no address, neither IPv4 nor IPv6"
            raise _error(inventory, entry, message)
        networks.extend(found[name])
    try:
        return check_sources(networks, entry.text)
    except ValueError as exc:
        addresses = ", ".join(str(network.network_address) for network in networks)
        raise _error(inventory, entry, f"{exc} (it stands for {addresses})") from None


def _error(inventory: Inventory, entry: AllowEntry, message: str) -> InventoryError:
    where = inventory.places.get(entry)
    path, _, line = where.rpartition(":") if where else ("", "", "")
    return InventoryError(message, path=path or None, line=int(line) if line.isdigit() else None)
