"""Addresses and ports of rules: what Windows takes, how it writes them back, and what they cover."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from fwfix.lab.windows.model.errors import UnknownToModelError, bad_parameter

Address = IPv4Address | IPv6Address
AddressRange = tuple[Address, Address]
LOCAL_SUBNET = "LocalSubnet"
LONGEST_LIST = 1000
LAST_PORT = 65535
PORT_WORDS = ("RPC", "RPCEPMap", "IPHTTPSIn", "IPHTTPSOut", "Teredo", "PlayToDiscovery", "Ply2Disc")
_ADDRESS_WORDS = (
    "DNS", "DHCP", "WINS", "DefaultGateway", "Internet", "Intranet", "IntranetRemoteAccess", "PlayToDevice",
    "LocalSubnet4", "LocalSubnet6",
)  # fmt: skip
# Windows never filters loopback, and takes no rule about it.
_NOT_FOR_RULES = (ip_network("127.0.0.0/8"), ip_network("::/127"))


def range_of(text: str) -> AddressRange:
    """Return the first and last address of an address, a subnet (prefix or mask) or a range.

    Raises:
        RefusalError: it is none of these; names of hosts are refused, too.
    """
    try:
        first, dash, last = text.partition("-")
        if dash:
            return _ordered(ip_address(first.strip()), ip_address(last.strip()))
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise bad_parameter() from None
    return network[0], network[-1]


def _ordered(first: Address, last: Address) -> AddressRange:
    if first.version != last.version or int(first) > int(last):
        raise bad_parameter()
    return first, last


def address_text(text: str) -> str:
    """Return an address as Windows writes it back: IPv4 subnets with their mask, single ones alone."""
    first, last = range_of(text)
    for network in _NOT_FOR_RULES:
        if network.version == first.version and first <= network[-1] and last >= network[0]:  # type: ignore[operator]
            raise bad_parameter()
    if first == last:
        return str(first)
    if "-" in text:
        return f"{first}-{last}"
    network = ip_network(text.strip(), strict=False)
    if isinstance(network, IPv4Network):
        return network.with_netmask
    return str(network)


def addresses(words: Sequence[str]) -> tuple[str, ...]:
    """Check a list of addresses; empty for any.

    Raises:
        RefusalError: Windows refuses it, as it does more than 1000 of a kind.
        UnknownToModelError: a keyword that the model does not have.
    """
    if any(word.lower() == "any" for word in words):
        if len(words) > 1:
            raise bad_parameter()
        return ()
    for word in words:
        if word.lower() in (known.lower() for known in _ADDRESS_WORDS):
            raise UnknownToModelError(f"the address keyword {word}")
    taken = tuple(LOCAL_SUBNET if word.lower() == "localsubnet" else address_text(word) for word in words)
    kinds = Counter((":" in word, "-" in word) for word in taken)
    if any(count > LONGEST_LIST for count in kinds.values()):
        raise bad_parameter()
    return taken


def port_range(text: str) -> tuple[int, int] | None:
    """Return the first and last port; None for a keyword, which no port of the twin answers to."""
    if text in PORT_WORDS:
        return None
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def ports(words: Sequence[str], *, protocol: int | None) -> tuple[str, ...]:
    """Check a list of ports; empty for any.

    Raises:
        RefusalError: it is not one, or the protocol has no ports.
    """
    if not words or any(word.lower() == "any" for word in words):
        if len(words) > 1:
            raise bad_parameter()
        return ()
    if protocol not in (6, 17) or len(words) > LONGEST_LIST:
        raise bad_parameter()
    return tuple(_port(word) for word in words)


def _port(word: str) -> str:
    for known in PORT_WORDS:
        if word.lower() == known.lower():
            return known
    found = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", word)
    if found is None:
        raise bad_parameter()
    first, last = int(found[1]), int(found[2] or found[1])
    if last > LAST_PORT or first > last:
        raise bad_parameter()
    return str(first) if found[2] is None else f"{first}-{last}"


def address_of(number: int, version: int) -> Address:
    """Return the address of a number."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)  # noqa: PLR2004 - IPv4


def covers(words: Iterable[str], address: Address, subnets: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Say whether a list of addresses has an address; an empty list has all."""
    listed = list(words)
    if not listed:
        return True
    for word in listed:
        if word == LOCAL_SUBNET:
            if any(address in network for network in subnets):
                return True
            continue
        first, last = range_of(word)
        if first.version == address.version and int(first) <= int(address) <= int(last):
            return True
    return False
