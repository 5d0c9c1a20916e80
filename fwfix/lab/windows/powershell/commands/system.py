"""Start-Sleep, Get-Date, New-TimeSpan, New-Guid, Set-StrictMode, Get-ExecutionPolicy, variables."""

from __future__ import annotations

import uuid

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.instances import Guid
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.nodes import Variable
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, parameter, per_record
from fwfix.lab.windows.powershell.times import TICKS_PER_SECOND, DateTime, TimeSpan, from_python
from fwfix.lab.windows.powershell.values import EnumValue

_COMMANDS = "Microsoft.PowerShell.Commands."
_UNITS = {"Days": 86400, "Hours": 3600, "Minutes": 60, "Seconds": 1}


def _sleep(call: Invocation) -> None:
    if call.has("Milliseconds"):
        seconds = call.number("Milliseconds") / 1000
    else:
        value = call.get("Seconds")
        if not isinstance(value, float):
            raise NotInDialect("Start-Sleep without a time")
        seconds = value if not call.engine.edition.desktop else float(round(value))
    call.engine.host.clock.sleep(seconds, call.engine.stopped)
    call.engine.tick()


def _get_date(call: Invocation) -> None:
    given = call.get("Date")
    value = (
        given
        if isinstance(given, DateTime)
        else DateTime(from_python(call.engine.host.clock.now()).ticks, "Local")
    )
    parts = {
        name: call.number(name)
        for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")
        if call.has(name)
    }
    if parts:
        raise NotInDialect("Get-Date of parts")
    if call.has("UFormat"):
        raise NotInDialect("Get-Date -UFormat")
    if call.flag("AsUTC"):
        value = DateTime(value.ticks, "Utc")
    call.write(value.text(call.text("Format")) if call.has("Format") else value)


def _new_timespan(call: Invocation) -> None:
    if call.has("Start") or call.has("End"):
        start, end = call.get("Start"), call.get("End")
        now = from_python(call.engine.host.clock.now())
        first, last = start if isinstance(start, DateTime) else now, end if isinstance(end, DateTime) else now
        call.write(TimeSpan(last.ticks - first.ticks))
        return
    total = sum(call.number(name) * factor for name, factor in _UNITS.items() if call.has(name))
    call.write(TimeSpan(total * TICKS_PER_SECOND))


def _new_guid(call: Invocation) -> None:
    call.write(Guid(uuid.uuid4().hex))


def _strict_mode(call: Invocation) -> None:
    if call.flag("Off"):
        call.engine.scope.strict = False
        return
    version = call.text("Version").lower()
    if version not in ("2.0", "2", "3.0", "3", "latest"):
        raise NotInDialect(f"Set-StrictMode -Version {version}")
    if version not in ("2.0", "2"):
        raise NotInDialect("Set-StrictMode above version 2.0")
    call.engine.scope.strict = True


def _execution_policy(call: Invocation) -> None:
    if call.has("Scope") or call.flag("List"):
        raise NotInDialect("Get-ExecutionPolicy of a scope")
    kind = call.engine.types.find("Microsoft.PowerShell.ExecutionPolicy")
    from fwfix.lab.windows.powershell.enums import enum_type  # noqa: PLC0415 - only here

    if kind is None:
        names = "Unrestricted RemoteSigned AllSigned Restricted Bypass Undefined"
        members = {name: number for number, name in enumerate(names.split())}
        kind = call.engine.types.add(enum_type("Microsoft.PowerShell.ExecutionPolicy", members))
    value = call.engine.convert.to(call.engine.host.execution_policy, kind)
    assert isinstance(value, EnumValue)
    call.write(value)


def _set_variable(call: Invocation) -> None:
    if call.has("Scope") or call.has("Option"):
        raise NotInDialect("Set-Variable with a scope or an option")
    variable = Variable(scope="", name=call.text("Name"), line=0)
    call.engine.write(variable, call.get("Value"))


def _compare_guard(exc: NetError) -> None:
    raise NotInDialect("this time") from exc


COMMANDS = (
    Command(
        name="Start-Sleep", error_name=_COMMANDS + "StartSleepCommand", make=per_record(_sleep),
        default_set="Seconds",
        parameters=(
            # No alias in Windows PowerShell, where it is the one parameter that begins so.
            parameter(
                "Seconds", "double", position=0, mandatory=True, pipeline=True, sets=("Seconds",),
                aliases=("s",),
            ),
            parameter("Milliseconds", "int", mandatory=True, aliases=("ms",), sets=("Milliseconds",)),
        ),
    ),
    Command(
        name="Get-Date", error_name=_COMMANDS + "GetDateCommand", make=per_record(_get_date),
        parameters=(
            parameter("Date", "datetime", position=0, pipeline=True), parameter("Format", "string"),
            parameter("UFormat", "string"), parameter("AsUTC", "switch"), parameter("Year", "int"),
            parameter("Month", "int"), parameter("Day", "int"), parameter("Hour", "int"),
            parameter("Minute", "int"),
            parameter("Second", "int"),
        ),
    ),
    Command(
        name="New-TimeSpan", error_name=_COMMANDS + "NewTimeSpanCommand", make=per_record(_new_timespan),
        parameters=(
            parameter("Start", "datetime", position=0), parameter("End", "datetime", position=1),
            parameter("Days", "int"), parameter("Hours", "int"), parameter("Minutes", "int"),
            parameter("Seconds", "int"),
        ),
    ),
    Command(
        name="New-Guid", error_name=_COMMANDS + "NewGuidCommand", make=per_record(_new_guid), parameters=(),
        since=(5, 0),
    ),
    Command(
        name="Set-StrictMode", error_name=_COMMANDS + "SetStrictModeCommand", make=per_record(_strict_mode),
        default_set="Version",
        parameters=(
            parameter("Version", "string", mandatory=True, sets=("Version",)),
            parameter("Off", "switch", mandatory=True, sets=("Off",)),
        ),
    ),
    Command(
        name="Get-ExecutionPolicy", error_name=_COMMANDS + "GetExecutionPolicyCommand",
        make=per_record(_execution_policy),
        parameters=(parameter("Scope", "string", position=0), parameter("List", "switch")),
    ),
    Command(
        name="Set-Variable", error_name=_COMMANDS + "SetVariableCommand", make=per_record(_set_variable),
        parameters=(
            parameter("Name", "string", position=0, mandatory=True), parameter("Value", "object", position=1),
            parameter("Scope", "string"), parameter("Option", "string"),
        ),
    ),
)  # fmt: skip
