"""How long probes take where nothing answers."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from fwfix.model.outcome import ProbeResult, Target
from fwfix.model.policy import Protocol
from fwfix.probes import Probing


@pytest.fixture
def silent() -> Iterator[Target]:
    """Return a port whose queue is full, so that it answers nobody."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address, port = listener.getsockname()
        stack.enter_context(socket.create_connection((address, port)))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield Target(vantage="controller", address=ip_address(address), protocol=Protocol.TCP, port=port)


@pytest.mark.parametrize(("within", "took"), [(0.1, 1.0), (1.5, 1.5), (5.0, 3.0)])
def test_probes_take_no_longer_than_they_may_but_one_try_worth_the_name(
    silent: Target, within: float, took: float
) -> None:
    started = time.monotonic()
    with Probing([silent], within=within) as probing:
        assert probing.wait(until=started + 20)
        (reading,) = probing.readings()
    assert (reading.result, reading.settled) == (ProbeResult.FILTERED, True)
    assert reading.detail == "no answer in 1 attempts"
    assert took <= time.monotonic() - started
    assert reading.took_ms < took * 1000 + 900
