"""Connections that drop, hang or lie: the right answer, the right error, in time, and nothing left behind."""

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import ConnectError, DeadlineError, FwfixError, LostError, ScriptCutError, UnreachableError
from fwfix.lab.windows.wsman import Mishap, TlsIdentity, Trouble

if TYPE_CHECKING:
    from conftest import Rig

COUNT = "$null = count.exe; 'done'"
# Logon (2), Create, Command, Send, Receive, Signal, Delete; inside TLS the last of the logon is the Create.
REQUESTS = [*((number, False) for number in range(1, 9)), *((number, True) for number in range(1, 8))]


@pytest.mark.parametrize("mishap", [Mishap.LOST, Mishap.UNANSWERED, Mishap.CUT, Mishap.RESET])
@pytest.mark.parametrize(("number", "encrypted"), REQUESTS)
def test_whatever_request_a_connection_drops_at_the_report_is_true(
    rig: "Rig", identity: TlsIdentity, mishap: Mishap, number: int, *, encrypted: bool
) -> None:
    twin = rig.twin(tls=identity if encrypted else None)
    create = 2 if encrypted else 3
    twin.server.trouble(Trouble(at={number: mishap}))
    try:
        result = rig.once(twin, COUNT, **({"ca_file": identity.certificate} if encrypted else {}))
    except (ConnectError, ScriptCutError):
        assert twin.ran.count == 0
    except LostError:
        assert number >= create + 2
    else:
        assert (result.stdout, twin.ran.count) == ("done", 1)
    assert twin.ran.count <= 1
    rig.wait_for(lambda: len(twin.server.shells.open) <= (number == create))


@pytest.mark.parametrize("action", ["Command", "Send", "Receive", "Signal"])
def test_a_dropped_connection_is_opened_once_more_and_the_same_shell_goes_on(rig: "Rig", action: str) -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    shell = twin.server.shells.open[0]
    twin.server.trouble(Trouble(on={action: Mishap.LOST}))
    assert rig.run(executor, COUNT).stdout == "done"
    assert twin.server.shells.open == (shell,)
    assert rig.run(executor, COUNT).stdout == "done"
    assert twin.ran.count == 2
    executor.close()
    assert twin.server.shells.open == ()


# The Command; then two requests of a logon, and the Command again, or the Send after it.
@pytest.mark.parametrize("again", [4, 5])
def test_a_script_whose_connection_drops_twice_is_given_up(rig: "Rig", again: int) -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.trouble(Trouble(at={1: Mishap.LOST, again: Mishap.LOST}))
    with pytest.raises(FwfixError):
        rig.run(executor, COUNT)
    assert twin.ran.count == 0
    executor.close()
    assert twin.server.shells.open == ()


def test_output_that_comes_twice_is_read_as_one_answer(rig: "Rig") -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.trouble(Trouble(on={"Receive": Mishap.REPEATED}))
    assert rig.run(executor, COUNT).stdout == "done"
    assert twin.ran.count == 1
    executor.close()


@pytest.mark.parametrize("mishap", [Mishap.LOST, Mishap.UNANSWERED, Mishap.CUT, Mishap.RESET])
def test_a_long_script_whose_delivery_is_disturbed_arrives_whole_and_runs_once(
    rig: "Rig", mishap: Mishap
) -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.trouble(Trouble(at={3: mishap}))
    assert rig.run(executor, COUNT + "\n# " + "x" * 150_000).stdout == "done"
    assert twin.ran.count == 1
    executor.close()


def test_a_connection_that_was_closed_while_idle_is_opened_again(rig: "Rig") -> None:
    twin = rig.twin(connection_timeout=dt.timedelta(milliseconds=150))
    executor = rig.open(twin)
    shell = twin.server.shells.open[0]
    rig.wait_for(lambda: not twin.server._live)
    assert rig.run(executor, COUNT).stdout == "done"
    assert twin.server.shells.open == (shell,)
    assert len(twin.server.book.logons) == 2
    executor.close()


def test_a_script_that_hangs_ends_at_its_deadline_on_both_sides(rig: "Rig") -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        rig.run(executor, "Start-Sleep -Seconds 600", seconds=1)
    assert time.monotonic() - started < 1.5
    rig.wait_for(lambda: not twin.server.shells.open[0].processes.running)
    assert rig.run(executor, COUNT).stdout == "done"
    executor.close()


@pytest.mark.parametrize("action", ["Command", "Send", "Receive"])
def test_a_host_that_stops_answering_never_holds_us_past_the_deadline(rig: "Rig", action: str) -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.trouble(Trouble(on={action: Mishap.HANG}))
    started = time.monotonic()
    with pytest.raises(FwfixError):
        rig.run(executor, COUNT, seconds=1)
    assert time.monotonic() - started < 2
    executor.close()
    rig.wait_for(lambda: not twin.server.shells.open)


def test_a_host_that_hangs_at_logon_is_unreachable_at_the_deadline(rig: "Rig") -> None:
    twin = rig.twin()
    twin.server.trouble(Trouble(at={2: Mishap.HANG}))
    started = time.monotonic()
    with pytest.raises(UnreachableError):
        rig.connector().open(twin.host(), deadline=rig.later(1))
    assert time.monotonic() - started < 2


def test_a_service_that_is_starting_up_is_asked_again(rig: "Rig") -> None:
    twin = rig.twin()
    twin.server.trouble(Trouble(status={1: 503}))
    assert rig.once(twin, COUNT).stdout == "done"


def test_a_service_that_stays_busy_says_so(rig: "Rig") -> None:
    twin = rig.twin()
    twin.server.trouble(Trouble(status=dict.fromkeys(range(1, 50), 503)))
    with pytest.raises(UnreachableError) as caught:
        rig.connector().open(twin.host(), deadline=rig.later(1))
    assert caught.value.code == "busy"


def test_slow_answers_are_waited_for(rig: "Rig") -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.trouble(Trouble(delays={"Receive": dt.timedelta(seconds=1)}))
    assert rig.run(executor, COUNT).stdout == "done"
    executor.close()


def test_an_ipv6_literal_is_an_address(rig: "Rig") -> None:
    twin = rig.twin(address="::1")
    executor = rig.open(twin)
    assert str(executor.peer) == "::1"
    assert rig.run(executor, COUNT).stdout == "done"
    executor.close()
