"""What the site wants: which ports nobody but the allowed sources may reach."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from fwfix.model.names import show

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HIGHEST_PORT = 65535


class Family(StrEnum):
    """An address family, in the words of the JSON."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def version(self) -> int:
        """4 or 6."""
        return 4 if self is Family.IPV4 else 6

    @property
    def label(self) -> str:
        """The name that people use."""
        return f"IPv{self.version}"

    @staticmethod
    def of(address: Address | Network) -> "Family":
        """Return the family of an address or a network."""
        return Family.IPV4 if address.version == 4 else Family.IPV6  # noqa: PLR2004 - IP versions are numbers


class Protocol(StrEnum):
    """A transport protocol."""

    TCP = "tcp"
    UDP = "udp"


class Action(StrEnum):
    """What happens to a packet that nobody allowed."""

    DROP = "drop"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Service:
    """One port or one range of ports of one protocol, such as `9100/tcp` or `8610-8614/udp`."""

    protocol: Protocol
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= _HIGHEST_PORT:
            raise ValueError(
                f"{self.first}-{self.last} is not a range of ports between 1 and {_HIGHEST_PORT}"
            )

    def __str__(self) -> str:
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{ports}/{self.protocol}"

    @property
    def ports(self) -> range:
        """Every port in it."""
        return range(self.first, self.last + 1)

    def overlaps(self, other: "Service") -> bool:
        """Tell whether both name a port of the same protocol."""
        return self.protocol is other.protocol and self.first <= other.last and other.first <= self.last


def _tcp(first: int, last: int | None = None) -> Service:
    return Service(protocol=Protocol.TCP, first=first, last=last or first)


def _udp(first: int, last: int | None = None) -> Service:
    return Service(protocol=Protocol.UDP, first=first, last=last or first)


# A1, A2, A4: which ports mean printing. BJNP is 8610-8614 in both protocols and never 9100 (A6).
PROFILES: Mapping[str, tuple[Service, ...]] = MappingProxyType(
    {
        "jetdirect": (_tcp(9100),),
        "bjnp": (_tcp(8610, 8614), _udp(8610, 8614)),
        "lpd": (_tcp(515),),
        "ipp": (_tcp(631),),
        "wsd": (_udp(3702), _tcp(5357, 5358)),
        "snmp": (_udp(161),),
    }
)

_PRINTING_PORTS = frozenset(
    (service.protocol, port)
    for services in PROFILES.values()
    for service in services
    for port in service.ports
)

# The host's own management; the SSH and WinRM ports in use come on top (E10).
MANAGEMENT_PORTS = frozenset({22, 3389, 5985, 5986})


_SERVICE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?/(tcp|udp)", re.ASCII)


def parse_services(text: str) -> tuple[Service, ...]:
    """Read one entry of `ports`: a profile, `9100/tcp` or `8610-8614/udp`.

    Raises:
        ValueError: it is none of these; says what to write.
    """
    if text in PROFILES:
        return PROFILES[text]
    match = _SERVICE.fullmatch(text)
    if match is None:
        raise ValueError(f"{show(text)} is not a port: {_suggest_service(text)}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= _HIGHEST_PORT or not 1 <= last <= _HIGHEST_PORT:
        raise ValueError(f"{show(text)} is not a port: ports go from 1 to {_HIGHEST_PORT}")
    if first > last:
        raise ValueError(f"{show(text)} is reversed: write {last}-{first}/{match[3]}")
    if any(part.startswith("0") for part in match.groups()[:2] if part):
        raise ValueError(f"{show(text)} has a leading zero: write it without")
    return (Service(protocol=Protocol(match[3]), first=first, last=last),)


def _suggest_service(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", text, re.ASCII):
        return f"say which protocol, {text}/tcp or {text}/udp"
    swapped = re.fullmatch(r"(tcp|udp)[/: ]([0-9-]{1,11})", text, re.ASCII | re.IGNORECASE)
    if swapped:
        return f"write {swapped[2]}/{swapped[1].lower()}"
    if _SERVICE.fullmatch(text.lower().replace(" ", "")):
        return f"write {text.lower().replace(' ', '')}"
    nearest = get_close_matches(text, PROFILES, n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{hint}Write 9100/tcp, 8610-8614/udp or a profile ({', '.join(PROFILES)})"


def is_printing_port(protocol: Protocol, port: int) -> bool:
    """Tell whether any port profile names this port."""
    return (protocol, port) in _PRINTING_PORTS


class SourceKind(StrEnum):
    """How an entry of `allow_from` names its addresses."""

    LITERAL = "literal"  # an address, a network or a range
    HOST = "host"
    GROUP = "group"
    DNS = "dns"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowEntry:
    """One entry of `allow_from`: addresses, or a name that planning resolves."""

    text: str
    kind: SourceKind
    name: str = ""
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A named wish: these services, for these sources only."""

    name: str
    services: tuple[Service, ...]
    allow_from: tuple[AllowEntry, ...] = ()
    action: Action = Action.DROP
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Protection:
    """One service of one host with its allowed sources resolved: what planning works with."""

    service: Service
    allowed: tuple[Network, ...]
    action: Action
    log: bool

    def allows(self, address: Address) -> bool:
        """Tell whether packets from this address go on to the site's own rules."""
        return any(address in network for network in self.allowed if network.version == address.version)

    def allowed_in(self, family: Family) -> tuple[Network, ...]:
        """Return the allowed networks of one family."""
        return tuple(network for network in self.allowed if network.version == family.version)


def protected_ports(protections: Sequence[Protection]) -> frozenset[tuple[Protocol, int]]:
    """Return every (protocol, port) that some protection covers."""
    return frozenset((p.service.protocol, port) for p in protections for port in p.service.ports)
