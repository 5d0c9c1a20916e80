"""The loopback service that a `pwsh` process asks: one connection is one call of a stand-in or a program.

A call is one line of JSON; the answer is a line for each object, error or question, and `end` at last.
The line `ask` waits for a line `{"yes": true}`: whether ShouldProcess agrees is the real engine's to say.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import socketserver
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from fwfix.lab.windows.powershell.commands import BUILTIN
from fwfix.lab.windows.powershell.core import Streams
from fwfix.lab.windows.powershell.edition import CORE_7
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.hosts import Host
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType, TypeTable
from fwfix.lab.windows.powershell.pipelines import Pipelines
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command
from fwfix.lab.windows.powershell.values import ErrorRecord, Value
from fwfix.lab.windows.pwsh.wire import Json, Wire

# Commands of the engine itself whose answer comes from the twin's host, and which real pwsh has, too.
FORWARDED = ("Get-ItemProperty", "Test-Path", "Get-ExecutionPolicy")
_UNFORESEEN = (RecursionError, AssertionError, AttributeError, LookupError, TypeError, ValueError, OSError)


class _HungUpError(Exception):
    """The process went away in the middle of a call; nobody is left to hear of it."""


class _Asked(Invocation):
    """A call whose ShouldProcess is asked of the real engine."""

    talk: _Talk

    def confirmed(self) -> bool:
        self.talk.send({"k": "ask", "action": self.command.name, "target": "TWIN"})
        return bool(self.talk.receive().get("yes"))


class _Talk(socketserver.StreamRequestHandler):
    """One connection."""

    server: _Server

    def handle(self) -> None:
        try:
            self._answer(self.receive())
            self.send({"k": "end"})
        except (_HungUpError, OSError):
            return

    def receive(self) -> dict[str, object]:
        """Read one line."""
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise _HungUpError
        try:
            found = json.loads(line)
        except ValueError as exc:
            raise _HungUpError from exc
        if not isinstance(found, dict):
            raise _HungUpError
        return found

    def send(self, frame: Json) -> None:
        """Write one line; plain ASCII, so that no code page matters."""
        self.wfile.write(json.dumps(frame).encode("ascii") + b"\n")

    def _answer(self, asked: Json) -> None:
        service = self.server.service
        if not hmac.compare_digest(str(asked.get("token")).encode(), service.token.encode()):
            raise _HungUpError
        try:
            if "hello" in asked:
                service.greeted = True
            elif "program" in asked:
                self._run_program(asked)
            else:
                self._call(asked)
        except NotInDialect as exc:
            self._refuse(exc)
        except _UNFORESEEN as exc:
            if isinstance(exc, ConnectionError):
                raise
            self._refuse(NotInDialect(f"something unforeseen ({type(exc).__name__}: {exc})"))

    def _refuse(self, refusal: NotInDialect) -> None:
        self.server.service.refusals.append(refusal)
        self.send({"k": "refused", "v": f"not in the dialect: {refusal}"})

    def _run_program(self, asked: Json) -> None:
        native = self.server.service.host.native(str(asked["program"]))
        if native is None:
            raise NotInDialect(f"the program {asked['program']}")
        arguments = asked["arguments"]
        assert isinstance(arguments, list)
        stdin = base64.b64decode(str(asked["stdin"]), validate=True)
        result = native([str(each) for each in arguments], stdin)
        encoded = {
            "stdout": base64.b64encode(result.stdout).decode(),
            "stderr": base64.b64encode(result.stderr).decode(),
        }
        self.send({"k": "ended", "code": result.exit_code, **encoded})

    def _call(self, asked: Json) -> None:
        service = self.server.service
        command = service.commands.get(str(asked["cmdlet"]).lower())
        if command is None:
            raise NotInDialect(f"the cmdlet {asked['cmdlet']}")
        core = service.core(Streams(self._error, _unwanted, _unwanted))
        call = _Asked(command, core, service.given(command, asked), str(asked["set"]), self._object)
        call.talk = self
        processor = command.make(call)
        try:
            processor.begin()
            processor.process()
            processor.end()
        except PSError as exc:
            self.send({**self._record(exc.record), "k": "stop"})

    def _object(self, value: Value) -> None:
        self.send({"k": "object", "v": self.server.service.wire.encode(value)})

    def _error(self, record: ErrorRecord) -> None:
        self.send({**self._record(record), "k": "error"})

    def _record(self, record: ErrorRecord) -> Json:
        message = record.exception.message
        return {
            "id": (record.error_id or "").partition(",")[0],
            "message": "=" + ("The twin does not know this message." if message is None else message),
            "category": record.category or "NotSpecified",
            "exception": record.exception.type_name,
            "target": self.server.service.wire.encode(record.target),
        }


def _unwanted(text: str) -> None:
    raise NotInDialect(f"a stand-in that speaks to the console: {text}")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    service: TwinService


class TwinService:
    """Answers the calls of one `pwsh` process.

    Attributes:
        greeted: the process has loaded the proxies.
        refusals: what the model did not know; the process ends with 125 at the first.
    """

    def __init__(self, *, host: Host, commands: Iterable[Command], types: Iterable[NetType]) -> None:
        known = [each for each in BUILTIN if each.name in FORWARDED]
        self.host = host
        self.commands = {each.name.lower(): each for each in (*known, *commands)}
        self.types = tuple(types)
        self.wire = Wire(enums_of(self.types))
        self.token = secrets.token_hex(16)
        self.greeted = False
        self.refusals: list[NotInDialect] = []
        self._server = _Server(("127.0.0.1", 0), _Talk)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def core(self, streams: Streams) -> Pipelines:
        """Return the state of an engine for one call."""
        types = TypeTable()
        core = Pipelines(CORE_7, self.host, self.commands, types)
        for kind in self.types:
            types.add(kind)
        core.prepare()
        core.streams = streams
        return core

    def given(self, command: Command, asked: Json) -> dict[str, Value]:
        """Return the bound arguments; those common to all commands are the real engine's business."""
        sent = asked["given"]
        assert isinstance(sent, Mapping)
        declared = {each.name.lower(): each for each in command.parameters}
        values = {name.lower(): self.wire.decode(value) for name, value in sent.items()}
        if unknown := values.keys() - declared.keys():
            raise NotInDialect(f"{command.name} -{min(unknown)}")
        return values


def enums_of(types: Iterable[NetType]) -> tuple[EnumType, ...]:
    """Return the enums that pass between pwsh and the model: those of the modules, and a service's status."""
    table = Pipelines(CORE_7, Host(environment={}), {}, TypeTable()).types
    own = table.find("System.ServiceProcess.ServiceControllerStatus")
    return tuple(each for each in (*types, own) if isinstance(each, EnumType))
