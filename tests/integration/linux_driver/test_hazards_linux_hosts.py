"""Every hazard that a Linux host can have, provoked on one."""

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec, Listener
from fwfix.model.policy import Protocol

if TYPE_CHECKING:
    from conftest import Driven, MakeDriven

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
DNAT = "iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination 172.30.0.2:80"


def test_a_plain_printer_host_has_none(driven: "Driven") -> None:
    assert driven.codes() == set()


def test_node_exporter_on_9100_stops_the_host(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="metrics", listeners=(Listener(process="node_exporter"),)))
    assert "listener-is-exporter" in driven.codes()
    assert "listener-unknown" not in driven.codes()


def test_a_program_that_nobody_knows_is_shown(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="labels", listeners=(Listener(process="acme-labeld"),)))
    (hazard,) = driven.plan().hosts[0].hazards
    assert hazard.code == "listener-unknown"
    assert "acme-labeld listens on 9100/tcp" in hazard.message


def test_an_open_session_of_a_stranger_stops_the_host(driven: "Driven") -> None:
    outside = driven.lab.outside
    hold = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], 9100)); "
        "print('up', flush=True); sys.stdin.read()"
    )
    client = subprocess.Popen(
        ["ip", "netns", "exec", outside.netns, "python3", "-c", hold, driven.host.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "up\n"
        hazards = {hazard.code: hazard.message for hazard in driven.plan().hosts[0].hazards}
        assert outside.address in hazards["session-would-be-cut"]
        assert driven.codes(peer=outside.address) == set()  # our own session is no reason
        allowed = driven.protect(allowed=(f"{outside.address}/32", "fd99::/64"))
        assert driven.codes(allowed) == set()
        client.stdin.close()


def test_a_port_published_past_input_stops_the_host(driven: "Driven") -> None:
    driven.sh(DNAT)
    hazards = {hazard.code: hazard.message for hazard in driven.plan().hosts[0].hazards}
    assert "172.30.0.2:80" in hazards["container-bypass"]
    assert driven.draft().problems[-1] == hazards["container-bypass"]


def test_a_published_port_is_covered_where_docker_user_is_in_use(driven: "Driven") -> None:
    driven.sh(f"iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; {DNAT}")
    draft = driven.draft()
    assert driven.codes() == set()
    assert any("-I DOCKER-USER 1" in change.text for change in draft.changes)


def test_a_docker_user_that_nobody_uses_covers_nothing(driven: "Driven") -> None:
    driven.sh(f"iptables -N DOCKER-USER; {DNAT}")
    assert "container-bypass" in driven.codes()


def test_an_accept_before_docker_user_stops_the_host(driven: "Driven") -> None:
    driven.sh(f"iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; {DNAT}")
    driven.sh("iptables -I FORWARD -o docker0 -j ACCEPT")
    assert "rule-shadowed" in driven.codes()
    host = driven.put_in_force(driven.plan())
    assert driven.driver.judge(host, FIRST, driven.look()).problems == ()  # it was accepted
    draft = driven.draft()
    assert draft.in_place
    assert any("-o docker0" in problem for problem in draft.problems)


def test_a_port_that_is_published_while_a_run_is_under_way_is_no_success(driven: "Driven") -> None:
    host = driven.put_in_force(driven.plan())
    driven.sh(DNAT)
    assert any("172.30.0.2:80" in each for each in driven.driver.judge(host, FIRST, driven.look()).problems)


def test_another_published_port_that_leads_to_a_print_port_stops_the_host(driven: "Driven") -> None:
    driven.sh("iptables -t nat -A PREROUTING -p tcp --dport 19100 -j DNAT --to-destination 172.30.0.2:9100")
    hazards = {hazard.code: hazard.message for hazard in driven.plan().hosts[0].hazards}
    assert "19100/tcp" in hazards["container-bypass"]


def test_a_redirect_to_another_port_of_the_host_is_blocked_too(driven: "Driven") -> None:
    driven.sh("iptables -t nat -A PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101")
    draft = driven.draft()
    assert driven.codes() == set()
    assert any("--ctorigdstport 9100" in change.text for change in draft.changes)


def test_addresses_of_a_family_without_a_tool_stop_the_host(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="old-box", ip6tables=False))
    hazards = {hazard.code: hazard.message for hazard in driven.plan().hosts[0].hazards}
    assert "ip6tables is missing" in hazards["family-unprotected"]


@pytest.mark.parametrize(
    "line",
    [
        "*/5 * * * * root /sbin/iptables-restore < /etc/firewall.rules",
        "@hourly root nft -f /etc/nftables.conf",
        "0 3 * * * root netfilter-persistent reload",
    ],
)
def test_a_cron_job_that_reloads_rules_stops_the_host(make_driven: "MakeDriven", line: str) -> None:
    driven = make_driven(HostSpec(name="cron-box", files={"/etc/cron.d/firewall": f"{line}\n"}))
    assert "firewall-manager-would-wipe" in driven.codes()


def test_a_cron_job_that_only_adds_rules_does_not(make_driven: "MakeDriven") -> None:
    line = "@hourly root iptables-restore --noflush < /etc/blocklist.rules\n"
    driven = make_driven(HostSpec(name="cron-box", files={"/etc/cron.d/blocklist": line}))
    assert driven.codes() == set()


def test_a_firewall_manager_that_flushes_by_itself_stops_the_host(driven: "Driven") -> None:
    driven.sh(
        "printf '#!/bin/sh\n' > /etc/init.d/shorewall; ln -s ../init.d/shorewall /etc/rc2.d/S20shorewall"
    )
    assert "firewall-manager-would-wipe" in driven.codes()


def test_a_firewall_manager_that_is_only_installed_does_not(driven: "Driven") -> None:
    driven.sh("printf '#!/bin/sh\n' > /etc/init.d/shorewall; chmod 755 /etc/init.d/shorewall")
    assert driven.codes() == set()


def test_configuration_management_stops_the_host(make_driven: "MakeDriven") -> None:
    path = "/etc/puppetlabs/puppet/puppet.conf"
    driven = make_driven(HostSpec(name="managed", files={path: "[agent]\n"}))
    assert "config-management-would-wipe" in driven.codes()


@pytest.mark.parametrize(("value", "stops"), [("yes", True), ("no", False)])
def test_rules_saved_at_shutdown_stop_the_host(make_driven: "MakeDriven", value: str, stops: bool) -> None:  # noqa: FBT001
    files = {"/etc/conf.d/iptables": f'# SAVE_ON_STOP="yes"\nSAVE_ON_STOP="{value}"\n'}
    driven = make_driven(HostSpec(name="alpine-like", files=files))
    assert ("save-on-stop" in driven.codes()) is stops


def test_a_host_that_searches_canon_devices_is_stopped_for_bjnp_only(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="desk", files={"/usr/lib/cups/backend/bjnp": ""}))
    assert "bjnp-client" in driven.codes(driven.protect(8610, 8614, protocol=Protocol.UDP))
    assert "bjnp-client" not in driven.codes(driven.protect())


def test_a_host_that_forwards_is_shown(driven: "Driven") -> None:
    driven.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")
    (hazard,) = driven.plan().hosts[0].hazards
    assert hazard.code == "forwarding-gateway"
    assert hazard.message.startswith("this host forwards IPv4:")


def test_a_host_without_an_init_system_is_shown(driven: "Driven") -> None:
    driven.sh("rm -rf /etc/rc2.d /etc/rc.d")
    assert driven.codes() == {"not-persistent"}


def test_opening_what_an_earlier_run_closed_stops_the_host(driven: "Driven") -> None:
    driven.put_in_force(driven.plan())
    hazards = {hazard.code: hazard.message for hazard in driven.plan(driven.protect(515)).hosts[0].hazards}
    assert "9100/tcp" in hazards["narrows-protection"]
    assert "fwfix rollback 20261121T220003Z-4f2a" in hazards["narrows-protection"]
    both = (driven.protect(515), driven.protect())
    assert "narrows-protection" not in driven.codes(*both)


def test_a_port_of_no_profile_stops_the_host(driven: "Driven") -> None:
    assert "not-a-printing-port" in driven.codes(driven.protect(9999))


def test_a_controller_on_the_allow_list_cannot_prove_anything(driven: "Driven") -> None:
    allowed = driven.protect(allowed=("10.250.0.0/16", "fd99::/64"))
    assert driven.codes(allowed) == {"controller-is-allowed", "unproven"}


def test_an_empty_allow_list_and_one_of_one_family_are_shown(driven: "Driven") -> None:
    assert driven.codes(driven.protect(allowed=())) == {"nobody-allowed"}
    assert driven.codes(driven.protect(allowed=("10.99.99.0/24",))) == {"family-loses-access"}
