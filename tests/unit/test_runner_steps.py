"""Steps outside an apply: a connection that is gone is opened again only where nothing was sent over it."""

import pytest

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.errors import LostError, UnreachableError
from fwfix.executors.scripted import Answer, ScriptedConnector, answered
from fwfix.model.host import Host, Platform
from fwfix.model.script import Invocation, Script
from fwfix.output.observe import Nobody
from fwfix.rendering.environment import Renderer
from fwfix.runner.context import RunContext
from fwfix.runner.log import NoLog
from fwfix.runner.steps import HostSteps

HOST = Host(name="gw", address="192.0.2.1", platform=Platform.LINUX)
GONE = UnreachableError("The connection to gw is closed; nothing was sent.")


def invocation(name: str) -> Invocation:
    return Invocation(script=Script(name=name, text=":", changes=True))


def steps_over(connector: ScriptedConnector) -> HostSteps:
    context = RunContext(
        run_id="r",
        connector=connector,
        drivers={Platform.LINUX: LinuxDriver(Renderer(()))},
        log=NoLog(),
        observer=Nobody(),
        stamp=Stamp(operator="me", controller="here"),
    )
    return HostSteps(HOST, context)


def after_one_answer(*then: Answer) -> tuple[HostSteps, ScriptedConnector]:
    """Return the steps of a host that has answered once, and then does as told."""
    connector = ScriptedConnector({("gw", "first"): answered("first"), ("gw", "change"): then})
    steps = steps_over(connector)
    steps.send("first", invocation("first"))
    return steps, connector


def test_a_script_that_was_not_sent_goes_over_a_new_connection() -> None:
    steps, connector = after_one_answer(GONE, answered("done"))
    assert steps.send("rollback", invocation("change")).stdout == "done"
    assert connector.opened == ("gw", "gw")
    steps.close()
    assert connector.open_now == 0


def test_a_script_is_not_sent_again_where_the_new_connection_fails_too() -> None:
    steps, connector = after_one_answer(GONE, GONE, answered("too late"))
    with pytest.raises(UnreachableError):
        steps.send("rollback", invocation("change"))
    assert [call.script for call in connector.calls] == ["first", "change", "change"]
    assert connector.open_now == 0


def test_a_script_whose_answer_was_lost_is_never_sent_again() -> None:
    steps, connector = after_one_answer(LostError("no answer"), answered("twice"))
    with pytest.raises(LostError):
        steps.send("rollback", invocation("change"))
    assert [call.script for call in connector.calls] == ["first", "change"]


def test_a_connection_that_never_answered_is_not_tried_twice() -> None:
    connector = ScriptedConnector({("gw", "change"): (GONE, answered("done"))})
    with pytest.raises(UnreachableError):
        steps_over(connector).send("rollback", invocation("change"))
    assert connector.opened == ("gw",)
