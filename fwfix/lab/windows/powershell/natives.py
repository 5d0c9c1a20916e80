"""Native programs: their input, output, errors and exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.display import HostSink
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.hosts import Native
from fwfix.lab.windows.powershell.nodes import Command
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.unicode import from_python, to_python
from fwfix.lab.windows.powershell.values import ErrorRecord, NetException, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core, Sink


def run_native(  # noqa: PLR0917 - .NET has them so, or all are of one kind
    engine: Core, native: Native, arguments: list[str], items: list[Value], sink: Sink, node: Command
) -> None:
    """Run a program; its lines are what it writes into the pipeline."""
    if engine.edition.desktop and any('"' in a or not a or a.endswith("\\") for a in arguments):
        raise NotInDialect("an argument that Windows PowerShell does not pass on faithfully", line=node.line)
    text = "".join(engine.texts.of(item) + "\n" for item in items)
    if engine.edition.desktop and not text.isascii():
        raise NotInDialect("input of a native program beyond ASCII", line=node.line)
    result = native([to_python(a) for a in arguments], to_python(text).encode())
    engine.last_exit = result.exit_code
    _errors(engine, result.stderr, node)
    if isinstance(sink, HostSink):
        if (
            not result.stdout.endswith(b"\n")
            and result.stdout
            and engine.scope is not engine.scope.script_scope()
        ):
            raise NotInDialect("output of a native program without a line end", line=node.line)
        sink.raw(result.stdout)
    else:
        for line in _lines(result.stdout, node):
            sink(line)
    engine.success = result.exit_code == 0


def _lines(content: bytes, node: Command) -> list[str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise NotInDialect("output of a native program that is no UTF-8", line=node.line) from exc
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [from_python(line) for line in lines]


def _errors(engine: Core, content: bytes, node: Command) -> None:
    if not content:
        return
    redirected = any(r.stream in ("2", "*") for r in node.redirections)
    if not redirected:
        engine.host.stderr(content)
        return
    for line in _lines(content, node):
        exception = NetException("System.Management.Automation.RemoteException", line)
        record = ErrorRecord(exception, "NativeCommandError", "NotSpecified", line)
        if engine.edition.desktop and engine.error_action() == "stop":
            raise PSError(record, thrown=True)
        engine.streams.error(record)
