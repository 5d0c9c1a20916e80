"""A controller that is killed at any moment leaves a whole journal, and a run that can be taken up."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from fwfix.journal import Journal, RunState
from fwfix.journal.database import FILE_NAME

RUN = "20261121T220003Z-4f2a"
# Says on stdout which events are on disk, after `append` has returned.
CONTROLLER = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from fwfix.journal import Journal, RunStart
from fwfix.model.host import Host, Platform

directory, run_id, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
hosts = tuple(Host(name=f"h{i}", address="10.0.0.1", platform=Platform.LINUX) for i in range(4))
journal = Journal.open(directory)
if first == 0:
    journal.start_run(RunStart(run_id=run_id, command="apply", started_at=datetime.now(UTC), operator="o",
                               controller="c", fwfix_version="0.1.0", hosts=hosts))
else:
    journal.resume_run(run_id, command="recover", operator="o", controller="c")
print("ready", flush=True)

def live(name):
    number = 0
    while True:
        journal.hand_in_steps(run_id, name, ["arm"], detail={"number": number, "round": first})()
        sys.stdout.write(f"{first} {name} {number}\\n")
        sys.stdout.flush()
        number += 1

for host in hosts:
    threading.Thread(target=live, args=(host.name,)).start()
"""


def kill_a_controller(directory: Path, *, round_number: int, after: float) -> set[tuple[int, str, int]]:
    """Return what the controller saw written before it was killed."""
    arguments = [sys.executable, "-c", CONTROLLER, str(directory), RUN, str(round_number)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end = time.monotonic() + after
        lines: list[str] = []
        while time.monotonic() < end:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        lines.extend(line for line in process.stdout if line.endswith("\n") and line.count(" ") == 2)
        assert process.wait() == -signal.SIGKILL
    fields = [line.split() for line in lines]
    return {(int(first), name, int(number)) for first, name, number in fields}


@pytest.mark.timeout(120)
def test_what_was_announced_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    chance = random.Random(9100)
    promised: set[tuple[int, str, int]] = set()
    for round_number in range(12):
        promised |= kill_a_controller(tmp_path, round_number=round_number, after=chance.uniform(0.0, 0.12))

        with Journal.open(tmp_path) as journal:
            written = {
                (detail["round"], event.host, detail["number"])
                for event in journal.events(RUN)
                if event.kind == "announced" and isinstance(detail := event.body["detail"], dict)
            }
            assert journal.check() == ()
            assert [run.state for run in journal.runs()] == [RunState.UNFINISHED]
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert promised <= written


def test_a_run_counts_as_running_for_as_long_as_its_controller_lives(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CONTROLLER, str(tmp_path), RUN, "0"]
    with (
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process,
        Journal.open(tmp_path) as journal,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert journal.header(RUN).state is RunState.RUNNING
            assert journal.header(RUN).pid == process.pid
            assert journal.unfinished() == ()
        finally:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert [run.run_id for run in journal.unfinished()] == [RUN]
