"""An sshd that tries ports for us: connect and close, never a byte, and nothing left open."""

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import ConnectError
from fwfix.executors.ssh import SshConnector
from fwfix.lab.linux import HostSpec, Lab
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import Host
from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.policy import Protocol

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


@pytest.fixture(scope="module")
def pair(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    with Lab(tmp_path_factory.mktemp("lab"), keep=False) as lab:
        lab.build([HostSpec(name="outer"), HostSpec(name="behind", behind="outer")])
        yield lab


def targets(of: LabHost, *ports: int, protocol: Protocol = Protocol.TCP) -> tuple[Target, ...]:
    addresses = (of.address, of.address6)
    return tuple(
        Target(vantage="outer", address=ip_address(address), protocol=protocol, port=port)
        for port in ports
        for address in addresses
    )


def knock(
    rig: "Rig", connector: SshConnector, host: Host, wanted: Sequence[Target], *, seconds: float = 2
) -> tuple[Reading, ...]:
    route = connector.before(host, deadline=rig.soon())
    return connector.knock(route, wanted, until=rig.soon(seconds), deadline=rig.soon())


def sh(lab_host: LabHost, command: str) -> None:
    assert lab_host.run(["/bin/sh", "-c", command]).returncode == 0


def test_an_open_port_is_open_and_gets_no_byte(pair: Lab, rig: "Rig") -> None:
    outer, behind = rig.host(pair["outer"]), rig.host(pair["behind"], jump="outer")
    connector = rig.connector(outer, behind)
    before = len(pair["behind"].listener_connections())
    readings = knock(rig, connector, behind, targets(pair["behind"], 9100))
    assert [each.result for each in readings] == [ProbeResult.OPEN] * 2
    assert all(each.settled for each in readings)
    rig.eventually(
        lambda: len(pair["behind"].listener_connections()) == before + 2, "the listener saw nobody"
    )
    assert pair["behind"].listener_bytes() == b""


def test_a_port_that_refuses_or_keeps_silent_is_not_open(pair: Lab, rig: "Rig") -> None:
    outer, behind = rig.host(pair["outer"]), rig.host(pair["behind"], jump="outer")
    connector = rig.connector(outer, behind)
    lab_host = pair["behind"]
    for tables in ("iptables", "ip6tables"):
        sh(lab_host, f"{tables} -I INPUT -p tcp --dport 9 -j REJECT --reject-with tcp-reset")
    started = time.monotonic()
    refused = knock(rig, connector, behind, targets(lab_host, 9), seconds=5)
    assert time.monotonic() - started < 4
    assert [(each.result, each.settled) for each in refused] == [(ProbeResult.CLOSED, True)] * 2
    silent = knock(rig, connector, behind, targets(lab_host, 7), seconds=1)
    assert [(each.result, each.settled) for each in silent] == [(ProbeResult.FILTERED, False)] * 2
    assert time.monotonic() - started < 8


def test_whoever_connects_after_we_stopped_waiting_is_told_to_close(pair: Lab, rig: "Rig") -> None:
    """A printer that takes one connection at a time must not be held by an answer that came late."""
    outer, behind = rig.host(pair["outer"]), rig.host(pair["behind"], jump="outer")
    connector = rig.connector(outer, behind)
    lab_host = pair["behind"]
    before = len(lab_host.listener_connections())
    sh(lab_host, "iptables -I INPUT -p tcp --dport 9100 -j DROP")
    (late,) = knock(rig, connector, behind, targets(lab_host, 9100)[:1], seconds=0.3)
    assert late.result is ProbeResult.FILTERED
    sh(lab_host, "iptables -D INPUT -p tcp --dport 9100 -j DROP")
    rig.eventually(lambda: len(lab_host.listener_connections()) > before, "nobody came later", seconds=20)

    def held() -> str:
        return lab_host.run(["ss", "-Htn", "state", "established", "sport", "=", ":9100"]).stdout

    rig.eventually(lambda: not held(), lambda: f"held: {held()}")
    assert lab_host.listener_bytes() == b""
    connector.open(behind, deadline=rig.soon()).close()


def test_what_an_sshd_does_not_let_us_try_says_nothing(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="outer", sshd_config="AllowTcpForwarding no"), HostSpec(name="end")])
    outer, end = rig.host(lab["outer"]), rig.host(lab["end"], jump="outer")
    assert knock(rig, rig.connector(outer, end), end, targets(lab["end"], 9100)) == ()


def test_udp_cannot_be_tried(pair: Lab, rig: "Rig") -> None:
    outer, behind = rig.host(pair["outer"]), rig.host(pair["behind"], jump="outer")
    wanted = targets(pair["behind"], 9100, protocol=Protocol.UDP)
    assert knock(rig, rig.connector(outer, behind), behind, wanted) == ()


def test_a_jump_host_that_freezes_or_dies_holds_nobody(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="outer"), HostSpec(name="end")])
    outer, end = rig.host(lab["outer"]), rig.host(lab["end"], jump="outer")
    connector = rig.connector(outer, end)
    assert len(knock(rig, connector, end, targets(lab["end"], 9100))) == 2
    lab["outer"].freeze()
    started = time.monotonic()
    frozen = knock(rig, connector, end, targets(lab["end"], 9100), seconds=0.5)
    assert time.monotonic() - started < 2
    assert {each.result for each in frozen} == {ProbeResult.FILTERED}
    lab["outer"].thaw()
    lab["outer"].kill_sshd()
    lab["outer"].run(["pkill", "-9", "-u", lab["outer"].user])

    def gone() -> bool:
        try:
            knock(rig, connector, end, targets(lab["end"], 7), seconds=0.2)
        except ConnectError:
            return True
        return False

    rig.eventually(gone, "a jump host that is gone still answers", seconds=20)
    lab["outer"].start_sshd()
