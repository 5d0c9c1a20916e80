"""`powershell.exe` of the twin on its small engine: streams, natives, files and kills of one process."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf

from fwfix.lab.windows.cmd.jobs import Job, TooManyProcessesError
from fwfix.lab.windows.cmd.powershell import BAD_COMMAND_LINE, PowerShellCall, Source
from fwfix.lab.windows.cmd.programs import Invocation, Program, codec_of
from fwfix.lab.windows.cmd.streams import Collector, InputPipe, Writer
from fwfix.lab.windows.powershell.edition import DESKTOP_5_1, Edition
from fwfix.lab.windows.powershell.engine import NOT_IN_DIALECT, Engine
from fwfix.lab.windows.powershell.hosts import Clock, Host, Native, NativeResult
from fwfix.lab.windows.powershell.invocation import Invocation as CommandInvocation
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.signature import Command, per_record
from fwfix.lab.windows.powershell.unicode import from_python
from fwfix.lab.windows.powershell.values import PSObject

# The engine asks its clock whether a script must stop; the clock says so when the process was killed.
_FOREVER_SECONDS = 1e9
# With -Command and -EncodedCommand the process fails when the last statement did.
_LAST_STATEMENT = "\nif (-not $?) { exit 1 }"
_NO_FILE = (
    "The argument '{path}' to the -File parameter does not exist. Provide the path to an existing '.ps1' "
    "file as an argument to the -File parameter.\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallEngine:
    """Runs scripts on the small engine.

    Attributes:
        host: files, registry, clock and policy of the twin; the rest comes from the process.
        commands: stand-ins, such as those of NetSecurity.
    """

    host: Host = field(repr=False)
    edition: Edition = DESKTOP_5_1
    commands: tuple[Command, ...] = ()
    types: tuple[NetType, ...] = ()

    def run(self, wanted: PowerShellCall, call: Invocation, /) -> int:
        """Run one script; 125 with a message when the engine does not know something in it."""
        script = self._script(wanted, call)
        if script is None:
            return BAD_COMMAND_LINE if wanted.source is Source.FILE else NOT_IN_DIALECT
        engine = Engine(
            edition=self.edition,
            host=self._host(call),
            commands=(*_locations(call.cwd), *self.commands),
            types=self.types,
        )
        # Standard input is read only by a script that asks for it: nobody may ever close it.
        asks = wanted.source is not Source.STDIN and "$input" in script.lower()
        result = engine.run(
            script,
            stdin=call.stdin.read() if asks else b"",
            args=wanted.arguments,
            deadline=_FOREVER_SECONDS,
        )
        call.job.check()
        return result.exit_code

    def _script(self, wanted: PowerShellCall, call: Invocation) -> str | None:
        if wanted.source is Source.COMMAND:
            return wanted.script + _LAST_STATEMENT
        if wanted.source is Source.STDIN:
            text = call.stdin.read().decode("utf-8", "replace")
            if _stands_alone(text):
                return text
            call.complain("The twin runs standard input only where every line is a statement.\n")
            return None
        try:
            return self.host.files.read(wanted.script).decode("utf-8-sig")
        except OSError:
            call.complain(_NO_FILE.format(path=wanted.script))
            return None

    def _host(self, call: Invocation) -> Host:
        natives = {
            name: _native(path, program, call) for name, (path, program) in call.programs.by_name.items()
        }
        return replace(
            self.host,
            stdout=_console(call.stdout, call.codepage),
            stderr=_console(call.stderr, call.codepage),
            clock=_JobClock(self.host.clock, call.job),
            environment=dict(call.environment),
            natives={**natives, **self.host.natives},
            computer_name=call.machine.name,
        )


@dataclass(frozen=True, slots=True)
class _JobClock:
    """The twin's clock, which jumps past every deadline when the process is killed."""

    clock: Clock
    job: Job

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return inf if self.job.killed.is_set() else self.clock.monotonic()

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        self.clock.sleep(seconds, stopped)


def _console(writer: Writer, codepage: int) -> Callable[[bytes], None]:
    """Return a writer that turns the engine's UTF-8 into the code page of the shell."""
    codec = codec_of(codepage)

    def write(data: bytes) -> None:
        try:
            writer.write(data.decode().encode(codec, "replace"))
        except UnicodeDecodeError:
            # A native program has written in its own encoding.
            writer.write(data)

    return write


def _locations(cwd: str) -> tuple[Command, ...]:
    """Return Get-Location and its alias: the engine itself has no working directory."""

    def write(invocation: CommandInvocation) -> None:
        path = from_python(cwd)
        invocation.write(
            PSObject(
                [("Drive", path[:1]), ("Path", path), ("ProviderPath", path)],
                type_names=("System.Management.Automation.PathInfo",),
            )
        )

    return tuple(
        Command(
            name=name,
            error_name="Microsoft.PowerShell.Commands.GetLocationCommand",
            make=per_record(write),
            parameters=(),
        )
        for name in ("Get-Location", "pwd")
    )


def _native(path: str, program: Program, call: Invocation) -> Native:
    image = path.rpartition("\\")[2]

    def run(arguments: list[str], stdin: bytes) -> NativeResult:
        out, err = Collector(), Collector()
        started = call.child(
            image,
            subprocess.list2cmdline(arguments),
            stdin=InputPipe(stdin, closed=True),
            stdout=out,
            stderr=err,
        )
        try:
            with call.job.processes.process(image):
                code = program.start(replace(started, args=tuple(arguments)))
        except TooManyProcessesError:
            return NativeResult(
                exit_code=1, stderr=b"Not enough quota is available to process this command.\r\n"
            )
        return NativeResult(exit_code=code, stdout=out.value, stderr=err.value)

    return run


def _stands_alone(text: str) -> bool:
    """Whether typing the lines one by one, as `-Command -` does, is the same as running them as a script."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:  # noqa: PLR2004 - one line is one line
        return True
    brackets = all(
        line.count(left) == line.count(right) for line in lines for left, right in ("{}", "()", "[]")
    )
    quotes = all(line.count(quote) % 2 == 0 for line in lines for quote in "'\"")
    return brackets and quotes and not any(line.endswith(("|", "`", ",", "+", "-", "=")) for line in lines)
