"""How values become text."""

from __future__ import annotations

import math
from decimal import Decimal

from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Char,
    Collection,
    EnumValue,
    ErrorRecord,
    Hashtable,
    Instance,
    NetException,
    NetList,
    OrderedDictionary,
    PSObject,
    ScriptBlock,
    Switch,
    TypeRef,
    Value,
)  # fmt: skip

_LARGE_EXPONENT = 15


def double_text(value: float, edition: Edition) -> str:
    """Return a double as .NET writes it: the shortest exact digits, 15 of them on .NET Framework."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0" if edition.desktop or math.copysign(1, value) > 0 else "-0"
    digits_text = f"{value:.14e}" if edition.desktop else repr(value)
    sign, digits, exponent = Decimal(digits_text).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent - 1
    minus = "-" if sign else ""
    if point >= _LARGE_EXPONENT or point < -5:  # noqa: PLR2004 - .NET's limits of the plain form
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{minus}{mantissa}E{'-' if point < 0 else '+'}{abs(point):02d}"
    if exponent >= 0:
        return minus + text + "0" * exponent
    if point < 0:
        return f"{minus}0.{'0' * (-point - 1)}{text}"
    return f"{minus}{text[: point + 1]}.{text[point + 1 :]}"


def decimal_text(value: Decimal) -> str:
    """Return a decimal with its scale."""
    return format(value, "f")


def enum_text(value: EnumValue) -> str:
    """Return an enum's name, or its number where it has none."""
    name = value.kind.name_of(value.number)
    if name is not None:
        return name
    return _flags_text(value) if value.kind.flags else str(value.number)


def _flags_text(value: EnumValue) -> str:
    """Return the names of the flags that a number is made of, or the number where something is left over."""
    rest, names = value.number, []
    for name, bits in sorted(value.kind.members, key=lambda m: -m[1]):
        if bits and rest & bits == bits:
            rest &= ~bits
            names.append(name)
    return str(value.number) if rest or not names else ", ".join(reversed(names))


def scalar_text(value: Value, edition: Edition) -> str | None:
    """Return the text of a value that is no collection, None if it is one or is not known."""
    if isinstance(value, str):
        return value
    if value is None or value is EMPTY:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return double_text(value, edition)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return _object_text(value)


def _object_text(value: Value) -> str | None:
    if isinstance(value, Char):
        return value.value
    if isinstance(value, EnumValue):
        return enum_text(value)
    if isinstance(value, Switch):
        return "True" if value.present else "False"
    if isinstance(value, DateTime):
        return value.text("G")
    if isinstance(value, TimeSpan):
        return value.text()
    if isinstance(value, ScriptBlock):
        return value.body.text
    if isinstance(value, Instance):
        text = getattr(value, "as_text", None)
        return text() if callable(text) else None
    return None


class Texts:
    """Turns values into strings as `[string]` and expandable strings do."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition

    def of(self, value: Value, separator: str = " ") -> str:
        """Return a value as text.

        Raises:
            NotInDialect: how this one looks is not known.
        """
        text = scalar_text(value, self.edition)
        if text is not None:
            return text
        if isinstance(value, Array | NetList | Collection):
            return separator.join(self._item(item) for item in value.items)
        if isinstance(value, ErrorRecord):
            return self.message(value)
        if isinstance(value, OrderedDictionary):
            return "System.Collections.Specialized.OrderedDictionary"
        if isinstance(value, Hashtable):
            return "System.Collections.Hashtable"
        if isinstance(value, PSObject):
            return self.custom_object(value)
        raise NotInDialect(f"the text of a {type_label(value)}")

    def _item(self, item: Value) -> str:
        if isinstance(item, Array):
            return item.element + "[]"
        if isinstance(item, NetList | Collection):
            raise NotInDialect("the text of a list in a list")
        return self.of(item)

    def custom_object(self, value: PSObject) -> str:
        """Return `@{a=1; b=2}`."""
        if value.net_type != "System.Management.Automation.PSCustomObject":
            raise NotInDialect(f"the text of a {value.type_names[0]}")
        parts = []
        for known in value.properties.values():
            inner = known.value
            if isinstance(inner, PSObject) or known.kind != "NoteProperty":
                raise NotInDialect("the text of an object in an object")
            if isinstance(inner, Array | NetList | Collection):
                parts.append(f"{known.name}={self._item(inner)}")
            else:
                parts.append(f"{known.name}={self.of(inner)}")
        return "@{" + "; ".join(parts) + "}"

    def message(self, record: ErrorRecord) -> str:
        """Return the message of an error record."""
        return record.details if record.details is not None else exception_message(record.exception)


def exception_message(exception: NetException) -> str:
    """Return an exception's message.

    Raises:
        NotInDialect: the wording is not known.
    """
    if exception.message is None:
        raise NotInDialect(f"the wording of this {exception.type_name}")
    return exception.message


def type_label(value: Value) -> str:
    """Return what to call a value in a refusal."""
    if isinstance(value, PSObject):
        return value.type_names[0]
    if isinstance(value, NetException):
        return value.type_name
    if isinstance(value, TypeRef):
        return "type"
    if isinstance(value, Instance):
        return value.net_type
    return type(value).__name__
