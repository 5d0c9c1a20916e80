"""Run somebody's program to its end or to a deadline, and leave nothing of it behind."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress


def run_alone(
    words: Sequence[str], *, seconds: float, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a program without input, in a session of its own.

    Args:
        words: the program and its arguments; no shell reads them.
        seconds: how long it may take.
        stderr: what becomes of its complaints, as for `subprocess.Popen`.

    Returns:
        What came of it; None where it took too long, and was ended with all that it had started.

    Raises:
        OSError: it cannot be started.
    """
    answered = False
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
            answered = True
        except subprocess.TimeoutExpired:
            return None
        finally:
            if not answered:
                # The group outlives its leader where a child holds the pipe open.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(words, process.returncode, out, err)
