"""What several kinds of connections go through."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from fwfix.lab.linux import LabHost

_SERVER = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die;"
    "my @open; while (my $c = $s->accept) { push @open, $c }"
)
_CONTAINER = f"""
ip netns add box && ip link add veth0 type veth peer name eth0 netns box
ip addr add 172.31.0.1/24 dev veth0 && ip link set veth0 up
ip -n box addr add 172.31.0.2/24 dev eth0 && ip -n box link set eth0 up
ip -n box route add default via 172.31.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward
setsid ip netns exec box perl -e '{_SERVER}' >/dev/null 2>&1 </dev/null &
"""
# As Docker does it: the published port, and the chain for the administrator's own rules.
_PUBLISH = """
iptables -N DOCKER-USER && iptables -A DOCKER-USER -j RETURN && iptables -P FORWARD ACCEPT
iptables -I FORWARD 1 -j DOCKER-USER
iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination 172.31.0.2:80
"""


class RunContainer(Protocol):
    """Start something like a container that listens on 172.31.0.2:80, perhaps published as 9100."""

    def __call__(self, host: LabHost, *, published: bool) -> None: ...


@pytest.fixture
def run_container() -> RunContainer:
    """Return what starts a container."""

    def sh(host: LabHost, command: str) -> int:
        return host.run(["sh", "-c", command]).returncode

    def run(host: LabHost, *, published: bool) -> None:
        if sh(host, "ip netns add try && ip netns del try") != 0:
            pytest.skip("no namespaces inside a host of the lab")
        assert sh(host, _CONTAINER) == 0
        deadline = time.monotonic() + 20
        while sh(host, "ip netns exec box ss -Hltn | grep -q :80") != 0:
            assert time.monotonic() < deadline, "the container does not listen"
            time.sleep(0.02)
        assert not published or sh(host, _PUBLISH) == 0

    return run


Pump = Callable[[socket.socket, socket.socket], None]


@pytest.fixture
def pump() -> Pump:
    """Return what carries bytes from one socket to another until either ends."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    return carry


@pytest.fixture
def proxy(pump: Pump) -> Iterator[tuple[str, list[str]]]:
    """Return the address of a web proxy that opens tunnels, and what it was asked for."""
    asked: list[str] = []
    listening = socket.create_server(("127.0.0.1", 0))
    open_now: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            asked.append(head.split(b"\r\n")[0].decode())
            host, _, port = asked[-1].split()[1].rpartition(":")
            server = socket.create_connection((host, int(port)))
            open_now.extend((client, server))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)
    for each in open_now:
        each.close()
