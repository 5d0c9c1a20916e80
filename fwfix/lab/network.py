"""One lab's network: a switch in a namespace of its own, one interface on this machine, and `outside`.

Hosts of every platform sit on the same switch. A Linux host brings the namespace of its own processes
(`reserve`, then `wire`); for a Windows twin, or another client, `join` makes a namespace with both addresses
that is ready to use.
"""

import contextlib
import ipaddress
import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from fwfix.errors import LabError
from fwfix.lab import syscalls
from fwfix.lab.outside import Outside
from fwfix.lab.records import NETNS, Record, clean, machine_lock, remove_netns, share_netns

_ROOT, _OUTSIDE, _FIRST, _INNER, _LAST = 1, 2, 10, 129, 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A place on the switch.

    Attributes:
        port: name of the interface at the switch.
        cidr, cidr6: the addresses with their prefix lengths.
    """

    netns: str
    port: str
    bridge: str
    cidr: str
    cidr6: str

    @property
    def address(self) -> str:
        """IPv4 address."""
        return self.cidr.partition("/")[0]

    @property
    def address6(self) -> str:
        """IPv6 address."""
        return self.cidr6.partition("/")[0]


class Network:
    """The switch of one lab and everything on it."""

    def __init__(self, record: Record, ipv4: IPv4Network, ipv6: IPv6Network, *, split: bool) -> None:
        self.record = record
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.split = split
        self.prefix = f"fwfix-{record.content['id']}"
        self.interface: str = record.content["interface"]
        self.switch = f"{self.prefix}-switch"
        self._next = {False: _FIRST, True: _INNER}
        self.outside: Outside

    @classmethod
    def create(cls, directory: Path, *, split: bool = False) -> "Network":
        """Make a lab's record and network; names and prefixes are free ones.

        Args:
            directory: where the lab is written down.
            split: have a second, inner half of both prefixes that only hosts with two interfaces reach.
        """
        with machine_lock():
            lab_id = _free_id()
            record = Record.create(directory, lab_id=lab_id, interface=f"fwfix-{lab_id}")
        try:
            with machine_lock():
                network = cls(record, *_free_prefixes(), split=split)
                network._build()
            network.outside = network._outside()
        except BaseException:
            record.settle()
            clean(directory)
            raise
        return network

    @property
    def address(self) -> IPv4Address:
        """This machine's own address on the switch."""
        return self.ipv4[_ROOT]

    @property
    def address6(self) -> IPv6Address:
        """This machine's own IPv6 address on the switch."""
        return self.ipv6[_ROOT]

    @property
    def strangers(self) -> tuple[str, str]:
        """An IPv4 and an IPv6 address on the switch that nobody has."""
        return str(self.ipv4[_FIRST - 1]), str(self.ipv6[_FIRST - 1])

    def _build(self) -> None:
        share_netns(self.record)
        make_netns(self.record, self.switch)
        bridge = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        self._batch(
            [
                f"link add outer {bridge}",
                f"link add inner {bridge}",
                "link set outer up",
                "link set inner up",
            ],
            self.switch,
        )
        lines = [
            f"link add {self.interface} type veth peer name root netns {self.switch}",
            f"addr add {self.address}/{self.ipv4.prefixlen} dev {self.interface}",
            f"addr add {self.address6}/{self.ipv6.prefixlen} dev {self.interface} nodad",
            f"link set {self.interface} up",
        ]
        self._batch(lines)
        self._batch(["link set root master outer up"], self.switch)

    def _outside(self) -> Outside:
        member = self._member("outside", _OUTSIDE, inner=False)
        self._furnish(member)
        return Outside(netns=member.netns, address=member.address, address6=member.address6)

    def _member(self, label: str, index: int, *, inner: bool) -> Member:
        width, width6 = (25, 65) if self.split else (self.ipv4.prefixlen, self.ipv6.prefixlen)
        half = 1 << 63 if inner else 0
        return Member(
            netns=f"{self.prefix}-{label}",
            port=f"port{index}",
            bridge="inner" if inner else "outer",
            cidr=f"{self.ipv4[index]}/{width}",
            cidr6=f"{self.ipv6[half + index]}/{width6}",
        )

    def reserve(self, label: str, *, inner: bool = False) -> Member:
        """Choose the addresses and the name of a member whose namespace somebody else makes."""
        index = self._next[inner]
        if index > (_INNER - 1 if self.split and not inner else _LAST):
            raise LabError("The lab's network is full.", next="Ask for fewer hosts.")
        self._next[inner] += 1
        return self._member(label, index, inner=inner)

    def join(self, label: str) -> Member:
        """Make a namespace on the switch, with both addresses up, for a Windows twin or another client."""
        member = self.reserve(label)
        self._furnish(member)
        return member

    def _furnish(self, member: Member) -> None:
        make_netns(self.record, member.netns)
        self.wire([(member, member.netns, "eth0")])
        lines = [
            "link set lo up",
            f"addr add {member.cidr} dev eth0",
            f"addr add {member.cidr6} dev eth0 nodad",
        ]
        self._batch([*lines, "link set eth0 up"], member.netns)

    def wire(self, cables: Sequence[tuple[Member, str, str]]) -> None:
        """Lay cables from the switch: member, where it is (name or pid), name of the interface there."""
        lines = []
        for member, place, device in cables:
            lines.append(f"link add {member.port} type veth peer name {device} netns {place}")
            lines.append(f"link set {member.port} master {member.bridge} up")
        self._batch(lines, self.switch)

    def move(self, cables: Sequence[tuple[Member, str, int, str]]) -> None:
        """Move the ends of cables: member, where it is (name), where it goes (pid), name of the interface."""
        for _, name, pid, device in cables:
            self._batch([f"link set {device} netns {pid}"], name)

    def _batch(self, lines: Sequence[str], netns: str | None = None) -> None:
        """Run lines of `ip -batch`, in this machine's own namespace or in a named one."""
        where = [] if netns is None else ["-n", netns]
        _tool(self.record, ["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")

    def cut(self, member: Member) -> None:
        """Lose every packet to and from the member; its interface stays up, as behind a broken switch."""
        self._batch([f"link set {member.port} nomaster"], self.switch)

    def restore(self, member: Member) -> None:
        """Undo `cut`."""
        self._batch([f"link set {member.port} master {member.bridge}"], self.switch)


def make_netns(record: Record, name: str) -> None:
    """Make an empty network namespace that `ip netns exec` knows."""
    record.add_netns(name)
    path = _name_file(name)
    _tool(record, ["unshare", f"--net={path}", "true"])


def _tool(record: Record, argv: Sequence[str], text: str = "") -> None:
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, check=False, pass_fds=record.busy, timeout=60
    )
    if done.returncode != 0:
        raise LabError(f"The lab's network cannot be made: {done.stderr.strip()}")


def name_netns(name: str, pid: int) -> None:
    """Have `ip netns exec` know the network namespace of a process by the name, in the place of an older one.

    The name has to be in the lab's record.
    """
    remove_netns(name)
    syscalls.mount(f"/proc/{pid}/ns/net", str(_name_file(name)), flags=syscalls.MS_BIND)


def _name_file(name: str) -> Path:
    while True:
        NETNS.mkdir(mode=0o755, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the last name of another lab took the folder along
            (NETNS / name).touch(mode=0o444)
            return NETNS / name


def _free_id() -> str:
    while True:
        lab_id = secrets.token_hex(3)
        taken = Path("/sys/class/net", f"fwfix-{lab_id}").exists() or any(NETNS.glob(f"fwfix-{lab_id}*"))
        if not taken:
            return lab_id


def _free_prefixes() -> tuple[IPv4Network, IPv6Network]:
    taken = _networks_in_use()
    for _ in range(1000):
        ipv4 = IPv4Network((int(IPv4Address("10.64.0.0")) + (secrets.randbelow(1 << 14) << 8), 24))
        ipv6 = IPv6Network(((0xFD << 120) | (secrets.randbits(56) << 64), 64))
        if not any(item.version == 4 and item.overlaps(ipv4) for item in taken) and ipv6 not in taken:  # noqa: PLR2004
            return ipv4, ipv6
    raise LabError("No address prefix of 10.64.0.0/10 is free on this machine.")


def _networks_in_use() -> list[IPv4Network | IPv6Network]:
    """Read what this machine has addresses in or routes to; the default route does not count."""
    found: list[IPv4Network | IPv6Network] = []
    for family in ("-4", "-6"):
        done = subprocess.run(
            ["ip", family, "-json", "route", "show", "table", "all"],
            capture_output=True,
            text=True,
            check=False,
        )
        for route in json.loads(done.stdout or "[]"):
            with contextlib.suppress(ValueError, KeyError):
                network = ipaddress.ip_network(route["dst"], strict=False)
                if network.prefixlen:
                    found.append(network)
    return found
