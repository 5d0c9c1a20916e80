"""What cmd.exe does with a command line: limits, variables, redirections, and who runs it."""

import re
from dataclasses import dataclass, replace

from fwfix.errors import LabError
from fwfix.lab.windows.cmd import builtins
from fwfix.lab.windows.cmd.jobs import TooManyProcessesError
from fwfix.lab.windows.cmd.line import Command, LineError, Link, Pipeline, Redirect, parse
from fwfix.lab.windows.cmd.programs import Invocation
from fwfix.lab.windows.cmd.streams import Collector, InputPipe, Nowhere, Writer

LONGEST_LINE = 8191
NOT_FOUND = (
    "'{name}' is not recognized as an internal or external command,\noperable program or batch file.\n"
)


class ExitLine(LabError):  # noqa: N818 - not an error: `exit` leaves the interpreter
    """`exit` was called."""

    def __init__(self, code: int) -> None:
        super().__init__("exit")
        self.exit_code = code


@dataclass(slots=True)
class Interpreter:
    """One run of `cmd.exe /c LINE`: a program of the twin, and the shell that WinRS starts every command in.

    Attributes:
        call: the process that cmd.exe itself is.
        error_level: the last exit code that was set; some built-in commands, such as echo, set none.
    """

    call: Invocation
    error_level: int = 0
    _succeeded: bool = True

    def run(self, line: str) -> int:
        """Run the line and return the exit code that cmd.exe leaves."""
        if len(line) > LONGEST_LINE:
            self.call.complain("The command line is too long.\n")
            return 1
        expanded = self.call.environment.expand(line)
        if len(expanded) > LONGEST_LINE:
            self.call.complain("The input line is too long.\n")
            return 1
        try:
            self._pipelines(parse(expanded))
        except LineError as error:
            self.call.complain(f"{error}\n")
            return 255
        except ExitLine as leave:
            return leave.exit_code
        return self.error_level

    def _pipelines(self, pipelines: tuple[Pipeline, ...]) -> None:
        for pipeline in pipelines:
            skipped = (pipeline.link is Link.SUCCESS and not self._succeeded) or (
                pipeline.link is Link.FAILURE and self._succeeded
            )
            if not skipped:
                self._pipeline(pipeline.commands)

    def _pipeline(self, commands: tuple[Command, ...]) -> None:
        """Run the parts one after the other; each reads what the one before wrote."""
        stdin = self.call.stdin
        for command in commands[:-1]:
            between = Collector()
            self._isolated(command, replace(self.call, stdin=stdin, stdout=between))
            stdin = InputPipe(between.value, closed=True)
        if len(commands) > 1:
            self._isolated(commands[-1], replace(self.call, stdin=stdin))
        else:
            self._command(commands[-1], self.call)

    def _isolated(self, command: Command, call: Invocation) -> None:
        """Run one part of a pipe: each has a cmd.exe of its own, so `set` and `exit` stay in it."""
        try:
            self._command(command, replace(call, environment=call.environment.copy()))
        except ExitLine as leave:
            self._ended(leave.exit_code)

    def _command(self, command: Command, call: Invocation) -> None:
        call.job.check()
        redirected = _redirected(command.redirects, call)
        if redirected is None:
            call.complain("Access is denied.\n")
            self._ended(1)
            return
        if not command.text.strip():
            return
        self._dispatch(command, redirected)

    def _dispatch(self, command: Command, call: Invocation) -> None:
        builtin = builtins.find(command.text)
        if builtin is not None:
            name, tail = builtin
            self._builtin(name, tail, call)
            return
        found = call.programs.find(command.name, call.environment)
        if found is None:
            call.complain(NOT_FOUND.format(name=command.name))
            self._ended(1)
            return
        path, program = found
        try:
            with call.job.processes.process(path.rpartition("\\")[2]):
                self._ended(program.start(call.child(command.name, command.tail)))
        except TooManyProcessesError:
            call.complain("Not enough quota is available to process this command.\n")
            self._ended(1)

    def _builtin(self, name: str, tail: str, call: Invocation) -> None:
        if name == "exit":
            numbers = re.search(r"-?\d+", tail)
            raise ExitLine(int(numbers[0]) if numbers else self.error_level)
        if name == "call":
            self._command(Command(text=tail.strip()), call)
            return
        if name == "cd" and tail.strip():
            self.call = replace(self.call, cwd=builtins.directory(tail, self.call.cwd))
            self._ended(0)
            return
        self._ended(builtins.TABLE[name](tail, call))

    def _ended(self, code: int | None) -> None:
        self._succeeded = not code
        if code is not None:
            self.error_level = code


@dataclass(frozen=True, slots=True)
class CmdProgram:
    """`cmd.exe` as a program that other programs start."""

    def start(self, call: Invocation, /) -> int:
        """Run what follows /c; without it, every line of standard input."""
        found = re.match(r"(?is)((?:\s*/(?![ck])\S+)*)\s*/[ck]\s?(.*)", call.tail)
        interpreter = Interpreter(call)
        if found is not None:
            return interpreter.run(_unquoted(found[2]))
        while line := call.stdin.readline():
            interpreter.error_level = interpreter.run(line.decode("utf-8", "replace").strip())
        return interpreter.error_level


def _unquoted(line: str) -> str:
    """Take the outer quotes away, as `cmd /?` describes: unless they hold exactly one executable name."""
    stripped = line.strip()
    if not stripped.startswith('"'):
        return line
    simple = stripped.count('"') == 2 and not re.search(r"[&<>()@^|]", stripped)  # noqa: PLR2004 - one pair
    if (
        simple
        and stripped.endswith('"')
        and re.search(r"\s", stripped)
        and stripped.lower().endswith('.exe"')
    ):
        return line
    head, _, rest = stripped[1:].rpartition('"')
    return head + rest


def _redirected(redirects: tuple[Redirect, ...], call: Invocation) -> Invocation | None:
    """Return the call with its streams changed; None for a file, because cmd has no files on the twin."""
    writers: dict[int, Writer] = {1: call.stdout, 2: call.stderr}
    stdin = call.stdin
    for redirect in redirects:
        if redirect.target.startswith("&"):
            writers[redirect.handle] = writers.get(int(redirect.target[1:]), call.stdout)
        elif redirect.target.lower() not in ("nul", "nul:"):
            return None
        elif redirect.handle == 0:
            stdin = InputPipe(closed=True)
        else:
            writers[redirect.handle] = Nowhere()
    return replace(call, stdin=stdin, stdout=writers[1], stderr=writers[2])
