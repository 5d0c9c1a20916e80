"""Write-*, Out-*."""

from __future__ import annotations

from fwfix.lab.windows.powershell.display import line_of
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, Parameter, parameter, per_record
from fwfix.lab.windows.powershell.values import EnumValue, ErrorRecord, NetException, Value, items_of

_COMMANDS = "Microsoft.PowerShell.Commands."
_QUIET = ("silentlycontinue", "ignore")


def _write_output(call: Invocation) -> None:
    value = call.get("InputObject")
    if call.flag("NoEnumerate"):
        call.write(value)
    else:
        call.write_all(value)


def _record_of(call: Invocation) -> ErrorRecord:
    given = call.get("ErrorRecord")
    if isinstance(given, ErrorRecord):
        return given
    kind = _COMMANDS + "WriteErrorException"
    exception = call.get("Exception")
    if exception is not None and not isinstance(exception, NetException):
        raise NotInDialect("this exception of Write-Error")
    message = call.text("Message") if call.has("Message") else None
    made = exception or NetException(kind, message)
    error_id = call.text("ErrorId") or (kind if exception is None else exception.type_name)
    category = call.get("Category")
    name = category.kind.name_of(category.number) if isinstance(category, EnumValue) else "NotSpecified"
    details = message if exception is not None else None
    return ErrorRecord(made, _named(call, error_id), name, call.get("TargetObject"), details)


def _named(call: Invocation, error_id: str) -> str | None:
    """The id carries the function that wrote it; what a script or a script block adds is not known."""
    name = call.engine.scope.command_name()
    return f"{error_id},{name}" if name else None


def _write_error(call: Invocation) -> None:
    call.engine.write_error(_record_of(call))


def _host_text(call: Invocation) -> str:
    separator = call.text("Separator", " ")
    parts = []
    for value in items_of(call.get("Object")):
        if isinstance(value, ErrorRecord):
            raise NotInDialect("Write-Host of an error")
        parts.append(call.engine.texts.of(value))
    return separator.join(parts)


def _write_host(call: Invocation) -> None:
    if call.engine.preference("InformationPreference", "silentlycontinue") != "silentlycontinue":
        raise NotInDialect("Write-Host with an $InformationPreference")
    call.engine.streams.host(_host_text(call) + ("" if call.flag("NoNewline") else "\n"))


def _quiet_stream(name: str, switch: str) -> object:
    def write(call: Invocation) -> None:
        asked = call.preferences.get(switch)
        if call.engine.preference(name, "silentlycontinue") not in _QUIET or asked is not None:
            raise NotInDialect(f"{call.command.name} that is shown")

    return write


def _write_warning(call: Invocation) -> None:
    given = call.preferences.get("warningaction")
    action = (
        call.engine.texts.of(given).lower()
        if given is not None
        else call.engine.preference("WarningPreference", "continue")
    )
    if action in _QUIET:
        return
    if action != "continue":
        raise NotInDialect(f"the warning action '{action}'")
    call.engine.streams.warning(call.text("Message"))


class _OutString:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.lines: list[str] = []

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Take one object."""
        value = self.call.item if self.call.has_input else self.call.get("InputObject")
        for item in items_of(value):
            line = line_of(item, self.call.engine.edition)
            if line is not None:
                self.lines.append(line)

    def end(self) -> None:
        """Write the text."""
        newline = "\r\n" if self.call.engine.edition.desktop else "\n"
        if self.call.flag("Stream"):
            for line in self.lines:
                if "\n" in line:
                    raise NotInDialect("Out-String -Stream of several lines")
                self.call.write(line)
            return
        if self.call.flag("NoNewline"):
            self.call.write("".join(self.lines))
            return
        self.call.write("".join(line + newline for line in self.lines))


def _nothing(call: Invocation) -> None:
    del call


def _message(*aliases: str) -> Parameter:
    return parameter(
        "Message", "string", mandatory=True, position=0, pipeline=True, aliases=aliases, allow_empty=True
    )


COMMANDS = (
    Command(
        name="Write-Output", error_name=_COMMANDS + "WriteOutputCommand", make=per_record(_write_output),
        parameters=(
            parameter(
                "InputObject", "object", mandatory=True, position=0, pipeline=True, remaining=True,
                allow_null=True, allow_empty=True,
            ),
            parameter("NoEnumerate", "switch"),
        ),
    ),
    Command(
        name="Write-Error", error_name=_COMMANDS + "WriteErrorCommand", make=per_record(_write_error),
        parameters=(
            parameter("Message", "string", position=0, pipeline=True, allow_empty=True, aliases=("Msg",)),
            parameter("Exception", "object"), parameter("ErrorRecord", "object"),
            parameter("ErrorId", "string"),
            parameter("Category", "System.Management.Automation.ErrorCategory"),
            parameter("TargetObject", "object"),
            parameter("RecommendedAction", "string"), parameter("CategoryReason", "string"),
        ),
    ),
    Command(
        name="Write-Host", error_name=_COMMANDS + "WriteHostCommand", make=per_record(_write_host),
        parameters=(
            parameter(
                "Object", "object", position=0, pipeline=True, remaining=True, aliases=("Msg", "Message"),
            ),
            parameter("NoNewline", "switch"), parameter("Separator", "string"),
            parameter("ForegroundColor", "System.ConsoleColor"),
            parameter("BackgroundColor", "System.ConsoleColor"),
        ),
    ),
    Command(
        name="Write-Verbose", error_name=_COMMANDS + "WriteVerboseCommand",
        make=per_record(_quiet_stream("VerbosePreference", "verbose")), parameters=(_message("Msg"),),  # type: ignore[arg-type]
    ),
    Command(
        name="Write-Debug", error_name=_COMMANDS + "WriteDebugCommand",
        make=per_record(_quiet_stream("DebugPreference", "debug")), parameters=(_message("Msg"),),  # type: ignore[arg-type]
    ),
    Command(
        name="Write-Warning", error_name=_COMMANDS + "WriteWarningCommand",
        make=per_record(_write_warning),
        parameters=(_message("Msg"),),
    ),
    Command(
        name="Write-Progress", error_name=_COMMANDS + "WriteProgressCommand", make=per_record(_nothing),
        parameters=(
            parameter("Activity", "string", mandatory=True, position=0),
            parameter("Status", "string", position=1),
            parameter("Completed", "switch"), parameter("PercentComplete", "int"),
        ),
    ),
    Command(
        name="Out-Null", error_name=_COMMANDS + "OutNullCommand", make=per_record(_nothing),
        parameters=(parameter("InputObject", "object", pipeline=True),),
    ),
    Command(
        name="Out-String", error_name=_COMMANDS + "OutStringCommand", make=_OutString,
        parameters=(
            parameter("InputObject", "object", pipeline=True), parameter("Stream", "switch"),
            parameter("Width", "int"),
            parameter("NoNewline", "switch"),
        ),
    ),
)  # fmt: skip

__all__ = ["COMMANDS", "Value"]
