"""What `ss`, `/proc/net` and `ip addr` print about a host's sockets and addresses. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from fwfix.model.observation import Listener, Session
from fwfix.model.policy import Address, Family, Protocol

_USER = re.compile(r'\("([^"]*)",pid=(\d+)')
_TUPLE = re.compile(r"\b(src|dst|sport|dport)=(\S+)")
_PROTOCOLS = frozenset({"tcp", "udp"})
_WITHOUT_USERS = 6  # words of a line of `ss` that names no process
_SHORTEST = 4  # words of the shortest useful line of the others
_ANY = frozenset({"*", "0.0.0.0", "::"})  # noqa: S104 - read, not bound
_FAMILIES = {"inet": Family.IPV4, "inet6": Family.IPV6}
_LISTEN, _ESTABLISHED, _UDP_BOUND = "0A", "01", "07"
# Interfaces between the host and what runs on it: nobody comes in from elsewhere at their addresses.
_INTERNAL = re.compile(r"(lo|docker|br-|veth|virbr|cni|flannel|cali|podman|lxc|lxdbr|vnet|kube)")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceAddress:
    """A global address and the interface that has it."""

    interface: str
    address: Address
    temporary: bool = False

    @property
    def internal(self) -> bool:
        """Tell whether only containers and virtual machines of this host can be behind the interface."""
        return _INTERNAL.match(self.interface) is not None


def parse_listeners(text: str, commands: Mapping[str, str]) -> tuple[Listener, ...]:
    """Read `ss -Hltunp`; `commands` are the command lines by pid."""
    return tuple(sorted(set(_listeners(text, commands)), key=_order))


def _order(listener: Listener) -> tuple[str, int, str, str, str]:
    return (
        listener.protocol,
        listener.port,
        listener.address,
        listener.family or "",
        f"{listener.process} {listener.command}",
    )


def _listeners(text: str, commands: Mapping[str, str]) -> Iterator[Listener]:
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < _WITHOUT_USERS or words[0] not in _PROTOCOLS or words[1] not in {"LISTEN", "UNCONN"}:
            continue
        address, port = _split(words[4])
        if port is None:
            continue
        users = _USER.findall(words[6]) if len(words) > _WITHOUT_USERS else []
        process, pid = min(users, key=lambda user: int(user[1])) if users else ("", "")
        yield Listener(
            protocol=Protocol(words[0]),
            port=port,
            address="" if address in _ANY else address,
            family=_family_of(address),
            process=process,
            command=commands.get(pid, "").strip(),
        )


def _split(text: str) -> tuple[str, int | None]:
    """Split `10.0.0.1:9100`, `[::]:9100`, `*:9100` or `127.0.0.53%lo:53` into address and port."""
    address, _, port = text.rpartition(":")
    address = address.replace("[", "").replace("]", "").partition("%")[0]
    return address, int(port) if port.isdecimal() else None


def _family_of(address: str) -> Family | None:
    """Return the family that an address waits for; None for `*`, a socket of both (B7)."""
    if address == "*":
        return None
    plain = _plain(address)
    return None if plain is None else Family.of(plain)


@lru_cache(maxsize=4096)
def _plain(text: str) -> Address | None:
    """Read an address; an IPv4 address in IPv6 clothes is an IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_sessions(text: str) -> tuple[Session, ...]:
    """Read `ss -Htun`: the open sessions, without those that are closing."""
    sessions = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < _WITHOUT_USERS or words[0] not in _PROTOCOLS or words[1] != "ESTAB":
            continue
        port, peer = _split(words[4])[1], _plain(_split(words[5])[0])
        if port is not None and peer is not None:
            sessions.add(Session(protocol=Protocol(words[0]), port=port, peer=str(peer)))
    return tuple(sorted(sessions))


def parse_conntrack(text: str) -> tuple[Session, ...]:
    """Read lines of `/proc/net/nf_conntrack` or `conntrack -L`: who came to which port at first."""
    sessions = set()
    for line in text.splitlines():
        protocols = [word for word in line.split()[:3] if word in _PROTOCOLS]
        # The first four are the packet as it arrived; the others are the answer to it.
        first = dict(_TUPLE.findall(line)[:4])
        peer = _plain(first.get("src", ""))
        if protocols and peer is not None and first.get("dport", "").isdecimal():
            sessions.add(Session(protocol=Protocol(protocols[0]), port=int(first["dport"]), peer=str(peer)))
    return tuple(sorted(sessions))


def parse_proc_net(tables: Mapping[str, str]) -> tuple[tuple[Listener, ...], tuple[Session, ...]]:
    """Read `/proc/net/{tcp,tcp6,udp,udp6}` by name, for hosts without `ss`; processes stay unknown."""
    listeners, sessions = set(), set()
    for name, text in tables.items():
        protocol = Protocol(name[:3])
        for line in text.splitlines():
            words = line.split()
            if len(words) < _SHORTEST or not words[0].rstrip(":").isdecimal():
                continue
            local, port = _hex_endpoint(words[1])
            peer, peer_port = _hex_endpoint(words[2])
            if words[3] == _LISTEN or (words[3] == _UDP_BOUND and peer_port == 0):
                listeners.add(_bound(protocol, local, port))
            elif words[3] == _ESTABLISHED:
                sessions.add(Session(protocol=protocol, port=port, peer=str(_plain(str(peer)))))
    return tuple(sorted(listeners, key=_order)), tuple(sorted(sessions))


def _bound(protocol: Protocol, address: Address, port: int) -> Listener:
    # Whether an IPv6 wildcard takes IPv4 too is not in this file; the wider answer is the careful one.
    both = isinstance(address, IPv6Address) and address.is_unspecified
    family = None if both else Family.of(_plain(str(address)) or address)
    return Listener(
        protocol=protocol,
        port=port,
        address="" if address.is_unspecified else str(_plain(str(address))),
        family=family,
    )


def _hex_endpoint(text: str) -> tuple[Address, int]:
    raw, _, port = text.partition(":")
    packed = bytes.fromhex(raw)
    # The kernel prints words of 32 bits in the byte order of the machine; all that we meet are little-endian.
    swapped = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    address: Address = IPv4Address(swapped) if len(swapped) == 4 else IPv6Address(swapped)  # noqa: PLR2004
    return address, int(port, 16)


# A host is looked at several times within seconds, and its addresses stay the same.
@lru_cache(maxsize=1024)
def parse_addresses(text: str) -> tuple[InterfaceAddress, ...]:
    """Read `ip -o addr`: the global addresses, in the order of the interfaces."""
    found = []
    for line in text.splitlines():
        words = line.replace("\\", " ").split()
        if len(words) < _SHORTEST or words[2] not in _FAMILIES or "global" not in words:
            continue
        if "dadfailed" in words or "tentative" in words:
            continue
        address = _plain(words[3].partition("/")[0])
        if address is not None:
            found.append(
                InterfaceAddress(
                    interface=words[1].partition("@")[0], address=address, temporary="temporary" in words
                )
            )
    return tuple(found)


@lru_cache(maxsize=1024)
def parse_ssh_connection(text: str) -> tuple[Address | None, Address | None, int]:
    """Read `$SSH_CONNECTION`: our address, the host's own, and its port; None and 0 where it is empty."""
    words = text.split()
    if len(words) != _SHORTEST or not words[3].isdecimal():
        return None, None, 0
    return _plain(words[0].partition("%")[0]), _plain(words[2].partition("%")[0]), int(words[3])
