"""Conversions between types: casts, typed variables, parameters, operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.errors import NetError, cast_failed
from fwfix.lab.windows.powershell.instances import Guid, IPAddress, Regex, Version, XmlNode, parse_xml
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType, TypeTable
from fwfix.lab.windows.powershell.numbers import INT32_HIGH, INT32_LOW, SIZED
from fwfix.lab.windows.powershell.numbertext import INTEGER, REAL, text_to_number
from fwfix.lab.windows.powershell.regexes import compile_regex
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import Texts, type_label
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan, parse_datetime, parse_span
from fwfix.lab.windows.powershell.typenames import full_name
from fwfix.lab.windows.powershell.values import (
    Array,
    Char,
    Collection,
    EnumValue,
    Hashtable,
    NetList,
    OrderedDictionary,
    PSObject,
    ScriptBlock,
    Switch,
    Value,
    plain,
)  # fmt: skip

_NUMBERS = {"System.Int32", "System.Double", "System.Decimal", *(f"System.{name}" for name in SIZED)}
_CONVERT_FINAL = "ConvertToFinalInvalidCastException"


class Converter:
    """Converts values for one engine."""

    def __init__(self, types: TypeTable, edition: Edition) -> None:
        self.types = types
        self.edition = edition
        self.texts = Texts(edition)
        self.special: dict[str, Callable[[Value], Value]] = {
            "System.String": self.texts.of,
            "System.Boolean": self.to_bool,
            "System.Char": self.to_char,
            "System.Array": self.to_array,
            "System.Collections.ArrayList": self.to_arraylist,
            "System.DateTime": self.to_datetime,
            "System.TimeSpan": self.to_timespan,
            "System.Guid": self.to_guid,
            "System.Version": self.to_version,
            "System.Net.IPAddress": self.to_address,
            "System.Xml.XmlDocument": self.to_xml,
            "System.Text.RegularExpressions.Regex": self.to_regex,
            "System.Management.Automation.PSObject": self.to_psobject,
            "System.Management.Automation.SwitchParameter": self.to_switch,
            "System.Collections.Hashtable": self.to_hashtable,
        }

    # -- what a value is

    def type_of(self, value: Value) -> NetType:
        """Return a value's type."""
        return self.types.by_full_name(full_name(value))

    def is_a(self, value: Value, kind: NetType) -> bool:
        """Say what `-is` says."""
        if value is None:
            return False
        if kind.full_name == "System.Management.Automation.PSObject":
            if isinstance(value, PSObject):
                return True
            raise NotInDialect("-is [psobject] of a value that may be wrapped")
        own = self.type_of(value)
        if kind.element and isinstance(value, Array) and kind.full_name.endswith("[]"):
            return value.element == kind.element or (
                kind.element == "System.Object" and not self._value_elements(value)
            )
        return own.derives_from(kind.full_name)

    def _value_elements(self, value: Array) -> bool:
        return self.types.by_full_name(value.element).value_type

    # -- conversions

    def to(self, value: Value, kind: NetType) -> Value:
        """Convert a value to a type.

        Raises:
            PSError: PowerShell cannot either.
            NotInDialect: not known whether it can.
        """
        value = plain(value)
        name = kind.full_name
        if name == "System.Object":
            return value
        if name.endswith("[]"):
            return self.to_typed_array(value, kind)
        if name in _NUMBERS:
            return self.to_number(value, name)
        if isinstance(kind, EnumType):
            return self.to_enum(value, kind)
        handler = self.special.get(name)
        if handler is not None:
            return handler(value)
        if value is None:
            return None
        if self.type_of(value).derives_from(name):
            return value
        raise NotInDialect(f"a conversion of {type_label(value)} to {name}")

    def failed(self, value: Value, kind: str) -> Exception:
        """Return the error of a conversion that does not exist."""
        try:
            text = self.texts.of(value)
            own = self.type_of(value).full_name
            message = f'Cannot convert the "{text}" value of type "{own}" to type "{kind}".'
        except NotInDialect:
            message = None
        return cast_failed(message, _CONVERT_FINAL)

    def to_bool(self, value: Value) -> bool:
        """Return what a condition makes of a value."""
        value = plain(value)
        if value is None:
            return False
        if isinstance(value, bool | int | float | Decimal | str):
            return bool(value)
        if isinstance(value, Char):
            return value.value != "\0"
        if isinstance(value, EnumValue):
            return value.number != 0
        if isinstance(value, Switch):
            return value.present
        if isinstance(value, Array | NetList):
            if len(value.items) != 1:
                return len(value.items) > 1
            only = value.items[0]
            return bool(only.items) if isinstance(only, Array | NetList) else self.to_bool(only)
        if isinstance(value, Collection):
            raise NotInDialect(f"a {value.type_name} as a condition")
        return True

    def to_number(self, value: Value, name: str) -> Value:
        """Convert to one of the number types."""
        source = self._numeric(value, name)
        if name == "System.Double":
            return float(source)
        if name == "System.Decimal":
            return Decimal(repr(source)) if isinstance(source, float) else Decimal(source)
        if isinstance(source, float) and not math.isfinite(source):
            raise cast_failed(None, None)
        whole = (
            int(source.quantize(Decimal(1), ROUND_HALF_EVEN))
            if isinstance(source, Decimal)
            else round(source)
        )
        return self._fit(whole, name)

    def _fit(self, whole: int, name: str) -> Value:
        sized = SIZED.get(name.removeprefix("System."))
        low, high = (sized.low, sized.high) if sized else (INT32_LOW, INT32_HIGH)
        if not low <= whole <= high:
            raise cast_failed(None, None)
        return sized(whole) if sized else whole

    def _numeric(self, value: Value, name: str) -> int | float | Decimal:
        value = plain(value)
        if value is None:
            return 0
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int | float | Decimal):
            return value
        if isinstance(value, EnumValue):
            return value.number
        if isinstance(value, Char):
            return ord(value.value)
        if isinstance(value, Switch):
            return int(value.present)
        if isinstance(value, str):
            return self._text_number(value, name)
        if isinstance(value, Array | NetList) and len(value.items) == 1:
            raise NotInDialect("a list of one as a number")
        if isinstance(value, Hashtable | Array | NetList | PSObject | ScriptBlock):
            raise self.failed(value, name)
        raise NotInDialect(f"a {type_label(value)} as a number")

    def _text_number(self, text: str, name: str) -> int | float | Decimal:
        if name == "System.Decimal" and REAL.fullmatch(text.strip()) and "e" not in text.lower():
            return Decimal(text.strip())
        number = text_to_number(text)
        if number is None:
            reason = "Input string was not in a correct format."
            if not self.edition.desktop:
                reason = f"The input string '{text}' was not in a correct format."
            message = f'Cannot convert value "{text}" to type "{name}". Error: "{reason}"'
            raise cast_failed(message, "InvalidCastFromStringToInteger" if name != "System.Double" else None)
        assert isinstance(number, int | float | Decimal)
        return number

    def to_enum(self, value: Value, kind: EnumType) -> Value:
        """Convert to an enum: by name, by the beginning of a name that only one has, by number."""
        if isinstance(value, EnumValue) and value.kind.full_name == kind.full_name:
            return value
        if isinstance(value, str):
            number = kind.number_of(value.strip())
            if number is None:
                begins = {n for m, n in kind.members if m.lower().startswith(value.strip().lower())}
                if "," in value or INTEGER.fullmatch(value.strip()):
                    raise NotInDialect(f"'{value}' as a {kind.name}")
                if len(begins) != 1 or not value.strip():
                    raise cast_failed(None, None)
                number = begins.pop()
            return EnumValue(kind, number)
        if isinstance(value, int) and not isinstance(value, bool):
            if kind.name_of(int(value)) is None:
                if kind.flags:
                    raise NotInDialect(f"a number as a {kind.name}")
                raise cast_failed(None, None)
            return EnumValue(kind, int(value))
        if value is None:
            raise cast_failed(None, None)
        raise NotInDialect(f"a {type_label(value)} as a {kind.name}")

    def to_char(self, value: Value) -> Value:
        """Convert to a character."""
        if isinstance(value, Char):
            return value
        if isinstance(value, str) and len(value) == 1:
            return Char(value)
        if isinstance(value, str):
            raise cast_failed(None, None)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16:
            return Char(chr(value))
        raise NotInDialect("this conversion to a character")

    def to_typed_array(self, value: Value, kind: NetType) -> Value:
        """Convert to an array: item by item, or the value as the only item."""
        if value is None:
            return None
        element = self.types.by_full_name(kind.element)
        if isinstance(value, Array) and value.element == kind.element:
            return value
        if kind.element == "System.Char" and isinstance(value, str):
            return Array((Char(c) for c in value), "System.Char")
        if isinstance(value, Array | NetList | Collection):
            return Array((self.to(item, element) for item in value.items), kind.element)
        return Array([self.to(value, element)], kind.element)

    def to_array(self, value: Value) -> Value:
        """Convert to `[array]`."""
        if value is None or isinstance(value, Array):
            return value
        return Array(value.items if isinstance(value, NetList | Collection) else [value])

    def to_arraylist(self, value: Value) -> Value:
        """Convert to an ArrayList."""
        if value is None or (isinstance(value, NetList) and not value.generic):
            return value
        if isinstance(value, Array):
            return NetList(value.items)
        raise NotInDialect("this conversion to an ArrayList")

    def to_datetime(self, value: Value) -> Value:
        """Convert to a DateTime."""
        if isinstance(value, DateTime):
            return value
        if isinstance(value, str):
            try:
                found = parse_datetime(value)
            except NetError:
                raise cast_failed(None, "InvalidCastParseTargetInvocation") from None
            if found is not None:
                return found
            if value.strip() and not any(c.isdigit() for c in value):
                raise cast_failed(None, "InvalidCastParseTargetInvocation")
        raise NotInDialect("this conversion to a DateTime")

    def to_timespan(self, value: Value) -> Value:
        """Convert to a TimeSpan."""
        if isinstance(value, TimeSpan):
            return value
        if isinstance(value, str):
            found = parse_span(value)
            if found is not None:
                return found
        elif isinstance(value, int) and not isinstance(value, bool):
            return TimeSpan(int(value))
        raise NotInDialect("this conversion to a TimeSpan")

    def to_guid(self, value: Value) -> Value:
        """Convert to a Guid."""
        if isinstance(value, Guid):
            return value
        found = Guid.parse(value) if isinstance(value, str) else None
        if found is None:
            if isinstance(value, str):
                raise cast_failed(None, None)
            raise NotInDialect("this conversion to a Guid")
        return found

    def to_version(self, value: Value) -> Value:
        """Convert to a Version."""
        if isinstance(value, Version):
            return value
        found = Version.parse(value) if isinstance(value, str) else None
        if found is None:
            if isinstance(value, str):
                raise cast_failed(None, None)
            raise NotInDialect("this conversion to a Version")
        return found

    def to_address(self, value: Value) -> Value:
        """Convert to an IPAddress."""
        if isinstance(value, IPAddress):
            return value
        if isinstance(value, str):
            return IPAddress.from_text(value, lambda: cast_failed(None, None))
        raise NotInDialect("this conversion to an IPAddress")

    def to_xml(self, value: Value) -> Value:
        """Convert to an XmlDocument."""
        if isinstance(value, XmlNode):
            return value
        if isinstance(value, str):
            document = parse_xml(value)
            if document is None:
                raise cast_failed(None, None)
            return document
        raise NotInDialect("this conversion to XML")

    def to_regex(self, value: Value) -> Value:
        """Convert to a Regex."""
        if isinstance(value, Regex):
            return value
        if isinstance(value, str):
            return Regex(compile_regex(value, ignore_case=False), value)
        raise NotInDialect("this conversion to a Regex")

    def to_psobject(self, value: Value) -> Value:
        """Convert to `[pscustomobject]`: a table becomes an object, anything else stays."""
        if isinstance(value, Hashtable):
            return PSObject((self.texts.of(k), v) for k, v in value.pairs())
        return value

    def to_switch(self, value: Value) -> Value:
        """Convert to a switch parameter."""
        if isinstance(value, Switch):
            return value
        if isinstance(value, bool):
            return Switch(value)
        if value is None:
            return Switch(False)
        raise NotInDialect("this conversion to a switch")

    def to_hashtable(self, value: Value) -> Value:
        """Convert to a Hashtable."""
        if value is None or (isinstance(value, Hashtable) and not isinstance(value, OrderedDictionary)):
            return value
        if isinstance(value, OrderedDictionary):
            raise NotInDialect("an ordered dictionary as a hashtable")
        raise self.failed(value, "System.Collections.Hashtable")
