"""The kernel does what the evaluator of MS-FASP precedence says, on random rules and real packets."""

import contextlib
import errno
import itertools
import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwfix.lab.linux import Lab
from fwfix.lab.network import Member
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import PROFILES, Knobs
from fwfix.lab.windows.model.nftables import ruleset
from fwfix.lab.windows.model.packets import Packet, Verdict, decide
from fwfix.lab.windows.model.policy import (
    Interface,
    Policy,
    Profile,
    group_profiles,
    in_force,
    local_profiles,
)
from fwfix.lab.windows.model.rules import Rule
from fwfix.lab.windows.model.values import Address
from fwfix.lab.windows.twin_network import Namespace

pytestmark = pytest.mark.lab

PORTS = (515, 9100, 9101)
PROGRAM = r"C:\Program Files\LabelGateway\labelgw.exe"
WATCH = """table inet watch { }
delete table inet watch
table inet watch {
  set arrived { type inet_proto . inet_service; size 65535; flags dynamic; }
  set passed { type inet_proto . inet_service; size 65535; flags dynamic; }
  set arrived4 { typeof icmp id; size 65535; flags dynamic; }
  set passed4 { typeof icmp id; size 65535; flags dynamic; }
  set arrived6 { typeof icmpv6 id; size 65535; flags dynamic; }
  set passed6 { typeof icmpv6 id; size 65535; flags dynamic; }
  chain arriving { type filter hook prerouting priority -400;
    meta l4proto { tcp, udp } add @arrived { meta l4proto . th sport }
    icmp type echo-request add @arrived4 { icmp id }
    icmpv6 type echo-request add @arrived6 { icmpv6 id }
  }
  chain passing { type filter hook input priority 100;
    meta l4proto { tcp, udp } add @passed { meta l4proto . th sport }
    icmp type echo-request add @passed4 { icmp id }
    icmpv6 type echo-request add @passed6 { icmpv6 id }
  }
  chain leaving { type filter hook output priority -400;
    meta l4proto { tcp, udp } add @arrived { meta l4proto . th sport }
  }
  chain left { type filter hook output priority 100;
    meta l4proto { tcp, udp } add @passed { meta l4proto . th sport }
  }
}
"""


class Range:
    """A twin's namespace with its filter, and a client with many addresses."""

    def __init__(self, lab: Lab) -> None:
        twin, client = lab.network.join("twin"), lab.network.join("client")
        self.twin, self.client = Namespace(twin.netns), Namespace(client.netns)
        near4 = [f"{ip_interface(client.cidr).network[200 + number]}" for number in range(3)]
        near6 = [f"{ip_interface(client.cidr6).network[0x200 + number]}" for number in range(3)]
        far4, far6 = (
            ["172.30.1.1", "172.30.1.2", "192.0.2.77"],
            ["2001:db8::1", "2001:db8::2", "2001:db8:1::9"],
        )
        self.sources = [*near4, *far4, *near6, *far6]
        lines = [f"addr add {each}/{128 if ':' in each else 32} dev eth0" for each in self.sources]
        _ip(client, [f"{each} nodad" if ":" in each else each for each in lines])
        _ip(twin, ["route add 0.0.0.0/0 dev eth0", "route add ::/0 dev eth0"])
        self.addresses = {4: twin.address, 6: twin.address6}
        networks = (ip_interface(twin.cidr).network, ip_interface(twin.cidr6).network)
        self.interface = Interface(addresses=(twin.cidr, twin.cidr6), subnets=networks)
        # What rules may say about sources.
        self.words = [
            *self.sources, "LocalSubnet", "172.30.0.0/255.255.0.0", "172.30.1.0-172.30.1.1", "2001:db8::/48",
            "2001:db8::1-2001:db8::2", "0.0.0.0-126.255.255.255", "128.0.0.0-255.255.255.255", "::2-ffff::",
        ]  # fmt: skip
        self.numbers = itertools.cycle(range(20000, 60000))

    def close(self) -> None:
        self.twin.close()
        self.client.close()

    def packets(self) -> dict[tuple[int, int], Packet]:
        """Return one packet of every kind, by protocol and its own source port or ICMP id."""
        found: dict[tuple[int, int], Packet] = {}
        for source in self.sources:
            self._add_others(found, ip_address(source))
        for source, protocol, port in itertools.product(self.sources, (6, 17), PORTS):
            address = ip_address(source)
            number = next(self.numbers)
            found[protocol, number] = Packet(
                inbound=True,
                protocol=protocol,
                local=ip_address(self.addresses[address.version]),
                remote=address,
                local_port=port,
                remote_port=number,
            )
        return found

    def _add_others(self, found: dict[tuple[int, int], Packet], remote: Address) -> None:
        """Add an echo request from an address, and the first packet of a connection to it."""
        local = ip_address(self.addresses[remote.version])
        echo = 1 if remote.version == 4 else 58
        found[echo, next(self.numbers)] = Packet(inbound=True, protocol=echo, local=local, remote=remote)
        for protocol in (6, 17):
            number = next(self.numbers)
            found[protocol, number] = Packet(
                inbound=False,
                protocol=protocol,
                local=local,
                remote=remote,
                local_port=number,
                remote_port=9100,
            )

    def passing(self, packets: dict[tuple[int, int], Packet]) -> set[tuple[int, int]]:
        """Send the packets and return which of them got through the filter."""
        self.twin.load(WATCH)
        self.client.call(lambda: send_all(packets, inbound=True))
        self.twin.call(lambda: send_all(packets, inbound=False))
        end = time.monotonic() + 10
        while not set(packets) <= self._all("arrived"):
            assert time.monotonic() < end, "packets were lost on the way"
        # Answers go the same ways.
        return self._all("passed") & set(packets)

    def _all(self, name: str) -> set[tuple[int, int]]:
        found = self._set(name)
        for protocol, echoes in ((1, f"{name}4"), (58, f"{name}6")):
            found |= {(protocol, int(str(each))) for each in self._elements(echoes)}
        return found

    def _set(self, name: str) -> set[tuple[int, int]]:
        numbers = {"tcp": 6, "udp": 17}
        return {
            (numbers[each["concat"][0]], int(each["concat"][1]))
            for each in self._elements(name)
            if isinstance(each, dict)
        }

    def _elements(self, name: str) -> list[dict[str, list[str]] | int]:
        argv = ["nft", "-j", "list", "set", "inet", "watch", name]
        listed = self.twin.call(lambda: subprocess.run(argv, capture_output=True, text=True, check=True))
        return list(json.loads(listed.stdout)["nftables"][1]["set"].get("elem", []))


def _ip(member: Member, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    subprocess.run(["ip", "-n", member.netns, "-batch", "-"], input=text, text=True, check=True)


def send(packet: Packet, number: int) -> None:
    """Send the first packet of a flow, and no second one."""
    family = socket.AF_INET if packet.remote.version == 4 else socket.AF_INET6
    ours, theirs = (packet.remote, packet.local) if packet.inbound else (packet.local, packet.remote)
    port = packet.local_port if packet.inbound else packet.remote_port
    if packet.protocol in (1, 58):
        with socket.socket(family, socket.SOCK_RAW, packet.protocol) as raw:
            raw.bind((str(ours), 0))
            raw.sendto(echo_request(packet.protocol, number), (str(theirs), 0))
        return
    kind = socket.SOCK_STREAM if packet.protocol == 6 else socket.SOCK_DGRAM
    with socket.socket(family, kind) as opened:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(ours), number))
        # What the twin's filter drops on its way out is an error there.
        with contextlib.suppress(PermissionError):
            if packet.protocol == 17:
                opened.sendto(b"", (str(theirs), port))
                return
            code = opened.connect_ex((str(theirs), port))
            assert code in (errno.EINPROGRESS, errno.ECONNREFUSED, errno.EPERM)


def echo_request(protocol: int, number: int) -> bytes:
    """Return an echo request; the kernel adds the checksum of ICMPv6."""
    if protocol == 58:
        return struct.pack("!BBHHH", 128, 0, 0, number, 1)
    total = 0x0800 + number + 1
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", 8, 0, checksum, number, 1)


def send_all(packets: Mapping[tuple[int, int], Packet], *, inbound: bool) -> None:
    for (_, number), packet in packets.items():
        if packet.inbound == inbound:
            send(packet, number)


@pytest.fixture(scope="module")
def field(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    with Lab(tmp_path_factory.mktemp("lab"), keep=False) as lab:
        lab.build([])
        with contextlib.closing(Range(lab)) as made:
            yield made


def rules(words: int) -> st.SearchStrategy[tuple[Rule, ...]]:
    """Return rules whose addresses are indexes into a list of so many words, as text."""
    ports = st.sampled_from(
        [(), ("9100",), ("9100",), ("9100-9101",), ("515", "9101"), ("0-65535",), ("RPC",)]
    )
    remote = st.sampled_from([(), (), (), (), ("20000-39999",), ("1", "40000-60000")])
    addresses = st.just(()) | st.lists(st.integers(0, words - 1).map(str), max_size=4, unique=True).map(tuple)
    made = st.builds(
        Draft,
        number=st.integers(0, 1_000_000),
        enabled=st.sampled_from([True, True, True, False]),
        inbound=st.sampled_from([True, True, True, True, False]),
        action=st.sampled_from(["Allow", "Block"]),
        profiles=st.sampled_from([(), (), (), ("Private",), ("Domain", "Public")]),
        protocol=st.sampled_from([None, 6, 6, 17, 17, 1, 58]),
        ports=ports,
        remote_ports=remote,
        addresses=addresses,
        program=st.sampled_from(["", "", "", "", "", PROGRAM, r"C:\other.exe"]),
    ).map(Draft.rule)
    return st.lists(made, min_size=1, max_size=6, unique_by=lambda rule: rule.name).map(tuple)


class Draft(NamedTuple):
    """A rule before its conditions are made to fit together."""

    number: int
    enabled: bool
    inbound: bool
    action: str
    profiles: tuple[str, ...]
    protocol: int | None
    ports: tuple[str, ...]
    remote_ports: tuple[str, ...]
    addresses: tuple[str, ...]
    program: str

    def rule(self) -> Rule:
        plain = self.protocol in (6, 17) and self.inbound
        return Rule(
            name=str(self.number),
            display_name="r",
            enabled=self.enabled,
            inbound=self.inbound,
            action=self.action,
            profiles=self.profiles,
            protocol=self.protocol,
            local_ports=self.ports if plain else (),
            remote_ports=self.remote_ports if plain else (),
            remote_addresses=self.addresses,
            program=self.program if self.inbound else "",
        )


KNOBS = st.builds(
    Knobs,
    gpo_merge_off=st.sampled_from([False, False, False, True]),
    user_ports_off=st.sampled_from([False, False, True]),
    profiles_off=st.sampled_from([(), (), (), (), (), ("Private",), ("Public",)]),
    shielded=st.sampled_from([False] * 7 + [True]),
    default_inbound=st.sampled_from(["Block", "Allow"]),
    excluded_interfaces=st.sampled_from([(), (), (), (), (), (), ("Ethernet",)]),
)


def profiles_of(knobs: Knobs) -> tuple[Profile, ...]:
    """Merge the profiles as a host does."""
    local, group = local_profiles(knobs), group_profiles(knobs)
    return tuple(in_force(group[name], local[name]) for name in PROFILES)


@settings(
    max_examples=60,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    knobs=KNOBS, drawn=st.tuples(rules(20), rules(20)), running=st.sampled_from(["yes", "yes", "yes", "no"])
)
def test_the_kernel_passes_exactly_what_the_evaluator_passes(
    field: Range, knobs: Knobs, drawn: tuple[tuple[Rule, ...], tuple[Rule, ...]], running: str
) -> None:
    def real(rule: Rule) -> Rule:
        words = tuple(field.words[int(index)] for index in rule.remote_addresses)
        return replace(rule, remote_addresses=words)

    policy = Policy(
        running=running == "yes",
        profiles=profiles_of(knobs),
        interfaces=(field.interface,),
        local=tuple(map(real, drawn[0])),
        group=tuple(map(real, drawn[1])),
    )
    facts = WindowsHost().facts
    packets = field.packets()
    wanted = {key for key, packet in packets.items() if decide(policy, packet, facts) is Verdict.PASS}

    field.twin.load(ruleset(policy, facts))

    assert field.passing(packets) == wanted


def test_loopback_passes_whatever_the_rules_say(field: Range) -> None:
    knobs = Knobs(shielded=True)
    block = Rule(name="all", display_name="all", action="Block")
    policy = Policy(
        running=True,
        profiles=profiles_of(knobs),
        interfaces=(field.interface,),
        local=(block, replace(block, name="out", inbound=False)),
        group=(),
    )
    address = ip_address(field.addresses[4])
    packet = Packet(inbound=True, protocol=6, local=address, remote=address, local_port=9100, device="lo")
    assert decide(policy, packet, WindowsHost().facts) is Verdict.PASS

    field.twin.load(ruleset(policy, WindowsHost().facts))

    for target in (*field.addresses.values(), "127.0.0.1", "::1"):
        assert field.twin.call(lambda target=target: refused(target)), target


def refused(address: str) -> bool:
    """Say whether a port without a listener answers at once, as only an open way lets it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.settimeout(5)
        return opened.connect_ex((address, 9)) == errno.ECONNREFUSED
