"""Create: what a client may ask of a new shell, and how a shell describes itself."""

import re
from datetime import timedelta
from xml.etree import ElementTree as ET

from fwfix.lab.windows.cmd.environment import default_environment
from fwfix.lab.windows.cmd.machine import User
from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.envelope import element, new_id
from fwfix.lab.windows.wsman.faults import FaultError
from fwfix.lab.windows.wsman.shells import Shell, ShellSettings
from fwfix.lab.windows.wsman.soap import RSP, Message, Option, parse_duration

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD = f"{SHELL}/cmd"
_OPTIONS = ("WINRS_NOPROFILE", "WINRS_CODEPAGE")
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


def settings_of(message: Message, user: User, config: WsmanConfig) -> ShellSettings:
    """Return what the client asks for.

    Raises:
        FaultError: it asks for something that there is not.
    """
    shell = message.body.find(f"{{{RSP}}}Shell")
    if shell is None:
        raise FaultError(faults.BAD_XML)
    _check_options(message.options)
    profile = message.option("WINRS_NOPROFILE").upper() != "TRUE"
    environment = default_environment(config.machine, user, profile=profile)
    variables = _variables(shell)
    for name, value in variables:
        environment[name] = environment.expand(value)
    idle = _duration(shell, "IdleTimeOut")
    return ShellSettings(
        id=wanted_id(shell, "ShellId"),
        input_streams=tuple(_text(shell, "InputStreams").split()),
        output_streams=tuple(_text(shell, "OutputStreams").split()),
        environment=environment,
        variables=variables,
        directory=_text(shell, "WorkingDirectory"),
        codepage=_codepage(message),
        idle_timeout=config.quotas.idle_timeout if idle is None else idle,
        lifetime=_duration(shell, "Lifetime"),
    )


def created(shell: Shell, message: Message) -> str:
    """Return the body that answers Create."""
    selector = element("w:Selector", shell.settings.id, Name="ShellId")
    return (
        f"<x:ResourceCreated>{element('a:Address', message.to)}<a:ReferenceParameters>"
        f"{element('w:ResourceURI', message.resource)}<w:SelectorSet>{selector}</w:SelectorSet>"
        f"</a:ReferenceParameters></x:ResourceCreated>{described(shell)}"
    )


def described(shell: Shell) -> str:
    """Return the Shell element; a command shell has neither name nor lifetime in it, whatever was asked."""
    settings = shell.settings
    parts = [
        element("rsp:ShellId", settings.id),
        element("rsp:ResourceUri", CMD),
        element("rsp:Owner", shell.owner.qualified),
        element("rsp:ClientIP", shell.client),
    ]
    if settings.variables:
        # Windows repeats a name without its backslashes, as one of the recorded hosts did.
        variables = "".join(
            element("rsp:Variable", value, Name=name.replace("\\", "")) for name, value in settings.variables
        )
        parts.append(f"<rsp:Environment>{variables}</rsp:Environment>")
    if settings.directory:
        parts.append(element("rsp:WorkingDirectory", settings.directory))
    parts.append(element("rsp:IdleTimeOut", f"PT{settings.idle_timeout.total_seconds():.3f}S"))
    if settings.input_streams:
        parts.append(element("rsp:InputStreams", " ".join(settings.input_streams)))
    if settings.output_streams:
        parts.append(element("rsp:OutputStreams", " ".join(settings.output_streams)))
    parts.append(element("rsp:ShellRunTime", _elapsed(shell.runtime)))
    parts.append(element("rsp:ShellInactivity", _elapsed(shell.inactivity)))
    return f"<rsp:Shell>{''.join(parts)}</rsp:Shell>"


def _check_options(options: tuple[Option, ...]) -> None:
    if any(option.must_comply and option.name.upper() not in _OPTIONS for option in options):
        raise FaultError(faults.UNSUPPORTED_OPTION)


def _codepage(message: Message) -> int:
    text = message.option("WINRS_CODEPAGE") or "437"
    if not text.isdecimal() or len(text) > len("65001"):
        raise FaultError(faults.BAD_PARAMETER)
    return int(text)


def wanted_id(asked: ET.Element, attribute: str) -> str:
    """Return the id that the client has chosen for what it creates, or a fresh one.

    Raises:
        FaultError: what it has chosen is no id.
    """
    wanted = asked.get(attribute)
    if wanted is None:
        return new_id()
    if _ID.match(wanted) is None:
        raise FaultError(faults.BAD_PARAMETER)
    return wanted.upper()


def _variables(shell: ET.Element) -> tuple[tuple[str, str], ...]:
    found = shell.iterfind(f"{{{RSP}}}Environment/{{{RSP}}}Variable")
    return tuple((each.get("Name", ""), each.text or "") for each in found if each.get("Name"))


def _text(shell: ET.Element, name: str) -> str:
    return (shell.findtext(f"{{{RSP}}}{name}") or "").strip()


def _duration(shell: ET.Element, name: str) -> timedelta | None:
    text = _text(shell, name)
    if not text:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise FaultError(faults.BAD_XML) from error


def _elapsed(time: timedelta) -> str:
    hours, rest = divmod(time.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"P{time.days}DT{hours}H{minutes}M{seconds}S"
