"""Sessions into published ports, which are no sockets of the host."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import Driven, MakeDriven, RunContainer

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"


@pytest.fixture
def box(make_driven: "MakeDriven", run_container: "RunContainer") -> "Driven":
    driven = make_driven(HostSpec(name="box", listeners=()))
    run_container(driven.host, published=True)
    return driven


def test_an_open_session_into_a_container_stops_the_host(box: "Driven") -> None:
    outside = box.lab.outside
    assert "session-would-be-cut" not in box.codes()
    with box.open_session():
        assert "ESTAB" not in box.sh("ss -Htn 'sport = :9100'")
        hazards = {hazard.code: hazard.message for hazard in box.plan().hosts[0].hazards}
        assert outside.address in hazards["session-would-be-cut"]
        assert "session-would-be-cut" not in box.codes(peer=outside.address)  # our own
        allowed = box.protect(allowed=(f"{outside.address}/32", "fd99::/64"))
        assert "session-would-be-cut" not in box.codes(allowed)
        assert "session-would-be-cut" not in box.codes(box.protect(515))


def test_looking_at_tracked_connections_loads_no_module(box: "Driven") -> None:
    modules = box.sh("ls /sys/module")
    with box.open_session():
        box.look()
    assert box.sh("ls /sys/module") == modules


def test_a_session_into_another_published_port_is_none_that_we_cut(box: "Driven") -> None:
    box.sh("iptables -t nat -F PREROUTING")
    box.sh("iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 172.31.0.2:80")
    with box.open_session(8080):
        assert "session-would-be-cut" not in box.codes()


# As kube-proxy writes it in its nftables mode: a node port, through a verdict map.
NODE_PORT = """
table ip kube-proxy {
  chain endpoint-print {
    meta l4proto tcp dnat to 172.31.0.2:80
  }
  chain external-print {
    numgen random mod 1 vmap { 0 : goto endpoint-print }
  }
  map nodeports {
    type inet_proto . inet_service : verdict
    elements = { tcp . 9100 : goto external-print }
  }
  chain pre {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta l4proto . th dport vmap @nodeports
  }
}
"""


@pytest.fixture
def cluster(make_driven: "MakeDriven", run_container: "RunContainer") -> "Driven":
    driven = make_driven(HostSpec(name="node", listeners=(), rules=OPEN, rules6=OPEN))
    run_container(driven.host, published=False)
    return driven


OPEN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
MAPPED = """
table ip site {
  map printers {
    type inet_service : ipv4_addr . inet_service
    elements = { 9100 : 172.31.0.2 . 80 }
  }
  chain pre {
    type nat hook prerouting priority dstnat; policy accept;
    dnat ip to tcp dport map @printers
  }
}
"""


@pytest.mark.parametrize("rules", [NODE_PORT, MAPPED], ids=["kube-proxy", "map"])
def test_a_port_that_maps_of_nft_publish_is_seen_and_blocked(cluster: "Driven", rules: str) -> None:
    cluster.sh(f"nft -f - <<'END'\n{rules}\nEND")
    outside = cluster.lab.outside
    assert outside.connect(cluster.host.address, 9100) == "open"
    plan = cluster.plan()
    assert "container-bypass" not in {hazard.code for hazard in plan.hosts[0].hazards}
    assert plan.hosts[0].backend == "nft"
    cluster.put_in_force(plan)
    assert outside.connect(cluster.host.address, 9100) == "filtered"
    assert cluster.driver.judge(plan.hosts[0], FIRST, cluster.look()).problems == ()


@pytest.mark.parametrize(
    "rule", ["dnat to ip saddr", "tcp dport 9100 redirect to :jhash ip saddr mod 4 offset 9101"]
)
def test_a_translation_that_cannot_be_read_stops_the_host(cluster: "Driven", rule: str) -> None:
    cluster.sh(f"""nft -f - <<'END'
table ip site {{
  chain pre {{
    type nat hook prerouting priority dstnat
    {rule}
  }}
}}
END""")
    hazards = {hazard.code: hazard.message for hazard in cluster.plan().hosts[0].hazards}
    assert f"cannot evaluate: {rule}" in hazards["container-bypass"]


def test_a_rule_that_rewrites_the_port_stops_the_host(cluster: "Driven") -> None:
    cluster.sh("""nft -f - <<'END'
table ip site {
  chain pre {
    type filter hook prerouting priority raw;
    tcp dport 9100 notrack tcp dport set 9101
  }
}
END""")
    hazards = {hazard.code: hazard.message for hazard in cluster.plan().hosts[0].hazards}
    assert "tcp dport set 9101" in hazards["rule-shadowed"]
