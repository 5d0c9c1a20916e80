"""Errors of the script: records, and the exceptions that carry them through the engine."""

from __future__ import annotations

from fwfix.lab.windows.powershell.values import ErrorRecord, NetException, Value

_A = "System.Management.Automation."
RUNTIME = _A + "RuntimeException"


class PSError(Exception):
    """A terminating error on its way up.

    Attributes:
        record: what a catch sees.
        thrown: by `throw`, or made to stop by a preference: ends the script when nobody catches it.
            Otherwise only the statement ends.
    """

    def __init__(self, record: ErrorRecord, *, thrown: bool = False) -> None:
        super().__init__(record.exception.message)
        self.record = record
        self.thrown = thrown


class NetError(Exception):
    """An exception inside a .NET member; the call wraps it. A message of None is not known."""

    def __init__(self, type_name: str, message: str | None = None) -> None:
        super().__init__(message)
        self.exception = NetException(type_name if "." in type_name else "System." + type_name, message)


def error(
    message: str | None,
    error_id: str | None,
    *,
    kind: str = RUNTIME,
    category: str | None = None,
    target: Value = None,
    inner: NetException | None = None,
) -> PSError:
    """Return an error that ends its statement."""
    exception = NetException(kind, message, inner)
    record = ErrorRecord(exception, error_id, category, target)
    exception.record = record
    return PSError(record)


def invoke_on_null() -> PSError:
    """Return the error of a method call on null."""
    return error(
        "You cannot call a method on a null-valued expression.",
        "InvokeMethodOnNull",
        category="InvalidOperation",
    )


def method_failed(name: str, count: int, failure: NetError) -> PSError:
    """Return the error of a method that threw."""
    inner = failure.exception
    message = None
    if inner.message is not None:
        message = f'Exception calling "{name}" with "{count}" argument(s): "{inner.message}"'
    short = inner.type_name.rsplit(".", 1)[-1]
    return error(message, short, kind=_A + "MethodInvocationException", category="NotSpecified", inner=inner)


def cast_failed(message: str | None, error_id: str | None, inner: NetException | None = None) -> PSError:
    """Return the error of a conversion that failed."""
    return error(
        message, error_id, kind=_A + "PSInvalidCastException", category="InvalidArgument", inner=inner
    )
