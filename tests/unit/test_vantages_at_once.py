"""What vantages told of one host, while they are asked about others."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from fwfix.executors.base import Executor
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.model.host import Host, Platform
from fwfix.model.plan import HostPlan, PlannedOutcome
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Invocation, Result
from fwfix.rendering.environment import Renderer
from fwfix.runner.vantages import Lookout

HOSTS = 2000
PRINTING = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"),),
    action=Action.DROP,
    log=False,
)


class Opener:
    """Opens the connection to a vantage at which every port is open."""

    connect_timeout = timedelta(seconds=1)

    def __init__(self) -> None:
        self._connector = ScriptedConnector({("*", "connect"): self._connect})

    @staticmethod
    def _connect(_: Host, invocation: Invocation) -> Result:
        targets = invocation.arguments[1].split("+")
        readings = [{"target": target, "result": "open", "source": "127.0.0.9"} for target in targets]
        return answered(json.dumps({"readings": readings}))

    def open(self, host: Host) -> Executor:
        return self._connector.open(host, deadline=time.monotonic() + 1)


def plan(number: int) -> HostPlan:
    address = ip_address("127.2.0.1") + number
    return HostPlan(
        host=Host(name=f"host-{number}", address=str(address), platform=Platform.LINUX),
        outcome=PlannedOutcome.CHANGE,
        protections=(PRINTING,),
        probe_addresses=(address,),
        controller_address=ip_address("127.0.0.1"),
    )


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(often)


@pytest.mark.usefixtures("hasty_threads")
def test_hosts_are_tested_at_once_and_each_hears_of_its_own_vantages_alone() -> None:
    vantage = Host(name="vantage", address="10.0.0.1", platform=Platform.LINUX)
    lookout = Lookout(Opener(), (vantage,), Renderer(()))
    plans = [plan(number) for number in range(HOSTS)]
    until = time.monotonic() + 60

    def test_all() -> None:
        for each in plans[1:]:
            lookout.readings(each, until=until)

    lookout.readings(plans[0], until=until)
    others = threading.Thread(target=test_all)
    others.start()
    while others.is_alive():
        assert [each.name for each in lookout.vantages(plans[0])] == ["controller", "vantage"]
    others.join()
    assert [len(lookout.readings(each, until=until)) for each in plans[-3:]] == [1, 1, 1]
