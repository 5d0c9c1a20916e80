"""A real process of this machine as a program of the twin, such as `pwsh` for powershell.exe."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from fwfix.lab.windows.cmd.jobs import KilledError
from fwfix.lab.windows.cmd.programs import Invocation
from fwfix.lab.windows.cmd.streams import InputPipe, Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalProgram:
    """Start a real process in a session of its own; a kill of the job ends the whole process group.

    Attributes:
        command: from the invocation to the command line that runs here.
        environment: what the process gets instead of the twin's variables.
        directory: where it starts.
    """

    command: Callable[[Invocation], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None

    def start(self, call: Invocation, /) -> int:
        """Run it to the end."""
        with subprocess.Popen(
            self.command(call),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **self.environment},
            cwd=self.directory,
            start_new_session=True,
        ) as process:
            call.job.on_kill(lambda: _kill_group(process))
            _pump(process, call)
        call.job.check()
        return process.returncode


def _pump(process: subprocess.Popen[bytes], call: Invocation) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    threads = [
        threading.Thread(target=_copy_out, args=(process.stdout, call.stdout), daemon=True),
        threading.Thread(target=_copy_out, args=(process.stderr, call.stderr), daemon=True),
    ]
    feeder = threading.Thread(target=_copy_in, args=(call.stdin, process.stdin), daemon=True)
    for thread in (*threads, feeder):
        thread.start()
    process.wait()
    for thread in threads:
        thread.join()
    # The feeder may wait for input that never comes; nobody reads it any more.
    call.stdin.abandon()


def _copy_out(source: IO[bytes], sink: Writer) -> None:
    with suppress(KilledError):
        while data := os.read(source.fileno(), 65536):
            sink.write(data)


def _copy_in(source: InputPipe, sink: IO[bytes]) -> None:
    with suppress(KilledError, OSError), sink:
        while data := source.read_some():
            sink.write(data)
            sink.flush()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
