"""Which rules could let a packet in before ours, and which surely could not."""

from ipaddress import ip_address, ip_network

import pytest

from fwfix.drivers.iptables_save import Rule, parse_save
from fwfix.drivers.iptables_walk import Packet, walk
from fwfix.model.policy import Family, Protocol

ALLOWED = (ip_network("10.0.5.0/24"),)
PACKET = Packet(family=Family.IPV4, protocol=Protocol.TCP, port=9100, allowed=ALLOWED)


def is_ours(rule: Rule) -> bool:
    return rule.target == "OURS"


def leaks(*rules: str, policy: str = "DROP", hook: str = "INPUT", packet: Packet = PACKET) -> list[str]:
    """Return the leaks in front of our jump; rules of other chains are declared by their names."""
    names = {rule.split()[1] for rule in rules} - {hook}
    lines = ["*filter", f":{hook} {policy} [0:0]", ":OURS - [0:0]", *(f":{name} - [0:0]" for name in names)]
    text = "\n".join(
        [*lines, *rules, f"-A {hook} -j OURS", "-A OURS -p tcp -m tcp --dport 9100 -j DROP", "COMMIT"]
    )
    return [rule.text for rule in walk(parse_save(text), "filter", hook, packet=packet, ours=is_ours).leaks]


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -j ACCEPT",
        "-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 9000:9200 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 22,9100 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --ports 22,80 -j ACCEPT",  # by its source port
        "-A INPUT -p tcp -m tcp ! --dport 22 -j ACCEPT",
        "-A INPUT -s 10.9.9.9/32 -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -j ACCEPT",  # more than what is allowed
        "-A INPUT ! -s 10.9.9.9/32 -j ACCEPT",
        "-A INPUT -m iprange --src-range 10.0.5.1-10.0.6.9 -j ACCEPT",
        "-A INPUT ! -i lo -j ACCEPT",
        "-A INPUT -i eth0 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate NEW -j ACCEPT",
        "-A INPUT -m conntrack ! --ctstate INVALID -j ACCEPT",
        "-A INPUT -m conntrack ! --ctstate ESTABLISHED -j ACCEPT",
        "-A INPUT -m conntrack --ctstate ESTABLISHED,UNTRACKED -j ACCEPT",
        "-A INPUT -m set --match-set friends src -j ACCEPT",
        "-A INPUT -m mark --mark 0x1 -j ACCEPT",
        "-A INPUT -j NFQUEUE --queue-num 1",
        '-A INPUT -m comment --comment "broken -j ACCEPT',
    ],
)
def test_these_could_let_it_in(rule: str) -> None:
    assert leaks(rule) == [rule]


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -p udp -j ACCEPT",
        "-A INPUT -p icmp -j ACCEPT",
        "-A INPUT ! -p tcp -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -p tcp -m tcp ! --dport 9100 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 22,80,9000:9099 -j ACCEPT",
        "-A INPUT -s 10.0.5.7/32 -j ACCEPT",
        "-A INPUT -m iprange --src-range 10.0.5.1-10.0.5.9 -j ACCEPT",
        "-A INPUT -s 127.0.0.0/8 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -m state --state ESTABLISHED -j ACCEPT",
        "-A INPUT -j LOG --log-prefix x",
        "-A INPUT -j DROP",
        "-A INPUT -p tcp -m tcp --dport 9100 -j REJECT --reject-with tcp-reset",
        "-A INPUT -m comment --comment counted",
    ],
)
def test_these_could_not(rule: str) -> None:
    assert leaks(rule) == []


def test_an_accept_behind_a_sure_drop_is_never_met() -> None:
    assert leaks("-A INPUT -p tcp -j DROP", "-A INPUT -j ACCEPT") == []


def test_an_accept_behind_a_drop_for_some_is() -> None:
    assert leaks("-A INPUT -s 10.9.9.9/32 -j DROP", "-A INPUT -j ACCEPT") == ["-A INPUT -j ACCEPT"]


def test_chains_are_followed_and_returned_from() -> None:
    site = ("-A INPUT -p tcp -j SITE", "-A SITE -s 10.0.5.0/24 -j RETURN", "-A SITE -j DEEP")
    assert leaks(*site, "-A DEEP -j RETURN", "-A DEEP -j ACCEPT") == []
    assert leaks(*site, "-A DEEP -j ACCEPT") == ["-A DEEP -j ACCEPT"]
    assert leaks("-A INPUT -p udp -j SITE", "-A SITE -j ACCEPT") == []


def test_a_chain_that_calls_itself_ends() -> None:
    assert leaks("-A INPUT -j LOOP", "-A LOOP -j LOOP") == []


def test_a_return_from_input_lets_in_what_the_policy_accepts() -> None:
    rule = "-A INPUT -p tcp -j RETURN"
    assert leaks(rule, policy="ACCEPT") == [rule]
    assert leaks(rule, policy="DROP") == []


def test_rules_behind_ours_do_not_matter() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:OURS - [0:0]\n-A INPUT -j OURS\n-A INPUT -j ACCEPT\nCOMMIT\n"
    met = walk(parse_save(text), "filter", "INPUT", packet=PACKET, ours=is_ours)
    assert met.reached
    assert met.leaks == ()


def test_after_a_translation_the_port_may_be_any() -> None:
    forwarded = Packet(family=Family.IPV4, protocol=Protocol.TCP, port=9100, translated=True)
    rule = "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT"
    assert leaks(rule, hook="FORWARD", packet=forwarded) == [rule]
    original = "-A FORWARD -p tcp -m conntrack --ctorigdstport 80 -j ACCEPT"
    assert leaks(original, hook="FORWARD", packet=forwarded) == []


def test_a_translation_for_another_destination_is_none_of_ours() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE - [0:0]\n-A PREROUTING -j KUBE\n"
    rule = "-A KUBE -d 10.96.0.1/32 -p tcp -m tcp --dport 9100 -j DNAT --to-destination 10.1.1.1:80\n"
    here = Packet(
        family=Family.IPV4, protocol=Protocol.TCP, port=9100, destinations=(ip_address("10.1.2.3"),)
    )
    there = Packet(
        family=Family.IPV4, protocol=Protocol.TCP, port=9100, destinations=(ip_address("10.96.0.1"),)
    )
    ruleset = parse_save(text + rule + "COMMIT\n")
    assert walk(ruleset, "nat", "PREROUTING", packet=here).translations == ()
    assert len(walk(ruleset, "nat", "PREROUTING", packet=there).translations) == 1
