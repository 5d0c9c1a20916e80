"""One command of a shell: a thread that runs a program of the twin, with its pipes."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from fwfix.lab.windows.cmd.interpreter import Interpreter
from fwfix.lab.windows.cmd.jobs import Job, KilledError, TooManyProcessesError
from fwfix.lab.windows.cmd.programs import Invocation, Program, split_arguments
from fwfix.lab.windows.cmd.streams import InputPipe
from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.faults import FaultError
from fwfix.lab.windows.wsman.output import Output

# What a process ends with on Ctrl+C: STATUS_CONTROL_C_EXIT as a signed number.
CONTROL_C_EXIT = -1073741510
# What the plugin leaves when the program itself broke: ERROR_GEN_FAILURE.
BROKEN = 31

Report = Callable[[BaseException], None]


class Command:
    """A running or ended command.

    Attributes:
        output: what it wrote.
        stdin: what it reads.
        done_told: a Receive has brought the exit code.
    """

    def __init__(self, command_id: str, job: Job) -> None:
        self.id = command_id
        self.job = job
        self.output = Output()
        self.stdin = InputPipe()
        self.done_told = False
        job.on_kill(self.output.kill)
        job.on_kill(self.stdin.kill)

    def start(self, call: Invocation, work: Callable[[Invocation], int], image: str, report: Report) -> None:
        """Run the work in a thread of its own.

        Args:
            call: the process, its pipes still open ends.
            work: runs to the end and returns the exit code.
            image: name of the executable file, for the process table.
            report: hears of an exception that no program may leave.

        Raises:
            FaultError: the shell has too many processes.
        """
        held = ExitStack()
        try:
            held.enter_context(call.job.processes.process(image))
        except TooManyProcessesError as error:
            raise FaultError(faults.NO_PROCESS_QUOTA) from error
        connected = replace(
            call, stdin=self.stdin, stdout=self.output.writer("stdout"), stderr=self.output.writer("stderr")
        )
        name = f"command-{self.id[:8]}"
        threading.Thread(
            target=self._run, args=(connected, work, held, report), name=name, daemon=True
        ).start()

    def _run(
        self, call: Invocation, work: Callable[[Invocation], int], held: ExitStack, report: Report
    ) -> None:
        exit_code = BROKEN
        try:
            with held:
                exit_code = work(call)
        except KilledError:
            exit_code = CONTROL_C_EXIT
        except Exception as error:  # noqa: BLE001 - a program must not take the twin with it
            report(error)
        finally:
            self.stdin.abandon()
            self.output.finish(CONTROL_C_EXIT if self.job.killed.is_set() else exit_code)

    def interrupt(self) -> None:
        """Do what Ctrl+C does: everything ends, what was written stays."""
        self.job.kill()

    def terminate(self) -> None:
        """End everything, and every Receive that waits for it."""
        self.output.abort()
        self.job.kill()


def cmd_line(line: str) -> Callable[[Invocation], int]:
    """Return the work of `cmd.exe /c LINE`."""
    return lambda call: Interpreter(call).run(line)


def direct(program: Program, tail: str) -> Callable[[Invocation], int]:
    """Return the work of a program that is started without cmd.exe."""
    return lambda call: program.start(replace(call, tail=tail, args=split_arguments(tail)))
