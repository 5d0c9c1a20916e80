"""Numbers, System.Math and enums."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.arithmetic import common_type, whole_number
from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.formats import format_value
from fwfix.lab.windows.powershell.instances import Culture
from fwfix.lab.windows.powershell.members.tables import method, static, static_prop
from fwfix.lab.windows.powershell.nettypes import EnumType
from fwfix.lab.windows.powershell.numbers import INT32_HIGH, INT32_LOW, SIZED
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import Array, EnumValue, Reference, TypeRef, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

Number = int | float | Decimal
_M = "System.Math"
_KINDS = ("Int32", "Double", "Decimal", *SIZED)
_DIGITS = re.compile(r"\s*[+-]?\d+\s*")


def _text_as(engine: Core, self: Value, form: str, culture: Culture | None = None) -> Value:
    del culture
    return format_value(self, form or "", engine.edition)


for _kind in (*(f"System.{k}" for k in _KINDS), "System.Enum", "System.Guid"):
    method(_kind, "ToString", "string")(_text_as)
    method(_kind, "ToString", "string", "System.Globalization.CultureInfo")(_text_as)


@method("System.Int32", "ToString", "System.Globalization.CultureInfo")
@method("System.Int64", "ToString", "System.Globalization.CultureInfo")
@method("System.Double", "ToString", "System.Globalization.CultureInfo")
def _text_in(engine: Core, self: Value, culture: Culture) -> Value:
    del culture
    return engine.texts.of(self)


@method("System.Int32", "CompareTo", "int")
@method("System.Int64", "CompareTo", "long")
@method("System.Double", "CompareTo", "double")
def _compare(engine: Core, self: float, other: float) -> Value:
    del engine
    return (self > other) - (self < other)


def _limits(name: str) -> tuple[int, int]:
    kind = SIZED.get(name)
    return (kind.low, kind.high) if kind else (INT32_LOW, INT32_HIGH)


def _parser(name: str) -> Callable[[Core, str], Value]:
    def parse(engine: Core, text: str) -> Value:
        if text is None:
            raise NetError("ArgumentNullException")
        if not _DIGITS.fullmatch(text):
            raise NetError("FormatException")
        low, high = _limits(name)
        if not low <= int(text) <= high:
            raise NetError("OverflowException")
        return engine.convert.to_number(text, "System." + name)

    return parse


def _trier(name: str) -> Callable[[Core, str, Reference], Value]:
    parse = _parser(name)

    def attempt(engine: Core, text: str | None, result: Reference) -> Value:
        try:
            result.set(parse(engine, text or ""))
        except NetError:
            result.set(engine.convert.to_number(0, "System." + name))
            return False
        return True

    return attempt


for _name in ("Int32", *SIZED):
    static("System." + _name, "Parse", "string")(_parser(_name))
    static("System." + _name, "TryParse", "string", "ref")(_trier(_name))
    static_prop("System." + _name, "MaxValue")(
        lambda engine, n=_name: engine.convert.to_number(_limits(n)[1], "System." + n)
    )
    static_prop("System." + _name, "MinValue")(
        lambda engine, n=_name: engine.convert.to_number(_limits(n)[0], "System." + n)
    )


@static("System.Double", "Parse", "string")
@static("System.Double", "Parse", "string", "System.Globalization.CultureInfo")
def _parse_double(engine: Core, text: str, culture: Culture | None = None) -> Value:
    del culture
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", text, re.IGNORECASE):
        raise NotInDialect(f"'{text}' as a double")
    del engine
    return float(text)


@static("System.Boolean", "Parse", "string")
def _parse_bool(engine: Core, text: str) -> Value:
    del engine
    known = {"true": True, "false": False}
    if text.strip().lower() not in known:
        raise NetError("FormatException")
    return known[text.strip().lower()]


# -- Math


def _numbers(engine: Core, values: tuple[Value, ...]) -> tuple[list[Number], type]:
    found: list[Number] = []
    for value in values:
        if not isinstance(value, int | float | Decimal | str) or isinstance(value, bool):
            raise NotInDialect("Math of something else than numbers")
        found.append(engine.ops.arithmetic.number(value))
    kind: type = type(found[0])
    if len(found) > 1:
        kind = common_type(found[0], found[1])
    return found, kind


def _typed(value: Number, kind: type) -> Value:
    if kind is float:
        return float(value)
    if kind is Decimal:
        return Decimal(value)
    return whole_number(int(value), kind)


@static(_M, "Max", rest=True)
def _max(engine: Core, *values: Value) -> Value:
    found, kind = _numbers(engine, values)
    return _typed(max(found), kind)


@static(_M, "Min", rest=True)
def _min(engine: Core, *values: Value) -> Value:
    found, kind = _numbers(engine, values)
    return _typed(min(found), kind)


@static(_M, "Abs", rest=True)
def _abs(engine: Core, *values: Value) -> Value:
    found, kind = _numbers(engine, values)
    return _typed(max(found[0], -found[0]), kind)


@static(_M, "Sign", rest=True)
def _sign(engine: Core, *values: Value) -> Value:
    number = float(_numbers(engine, values)[0][0])
    return (number > 0) - (number < 0)


def _rounder(mode: str) -> Callable[..., Value]:
    def whole(engine: Core, *values: Value) -> Value:
        found, kind = _numbers(engine, values)
        number = (
            Decimal(found[0]).quantize(Decimal(1), mode) if abs(float(found[0])) < 1e15 else Decimal(found[0])  # noqa: PLR2004 - beyond it a double has no fraction
        )
        return number if kind is Decimal else float(number) if number or found[0] >= 0 else -0.0

    return whole


static(_M, "Floor", rest=True)(_rounder(ROUND_FLOOR))
static(_M, "Ceiling", rest=True)(_rounder(ROUND_CEILING))
static(_M, "Truncate", rest=True)(_rounder("ROUND_DOWN"))


@static(_M, "Round", rest=True)
def _round(engine: Core, *values: Value) -> Value:
    arguments = list(values)
    mode = ROUND_HALF_EVEN
    kind = engine.types.by_full_name("System.MidpointRounding")
    if len(arguments) > 1 and isinstance(arguments[-1], EnumValue | str):
        chosen = engine.convert.to(arguments.pop(), kind)
        mode = ROUND_HALF_UP if isinstance(chosen, EnumValue) and chosen.number == 1 else ROUND_HALF_EVEN
    digits = engine.convert.to_number(arguments[1], "System.Int32") if len(arguments) > 1 else 0
    found, number_kind = _numbers(engine, (arguments[0],))
    assert isinstance(digits, int)
    number = found[0]
    if number_kind is Decimal:
        return Decimal(number).quantize(Decimal(1).scaleb(-digits), mode)
    return _round_double(float(number), digits, mode)


def _round_double(number: float, digits: int, mode: str) -> float:
    """.NET rounds the product with a power of ten, which is itself rounded."""
    if not 0 <= digits <= 15 or abs(number) >= 1e15:  # noqa: PLR2004 - .NET's limits
        raise NotInDialect("this rounding")
    power = 10.0**digits
    scaled = number * power
    return float(Decimal(scaled).quantize(Decimal(1), mode)) / power


@static(_M, "Pow", "double", "double")
def _pow(engine: Core, base: float, exponent: float) -> Value:
    del engine
    try:
        result = math.pow(base, exponent)
    except (OverflowError, ValueError) as exc:
        raise NotInDialect("this power") from exc
    return result


@static(_M, "Sqrt", "double")
def _sqrt(engine: Core, value: float) -> Value:
    del engine
    return math.sqrt(value) if value >= 0 else math.nan


static_prop(_M, "PI")(lambda _engine: math.pi)


# -- enums


@static("System.Enum", "GetNames", "type")
def _names(engine: Core, kind: TypeRef) -> Value:
    del engine
    if not isinstance(kind.type, EnumType):
        raise NetError("ArgumentException")
    ordered = sorted(kind.type.members, key=lambda m: m[1])
    return Array((name for name, _ in ordered), "System.String")


@static("System.Enum", "IsDefined", "type", "string")
def _is_defined(engine: Core, kind: TypeRef, name: str) -> Value:
    del engine
    if not isinstance(kind.type, EnumType):
        raise NetError("ArgumentException")
    return any(name == known for known, _ in kind.type.members)
