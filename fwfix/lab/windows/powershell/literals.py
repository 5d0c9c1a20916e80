"""Numbers as written in a script."""

import re
from decimal import Decimal

from fwfix.lab.windows.powershell.numbers import Int64

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?:0x(?P<hex>[0-9a-f]+)|(?P<int>[0-9]+)(?P<frac>\.[0-9]+)?(?P<exp>e[+-]?[0-9]+)?"
    r"|(?P<bare>\.[0-9]+)(?P<bexp>e[+-]?[0-9]+)?)(?P<suffix>[ld]?)(?P<unit>[kmgtp]b)?",
    re.IGNORECASE,
)
_UNITS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}
_LONG, _INT = 16, 8  # digits of the types
_DECIMAL_MAX = (1 << 96) - 1


def fit_integer(value: int) -> object:
    """Give a whole number the smallest of the types that a literal can have."""
    if -(1 << 31) <= value < 1 << 31:
        return value
    if -(1 << 63) <= value < 1 << 63:
        return Int64(value)
    if abs(value) <= _DECIMAL_MAX:
        return Decimal(value)
    return float(value)


def parse_number(text: str) -> object | None:
    """Return the value of a number literal, None if the text is none."""
    match = _NUMBER.fullmatch(text)
    if not match:
        return None
    sign = -1 if match["sign"] == "-" else 1
    unit = _UNITS[(match["unit"] or "").lower()]
    suffix = match["suffix"].lower()
    if match["hex"]:
        return _hexadecimal(match["hex"], sign, unit, suffix)
    real = match["frac"] or match["exp"] or match["bare"]
    digits = text.lstrip("+-")[: len(text.lstrip("+-")) - len(match["suffix"]) - len(match["unit"] or "")]
    if suffix == "d":
        return Decimal(digits) * unit * sign
    if real:
        return None if suffix else sign * float(digits) * unit
    whole = sign * int(digits) * unit
    if suffix == "l":
        return Int64(whole) if -(1 << 63) <= whole < 1 << 63 else None
    return fit_integer(whole)


def _hexadecimal(digits: str, sign: int, unit: int, suffix: str) -> object | None:
    """Hexadecimal literals of 8 and 16 digits are two's complement; longer ones are not known."""
    value = int(digits, 16)
    if suffix == "d" or len(digits) > _LONG or value >= 1 << 63:
        return None
    if value >= 1 << 31 and len(digits) == _INT and not suffix:
        value -= 1 << 32
    return Int64(sign * value * unit) if suffix else fit_integer(sign * value * unit)
