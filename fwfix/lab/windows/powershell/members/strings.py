"""System.String and System.Char."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.comparing import fold
from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.formats import format_text
from fwfix.lab.windows.powershell.instances import Culture
from fwfix.lab.windows.powershell.members.tables import method, prop, static, static_prop
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import Array, Char, EnumValue, Value, is_list, items_of

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_S = "System.String"
BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def upper(text: str) -> str:
    """Return a text in upper case, character by character."""
    return fold(text)


def lower(text: str) -> str:
    """Return a text in lower case, character by character."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


@prop(_S, "Length")
def _length(engine: Core, self: str) -> Value:
    del engine
    return len(self)


for _name in ("ToUpper", "ToUpperInvariant"):
    method(_S, _name)(lambda _engine, self: upper(self))
for _name in ("ToLower", "ToLowerInvariant"):
    method(_S, _name)(lambda _engine, self: lower(self))


def _charset(engine: Core, arguments: tuple[Value, ...]) -> str:
    if not arguments:
        return BLANKS
    return "".join(engine.texts.of(item) for argument in arguments for item in items_of(argument))


@method(_S, "Trim", rest=True)
def _trim(engine: Core, self: str, *arguments: Value) -> Value:
    return self.strip(_charset(engine, arguments))


@method(_S, "TrimStart", rest=True)
def _trim_start(engine: Core, self: str, *arguments: Value) -> Value:
    return self.lstrip(_charset(engine, arguments))


@method(_S, "TrimEnd", rest=True)
def _trim_end(engine: Core, self: str, *arguments: Value) -> Value:
    return self.rstrip(_charset(engine, arguments))


def _range(self: str, start: int, length: int) -> None:
    if start < 0 or length < 0 or start + length > len(self):
        raise NetError("ArgumentOutOfRangeException")


@method(_S, "Substring", "int")
def _substring(engine: Core, self: str, start: int) -> Value:
    del engine
    _range(self, start, 0)
    return self[start:]


@method(_S, "Substring", "int", "int")
def _substring2(engine: Core, self: str, start: int, length: int) -> Value:
    del engine
    _range(self, start, length)
    return self[start : start + length]


@method(_S, "Remove", "int")
def _remove(engine: Core, self: str, start: int) -> Value:
    del engine
    if not 0 <= start < len(self):
        raise NetError("ArgumentOutOfRangeException")
    return self[:start]


@method(_S, "Remove", "int", "int")
def _remove2(engine: Core, self: str, start: int, length: int) -> Value:
    del engine
    _range(self, start, length)
    return self[:start] + self[start + length :]


@method(_S, "Insert", "int", "string")
def _insert(engine: Core, self: str, start: int, text: str) -> Value:
    del engine
    _range(self, start, 0)
    return self[:start] + text + self[start:]


@method(_S, "Replace", "string", "string")
@method(_S, "Replace", "char", "char")
def _replace(engine: Core, self: str, old: Value, new: Value) -> Value:
    needle = engine.texts.of(old)
    if not needle:
        raise NetError("ArgumentException")
    return self.replace(needle, engine.texts.of(new))


@method(_S, "PadLeft", "int")
@method(_S, "PadLeft", "int", "char")
def _pad_left(engine: Core, self: str, width: int, char: Char = Char(" ")) -> Value:  # noqa: B008 - immutable
    del engine
    if width < 0:
        raise NetError("ArgumentOutOfRangeException")
    return self.rjust(width, char.value)


@method(_S, "PadRight", "int")
@method(_S, "PadRight", "int", "char")
def _pad_right(engine: Core, self: str, width: int, char: Char = Char(" ")) -> Value:  # noqa: B008 - immutable
    del engine
    if width < 0:
        raise NetError("ArgumentOutOfRangeException")
    return self.ljust(width, char.value)


def _searchable(self: str, needle: str) -> None:
    """A search by culture sees what a search by value does only in plain text."""
    for char in needle:
        if unicodedata.category(char)[0] in "CM" and char not in "\r\n\t":
            raise NotInDialect("a search that depends on the culture")
    if any(unicodedata.category(c)[0] == "M" for c in self):
        raise NotInDialect("a search that depends on the culture")


def _compared(comparison: EnumValue | None, self: str, needle: str) -> tuple[str, str]:
    name = comparison.kind.name_of(comparison.number) if comparison is not None else "CurrentCulture"
    if name is None or not name.startswith("Ordinal"):
        _searchable(self, needle)
    if name is not None and name.endswith("IgnoreCase"):
        return fold(self), fold(needle)
    return self, needle


@method(_S, "StartsWith", "string")
@method(_S, "StartsWith", "string", "System.StringComparison")
def _starts(engine: Core, self: str, needle: str, comparison: EnumValue | None = None) -> Value:
    del engine
    text, part = _compared(comparison, self, needle)
    return text.startswith(part)


@method(_S, "EndsWith", "string")
@method(_S, "EndsWith", "string", "System.StringComparison")
def _ends(engine: Core, self: str, needle: str, comparison: EnumValue | None = None) -> Value:
    del engine
    text, part = _compared(comparison, self, needle)
    return text.endswith(part)


@method(_S, "Contains", "string")
def _contains(engine: Core, self: str, needle: str) -> Value:
    del engine
    return needle in self


@method(_S, "Contains", "char", core=True)
def _contains_char(engine: Core, self: str, needle: Char) -> Value:
    del engine
    return needle.value in self


@method(_S, "Contains", "string", "System.StringComparison", core=True)
def _contains2(engine: Core, self: str, needle: str, comparison: EnumValue) -> Value:
    del engine
    text, part = _compared(comparison, self, needle)
    return part in text


def _find(self: str, needle: Value, start: int, comparison: EnumValue | None, *, last: bool) -> int:
    part = needle.value if isinstance(needle, Char) else str(needle)
    if start < 0 or start > len(self):
        raise NetError("ArgumentOutOfRangeException")
    text, wanted = (self, part) if isinstance(needle, Char) else _compared(comparison, self, part)
    if not wanted and last:
        raise NotInDialect("the last index of nothing")
    return text.rfind(wanted) if last else text.find(wanted, start)


@method(_S, "IndexOf", "string")
@method(_S, "IndexOf", "char")
@method(_S, "IndexOf", "string", "int")
@method(_S, "IndexOf", "char", "int")
def _index_of(engine: Core, self: str, needle: Value, start: int = 0) -> Value:
    del engine
    return _find(self, needle, start, None, last=False)


@method(_S, "IndexOf", "string", "System.StringComparison")
def _index_of2(engine: Core, self: str, needle: str, comparison: EnumValue) -> Value:
    del engine
    return _find(self, needle, 0, comparison, last=False)


@method(_S, "LastIndexOf", "string")
@method(_S, "LastIndexOf", "char")
def _last_index_of(engine: Core, self: str, needle: Value) -> Value:
    del engine
    return _find(self, needle, 0, None, last=True)


@method(_S, "IndexOfAny", "char[]")
def _index_of_any(engine: Core, self: str, chars: Array) -> Value:
    del engine
    wanted = {c.value for c in chars.items if isinstance(c, Char)}
    return next((i for i, c in enumerate(self) if c in wanted), -1)


@method(_S, "ToCharArray")
def _to_chars(engine: Core, self: str) -> Value:
    del engine
    return Array((Char(c) for c in self), "System.Char")


@method(_S, "Equals", "string")
def _equals(engine: Core, self: str, other: str) -> Value:
    del engine
    return self == other


@method(_S, "Equals", "string", "System.StringComparison")
def _equals2(engine: Core, self: str, other: str, comparison: EnumValue) -> Value:
    del engine
    if not str(comparison.kind.name_of(comparison.number)).startswith("Ordinal"):
        raise NotInDialect("a comparison by culture")
    text, part = _compared(comparison, self, other)
    return text == part


@method(_S, "CompareTo", "string")
def _compare_to(engine: Core, self: str, other: str) -> Value:
    return engine.ops.compare.order(self, other, ignore_case=False)


# -- Split


@method(_S, "Split", rest=True)
def _split(engine: Core, self: str, *arguments: Value) -> Value:
    values = list(arguments)
    options, limit = 0, 0
    kind = engine.types.by_full_name("System.StringSplitOptions")
    if len(values) > 1 and (
        isinstance(values[-1], EnumValue) or (isinstance(values[-1], str) and len(values[-1]) > 1)
    ):
        chosen = engine.convert.to(values.pop(), kind)
        assert isinstance(chosen, EnumValue)
        options = chosen.number
    if len(values) == 2 and isinstance(values[1], int):  # noqa: PLR2004 - separator and count
        limit = int(values.pop())  # type: ignore[call-overload]
        if limit < 1:
            raise NotInDialect("a split into nothing")
    separators = _separators(engine, values, has_options=len(arguments) > 1)
    parts = _split_at(self, separators, limit, drop_empty=bool(options & 1))
    return Array(parts, _S)


def _separators(engine: Core, values: list[Value], *, has_options: bool) -> list[str]:
    if not values or values == [None]:
        return list(BLANKS)
    if all(isinstance(v, Char) for v in values):
        return [v.value for v in values if isinstance(v, Char)]
    if len(values) != 1:
        raise NotInDialect("these separators of Split")
    value = values[0]
    if isinstance(value, str):
        if engine.edition.desktop:
            return list(value) or list(BLANKS)
        return [value] if value else []
    if isinstance(value, Array):
        if value.element == "System.Char":
            return [c.value for c in value.items if isinstance(c, Char)] or list(BLANKS)
        texts = [t for t in value.items if isinstance(t, str)]
        single = all(len(t) == 1 for t in texts)
        if len(texts) == len(value.items) and texts and (single or (has_options and value.element == _S)):
            return texts
    raise NotInDialect("these separators of Split")


def _split_at(text: str, separators: list[str], limit: int, *, drop_empty: bool) -> list[str]:
    parts: list[str] = []
    start = at = 0
    while at < len(text):
        hit = next((s for s in separators if s and text.startswith(s, at)), None)
        if hit is None:
            at += 1
            continue
        if limit and len(parts) == limit - 1:
            break
        if not drop_empty or at > start:
            parts.append(text[start:at])
        at += len(hit)
        start = at
    if limit and drop_empty:
        raise NotInDialect("Split with a count that drops what is empty")
    if not drop_empty or start < len(text):
        parts.append(text[start:])
    return parts


# -- static


@static_prop(_S, "Empty")
def _empty(engine: Core) -> Value:
    del engine
    return ""


@static(_S, "IsNullOrEmpty", "string")
def _null_or_empty(engine: Core, text: Value) -> Value:
    del engine
    return not text


@static(_S, "IsNullOrWhiteSpace", "string")
def _null_or_blank(engine: Core, text: str | None) -> Value:
    del engine
    return not (text or "").strip(BLANKS)


@static(_S, "Join", rest=True)
def _join(engine: Core, *arguments: Value) -> Value:
    if len(arguments) < 2:  # noqa: PLR2004 - separator and values
        raise NotInDialect("[string]::Join with one argument")
    values = items_of(arguments[1]) if len(arguments) == 2 else list(arguments[1:])  # noqa: PLR2004 - one list
    if any(is_list(v) for v in values) or isinstance(arguments[0], int):
        raise NotInDialect("[string]::Join of lists")
    return engine.texts.of(arguments[0]).join(engine.texts.of(v) for v in values)


@static(_S, "Concat", rest=True)
def _concat(engine: Core, *arguments: Value) -> Value:
    values = items_of(arguments[0]) if len(arguments) == 1 else list(arguments)
    if any(is_list(v) for v in values):
        raise NotInDialect("[string]::Concat of lists")
    return "".join(engine.texts.of(v) for v in values)


@static(_S, "Format", rest=True)
def _format(engine: Core, *arguments: Value) -> Value:
    values = list(arguments)
    if isinstance(values[0], Culture):
        values.pop(0)
    template = engine.texts.of(values.pop(0))
    if len(values) == 1 and isinstance(values[0], Array):
        values = values[0].items
    return format_text(template, values, engine.edition)


@static(_S, "Equals", "string", "string")
def _static_equals(engine: Core, left: Value, right: Value) -> Value:
    del engine
    return left == right
