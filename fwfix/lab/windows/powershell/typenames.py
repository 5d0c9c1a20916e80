"""The type of a value."""

from __future__ import annotations

from decimal import Decimal

from fwfix.lab.windows.powershell.numbers import Sized
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import (
    Array,
    Char,
    Collection,
    Empty,
    EnumValue,
    ErrorRecord,
    Hashtable,
    Instance,
    NetException,
    NetList,
    OrderedDictionary,
    PSObject,
    Reference,
    ScriptBlock,
    Switch,
    TypeRef,
    Value,
)  # fmt: skip


def full_name(value: Value) -> str:  # noqa: C901 - one line a case
    """Return the full name of a value's type."""
    if isinstance(value, bool):
        return "System.Boolean"
    if isinstance(value, Sized):
        return "System." + value.name
    for python, name in _PYTHON_TYPES:
        if isinstance(value, python):
            return name
    if isinstance(value, Array):
        return value.element + "[]"
    if isinstance(value, NetList):
        return "System.Collections.Generic.List`1" if value.generic else "System.Collections.ArrayList"
    if isinstance(value, Collection):
        return value.type_name
    if isinstance(value, EnumValue):
        return value.kind.full_name
    if isinstance(value, PSObject | Instance):
        return value.net_type
    if isinstance(value, NetException):
        return value.type_name
    raise NotInDialect(f"the type of a {type(value).__name__}")


_A = "System.Management.Automation."
_PYTHON_TYPES: tuple[tuple[type, str], ...] = (
    (int, "System.Int32"), (float, "System.Double"), (str, "System.String"), (Decimal, "System.Decimal"),
    (Char, "System.Char"), (OrderedDictionary, "System.Collections.Specialized.OrderedDictionary"),
    (Hashtable, "System.Collections.Hashtable"), (TypeRef, "System.RuntimeType"),
    (Switch, _A + "SwitchParameter"),
    (ScriptBlock, _A + "ScriptBlock"), (ErrorRecord, _A + "ErrorRecord"), (Reference, _A + "PSReference`1"),
    (Empty, "System.Object"),
)  # fmt: skip
