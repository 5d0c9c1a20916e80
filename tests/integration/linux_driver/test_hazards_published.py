"""Sessions into published ports, which are no sockets of the host."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import Driven, MakeDriven

pytestmark = pytest.mark.lab

DOCKER = """
iptables -N DOCKER-USER && iptables -A DOCKER-USER -j RETURN && iptables -P FORWARD ACCEPT
iptables -I FORWARD 1 -j DOCKER-USER
iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination 172.31.0.2:80
"""


@pytest.fixture
def box(make_driven: "MakeDriven") -> "Driven":
    driven = make_driven(HostSpec(name="box", listeners=()))
    driven.run_container()
    driven.sh(DOCKER)
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
