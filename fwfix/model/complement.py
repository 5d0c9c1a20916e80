"""Everybody but the allowed: the addresses that one rule has to block where a block beats every allow. Pure.

Windows has no order of rules: a block wins over every allow. So an allow list is one block of its complement,
in IPv4 and IPv6 both, written as ranges. Loopback is never filtered there and no rule may name it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from fwfix.model.policy import Address, Family, Network

MOST_ADDRESSES = 1000
"""How many ranges of one family a rule may hold (MS-FASP: lists of at most 1000)."""

# MS-FASP takes no rule about loopback; `::` is never a source.
_UNIVERSE = {
    Family.IPV4: (
        (int(IPv4Address("0.0.0.0")), int(IPv4Address("126.255.255.255"))),  # noqa: S104 - an end of a range
        (int(IPv4Address("128.0.0.0")), int(IPv4Address("255.255.255.255"))),
    ),
    Family.IPV6: ((int(IPv6Address("::2")), 2**128 - 1),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRange:
    """Addresses from first to last, both included, of one family."""

    first: Address
    last: Address

    def __contains__(self, address: Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def complement(allowed: Iterable[Network]) -> tuple[AddressRange, ...]:
    """Return every address that is not allowed, IPv4 first, as sorted ranges that do not touch.

    Raises:
        ValueError: everybody is allowed in both families, so that there is nothing to block.
    """
    networks = tuple(allowed)
    found = tuple(span for family in Family for span in _complement_in(family, networks))
    if not found:
        raise ValueError("the allow list names every address: there is nothing to block")
    return found


def _complement_in(family: Family, allowed: Sequence[Network]) -> Iterator[AddressRange]:
    kind = IPv4Address if family is Family.IPV4 else IPv6Address
    holes = sorted(
        (int(network.network_address), int(network.broadcast_address))
        for network in allowed
        if Family.of(network) is family
    )
    for start, end in _UNIVERSE[family]:
        position = start
        for first, last in holes:
            if first > end:
                break
            if first > position:
                yield AddressRange(first=kind(position), last=kind(first - 1))
            position = max(position, last + 1)
        if position <= end:
            yield AddressRange(first=kind(position), last=kind(end))


def split_for_rules(
    ranges: Sequence[AddressRange], *, most: int = MOST_ADDRESSES
) -> tuple[tuple[AddressRange, ...], ...]:
    """Return the ranges in parts that a rule can hold; each range is in exactly one part.

    Blocks add up, so the parts together block what the whole would.
    """
    by_family = [[span for span in ranges if span.first.version == family.version] for family in Family]
    longest = max((len(spans) for spans in by_family), default=0)
    return tuple(
        tuple(span for spans in by_family for span in spans[start : start + most])
        for start in range(0, longest, most)
    )
