"""The kernel does what the evaluator of MS-FASP precedence says, on random rules and real packets."""

import contextlib
import errno
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
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
from fwfix.lab.windows.twin_network import Namespace

pytestmark = pytest.mark.lab

PORTS = (515, 9100, 9101)
PROGRAM = r"C:\Program Files\LabelGateway\labelgw.exe"
WATCH = """table inet watch { }
delete table inet watch
table inet watch {
  set arrived { type inet_proto . inet_service; size 65535; flags dynamic; }
  set passed { type inet_proto . inet_service; size 65535; flags dynamic; }
  chain arriving { type filter hook prerouting priority -400;
    meta l4proto { tcp, udp } add @arrived { meta l4proto . th sport }
  }
  chain passing { type filter hook input priority 100;
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
        """Return one packet of every kind, by protocol and its own source port."""
        found = {}
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

    def passing(self, packets: dict[tuple[int, int], Packet]) -> set[tuple[int, int]]:
        """Send the packets and return which of them got through the filter."""
        self.twin.load(WATCH)
        self.client.call(lambda: send_all(packets.values()))
        end = time.monotonic() + 10
        while not set(packets) <= self._set("arrived"):
            assert time.monotonic() < end, "packets were lost on the way"
        return self._set("passed")

    def _set(self, name: str) -> set[tuple[int, int]]:
        argv = ["nft", "-j", "list", "set", "inet", "watch", name]
        listed = self.twin.call(lambda: subprocess.run(argv, capture_output=True, text=True, check=True))
        elements = json.loads(listed.stdout)["nftables"][1]["set"].get("elem", [])
        numbers = {"tcp": 6, "udp": 17}
        return {(numbers[each["concat"][0]], int(each["concat"][1])) for each in elements}


def _ip(member: Member, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    subprocess.run(["ip", "-n", member.netns, "-batch", "-"], input=text, text=True, check=True)


def send(packet: Packet) -> None:
    """Send the first packet of a flow, and no second one."""
    family = socket.AF_INET if packet.remote.version == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if packet.protocol == 6 else socket.SOCK_DGRAM
    with socket.socket(family, kind) as opened:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(packet.remote), packet.remote_port))
        if packet.protocol == 17:
            opened.sendto(b"", (str(packet.local), packet.local_port))
            return
        code = opened.connect_ex((str(packet.local), packet.local_port))
        assert code in (errno.EINPROGRESS, errno.ECONNREFUSED)


def send_all(packets: Iterable[Packet]) -> None:
    for packet in packets:
        send(packet)


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
        protocol=st.sampled_from([None, 6, 17]),
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
        plain = self.protocol and self.inbound
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
