"""Hazards of any platform: said when they are there, silent when they are not."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from fwfix.hazards import HAZARDS, Circumstances, find_hazards
from fwfix.model.hazard import STOP_CODES, WARN_CODES, Severity
from fwfix.model.host import Host, Platform, SshSettings, WinrmSettings
from fwfix.model.observation import Listener, ManagementPath, Observation, Session
from fwfix.model.policy import Action, Protection, Protocol, Service

PEER = ip_address("10.9.0.9")
PROTECTION = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"), ip_network("fd00:5::/64")),
    action=Action.DROP,
    log=False,
)
OBSERVATION = Observation(
    platform=Platform.WINDOWS,
    identity="machine",
    hostname="pos-win-07",
    boot_id="boot",
    uptime=timedelta(hours=1),
    management=ManagementPath(peer=PEER, port=5986),
    addresses=(ip_address("10.1.2.4"), ip_address("fd00::4")),
)
CALM = Circumstances(
    host=Host(name="pos-win-07", address="10.1.2.4", platform=Platform.WINDOWS),
    observation=OBSERVATION,
    protections=(PROTECTION,),
    probe_addresses=OBSERVATION.addresses,
)


def listening(process: str, command: str = "", address: str = "") -> Circumstances:
    listener = Listener(protocol=Protocol.TCP, port=9100, process=process, command=command, address=address)
    return replace(CALM, observation=replace(OBSERVATION, listeners=(listener,)))


def with_session(peer: str, *, port: int = 9100) -> Circumstances:
    session = Session(protocol=Protocol.TCP, port=port, peer=peer)
    return replace(CALM, observation=replace(OBSERVATION, sessions=(session,)))


def codes(circumstances: Circumstances) -> set[str]:
    return {hazard.code for hazard in find_hazards(circumstances)}


def test_every_code_is_one_of_the_stable_ones() -> None:
    assert set(HAZARDS) <= STOP_CODES | WARN_CODES


def test_a_calm_host_has_none() -> None:
    assert codes(CALM) == set()


@pytest.mark.parametrize(
    ("process", "command"),
    [
        ("node_exporter", "/usr/local/bin/node_exporter --web.listen-address=:9100"),
        ("prometheus-node", "/usr/bin/prometheus-node-exporter"),
        ("mysqld_exporter", ""),
        ("windows_exporter.exe", ""),
        ("bacula-dir", ""),
        ("java", "/opt/IBM/WebSphere/AppServer/java/bin/java com.ibm.ws.runtime.WsServer"),
        ("java", "java org.elasticsearch.bootstrap.Elasticsearch"),
        ("python3", "/usr/bin/python3 /opt/tools/my_exporter.py"),
    ],
)
def test_what_is_no_printer_is_an_exporter(process: str, command: str) -> None:
    assert codes(listening(process, command)) == {"listener-is-exporter"}


@pytest.mark.parametrize("process", ["p910nd", "cupsd", "xinetd", "inetd", "spoolsv.exe"])
def test_a_printer_daemon_is_no_hazard(process: str) -> None:
    assert codes(listening(process)) == set()


@pytest.mark.parametrize("process", ["", "System", "acme-labeld", "docker-proxy", "import-export"])
def test_anything_else_is_unknown(process: str) -> None:
    assert codes(listening(process)) == {"listener-unknown"}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_listener_that_only_the_host_reaches_is_none(address: str) -> None:
    assert codes(listening("node_exporter", address=address)) == set()


@pytest.mark.parametrize(
    ("peer", "cut"),
    [
        ("10.7.7.7", True),
        ("fd00:9::1", True),
        ("fe80::1%eth0", True),
        ("10.0.5.77", False),
        ("10.9.0.9", False),  # this controller
        ("127.0.0.1", False),
        ("10.1.2.4", False),  # the host itself
    ],
)
def test_a_strangers_session_would_be_cut(peer: str, cut: bool) -> None:  # noqa: FBT001
    assert codes(with_session(peer)) == ({"session-would-be-cut"} if cut else set())
    assert codes(with_session(peer, port=515)) == set()


def test_a_port_that_was_closed_stays_closed_unless_accepted() -> None:
    earlier = replace(CALM, protected=frozenset({(Protocol.TCP, 9100), (Protocol.TCP, 515)}), in_force="RUN")
    (hazard,) = find_hazards(earlier)
    assert (hazard.code, hazard.severity) == ("narrows-protection", Severity.STOP)
    assert "515/tcp" in hazard.message
    assert "9100" not in hazard.message


def test_an_allow_list_of_everybody_opens_a_port() -> None:
    everybody = replace(PROTECTION, allowed=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    opened = replace(CALM, protections=(everybody,), protected=frozenset({(Protocol.TCP, 9100)}))
    assert "narrows-protection" in codes(opened)


@pytest.mark.parametrize(
    ("vantages", "found"),
    [
        ({}, {"unproven", "controller-is-allowed"}),
        ({"vantage-1": (ip_address("10.0.5.8"),)}, {"unproven", "controller-is-allowed"}),
        ({"vantage-1": (ip_address("10.77.0.8"),)}, {"controller-is-allowed"}),
        ({"controller": (ip_address("fd00:9::9"),)}, {"controller-is-allowed"}),
        ({"pos-win-07": (ip_address("10.77.0.8"),)}, {"unproven", "controller-is-allowed"}),
    ],
)
def test_a_block_is_provable_from_any_vantage_that_is_not_allowed(
    vantages: dict[str, tuple[object, ...]], found: set[str]
) -> None:
    allowed = replace(PROTECTION, allowed=(*PROTECTION.allowed, ip_network("10.9.0.0/24")))
    assert codes(replace(CALM, protections=(allowed,), vantages=vantages)) == found


def test_a_vantage_of_another_family_proves_nothing() -> None:
    allowed = replace(PROTECTION, allowed=(*PROTECTION.allowed, ip_network("10.9.0.0/24")))
    only_ipv4 = replace(CALM, protections=(allowed,), probe_addresses=(ip_address("10.1.2.4"),))
    assert "unproven" in codes(replace(only_ipv4, vantages={"v": (ip_address("fd00:9::9"),)}))


@pytest.mark.parametrize(
    ("platform", "settings"),
    [
        (Platform.WINDOWS, {"winrm": WinrmSettings(jump="bastion-01")}),
        (Platform.LINUX, {"ssh": SshSettings(jump="bastion-01")}),
        (Platform.LINUX, {}),  # ssh_config alone knows of it
    ],
)
def test_behind_a_jump_host_the_peer_is_the_jump_host(platform: Platform, settings: dict[str, Any]) -> None:
    host = replace(CALM.host, platform=platform, **settings)
    allowed = replace(PROTECTION, allowed=(*PROTECTION.allowed, ip_network("10.9.0.0/24")))
    observation = replace(OBSERVATION, management=ManagementPath(peer=PEER, port=22, direct=False))
    behind = replace(CALM, host=host, protections=(allowed,), observation=observation)
    assert codes(behind) == {"unproven"}
    assert codes(replace(behind, vantages={"controller": (ip_address("10.77.0.1"),)})) == set()


def test_the_jump_host_of_another_service_and_a_proxy_are_no_vantages() -> None:
    allowed = replace(PROTECTION, allowed=(*PROTECTION.allowed, ip_network("10.9.0.0/24")))
    straight = replace(CALM.host, ssh=SshSettings(jump="bastion-01"))
    assert "controller-is-allowed" in codes(replace(CALM, host=straight, protections=(allowed,)))
    observation = replace(OBSERVATION, management=ManagementPath(peer=PEER, port=5986, direct=False))
    behind = replace(CALM, protections=(allowed,), observation=observation)
    assert codes(behind) == set()
    assert "unproven" in codes(replace(behind, vantages={"controller": (ip_address("10.9.0.2"),)}))


def test_a_list_of_one_family_locks_the_other_out() -> None:
    only_ipv4 = replace(PROTECTION, allowed=(ip_network("10.0.5.0/24"),))
    assert codes(replace(CALM, protections=(only_ipv4,))) == {"family-loses-access"}
    alone = replace(OBSERVATION, addresses=(ip_address("10.1.2.4"),))
    assert codes(replace(CALM, protections=(only_ipv4,), observation=alone)) == set()


def test_an_empty_list_allows_nobody() -> None:
    assert codes(replace(CALM, protections=(replace(PROTECTION, allowed=()),))) == {"nobody-allowed"}


@pytest.mark.parametrize(
    ("first", "last", "found"), [(9100, 9100, set()), (9100, 9101, {"not-a-printing-port"})]
)
def test_a_port_of_no_profile_is_asked_about(first: int, last: int, found: set[str]) -> None:
    service = Service(protocol=Protocol.TCP, first=first, last=last)
    assert codes(replace(CALM, protections=(replace(PROTECTION, service=service),))) == found


def test_a_deadline_below_the_worst_case_is_short() -> None:
    worst = timedelta(seconds=90)
    short = replace(CALM, deadline=timedelta(seconds=60), worst_case=worst)
    (hazard,) = find_hazards(short)
    assert hazard.code == "deadline-short"
    assert "1m30s" in hazard.message
    assert codes(replace(short, deadline=worst)) == set()
