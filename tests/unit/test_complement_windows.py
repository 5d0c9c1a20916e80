"""The blocks of an allow list, put into the model of Windows Firewall: who gets in is who is allowed."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.lab.windows.model.facts import Facts
from fwfix.lab.windows.model.firewall import Firewall
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.packets import Packet, Verdict, decide
from fwfix.lab.windows.model.policy import Interface, Policy
from fwfix.lab.windows.model.rules import Rule
from fwfix.model.allow import collapse
from fwfix.model.complement import complement
from fwfix.model.policy import Action, Address, Family, Network, Protection, Protocol, Service
from fwfix.rendering.windows import WindowsRule, make_rules

RUN = "20261121T220003Z-4f2a"
FACTS: Facts = WindowsHost().facts
LOCAL: dict[int, Address] = {4: ip_address("192.0.2.7"), 6: ip_address("2001:db8::7")}


def rules_for(allowed: Iterable[Network]) -> tuple[WindowsRule, ...]:
    service = Service(protocol=Protocol.TCP, first=9100, last=9100)
    wish = Protection(service=service, allowed=tuple(allowed), action=Action.DROP, log=False)
    return make_rules(RUN, (wish,))


def with_rules(rules: Iterable[WindowsRule]) -> Policy:
    """Return what is in force once these stand beside the rule that lets everybody in."""
    firewall = Firewall(Knobs(), running=lambda: True, interfaces=lambda: (Interface(),))
    for rule in rules:
        firewall.add(
            Rule(
                name=rule.name,
                display_name=rule.title,
                group="fwfix",
                action="Block",
                protocol=6,
                local_ports=(rule.port,),
                remote_addresses=() if rule.addresses == ("Any",) else rule.addresses,
            )
        )
    return firewall.policy()


def comes_in(policy: Policy, source: Address) -> bool:
    packet = Packet(
        inbound=True,
        protocol=6,
        local=LOCAL[source.version],
        local_port=9100,
        remote=source,
        remote_port=50000,
    )
    return decide(policy, packet, FACTS) is Verdict.PASS


def edges(networks: Iterable[Network]) -> list[Address]:
    found: list[Address] = []
    for network in networks:
        top = 2**network.max_prefixlen - 1
        for end in (int(network[0]), int(network[-1])):
            found += [type(network[0])(min(max(end + step, 0), top)) for step in (-1, 0, 1)]
    return found


addresses = st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)
# Near each other, so that they overlap, nest and touch; of every length, the whole family included.
near4 = st.builds(
    lambda low, length: ip_network((0x0A000000 | low, length), strict=False),
    st.integers(0, 1023),
    st.integers(22, 32),
)
near6 = st.builds(
    lambda low, length: ip_network((0x20010DB8 << 96 | low, length), strict=False),
    st.integers(0, 1023),
    st.integers(118, 128),
)
far = st.builds(
    lambda address, short: ip_network((address, address.max_prefixlen - short), strict=False),
    addresses,
    st.integers(0, 32),
)
never = (ip_network("127.0.0.0/8"), ip_network("::/127"))


@given(st.lists(near4 | near6 | far, max_size=12), st.lists(addresses, max_size=30))
def test_who_gets_in_is_who_is_allowed(allowed: list[Network], others: list[Address]) -> None:
    try:
        rules = rules_for(allowed)
    except ValueError:
        assert {network.version for network in allowed if network.prefixlen == 0} == {4, 6}
        return
    policy = with_rules(rules)
    for source in (*others, *edges(allowed)):
        if not any(source in network for network in never if network.version == source.version):
            wanted = any(source in network for network in allowed if network.version == source.version)
            assert comes_in(policy, source) is wanted, source


@given(st.lists(near4 | near6, min_size=1, max_size=12))
def test_overlapping_and_repeated_networks_are_one(allowed: list[Network]) -> None:
    assert complement([*allowed, *allowed]) == complement(collapse(allowed))


LAST6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


@pytest.mark.parametrize(
    ("allowed", "alone"),
    [
        ("0.0.0.1/32", "0.0.0.0"),
        ("126.255.255.254/32", "126.255.255.255"),
        ("128.0.0.1/32", "128.0.0.0"),
        ("255.255.255.254/32", "255.255.255.255"),
        ("::3/128", "::2"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128", LAST6),
    ],
)
def test_a_single_address_at_the_end_of_everything_is_blocked_too(allowed: str, alone: str) -> None:
    policy = with_rules(rules_for((ip_network(allowed),)))
    assert not comes_in(policy, ip_address(alone))
    assert comes_in(policy, ip_network(allowed)[0])


def scattered(count: int, family: Family) -> list[Network]:
    """Return so many networks that do not touch: one hole more than networks, in IPv4 two."""
    if family is Family.IPV4:
        return [ip_network((0x0A000000 + 2 * n, 32)) for n in range(1, count + 1)]
    return [ip_network(((0x20010DB8 << 96) + 2 * n, 128)) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("four", "six", "rules"),
    [
        (998, 0, 1),  # 1000 ranges of IPv4: 999 holes, and one behind 127/8
        (999, 0, 2),
        (0, 999, 1),
        (0, 1000, 2),
        (998, 999, 1),  # each family has a list of its own
        (999, 1000, 2),
        (1998, 999, 2),
        (2500, 3500, 4),
    ],
)
def test_no_rule_holds_more_than_a_thousand_of_a_family_and_no_rule_is_wasted(
    four: int, six: int, rules: int
) -> None:
    allowed = [*scattered(four, Family.IPV4), *scattered(six, Family.IPV6)]
    made = rules_for(allowed)
    assert len(made) == rules
    for rule in made:
        for colon in (True, False):
            assert sum((":" in address) is colon for address in rule.addresses) <= 1000
    policy = with_rules(made)  # the model refuses a list that is too long, as Windows does
    assert not comes_in(policy, ip_address("10.0.0.1"))
    assert not comes_in(policy, ip_address("2001:db8::1"))
    for network in (allowed[0], allowed[-1]):
        assert comes_in(policy, network[0])


def test_an_empty_allow_list_is_everybody_in_both_families() -> None:
    (rule,) = rules_for(())
    assert rule.addresses == ("Any",)
    assert rule.families == tuple(Family)
    policy = with_rules((rule,))
    assert not comes_in(policy, ip_address("10.0.0.1"))
    assert not comes_in(policy, ip_address("2001:db8::1"))
    assert [str(span) for span in complement(())] == [
        "0.0.0.0-126.255.255.255",
        "128.0.0.0-255.255.255.255",
        "::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]


@pytest.mark.parametrize(
    ("whole", "blocked", "family"),
    [("0.0.0.0/0", "2001:db8::1", Family.IPV6), ("::/0", "10.0.0.1", Family.IPV4)],
)
def test_one_whole_family_leaves_a_block_of_the_other(whole: str, blocked: str, family: Family) -> None:
    (rule,) = rules_for((ip_network(whole),))
    assert rule.families == (family,)
    policy = with_rules((rule,))
    assert not comes_in(policy, ip_address(blocked))
    assert comes_in(policy, ip_network(whole)[2**20])


def test_everybody_is_refused_however_it_is_written() -> None:
    halves = ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
    for texts in (("0.0.0.0/0", "::/0"), halves):
        with pytest.raises(ValueError, match="nothing to block"):
            rules_for(map(ip_network, texts))


def test_an_ipv4_address_in_ipv6_spelling_opens_nothing_in_ipv4() -> None:
    # The inventory refuses it; here it is what it says, an IPv6 source.
    policy = with_rules(rules_for((ip_network("::ffff:10.0.0.0/120"),)))
    assert not comes_in(policy, ip_address("10.0.0.1"))
    assert comes_in(policy, ip_address("::ffff:10.0.0.1"))


def test_a_long_list_is_shown_by_its_beginning() -> None:
    (rule,) = rules_for(scattered(20, Family.IPV4))
    assert rule.who.startswith("all but 10.0.0.2/32, ")
    assert rule.who.endswith(" and 8 more")
