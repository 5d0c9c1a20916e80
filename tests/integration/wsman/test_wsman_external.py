"""A real process of this machine stands in for a program of the twin."""

import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fwfix.lab.windows.cmd import (
    Collector,
    InputPipe,
    Invocation,
    Job,
    KilledError,
    Machine,
    ProcessTable,
    User,
    standard_programs,
)
from fwfix.lab.windows.cmd.environment import Environment
from fwfix.lab.windows.cmd.external import ExternalProgram


def shell(script: str) -> ExternalProgram:
    return ExternalProgram(
        command=lambda call: ["sh", "-c", script, *call.args], environment={"GREETING": "hi"}
    )


@pytest.fixture
def call() -> Invocation:
    return Invocation(
        name="sh.exe",
        args=("zero", "one two"),
        tail="",
        stdin=InputPipe(closed=True),
        stdout=Collector(),
        stderr=Collector(),
        environment=Environment(),
        cwd="C:\\",
        codepage=65001,
        machine=Machine(),
        user=User(name="a", domain="B", administrator=True),
        job=Job(ProcessTable(limit=5)),
        programs=standard_programs(),
    )


def test_arguments_input_output_and_exit_code_pass_through(call: Invocation) -> None:
    out, err = Collector(), Collector()
    asked = replace(call, stdin=InputPipe(b"x" * 300_000, closed=True), stdout=out, stderr=err)
    assert shell('echo "$GREETING $1" >&2; cat; exit 7').start(asked) == 7
    assert (out.value, err.value) == (b"x" * 300_000, b"hi one two\n")


def test_a_process_that_does_not_read_ends_although_its_input_stays_open(call: Invocation) -> None:
    waiting = InputPipe()
    assert shell("exit 3").start(replace(call, stdin=waiting)) == 3
    assert not waiting.writable


def test_a_kill_ends_the_whole_tree_of_real_processes(call: Invocation) -> None:
    out = Collector()
    ended: list[str] = []

    def work() -> None:
        try:
            shell("sleep 600 & echo $!; wait").start(replace(call, stdout=out))
        except KilledError:
            ended.append("killed")

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 10
    while b"\n" not in out.value:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child = Path(f"/proc/{int(out.value)}/stat")
    assert child.exists()
    call.job.kill()
    thread.join(10)
    assert ended == ["killed"]
    # A killed orphan stays as a zombie until init reaps it.
    with suppress(OSError):  # it is gone
        while child.read_text().split()[2] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.005)
