"""From policies and resolved names to what the ports of a host need."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.errors import InventoryError
from fwfix.model.allow import parse_allow_entry
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import Inventory
from fwfix.model.policy import Action, Network, Policy, Protection, Protocol, Service, parse_services
from fwfix.model.protection import merge_services, resolve_all, resolve_protections


def policy(name: str, ports: str, *allow: str, action: Action = Action.DROP, log: bool = False) -> Policy:
    services = tuple(service for text in ports.split() for service in parse_services(text))
    entries = tuple(parse_allow_entry(text) for text in allow)
    return Policy(name=name, services=services, allow_from=entries, action=action, log=log)


def resolve(
    *policies: Policy, also: tuple[str, ...] = (), names: Mapping[str, tuple[Network, ...]] | None = None
) -> list[tuple[str, list[str], str]]:
    host = Host(
        name="a",
        address="10.0.0.1",
        platform=Platform.LINUX,
        policies=tuple(p.name for p in policies),
        allow_also=tuple(parse_allow_entry(text) for text in also),
    )
    inventory = Inventory(hosts={"a": host}, groups={}, policies={p.name: p for p in policies})
    return [_plain(p) for p in resolve_protections(host, inventory, names or {})]


def _plain(protection: Protection) -> tuple[str, list[str], str]:
    return (
        str(protection.service),
        [str(network) for network in protection.allowed],
        protection.action.value,
    )


def test_a_host_without_policies_needs_nothing() -> None:
    assert resolve() == []


def test_without_allow_from_nobody_is_allowed() -> None:
    assert resolve(policy("p", "jetdirect")) == [("9100/tcp", [], "drop")]


def test_resolved_names_and_the_hosts_own_additions_are_merged() -> None:
    names = {"dns:prt.example": (ip_network("10.0.5.129/32"), ip_network("fd00::1/128"))}
    found = resolve(
        policy("p", "9100/tcp", "10.0.5.0/25", "dns:prt.example"), also=("10.0.5.128",), names=names
    )
    assert found == [("9100/tcp", ["10.0.5.0/25", "10.0.5.128/31", "fd00::1/128"], "drop")]


def test_overlapping_and_neighbouring_ranges_become_one() -> None:
    found = resolve(policy("p", "9100-9103/tcp"), policy("q", "9102-9105/tcp 9106/tcp 9106/udp"))
    assert [service for service, _, _ in found] == ["9100-9106/tcp", "9106/udp"]


def test_neighbours_that_want_different_things_stay_apart() -> None:
    found = resolve(policy("p", "9100/tcp"), policy("q", "9101/tcp", action=Action.REJECT))
    assert found == [("9100/tcp", [], "drop"), ("9101/tcp", [], "reject")]


def test_the_order_of_policies_and_entries_does_not_matter() -> None:
    policies = (
        policy("p", "9100-9101/tcp", "10.0.0.2", "10.0.0.3"),
        policy("q", "9101/tcp bjnp", "10.0.0.3", "10.0.0.2"),
        policy("r", "515/tcp"),
    )
    results = [resolve(*order) for order in permutations(policies)]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("names", [{}, {"host:b": ()}])
def test_a_name_without_an_address_is_an_error(names: Mapping[str, tuple[Network, ...]]) -> None:
    with pytest.raises(InventoryError, match="host a: host:b"):
        resolve(policy("p", "9100/tcp", "host:b"), names=names)


def test_sources_that_are_nearly_everybody_once_resolved_are_refused() -> None:
    with pytest.raises(InventoryError, match=r"host a: .*policy p"):
        resolve(policy("p", "9100/tcp", "0.0.0.0/2"), also=("64.0.0.0/2",))


def test_many_hosts_get_what_each_of_them_would_get_alone() -> None:
    both = {"p": policy("p", "9100/tcp", "10.0.0.1"), "q": policy("q", "515/tcp")}
    also = (parse_allow_entry("10.0.0.2"),)
    hosts = {
        name: Host(name=name, address=name, platform=Platform.LINUX, policies=policies, allow_also=added)
        for name, policies, added in (
            ("a", ("p",), ()),
            ("b", ("p",), also),
            ("c", ("q", "p"), ()),
            ("d", ("p",), ()),
        )
    }
    inventory = Inventory(hosts=hosts, groups={}, policies=both)
    together = resolve_all(hosts.values(), inventory, {})
    assert together == {name: resolve_protections(host, inventory, {}) for name, host in hosts.items()}
    assert together["a"] != together["b"]


def test_a_protection_knows_whom_it_allows() -> None:
    protection = Protection(
        service=Service(protocol=Protocol.TCP, first=9100, last=9100),
        allowed=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
        action=Action.DROP,
        log=False,
    )
    assert protection.allows(ip_address("10.0.0.9"))
    assert protection.allows(ip_address("fd00::9"))
    assert not protection.allows(ip_address("10.0.1.9"))


_SERVICES = st.builds(
    lambda protocol, first, length: Service(protocol=protocol, first=first, last=first + length),
    st.sampled_from(Protocol),
    st.integers(1, 60),
    st.integers(0, 8),
)


@given(st.lists(_SERVICES, max_size=8))
def test_merging_services_keeps_every_port_and_leaves_gaps_between(services: list[Service]) -> None:
    merged = merge_services(services)
    before = {(s.protocol, port) for s in services for port in s.ports}
    after = [(s.protocol, port) for s in merged for port in s.ports]
    assert sorted(before) == sorted(after)
    for left, right in pairwise(merged):
        assert left.protocol is not right.protocol or left.last + 1 < right.first
