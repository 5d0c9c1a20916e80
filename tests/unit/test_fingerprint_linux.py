"""The fingerprint of a Linux host covers what decided the plan, and nothing that changes by the hour."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from ipaddress import ip_network

import pytest

from fwfix.drivers.linux import LinuxDriver
from fwfix.fingerprint import fingerprint_of
from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host, Platform
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Result
from fwfix.rendering.environment import Renderer

SAVE4 = """\
*filter
:INPUT DROP [12:840]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
[3:180] -A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd
[7:420] -A INPUT -p tcp -m tcp --dport 9100 -j ACCEPT
[1:60] -A f2b-sshd -s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
"""
SAVE6 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
DNAT = "-A PREROUTING -p tcp -m tcp --dport {port} -j DNAT --to-destination {to}\nCOMMIT\n"
DOCUMENT: dict[str, object] = {
    "schema": "fwfix.answer/1",
    "script": "observe",
    "ok": True,
    "machine_id": "machine",
    "boot_id": "boot",
    "hostname": "gw",
    "uid": 0,
    "uptime": 100.5,
    "ssh_connection": "10.9.0.9 4444 10.1.2.3 22",
    "tools": {"iptables": "/usr/sbin/iptables", "ip6tables": "/usr/sbin/ip6tables", "nft": "/usr/sbin/nft"},
    "save4": SAVE4,
    "save4_code": 0,
    "save6": SAVE6,
    "save6_code": 0,
    "ss": 'tcp LISTEN 0 5 *:9100 *:* users:(("p910nd",pid=12,fd=3))\ntcp LISTEN 0 5 *:22 *:*',
    "sessions": "",
    "addresses": "2: eth0    inet 10.1.2.3/24 scope global eth0",
    "init": "systemd",
    "systemd": True,
    "units": [{"name": "ufw", "active": "active", "enabled": "enabled"}],
    "processes": "sshd\nsystemd",
    "records": [],
}
PROTECTION = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"),),
    action=Action.DROP,
    log=False,
)
RECORD = {"run_id": "20261120T220003Z-4f2a", "state": "confirmed", "machine_id": "machine"}


@cache
def driver() -> LinuxDriver:
    return LinuxDriver(Renderer())


def draft(changes: dict[str, object], protections: Sequence[Protection] = (PROTECTION,)) -> Draft:
    answer = Result(exit_code=0, stdout=json.dumps({**DOCUMENT, **changes}), stderr="", took_ms=1)
    return driver().draft(
        Desired(
            host=Host(name="gw", address="10.1.2.3", platform=Platform.LINUX),
            run_id="20261121T220003Z-4f2a",
            protections=tuple(protections),
            observation=driver().read_observation(answer),
        )
    )


def published(port: int, to: str) -> dict[str, object]:
    return {"save4": SAVE4.removesuffix("COMMIT\n") + DNAT.format(port=port, to=to)}


@pytest.mark.parametrize(
    "changes",
    [
        {"uptime": 999.5, "boot_id": "another"},
        {"save4": SAVE4.replace("[7:420]", "[8:480]").replace("[12:840]", "[900:9000]")},
        {"save4": SAVE4.replace("192.0.2.7", "192.0.2.8")},
        {"ss": str(DOCUMENT["ss"]).replace("pid=12", "pid=4012")},
        {"ss": "\n".join(reversed(str(DOCUMENT["ss"]).splitlines()))},
        {"sessions": "tcp ESTAB 0 0 10.1.2.3:9100 10.7.7.7:4444"},
        {"ssh_connection": "10.9.0.9 5555 10.1.2.3 22"},
        {"processes": "sshd\nsystemd\nsleep"},
        {"lock": "20261121T220003Z-4f2a 160 boot"},
        {"records": [{**RECORD, "state": "reverted"}]},
        {"units": [*DOCUMENT["units"], {"name": "fail2ban", "active": "active"}]},  # type: ignore[misc]
    ],
)
def test_what_changes_by_the_hour_changes_nothing(changes: dict[str, object]) -> None:
    assert draft(changes).fingerprint == draft({}).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"machine_id": "clone"},
        {"tools": {"iptables": "/usr/sbin/iptables-legacy", "ip6tables": "/usr/sbin/ip6tables"}},
        {"tools": {"nft": "/usr/sbin/nft"}},
        {"save6_code": 1},
        {"units": []},
        {"processes": "firewalld"},
        {"ss": str(DOCUMENT["ss"]).replace("p910nd", "node_exporter")},
        {"ss": "tcp LISTEN 0 5 *:22 *:*"},
        {"ssh_connection": "10.9.0.10 4444 10.1.2.3 22"},
        {"ssh_connection": "10.9.0.9 4444 10.1.2.3 2222"},
        {"records": [RECORD]},
        {"records": [{**RECORD, "state": "armed"}]},
        published(9100, "172.17.0.2:80"),
        {
            "save4": SAVE4.replace(":f2b-sshd", ":DOCKER-USER - [0:0]\n:f2b-sshd").replace(
                "[7:", "-A FORWARD -j DOCKER-USER\n[7:"
            )
        },
    ],
)
def test_what_decided_the_plan_changes_it(changes: dict[str, object]) -> None:
    assert draft(changes).fingerprint != draft({}).fingerprint


def test_a_container_that_starts_again_has_another_address_and_the_same_fingerprint() -> None:
    first, second = (draft(published(9100, f"172.17.0.{n}:80")) for n in (2, 3))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != draft(published(9100, "172.17.0.2:81")).fingerprint


def test_other_ports_of_the_host_are_not_our_business() -> None:
    more = str(DOCUMENT["ss"]) + "\ntcp LISTEN 0 5 *:8080 *:*"
    assert draft({"ss": more, **published(8080, "172.17.0.2:80")}).fingerprint == draft({}).fingerprint


def test_the_order_of_keys_does_not_matter() -> None:
    make: Callable[..., str] = fingerprint_of
    assert make({"a": 1, "b": ["x"]}) == make({"b": ["x"], "a": 1})
    assert make({"a": 1}) != make({"a": "1"})
    assert make({"a": 1}).startswith("sha256:")
