"""Signals that come when the terminal has hung up: nobody reads, and the run is stopped all the same."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal
from fwfix.runner.context import Brake
from fwfix.runner.signals import interruptible
os.close(2)
brake = Brake()
with interruptible(brake, lambda: ["gw: restores itself at 22:00"]):
    os.kill(os.getpid(), signal.SIGHUP)
    print(brake.stopped.code, flush=True)
    if {twice}:
        os.kill(os.getpid(), signal.SIGHUP)
"""


@pytest.mark.parametrize(("twice", "code"), [("False", 0), ("True", 130)], ids=["one", "two"])
def test_a_hang_up_stops_the_run_where_stderr_is_gone_and_a_second_one_leaves_at_once(
    twice: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{twice}", twice)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (code, "interrupted\n")
