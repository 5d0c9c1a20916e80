"""Exceptions, error records and `$PSCmdlet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.functions import CommandRuntime
from fwfix.lab.windows.powershell.instances import Bag
from fwfix.lab.windows.powershell.members.tables import constructor, method, prop
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import exception_message
from fwfix.lab.windows.powershell.values import EMPTY, EnumValue, ErrorRecord, NetException, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_E, _R = "System.Exception", "System.Management.Automation.ErrorRecord"
_CMDLET = "System.Management.Automation.PSScriptCmdlet"
# Their constructors put more into the message than they are given.
_OTHER_CONSTRUCTORS = {"System.ArgumentNullException", "System.ArgumentOutOfRangeException"}


def new_exception(engine: Core, kind: NetType, arguments: list[Value]) -> NetException:
    """Return a new exception of a message and an inner exception."""
    if not arguments:
        return NetException(kind.full_name, None)
    if kind.full_name in _OTHER_CONSTRUCTORS or len(arguments) > 2:  # noqa: PLR2004 - message and inner
        raise NotInDialect(f"making a {kind.full_name} of this")
    inner = arguments[1] if len(arguments) > 1 else None
    if inner is not None and not isinstance(inner, NetException):
        raise NotInDialect(f"making a {kind.full_name} of this")
    return NetException(kind.full_name, engine.texts.of(arguments[0]), inner)


@prop(_E, "Message")
def _message(engine: Core, self: NetException) -> Value:
    del engine
    return exception_message(self)


prop(_E, "InnerException")(lambda _engine, self: self.inner)


@prop("System.Management.Automation.RuntimeException", "ErrorRecord")
def _record(engine: Core, self: NetException) -> Value:
    del engine
    if self.record is None:
        raise NotInDialect("the ErrorRecord of this exception")
    return self.record


@method(_E, "GetBaseException")
def _base(engine: Core, self: NetException) -> Value:
    del engine
    while self.inner is not None:
        self = self.inner
    return self


prop(_R, "Exception")(lambda _engine, self: self.exception)
prop(_R, "TargetObject")(lambda _engine, self: self.target)


@prop(_R, "FullyQualifiedErrorId")
def _error_id(engine: Core, self: ErrorRecord) -> Value:
    del engine
    if self.error_id is None:
        raise NotInDialect(f"the error id of this {self.exception.type_name}")
    return self.error_id


@prop(_R, "ErrorDetails")
def _details(engine: Core, self: ErrorRecord) -> Value:
    del engine
    return (
        None
        if self.details is None
        else Bag("System.Management.Automation.ErrorDetails", {"Message": self.details})
    )


@prop(_R, "CategoryInfo")
def _category(engine: Core, self: ErrorRecord) -> Value:
    kind = engine.types.by_full_name("System.Management.Automation.ErrorCategory")
    assert isinstance(kind, EnumType)
    number = kind.number_of(self.category) if self.category is not None else None
    if number is None:
        raise NotInDialect("the category of this error")
    return Bag("System.Management.Automation.ErrorCategoryInfo", {"Category": EnumValue(kind, number)})


@method(_R, "ToString")
def _record_text(engine: Core, self: ErrorRecord) -> Value:
    return engine.texts.message(self)


@constructor(_R, "object", "string", "System.Management.Automation.ErrorCategory", "object")
def _new_record(engine: Core, exception: Value, error_id: str, category: EnumValue, target: Value) -> Value:  # noqa: PLR0917 - .NET has them so, or all are of one kind
    del engine
    if not isinstance(exception, NetException):
        raise NotInDialect("an ErrorRecord of something else than an exception")
    return ErrorRecord(exception, error_id, category.kind.name_of(category.number), target)


# -- $PSCmdlet


def _named(self: CommandRuntime, record: ErrorRecord) -> ErrorRecord:
    if not self.name or record.error_id is None:
        return ErrorRecord(record.exception, None, record.category, record.target)
    return ErrorRecord(record.exception, f"{record.error_id},{self.name}", record.category, record.target)


@method(_CMDLET, "WriteError", "System.Management.Automation.ErrorRecord")
def _write_error(engine: Core, self: CommandRuntime, record: ErrorRecord) -> Value:
    engine.write_error(_named(self, record))
    return EMPTY


@method(_CMDLET, "ThrowTerminatingError", "System.Management.Automation.ErrorRecord")
def _throw(engine: Core, self: CommandRuntime, record: ErrorRecord) -> Value:
    del engine
    raise PSError(_named(self, record))


@method(_CMDLET, "WriteObject", "object")
def _write_object(engine: Core, self: CommandRuntime, value: Value) -> Value:
    del engine, self, value
    raise NotInDialect("$PSCmdlet.WriteObject")


prop(_CMDLET, "ParameterSetName")(lambda _engine, self: self.set_name)
