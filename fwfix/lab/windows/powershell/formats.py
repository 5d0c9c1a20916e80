"""`-f`, `[string]::Format` and `ToString(format)` in the invariant culture."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.instances import Guid
from fwfix.lab.windows.powershell.numbers import Sized
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import double_text, enum_text, scalar_text, type_label
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan
from fwfix.lab.windows.powershell.values import Array, EnumValue, Hashtable, OrderedDictionary, Value, plain

_ITEM = re.compile(r"(?P<index>\d+)\s*(?:,\s*(?P<align>-?\d+)\s*)?(?::(?P<format>[^{}]*))?")
_STANDARD = re.compile(r"(?P<kind>[A-Za-z])(?P<digits>\d{0,2})")
_CUSTOM = re.compile(r"(?P<whole>[0#,]*)(?:\.(?P<fraction>0*#*))?(?P<percent>%?)")
_SPAN_TOKEN = re.compile(r"d{1,2}|hh?|mm?|ss?|f{1,7}|\\.|'[^']*'|.")
_BITS = {"SByte": 8, "Byte": 8, "Int16": 16, "UInt16": 16, "UInt32": 32, "Int64": 64, "UInt64": 64}


def format_text(template: str, arguments: list[Value], edition: Edition) -> str:
    """Return what `String.Format` returns.

    Raises:
        NetError: a FormatException.
    """
    at, out = 0, []
    while at < len(template):
        char = template[at]
        if char in "{}":
            if template[at + 1 : at + 2] == char:
                out.append(char)
                at += 2
                continue
            match = _ITEM.match(template, at + 1) if char == "{" else None
            if not match or template[match.end() : match.end() + 1] != "}":
                raise NetError("FormatException")
            out.append(_item(match, arguments, edition))
            at = match.end() + 1
            continue
        out.append(char)
        at += 1
    return "".join(out)


def _item(match: re.Match[str], arguments: list[Value], edition: Edition) -> str:
    index = int(match["index"])
    if index >= len(arguments):
        raise NetError("FormatException")
    text = format_value(arguments[index], match["format"] or "", edition)
    width = int(match["align"] or 0)
    return text.ljust(-width) if width < 0 else text.rjust(width)


def format_value(value: Value, form: str, edition: Edition) -> str:
    """Return a value in a format; an empty format is its plain text."""
    value = plain(value)
    if isinstance(value, bool) or not form:
        return _plain_text(value, edition)
    if isinstance(value, int | float | Decimal):
        return format_number(value, form, edition)
    if isinstance(value, DateTime):
        return value.text(form)
    if isinstance(value, TimeSpan):
        return format_span(value, form)
    if isinstance(value, Guid):
        return value.as_text(form)
    if isinstance(value, EnumValue):
        return _format_enum(value, form)
    return _plain_text(value, edition)


def _plain_text(value: Value, edition: Edition) -> str:
    text = scalar_text(value, edition)
    if text is not None:
        return text
    if isinstance(value, Array):
        return value.element + "[]"
    if isinstance(value, Hashtable) and not isinstance(value, OrderedDictionary):
        return "System.Collections.Hashtable"
    raise NotInDialect(f"a {type_label(value)} in a format")


def _format_enum(value: EnumValue, form: str) -> str:
    if form in ("g", "G", "f", "F"):
        return enum_text(value)
    if form in ("d", "D"):
        return str(value.number)
    if form in ("x", "X"):
        return f"{value.number:08X}"
    raise NetError("FormatException")


def format_number(value: float | Decimal, form: str, edition: Edition) -> str:
    """Return a number in a standard or custom format."""
    match = _STANDARD.fullmatch(form)
    if not match:
        return _custom(value, form, edition)
    kind = match["kind"]
    digits = int(match["digits"]) if match["digits"] else None
    if kind in "dDxX":
        if not isinstance(value, int):
            raise NetError("FormatException")
        return _whole(value, kind, digits or 0)
    if kind in "nN":
        return _fixed(value, 2 if digits is None else digits, edition, group=True)
    if kind in "fF":
        return _fixed(value, 2 if digits is None else digits, edition, group=False)
    if kind in "pP":
        text = _fixed(_exact(value, edition) * 100, 2 if digits is None else digits, edition, group=True)
        return text + " %"
    if kind in "gG" and digits is None:
        return _plain_text(value, edition)
    if kind in "rR" and isinstance(value, float) and not edition.desktop:
        return double_text(value, edition)
    raise NotInDialect(f"the number format '{form}'")


def _whole(value: int, kind: str, digits: int) -> str:
    if kind in "dD":
        return ("-" if value < 0 else "") + str(abs(int(value))).rjust(digits, "0")
    bits = _BITS[value.name] if isinstance(value, Sized) else 32
    text = f"{int(value) & ((1 << bits) - 1):x}".rjust(digits, "0")
    return text.upper() if kind == "X" else text


def _exact(value: float | Decimal, edition: Edition) -> Decimal:
    """Return the digits that .NET rounds: all of them, the first 15 on .NET Framework."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - not a number
            raise NotInDialect("an endless number in a format")
        return Decimal(f"{value:.14e}") if edition.desktop else Decimal(value)
    return Decimal(value)


def _fixed(value: float | Decimal, digits: int, edition: Edition, *, group: bool) -> str:
    rounded = _exact(value, edition).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    text = format(abs(rounded), f"{',' if group else ''}.{digits}f")
    return ("-" if rounded < 0 else "") + text


def _custom(value: float | Decimal, form: str, edition: Edition) -> str:
    match = _CUSTOM.fullmatch(form)
    if not match or not (match["whole"] or match["fraction"]) or match["whole"].endswith(","):
        raise NotInDialect(f"the number format '{form}'")
    fraction = match["fraction"] or ""
    exact = _exact(value, edition) * (100 if match["percent"] else 1)
    rounded = exact.quantize(Decimal(1).scaleb(-len(fraction)), ROUND_HALF_UP)
    whole_text, _, fraction_text = format(abs(rounded), "f").partition(".")
    least = fraction.count("0")
    fraction_text = fraction_text[:least] + fraction_text[least:].rstrip("0")
    placeholders = match["whole"].replace(",", "")
    zeros = len(placeholders) - placeholders.index("0") if "0" in placeholders else 0
    whole_text = whole_text.lstrip("0").rjust(zeros, "0")
    if "," in match["whole"]:
        whole_text = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", whole_text)
    minus = "-" if rounded < 0 else ""
    return minus + whole_text + ("." + fraction_text if fraction_text else "") + match["percent"]


def format_span(value: TimeSpan, form: str) -> str:
    """Return a time span in the constant or a custom format."""
    if form in ("c", "t", "T"):
        return value.text()
    if len(form) == 1:
        raise NotInDialect(f"the time span format '{form}'")
    days, hours, minutes, seconds, rest = (abs(p) for p in value.parts())
    out = []
    for token in _SPAN_TOKEN.findall(form):
        amounts = {"d": days, "h": hours, "m": minutes, "s": seconds}
        if token[0] in amounts:
            out.append(str(amounts[token[0]]).rjust(len(token), "0"))
        elif token[0] == "f":
            out.append(f"{rest:07d}"[: len(token)])
        elif token[0] in "\\'":
            out.append(token[1:] if token[0] == "\\" else token[1:-1])
        else:
            raise NetError("FormatException")
    return "".join(out)
