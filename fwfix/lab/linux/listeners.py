"""The processes of a host that listen: a printing daemon's stand-in, and an sshd that never speaks."""

import contextlib
import json
import os
import select
import socket
from typing import NoReturn

from fwfix.lab import syscalls


def fork_listener(port: int, protocol: str, process: str, journal: int) -> int:
    """Start a process that listens on the port in both families; return its pid.

    The journal is an open file; it takes one JSON line per connection and per piece received.
    """
    # Bound before the fork: when this returns, the port is open.
    sockets = _bind(port, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    pid = os.fork()
    if pid == 0:
        _serve(sockets, protocol, process, journal)
    for item in sockets:
        item.close()
    os.close(journal)
    return pid


def _bind(port: int, kind: socket.SocketKind) -> list[socket.socket]:
    found = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        item = socket.socket(family, kind)
        item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            item.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        item.bind((address, port))
        if kind == socket.SOCK_STREAM:
            item.listen(128)
        found.append(item)
    return found


def _serve(sockets: list[socket.socket], protocol: str, process: str, journal: int) -> NoReturn:
    try:
        syscalls.set_process_name(process)
        _keep_only({journal, *(item.fileno() for item in sockets)})
        if protocol == "tcp":
            _serve_tcp(sockets, journal)
        else:
            _serve_udp(sockets, journal)
    finally:
        os._exit(1)


def _keep_only(wanted: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are numbers
        if int(name) > 2 and int(name) not in wanted:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):
                os.close(int(name))


def _note(journal: int, event: str, peer: str, received: bytes = b"") -> None:
    line = json.dumps({"event": event, "peer": peer, "hex": received.hex()})
    os.write(journal, line.encode() + b"\n")


def _serve_tcp(listening: list[socket.socket], journal: int) -> NoReturn:
    open_now: dict[socket.socket, str] = {}
    while True:
        ready, _, _ = select.select([*listening, *open_now], [], [])
        for item in ready:
            if item in open_now:
                _receive(item, open_now, journal)
            else:
                connection, address = item.accept()
                open_now[connection] = str(address[0])
                _note(journal, "accepted", open_now[connection])


def _receive(item: socket.socket, open_now: dict[socket.socket, str], journal: int) -> None:
    try:
        received = item.recv(65536)
    except OSError:
        received = b""
    if received:
        _note(journal, "received", open_now[item], received)
    else:
        del open_now[item]
        item.close()


def _serve_udp(sockets: list[socket.socket], journal: int) -> NoReturn:
    while True:
        ready, _, _ = select.select(sockets, [], [])
        for item in ready:
            received, address = item.recvfrom(65536)
            _note(journal, "received", str(address[0]), received)
            # A5: a printer sets the top bit of the device type in its answer.
            if received[:4] == b"BJNP" and len(received) >= 16:  # noqa: PLR2004 - the header of BJNP
                item.sendto(received[:4] + bytes((received[4] | 0x80,)) + received[5:16], address)
