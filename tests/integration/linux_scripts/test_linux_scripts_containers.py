"""Published ports, with packets: a container in a namespace of the host, reached from another client."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import Lab
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Protocol

if TYPE_CHECKING:
    from conftest import OnHost

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
LISTEN = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die;"
    "while (my $c = $s->accept) { close $c }"
)
# As Docker does it: a container, its published port, and the chain for the administrator's own rules.
CONTAINER = f"""
ip netns add box && ip link add veth0 type veth peer name eth0 netns box
ip addr add 172.31.0.1/24 dev veth0 && ip link set veth0 up
ip -n box addr add 172.31.0.2/24 dev eth0 && ip -n box link set eth0 up
ip -n box route add default via 172.31.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward
iptables -N DOCKER-USER && iptables -A DOCKER-USER -j RETURN && iptables -P FORWARD ACCEPT
iptables -I FORWARD 1 -j DOCKER-USER
iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination 172.31.0.2:80
setsid ip netns exec box perl -e '{LISTEN}' >/dev/null 2>&1 </dev/null &
"""
PUBLISHED = PublishedPort(
    protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.31.0.2:80", covered=True
)


@pytest.fixture
def box(lab_of_one: tuple[Lab, "OnHost"]) -> tuple[Lab, "OnHost"]:
    lab, one = lab_of_one
    if one.code("ip netns add try && ip netns del try")[0] != 0:
        pytest.skip("no namespaces inside a host of the lab")
    one.sh(CONTAINER)
    one.wait_for(lambda: one.code("ip netns exec box ss -Hltn | grep -q :80")[0] == 0, "the container")
    assert lab.outside.connect(one.host.address, 9100) == "open"
    return lab, one


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_nobody_reaches_it_and_the_counter_proves_it(box: tuple[Lab, "OnHost"], backend: str) -> None:
    lab, one = box
    scripts = one.scripts(
        FIRST, one.protect(), published=(PUBLISHED,), backend="nft" if backend == "nft" else "iptables"
    )
    one.arm(scripts)
    one.apply(scripts, lab.outside.address)
    assert lab.outside.connect(one.host.address, 9100) == "filtered"
    rules = one.sh("iptables-save -c") if backend == "iptables" else one.host.ruleset()
    (probe,) = [
        line for line in rules.splitlines() if ":probe-" in line and ("DNAT" in line or "dnat" in line)
    ]
    assert not probe.startswith("[0:0]")
    assert "packets 0 " not in probe
    one.confirm(scripts)
    assert one.rollback()["ok"]
    assert lab.outside.connect(one.host.address, 9100) == "open"


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_who_is_allowed_still_reaches_it_and_hears_the_answer(
    box: tuple[Lab, "OnHost"], backend: str
) -> None:
    lab, one = box
    wanted = one.protect(allowed=(f"{lab.outside.address}/32",))
    one.install(
        one.scripts(FIRST, wanted, published=(PUBLISHED,), backend="nft" if backend == "nft" else "iptables")
    )
    assert lab.outside.connect(one.host.address, 9100) == "open"
    assert one.rollback()["ok"]
