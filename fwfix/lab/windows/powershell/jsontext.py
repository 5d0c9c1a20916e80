"""JSON as ConvertTo-Json writes it and ConvertFrom-Json reads it."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.instances import Bag, Guid, Version
from fwfix.lab.windows.powershell.literals import fit_integer
from fwfix.lab.windows.powershell.numbers import Int64
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import double_text, type_label
from fwfix.lab.windows.powershell.times import DateTime, parse_datetime
from fwfix.lab.windows.powershell.unicode import from_python, to_python
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Char,
    Collection,
    EnumValue,
    Hashtable,
    NetList,
    PSObject,
    Switch,
    Value,
)  # fmt: skip

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_DESKTOP_ESCAPED = "<>&'"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?")
_MAYBE_DATE = re.compile(r"\d{4}-\d\d-\d\dT.*|/Date\(.*", re.DOTALL)
_RELAXED = re.compile(r"//|/\*|'|,\s*[\]}]|NaN|Infinity|undefined|new |[{,]\s*\w+\s*:|0x", re.IGNORECASE)
_TYPE_KEYS = 2


class JsonError(Exception):
    """A text is no JSON."""


def quoted(text: str, edition: Edition) -> str:
    """Return a JSON string."""
    out = []
    for char in text:
        if char in _SHORT:
            out.append(_SHORT[char])
        elif char < " " or char in "\x85\u2028\u2029" or (edition.desktop and char in _DESKTOP_ESCAPED):
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


class JsonWriter:
    """Writes one value.

    Attributes:
        truncated: something lay deeper than the depth and became its text.
    """

    def __init__(self, convert: Converter, depth: int, *, compress: bool) -> None:
        self.convert = convert
        self.edition = convert.edition
        self.depth = depth
        self.compress = compress
        self.truncated = False
        if not compress and self.edition.desktop:
            raise NotInDialect("ConvertTo-Json of Windows PowerShell without -Compress")

    def text(self, value: Value, level: int = 0) -> str:
        """Return a value as JSON."""
        if value is None or value is EMPTY:
            return "null"
        if isinstance(value, bool | Switch):
            return self._flag(value)
        if isinstance(value, str):
            return quoted(value, self.edition)
        if isinstance(value, int):
            return str(int(value))
        if isinstance(value, float | Decimal):
            return self._real(value)
        if isinstance(value, Char):
            return quoted(value.value, self.edition)
        if isinstance(value, EnumValue):
            return str(value.number)
        if isinstance(value, DateTime):
            return self._date(value)
        if isinstance(value, Guid):
            return quoted(value.as_text(), self.edition)
        return self._composite(value, level)

    def _flag(self, value: bool | Switch) -> str:  # noqa: FBT001 - a value
        if isinstance(value, Switch):
            raise NotInDialect("a switch as JSON")
        return "true" if value else "false"

    def _real(self, value: float | Decimal) -> str:
        if self.edition.desktop:
            raise NotInDialect("a number with a fraction as JSON of Windows PowerShell")
        if isinstance(value, Decimal):
            text = format(value, "f")
            return text if "." in text else text + ".0"
        if not math.isfinite(value):
            raise NotInDialect("an endless number as JSON")
        text = double_text(value, self.edition)
        return text if "." in text or "E" in text else text + ".0"

    def _date(self, value: DateTime) -> str:
        if self.edition.desktop:
            raise NotInDialect("a DateTime as JSON of Windows PowerShell")
        zone = {"Utc": "Z", "Local": "+00:00"}.get(value.kind, "")
        form = "yyyy-MM-ddTHH:mm:ss.FFFFFFF" if value.fraction else "yyyy-MM-ddTHH:mm:ss"
        return quoted(value.text(form) + zone, self.edition)

    def _composite(self, value: Value, level: int) -> str:
        if isinstance(value, Version | Bag):
            raise NotInDialect(f"a {type_label(value)} as JSON")
        if level > self.depth:
            self.truncated = True
            return quoted(self._truncated(value), self.edition)
        if isinstance(value, Array | NetList | Collection):
            return self._list([self.text(item, level + 1) for item in value.items], level)
        if isinstance(value, Hashtable):
            pairs = [(self.convert.texts.of(k), v) for k, v in value.pairs()]
            return self._object(pairs, level)
        if isinstance(value, PSObject):
            if value.net_type != "System.Management.Automation.PSCustomObject":
                raise NotInDialect(f"a {type_label(value)} as JSON")
            return self._object([(p.name, p.value) for p in value.properties.values()], level)
        raise NotInDialect(f"a {type_label(value)} as JSON")

    def _truncated(self, value: Value) -> str:
        if isinstance(value, Collection | NetList):
            raise NotInDialect("a list below the depth of JSON")
        return self.convert.texts.of(value)

    def _list(self, items: list[str], level: int) -> str:
        return self._bracket("[", "]", items, level)

    def _object(self, pairs: list[tuple[str, Value]], level: int) -> str:
        colon = ":" if self.compress else ": "
        entries = [quoted(name, self.edition) + colon + self.text(value, level + 1) for name, value in pairs]
        return self._bracket("{", "}", entries, level)

    def _bracket(self, opening: str, closing: str, entries: list[str], level: int) -> str:
        if not entries:
            return opening + closing
        if self.compress:
            return opening + ",".join(entries) + closing
        indent = "  " * (level + 1)
        return opening + "\n" + ",\n".join(indent + e for e in entries) + "\n" + "  " * level + closing


class JsonReader:
    """Reads one text."""

    def __init__(self, edition: Edition, *, tables: bool) -> None:
        self.edition = edition
        self.tables = tables

    def read(self, text: str) -> Value:
        """Return the value of a text.

        Raises:
            JsonError: it is no JSON.
            NotInDialect: PowerShell's reader may take what is no JSON.
        """
        plain = to_python(text)
        try:
            return self._value(
                json.loads(
                    plain,
                    object_pairs_hook=_Pairs,
                    parse_int=self._whole,
                    parse_constant=self._odd,
                    strict=True,
                )
            )
        except json.JSONDecodeError as exc:
            if _RELAXED.search(plain) or any(ord(c) < 32 and c not in "\r\n\t" for c in plain):  # noqa: PLR2004 - control characters
                raise NotInDialect("a text that PowerShell may take as JSON") from exc
            raise JsonError from exc

    @staticmethod
    def _odd(name: str) -> object:
        raise NotInDialect(f"{name} in JSON")

    def _whole(self, text: str) -> object:
        number = int(text)
        if self.edition.desktop:
            return fit_integer(number)
        if not Int64.low <= number <= Int64.high:
            raise NotInDialect("a number of this size in JSON")
        return Int64(number)

    def _value(self, found: object) -> Value:
        if isinstance(found, _Pairs):
            return self._object(found)
        if isinstance(found, list):
            return Array(self._value(item) for item in found)
        if isinstance(found, str):
            return self._string(from_python(found))
        if isinstance(found, float) and self.edition.desktop:
            return Decimal(repr(found))
        return found

    def _string(self, text: str) -> Value:
        if self.edition.desktop or not _MAYBE_DATE.fullmatch(text):
            if text.startswith("/Date("):
                raise NotInDialect("a date in JSON")
            return text
        found = parse_datetime(text, zone="roundtrip") if _DATE.fullmatch(text) else None
        if found is None or found.kind == "Local":
            raise NotInDialect(f"'{text}' in JSON")
        return found

    def _object(self, pairs: _Pairs) -> Value:
        names = [from_python(name) for name, _ in pairs]
        if len({n.lower() for n in names}) != len(names) or "" in names:
            raise NotInDialect("these names in a JSON object")
        values = [self._value(value) for _, value in pairs]
        if self.tables:
            raise NotInDialect("-AsHashtable")
        return PSObject(zip(names, values, strict=True))


class _Pairs(list[tuple[str, object]]):
    """An object of JSON in its own order."""
