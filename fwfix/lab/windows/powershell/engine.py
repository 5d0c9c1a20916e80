"""The engine from outside: one script in, its output and exit code out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fwfix.lab.windows.powershell.binding import RawArgument
from fwfix.lab.windows.powershell.commands import BUILTIN
from fwfix.lab.windows.powershell.core import Streams
from fwfix.lab.windows.powershell.display import HostSink
from fwfix.lab.windows.powershell.edition import CORE_7, Edition
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.functions import FunctionStage
from fwfix.lab.windows.powershell.hosts import Host
from fwfix.lab.windows.powershell.nettypes import NetType, TypeTable
from fwfix.lab.windows.powershell.parsing import parse_script
from fwfix.lab.windows.powershell.pipelines import Pipelines
from fwfix.lab.windows.powershell.signals import (
    BreakSignal,
    Cancelled,
    ContinueSignal,
    ExitSignal,
    NotInDialect,
    ParseFailure,
    ReturnSignal,
)  # fmt: skip
from fwfix.lab.windows.powershell.signature import Command
from fwfix.lab.windows.powershell.unicode import from_python, to_python
from fwfix.lab.windows.powershell.values import ErrorRecord

NOT_IN_DIALECT = 125
FAILED = 1
CANCELLED = 130
# What the engine's own code stumbles over is a case that nobody thought of: refused, like the others.
_UNFORESEEN = (
    RecursionError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a script did.

    Attributes:
        refusal: what the engine did not know; the exit code is then 125 and the output worth nothing.
        cancelled: the script was stopped from outside.
    """

    stdout: bytes
    stderr: bytes
    exit_code: int
    refusal: NotInDialect | None = None
    cancelled: bool = False


class Engine:
    """Runs scripts; each run starts afresh.

    Args:
        edition: which PowerShell answers.
        host: everything outside; its stdout and stderr also get what a run returns.
        commands: stand-ins; one of the name of a command of the engine replaces it.
        types: enums and other types of the stand-ins.
    """

    def __init__(
        self, *, edition: Edition = CORE_7, host: Host | None = None, commands: Iterable[Command] = (),
        types: Iterable[NetType] = (),
    ) -> None:  # fmt: skip
        self.edition = edition
        self.host = host or Host()
        self.commands = {c.name.lower(): c for c in (*BUILTIN, *commands)}
        self.types = tuple(types)
        self._stop = threading.Event()

    def cancel(self) -> None:
        """Stop the running script; may be called from any thread."""
        self._stop.set()

    def run(
        self, script: str, *, stdin: bytes = b"", args: tuple[str, ...] = (), deadline: float | None = None
    ) -> RunResult:
        """Run a script to its end.

        Args:
            script: its text.
            stdin: becomes `$input`, line by line.
            args: bind to the script's parameters by position, or become `$args`.
            deadline: seconds after which it is stopped.
        """
        self._stop.clear()
        end = None if deadline is None else self.host.clock.monotonic() + deadline
        clock = self.host.clock.monotonic

        def stopped() -> bool:
            return self._stop.is_set() or (end is not None and clock() >= end)

        with self.host.process(None) as pid:
            return _Run(self, stdin, pid).result(script, args, stopped)


class _Run:
    """One run of a script."""

    def __init__(self, engine: Engine, stdin: bytes, pid: int) -> None:
        self.edition = engine.edition
        self.stdin = stdin
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        outer = engine.host
        self.outer_out, self.outer_err = outer.stdout, outer.stderr
        # The environment is shared, as in one process.
        self.host = replace(outer, stdout=self._stdout, stderr=self._stderr, process_id=pid)
        types = TypeTable()
        self.core = Pipelines(engine.edition, self.host, engine.commands, types)
        for kind in engine.types:
            types.add(kind)
        self.core.prepare()
        self.core.stdin_text = lambda: from_python(stdin.decode("utf-8", "replace"))
        self.sink = HostSink(self._stdout, engine.edition)
        self.core.host_sink = self.sink
        self.core.streams = Streams(self._error, self._host_line, self._warning)

    def _stdout(self, content: bytes) -> None:
        self.out.append(content)
        self.outer_out(content)

    def _stderr(self, content: bytes) -> None:
        self.err.append(content)
        self.outer_err(content)

    def _host_line(self, text: str) -> None:
        # Write-Host ends its line with a bare line feed on Windows too, as recorded there over WinRS.
        self.sink.text(text)

    def _error(self, record: ErrorRecord) -> None:
        message = record.details or record.exception.message or record.exception.type_name
        identity = record.error_id or "?"
        self._stderr(
            to_python(f"line {record.line}: {message}\n    + FullyQualifiedErrorId : {identity}\n").encode()
        )

    def _warning(self, text: str) -> None:
        if not self.edition.desktop:
            raise NotInDialect("a warning that is shown")
        self._stderr(to_python(f"WARNING: {text}\n").encode())

    def result(self, script: str, args: tuple[str, ...], stopped: Callable[[], bool]) -> RunResult:
        """Run and return what happened."""
        self.core.stopped = stopped
        refusal: NotInDialect | None = None
        cancelled = False
        try:
            code = self._run(from_python(script), args)
        except NotInDialect as exc:
            refusal, code = exc, NOT_IN_DIALECT
            self._stderr(to_python(f"not in the dialect: {exc}\n").encode())
        except Cancelled:
            cancelled, code = True, CANCELLED
        except _UNFORESEEN as exc:
            refusal, code = (
                NotInDialect(f"something unforeseen ({type(exc).__name__}: {exc})"),
                NOT_IN_DIALECT,
            )
            self._stderr(to_python(f"not in the dialect: {refusal}\n").encode())
        return RunResult(
            stdout=b"".join(self.out),
            stderr=b"".join(self.err),
            exit_code=code,
            refusal=refusal,
            cancelled=cancelled,
        )

    def _run(self, script: str, args: tuple[str, ...]) -> int:
        try:
            body = parse_script(script.removeprefix("\ufeff"))
        except ParseFailure as exc:
            self._stderr(to_python(f"line {exc.line}: {exc}\n").encode())
            return FAILED
        lines = self.core.stdin_text().replace("\r\n", "\n").split("\n") if self.stdin else []
        if lines and lines[-1] == "":
            lines.pop()
        raw = [RawArgument(value=from_python(a)) for a in args]
        try:
            stage = FunctionStage(
                self.core, "", body, raw, self.sink, has_input=bool(self.stdin), scope=self.core.scope
            )
            stage.begin()
            for line in lines:
                stage.process(line, has_item=True)
            if not lines:
                stage.process(None, has_item=False)
            stage.end()
        except ExitSignal as exc:
            return exc.status & 0xFF if not self.edition.desktop else exc.status
        except (BreakSignal, ContinueSignal, ReturnSignal):
            return 0
        except PSError as exc:
            self._error(exc.record)
            return FAILED
        return 0
