"""Read and check the entries of `allow_from`: who keeps access."""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
    summarize_address_range,
)

from fwfix.model.names import LONGEST_HOST_NAME, check_dns_name, check_name, check_unicast, show
from fwfix.model.policy import Address, AllowEntry, Network, SourceKind

_KINDS = {kind.value: kind for kind in (SourceKind.HOST, SourceKind.GROUP, SourceKind.DNS)}
_FORMS = "10.0.5.0/24, 10.0.6.1-10.0.6.9, fd00:5::/64, host:NAME, group:NAME or dns:NAME"
_LONGEST_ENTRY = 300
_MAPPED = IPv6Network("::ffff:0:0/96")
_NEVER_A_SOURCE: tuple[tuple[Network, str], ...] = (
    (IPv4Network("127.0.0.0/8"), "loopback, which is never blocked; leave it out"),
    (IPv6Network("::1/128"), "loopback, which is never blocked; leave it out"),
    (IPv4Network("224.0.0.0/4"), "multicast, which is never a source"),
    (IPv6Network("ff00::/8"), "multicast, which is never a source"),
    (IPv4Network("255.255.255.255/32"), "the broadcast address, which is never a source"),
    (IPv4Network("0.0.0.0/32"), "the unspecified address, which is never a source"),
    (IPv6Network("::/128"), "the unspecified address, which is never a source"),
)
# Half of all IPv4 addresses, half of the global IPv6 addresses (2000::/3).
_NEARLY_EVERYBODY = {4: 2**31, 6: 2**124}


def parse_allow_entry(text: str) -> AllowEntry:
    """Read one entry of `allow_from` or `allow_also`.

    Raises:
        ValueError: it is none of the forms, or it would allow nobody in particular or nearly everybody.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_ENTRY:
        raise ValueError(f"{show(text)} is not a source: write {_FORMS}")
    prefix, colon, name = text.partition(":")
    if colon and prefix in _KINDS:
        kind = _KINDS[prefix]
        checked = (
            check_dns_name(name) if kind is SourceKind.DNS else check_name(name, longest=LONGEST_HOST_NAME)
        )
        return AllowEntry(text=f"{prefix}:{checked}", kind=kind, name=checked)
    networks = check_sources(_parse_networks(text), text)
    return AllowEntry(text=text, kind=SourceKind.LITERAL, networks=networks)


def check_sources(networks: Iterable[Network], origin: str) -> tuple[Network, ...]:
    """Return networks in canonical order and merged.

    Raises:
        ValueError: one of them is never the source of a packet, or they cover nearly everybody; `origin` says
            what named them.
    """
    merged = collapse(networks)
    check_not_everybody(merged, origin)
    for network in merged:
        _check_source(network, origin)
    return merged


def check_not_everybody(networks: Iterable[Network], origin: str) -> None:
    """Refuse a list of merged networks that leaves the port open to most of the world.

    Raises:
        ValueError: half of all IPv4 or of all global IPv6 addresses, or more, are among them.
    """
    sizes = {4: 0, 6: 0}
    for network in networks:
        sizes[network.version] += network.num_addresses
    for version, size in sizes.items():
        if size >= _NEARLY_EVERYBODY[version]:
            raise ValueError(
                f"{show(origin)} would allow half of all IPv{version} addresses or more; name who needs it"
            )


def collapse(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Merge networks: IPv4 first, sorted, no two overlapping or adjacent."""
    given = list(networks)
    four = collapse_addresses(n for n in given if isinstance(n, IPv4Network))
    six = collapse_addresses(n for n in given if isinstance(n, IPv6Network))
    return (*four, *six)


def network_of(address: Address) -> Network:
    """Return the network that holds one address only."""
    return ip_network(address)


def _check_source(network: Network, origin: str) -> None:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        four = f"{IPv6Address(network.network_address).ipv4_mapped}"
        suggestion = four if network.prefixlen == 128 else f"{four}/{network.prefixlen - 96}"  # noqa: PLR2004
        raise ValueError(f"{show(origin)} is IPv4 in IPv6 spelling: write {suggestion}")
    for special, why in _NEVER_A_SOURCE:
        if network.version == special.version and network.subnet_of(special):  # type: ignore[arg-type]
            raise ValueError(f"{show(origin)} is {why}")


def _parse_networks(text: str) -> tuple[Network, ...]:
    if "%" in text:
        raise ValueError(f"{show(text)}: a zone such as %eth0 means something on one machine only")
    if "/" in text:
        return (_parse_network(text),)
    first, dash, last = text.partition("-")
    if dash and _is_address(first.strip()):
        return _parse_range(text, first.strip(), last.strip())
    try:
        return (network_of(ip_address(text)),)
    except ValueError:
        raise ValueError(f"{show(text)} is not a source: {_suggest(text)}") from None


def _parse_network(text: str) -> Network:
    address, _, length = text.partition("/")
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", length, re.ASCII):
        raise ValueError(f"{show(text)} is not a network: {_suggest_prefix(text)}")
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        suggestion = ip_network(text, strict=False)
    except ValueError:
        longest = 128 if ":" in address else 32
        why = f"write it as 10.0.5.0/24 or fd00:5::/64, /0 to /{longest}"
        raise ValueError(f"{show(text)} is not a network: {why}") from None
    raise ValueError(
        f"{show(text)} has bits behind the prefix: write {suggestion}, or {address} for that address alone"
    )


def _suggest_prefix(text: str) -> str:
    try:
        return f"write {ip_network(text, strict=False)}"
    except ValueError:
        return "the part behind the slash is the length of the prefix, as in 10.0.5.0/24"


def _parse_range(text: str, first: str, last: str) -> tuple[Network, ...]:
    if not _is_address(last):
        raise ValueError(f"{show(text)} is not a range: write both ends in full, as in 10.0.6.1-10.0.6.9")
    low, high = ip_address(first), ip_address(last)
    if low.version != high.version:
        raise ValueError(f"{show(text)} mixes IPv4 and IPv6")
    if int(low) > int(high):
        raise ValueError(f"{show(text)} is reversed: write {high}-{low}")
    for end in (low, high):
        check_unicast(end)
    return tuple(summarize_address_range(low, high))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _suggest(text: str) -> str:
    try:
        name = check_dns_name(text)
    except ValueError:
        return f"write {_FORMS}"
    return f"for a name write dns:{name}, or host:{name} for a host of the inventory"
