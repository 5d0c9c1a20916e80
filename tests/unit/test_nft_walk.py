"""Maps and verdict maps in front of our rules are followed; what cannot be read may lead anywhere."""

from ipaddress import ip_address

import pytest

from fwfix.drivers.iptables_walk import Packet
from fwfix.drivers.nft_list import NftTable, parse_nft
from fwfix.drivers.nft_walk import UNREADABLE, could_match, rewrites, translations
from fwfix.model.policy import Family, Protocol

# As kube-proxy writes it in its nftables mode.
KUBE = """\
table ip kube-proxy { # handle 3
	comment "rules for kube-proxy"
	set nodeport-ips { # handle 4
		type ipv4_addr
		elements = { 10.1.2.3 }
	}
	map service-ips { # handle 5
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.1 . tcp . 443 : goto service-API, 10.96.0.9 . tcp . 9100 : goto service-PRINT }
	}
	map service-nodeports { # handle 6
		type inet_proto . inet_service : verdict
		elements = { tcp . 30100 comment "print, raw" : goto external-PRINT,
				tcp . 9100 counter packets 4 bytes 240 : goto external-PRINT,
				udp . 515 : goto service-API }
	}
	chain nat-prerouting { # handle 7
		type nat hook prerouting priority dstnat; policy accept;
		jump services # handle 20
	}
	chain services { # handle 8
		ip daddr . meta l4proto . th dport vmap @service-ips # handle 21
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports # handle 22
	}
	chain external-PRINT { # handle 9
		jump mark-for-masquerade # handle 23
		goto service-PRINT # handle 24
	}
	chain service-PRINT { # handle 10
		ip daddr 10.96.0.9 tcp dport 9100 ip saddr != 10.180.0.0/16 jump mark-for-masquerade # handle 25
		numgen random mod 2 vmap { 0 : goto endpoint-A, 1 : goto endpoint-B } # handle 26
	}
	chain service-API { # handle 11
		numgen random mod 1 vmap { 0 : goto endpoint-API } # handle 27
	}
	chain endpoint-A { # handle 12
		ip saddr 10.180.0.2 jump mark-for-masquerade # handle 28
		meta l4proto tcp dnat to 10.180.0.2:80 # handle 29
	}
	chain endpoint-B { # handle 13
		meta l4proto tcp dnat to 10.180.0.3:80 # handle 30
	}
	chain endpoint-API { # handle 14
		meta l4proto tcp dnat to 172.18.0.2:6443 # handle 31
		meta l4proto udp dnat to 172.18.0.2:53 # handle 32
	}
	chain mark-for-masquerade { # handle 15
		meta mark set meta mark | 0x00004000 # handle 33
	}
}
"""


def targets(table: NftTable, port: int, protocol: Protocol = Protocol.TCP) -> list[str]:
    packet = Packet(family=Family.IPV4, protocol=protocol, port=port, destinations=(ip_address("10.1.2.3"),))
    return [target for _, target in translations(table, packet)]


def nat(*rules: str, more: str = "") -> NftTable:
    body = "\n".join(f"\t\t{rule} # handle 9" for rule in rules)
    (table,) = parse_nft(
        f"table ip site {{\n{more}\tchain pre {{\n"
        f"\t\ttype nat hook prerouting priority dstnat; policy accept;\n{body}\n\t}}\n}}\n"
    )
    return table


@pytest.mark.parametrize("port", [9100, 30100])
def test_a_node_port_of_a_cluster_is_followed_through_its_maps(port: int) -> None:
    (table,) = parse_nft(KUBE)
    assert targets(table, port) == ["10.180.0.2:80", "10.180.0.3:80"]


def test_what_is_in_no_map_and_what_is_for_another_address_is_not_translated() -> None:
    (table,) = parse_nft(KUBE)
    assert targets(table, 443) == []  # an address of the cluster, which is none of the host's
    assert targets(table, 631) == []
    assert targets(table, 515) == []
    assert targets(table, 515, Protocol.UDP) == ["172.18.0.2:53"]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("dnat ip to tcp dport map { 515 : 10.0.0.5, 9100 : 10.0.0.1 }", ["10.0.0.1"]),
        ("dnat ip addr . port to tcp dport map { 9000-9200 : 10.0.0.1 . 80 }", ["10.0.0.1:80"]),
        ("dnat ip to tcp dport map @printers", ["10.0.0.7:9100"]),
        ("dnat to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }", ["10.0.0.1", "10.0.0.2"]),
        ("tcp dport { 9100, 515 } dnat to 10.0.0.1:80 persistent", ["10.0.0.1:80"]),
        ("tcp dport vmap { 9100 : jump other }", ["9105"]),
        ("tcp dport vmap { * : jump other }", ["9105"]),
        ("tcp dport vmap { 515 : jump other }", []),
        ("ip saddr . tcp dport vmap { 10.9.0.1 . 9100 : jump other }", ["9105"]),
        ("tcp dport != @blocked redirect to :9105", ["9105"]),
        ("ct status dnat accept", []),
        ("redirect", [""]),
    ],
)
def test_maps_and_verdict_maps_are_looked_up_by_port(rule: str, found: list[str]) -> None:
    more = (
        "\tmap printers { # handle 1\n\t\ttype inet_service : ipv4_addr . inet_service\n"
        "\t\telements = { 515 : 10.0.0.9 . 515, 9100 : 10.0.0.7 . 9100 }\n\t}\n"
        "\tchain other { # handle 2\n\t\ttcp dport 9100 redirect to :9105 # handle 3\n\t}\n"
    )
    assert targets(nat(rule, more=more), 9100) == found


@pytest.mark.parametrize(
    "rule",
    [
        "dnat to ip saddr",
        "tcp dport vmap @somewhere",
        "dnat ip to tcp dport map @somewhere",
        "tcp dport 9100 dnat to $printer",
    ],
)
def test_what_cannot_be_read_may_lead_anywhere(rule: str) -> None:
    assert targets(nat(rule), 9100) == [UNREADABLE + rule]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("tcp dport 9100 tcp dport set 9101", True),
        ("ip daddr set 10.0.0.1", True),
        ("tcp dport 515 tcp dport set 9101", False),
        ("tcp dport 9100 meta mark set 1", False),
        ("udp dport 9100 udp dport set 9101", False),
    ],
)
def test_rules_that_change_packets_behind_the_back_of_connection_tracking_are_found(
    rule: str,
    changes: bool,  # noqa: FBT001
) -> None:
    (table,) = parse_nft(
        "table ip raw {\n\tchain pre {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
        f"\t\t{rule}\n\t}}\n}}\n"
    )
    packet = Packet(family=Family.IPV4, protocol=Protocol.TCP, port=9100)
    assert [each.text for each in rewrites(table, packet)] == ([rule] if changes else [])


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("meta l4proto . th dport vmap @x", True),
        ("ip protocol . th dport @x accept", True),
        ("tcp dport != @ports accept", True),
        ("meta l4proto 6 accept", True),
        ("meta l4proto 17 accept", False),
        ("meta l4proto { udp, 17 } accept", False),
        ("tcp dport != 9100 accept", False),
    ],
)
def test_only_a_rule_that_surely_does_not_match_is_passed_over(text: str, may: bool) -> None:  # noqa: FBT001
    packet = Packet(family=Family.IPV4, protocol=Protocol.TCP, port=9100)
    assert could_match(text, packet) is may
