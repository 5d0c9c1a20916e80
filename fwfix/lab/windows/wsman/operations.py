"""What each action does: Create, Get, Delete, Command, Send, Receive, Signal."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from xml.etree import ElementTree as ET

from fwfix.lab.windows.cmd.jobs import Job
from fwfix.lab.windows.cmd.machine import User
from fwfix.lab.windows.cmd.programs import Invocation, ProgramTable
from fwfix.lab.windows.cmd.streams import Collector, InputPipe
from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.commands import Report, cmd_line, direct
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.creation import CMD, SHELL, created, described, settings_of, wanted_id
from fwfix.lab.windows.wsman.envelope import element
from fwfix.lab.windows.wsman.faults import FaultError
from fwfix.lab.windows.wsman.output import Portion
from fwfix.lab.windows.wsman.shells import Shell, ShellTable
from fwfix.lab.windows.wsman.soap import RSP, Message

TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
STATE = f"{SHELL}/CommandState"
_SIGNALS = ("ctrl_c", "ctrl_break")
# Room for everything in a Receive's answer that is not output.
_ENVELOPE_OVERHEAD = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request, and from where."""

    user: User
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The shell resource of one service.

    Attributes:
        report: hears of exceptions that a program lets out.
    """

    config: WsmanConfig
    programs: ProgramTable
    shells: ShellTable
    report: Report = field(repr=False)

    def perform(self, message: Message, caller: Caller) -> tuple[str, str]:
        """Do what the message says and return action and body of the answer.

        Raises:
            FaultError: it cannot be done.
        """
        known: dict[str, Callable[[Message, Caller], str]] = {
            f"{TRANSFER}/Create": self._create,
            f"{TRANSFER}/Delete": self._delete,
            f"{TRANSFER}/Get": self._get,
            f"{SHELL}/Command": self._command,
            f"{SHELL}/Send": self._send,
            f"{SHELL}/Receive": self._receive,
            f"{SHELL}/Signal": self._signal,
        }
        operation = known.get(message.action)
        if operation is None:
            raise FaultError(faults.unknown_action(message.action))
        _check_resource(message)
        if not caller.user.administrator:
            raise FaultError(faults.ACCESS_DENIED)
        return f"{message.action}Response", operation(message, caller)

    def _create(self, message: Message, caller: Caller) -> str:
        settings = settings_of(message, caller.user, self.config)
        shell = self.shells.create(settings, owner=caller.user, client=caller.address)
        return created(shell, message)

    def _get(self, message: Message, caller: Caller) -> str:
        return described(self._shell(message, caller))

    def _delete(self, message: Message, caller: Caller) -> str:
        self.shells.close(self._shell(message, caller))
        return ""

    def _command(self, message: Message, caller: Caller) -> str:
        line = _child(message.body, "CommandLine")
        name = (_child(line, "Command").text or "").strip()
        arguments = [(each.text or "") for each in line.iterfind(f"{{{RSP}}}Arguments")]
        tail = " ".join(arguments)
        with self._shell(message, caller) as shell:
            self.shells.check_operations(caller.user)
            image = "cmd.exe"
            work = cmd_line(f"{name} {tail}" if tail else name)
            if self.config.skip_cmd_shell and message.option("WINRS_SKIP_CMD_SHELL").upper() == "TRUE":
                found = self.programs.at(name)
                if found is None:
                    raise FaultError(faults.FILE_NOT_FOUND)
                image, work = found[0].rpartition("\\")[2], direct(found[1], tail)
            command = shell.add(wanted_id(line, "CommandId"))
            try:
                command.start(self._invocation(shell, command.job, name, tail), work, image, self.report)
            except FaultError:
                shell.forget(command)
                raise
        return f"<rsp:CommandResponse>{element('rsp:CommandId', command.id)}</rsp:CommandResponse>"

    def _invocation(self, shell: Shell, job: Job, name: str, tail: str) -> Invocation:
        environment = shell.settings.environment.copy()
        return Invocation(
            name=name,
            args=(),
            tail=tail,
            stdin=InputPipe(closed=True),
            stdout=Collector(),
            stderr=Collector(),
            environment=environment,
            cwd=environment.expand(shell.settings.directory or "%USERPROFILE%"),
            codepage=shell.settings.codepage,
            machine=self.config.machine,
            user=shell.owner,
            job=job,
            programs=self.programs,
        )

    def _send(self, message: Message, caller: Caller) -> str:
        streams = _child(message.body, "Send").findall(f"{{{RSP}}}Stream")
        with self._shell(message, caller) as shell:
            for stream in streams:
                self._feed(shell, stream, self._within(message))
        return "<rsp:SendResponse/>"

    def _feed(self, shell: Shell, stream: ET.Element, within: timedelta) -> None:
        command_id = stream.get("CommandId")
        if command_id is None or stream.get("Name") not in shell.settings.input_streams:
            raise FaultError(faults.BAD_PARAMETER)
        command = shell.command(command_id)
        try:
            data = base64.b64decode("".join((stream.text or "").split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise FaultError(faults.BAD_XML) from error
        if not command.stdin.writable:
            raise FaultError(faults.PIPE_CLOSING)
        if not command.stdin.write(data, within=within.total_seconds()):
            raise FaultError(faults.TIMED_OUT)
        if stream.get("End", "false").lower() in ("true", "1"):
            command.stdin.close()

    def _receive(self, message: Message, caller: Caller) -> str:
        wanted = _child(_child(message.body, "Receive"), "DesiredStream")
        with self._shell(message, caller) as shell:
            command_id = wanted.get("CommandId")
            names = (wanted.text or "").split()
            if command_id is None or not names or set(names) - set(shell.settings.output_streams):
                raise FaultError(faults.BAD_PARAMETER)
            command = shell.command(command_id)
            if command.done_told:
                raise FaultError(faults.UNKNOWN_COMMAND)
            portion = command.output.take(
                names,
                most=self._room(message),
                within=self._within(message).total_seconds(),
                linger=self.config.linger.total_seconds(),
            )
            if portion is None:
                raise FaultError(faults.TIMED_OUT)
            command.done_told = portion.exit_code is not None
        return _received(command.id, names, portion)

    def _signal(self, message: Message, caller: Caller) -> str:
        signal = _child(message.body, "Signal")
        command_id = signal.get("CommandId")
        code = (_child(signal, "Code").text or "").strip().rpartition("/")[2].lower()
        if not command_id or code not in (*_SIGNALS, "terminate"):
            raise FaultError(faults.BAD_PARAMETER)
        with self._shell(message, caller) as shell:
            command = shell.command(command_id)
            if code == "terminate":
                shell.forget(command)
            else:
                command.interrupt()
        return "<rsp:SignalResponse/>"

    def _shell(self, message: Message, caller: Caller) -> Shell:
        shell_id = message.selectors.get("ShellId")
        if not shell_id:
            raise FaultError(faults.MISSING_SELECTOR)
        return self.shells.find(shell_id, caller.user)

    def _within(self, message: Message) -> timedelta:
        longest = self.config.quotas.max_timeout
        return longest if message.timeout is None else min(message.timeout, longest)

    def _room(self, message: Message) -> int:
        largest = min(message.max_envelope_size, self.config.quotas.max_envelope_size_kb * 1024)
        return largest - _ENVELOPE_OVERHEAD


def _received(command_id: str, names: list[str], portion: Portion) -> str:
    parts = [
        element("rsp:Stream", base64.b64encode(data).decode(), Name=stream, CommandId=command_id)
        for stream, data in portion.chunks
    ]
    state = f"{STATE}/Running"
    exit_code = ""
    if portion.exit_code is not None:
        parts += [element("rsp:Stream", Name=name, CommandId=command_id, End="true") for name in names]
        state = f"{STATE}/Done"
        exit_code = element("rsp:ExitCode", str(portion.exit_code))
    head = f'<rsp:CommandState CommandId="{command_id}" State="{state}">'
    return f"<rsp:ReceiveResponse>{''.join(parts)}{head}{exit_code}</rsp:CommandState></rsp:ReceiveResponse>"


def _check_resource(message: Message) -> None:
    if not message.resource:
        raise FaultError(faults.MISSING_RESOURCE)
    # A shell is also read under the address of all shells.
    readable = (CMD, SHELL) if message.action == f"{TRANSFER}/Get" else (CMD,)
    if message.resource not in readable:
        raise FaultError(faults.NO_RESOURCE)


def _child(parent: ET.Element, name: str) -> ET.Element:
    found = parent.find(f"{{{RSP}}}{name}")
    if found is None:
        raise FaultError(faults.BAD_XML)
    return found
