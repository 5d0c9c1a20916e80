"""The twin's place in the network: a namespace of the lab, entered by one thread of this process."""

import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from fwfix.errors import LabError
from fwfix.lab import syscalls
from fwfix.lab.records import NETNS
from fwfix.lab.windows.model.facts import SYSTEM_PID, Sockets, TcpConnection, UdpEndpoint

_Result = TypeVar("_Result")
_TCP_STATES = {
    1: "Established", 2: "SynSent", 3: "SynReceived", 4: "FinWait1", 5: "FinWait2", 6: "TimeWait",
    7: "Closed", 8: "CloseWait", 9: "LastAck", 10: "Listen", 11: "Closing",
}  # fmt: skip
_IPV4_TEXT = 8


class Namespace:
    """A network namespace in which calls can be made from any thread.

    Args:
        name: under /run/netns.
    """

    def __init__(self, name: str) -> None:
        path = str(NETNS / name)
        self._worker = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix="twin-netns",
            initializer=lambda: syscalls.enter(path, syscalls.CLONE_NEWNET),
        )

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Call the function inside and return what it returns."""
        return self._worker.submit(function).result()

    def close(self) -> None:
        """Leave the namespace."""
        self._worker.shutdown()

    def listen(self, port: int) -> tuple[socket.socket, socket.socket]:
        """Return sockets bound to a port of every address, one for each family."""
        return self.call(lambda: (_bound(socket.AF_INET, port), _bound(socket.AF_INET6, port)))

    def load(self, ruleset: str) -> None:
        """Replace the packet filter.

        Raises:
            LabError: the kernel refuses it.
        """
        done = self.call(
            lambda: subprocess.run(
                ["nft", "-f", "-"], input=ruleset, capture_output=True, text=True, check=False
            )
        )
        if done.returncode != 0:
            raise LabError(f"The twin's packet filter was refused: {done.stderr.strip()}")

    def sockets(self, owner: Callable[[str, int], int | None]) -> Sockets:
        """Return the sockets of the namespace, from the kernel's tables.

        Args:
            owner: process id of a listening port; sockets of others belong to System.
        """
        tables = self.call(lambda: {name: _table(name) for name in ("tcp", "tcp6", "udp", "udp6")})
        tcp = [
            TcpConnection(
                local_address=local[0],
                local_port=local[1],
                remote_address=remote[0],
                remote_port=remote[1],
                state=_TCP_STATES[state],
                pid=_pid(owner("tcp", local[1]), state),
            )
            for name in ("tcp", "tcp6")
            for local, remote, state in tables[name]
            if state in _TCP_STATES
        ]
        udp = [
            UdpEndpoint(local_address=local[0], local_port=local[1], pid=_pid(owner("udp", local[1]), 10))
            for name in ("udp", "udp6")
            for local, _, _ in tables[name]
        ]
        return Sockets(tcp=tuple(tcp), udp=tuple(udp))


def _pid(owner: int | None, state: int) -> int:
    """Return who has a socket; one in TimeWait belongs to nobody, which Windows shows as 0."""
    if _TCP_STATES.get(state) == "TimeWait":
        return 0
    return SYSTEM_PID if owner is None else owner


def _bound(family: socket.AddressFamily, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    return made


_Row = tuple[tuple[str, int], tuple[str, int], int]


def _table(name: str) -> list[_Row]:
    lines = Path("/proc/thread-self/net", name).read_text(encoding="ascii").splitlines()[1:]
    return [(_end(fields[1]), _end(fields[2]), int(fields[3], 16)) for fields in map(str.split, lines)]


def _end(text: str) -> tuple[str, int]:
    """Read an address and port of /proc/net/tcp: words of the machine's byte order (little-endian here)."""
    address, _, port = text.partition(":")
    words = bytes.fromhex(address)
    turned = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
    shown = str(IPv4Address(turned)) if len(address) == _IPV4_TEXT else str(IPv6Address(turned))
    return shown, int(port, 16)
