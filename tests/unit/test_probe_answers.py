"""What probes make of ports on this machine that answer, refuse and keep silent."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from fwfix.model.outcome import ProbeResult, Target
from fwfix.model.policy import Protocol
from fwfix.probes import Probing, probe_now

HERE = "127.0.0.1"
KINDS = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


class Ports:
    """Ports that are ours alone while a test runs."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def of(self, protocol: Protocol, *, listens: bool) -> Target:
        """Return a port; where nobody listens at it, it is taken all the same."""
        sock = self._stack.enter_context(socket.socket(socket.AF_INET, KINDS[protocol]))
        sock.bind((HERE, 0))
        port: int = sock.getsockname()[1]
        if protocol is Protocol.UDP and not listens:
            sock.close()
        if protocol is Protocol.TCP and listens:
            sock.listen()
        return Target(vantage="controller", address=ip_address(HERE), protocol=protocol, port=port)


@pytest.fixture
def ports() -> Iterator[Ports]:
    with ExitStack() as stack:
        yield Ports(stack)


@pytest.mark.parametrize(
    ("protocol", "listens", "met"),
    [
        (Protocol.TCP, True, (ProbeResult.OPEN, "")),
        (Protocol.TCP, False, (ProbeResult.CLOSED, "ECONNREFUSED")),
        (Protocol.UDP, False, (ProbeResult.CLOSED, "ECONNREFUSED")),
        (Protocol.UDP, True, (ProbeResult.FILTERED, "no answer in 3 attempts")),
    ],
)
def test_a_port_reads_as_what_it_answers(
    ports: Ports, protocol: Protocol, met: tuple[ProbeResult, str], *, listens: bool
) -> None:
    (reading,) = probe_now([ports.of(protocol, listens=listens)], until=time.monotonic() + 20)

    assert ((reading.result, reading.detail), reading.settled) == (met, True)


def test_what_has_not_answered_yet_is_not_settled_and_no_socket_stays_behind(ports: Ports) -> None:
    silent = ports.of(Protocol.UDP, listens=True)
    shut = ports.of(Protocol.TCP, listens=False)
    before = _descriptors()
    with Probing([silent, shut, silent]) as probing:
        assert not probing.wait(until=time.monotonic() + 0.05)
        readings = probing.readings()

    assert [(each.target, each.result, each.settled) for each in readings] == [
        (silent, ProbeResult.FILTERED, False),
        (shut, ProbeResult.CLOSED, True),
    ]
    assert _descriptors() == before


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
