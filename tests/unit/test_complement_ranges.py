"""The complement of an allow list, against an oracle that asks each address for itself."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.model.complement import MOST_ADDRESSES, complement, split_for_rules
from fwfix.model.policy import Address, Network

addresses4 = st.integers(0, 2**32 - 1).map(IPv4Address)
addresses6 = st.integers(0, 2**128 - 1).map(IPv6Address)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    if draw(st.booleans()):
        return ip_network((draw(addresses4), draw(st.integers(1, 32))), strict=False)
    return ip_network((draw(addresses6), draw(st.integers(1, 128))), strict=False)


def never_filtered(address: Address) -> bool:
    """Say whether Windows takes no rule about an address."""
    return address in ip_network("127.0.0.0/8") or address in ip_network("::/127")


def edges(allowed: list[Network]) -> list[Address]:
    """Return the addresses at and beside the ends of every network."""
    found: list[Address] = []
    for network in allowed:
        top = 2**network.max_prefixlen - 1
        for end in (int(network.network_address), int(network.broadcast_address)):
            found.extend(type(network.network_address)(min(max(end + step, 0), top)) for step in (-1, 0, 1))
    return found


@given(st.lists(networks(), max_size=12), st.lists(addresses4 | addresses6, max_size=40))
def test_exactly_those_are_blocked_who_are_not_allowed(allowed: list[Network], others: list[Address]) -> None:
    try:
        ranges = complement(allowed)
    except ValueError:
        ranges = ()
    for address in (*others, *edges(allowed)):
        if never_filtered(address):
            assert not any(address in span for span in ranges)
            continue
        permitted = any(address in network for network in allowed if network.version == address.version)
        assert any(address in span for span in ranges) is not permitted


@given(st.lists(networks(), max_size=12))
def test_ranges_are_sorted_and_do_not_touch(allowed: list[Network]) -> None:
    try:
        ranges = complement(allowed)
    except ValueError:
        return
    for one, other in pairwise(ranges):
        assert int(one.first) <= int(one.last)
        if one.first.version == other.first.version:
            assert int(one.last) + 1 < int(other.first)


@settings(deadline=None)
@given(st.integers(1, 2500))
def test_parts_fit_into_rules_and_together_are_the_whole(count: int) -> None:
    allowed = [ip_network(f"10.{n // 128}.{n % 128 * 2}.0/24") for n in range(count)]
    ranges = complement(allowed)
    parts = split_for_rules(ranges)
    assert sorted(map(str, (span for part in parts for span in part))) == sorted(map(str, ranges))
    for part in parts:
        for version in (4, 6):
            assert sum(span.first.version == version for span in part) <= MOST_ADDRESSES


def test_ipv6_is_blocked_although_only_ipv4_is_allowed() -> None:
    spans = [str(span) for span in complement([ip_network("10.0.5.0/24")])]
    assert spans == [
        "0.0.0.0-10.0.4.255",
        "10.0.6.0-126.255.255.255",
        "128.0.0.0-255.255.255.255",
        "::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]


def test_an_allow_list_of_everybody_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to block"):
        complement([ip_network("0.0.0.0/0"), ip_network("::/0")])


def test_one_address_is_written_alone() -> None:
    two = complement([ip_network("10.0.0.0/32"), ip_network("10.0.0.2/32")])
    assert "10.0.0.1" in [str(span) for span in two]
    assert ip_address("10.0.0.1") in two[1]
