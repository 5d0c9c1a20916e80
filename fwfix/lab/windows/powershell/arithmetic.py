"""`+ - * / %`, unary minus, shifts and bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.errors import NetError, PSError, cast_failed, error
from fwfix.lab.windows.powershell.numbers import (
    INT32_HIGH,
    INT32_LOW,
    Byte,
    Int16,
    Int64,
    SByte,
    Sized,
    UInt16,
    UInt32,
    UInt64,
)
from fwfix.lab.windows.powershell.numbertext import text_to_number
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import type_label
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan
from fwfix.lab.windows.powershell.values import (
    Array,
    Char,
    Collection,
    EnumValue,
    Hashtable,
    NetException,
    NetList,
    OrderedDictionary,
    Value,
)  # fmt: skip

Number = int | float | Decimal
_SMALL = (Byte, SByte, Int16, UInt16)
_LARGEST_ARRAY = 1_000_000


def whole_number(value: int, kind: type[int]) -> Number:
    """Return a result in its type, as a double where it does not fit."""
    if kind is int:
        return value if INT32_LOW <= value <= INT32_HIGH else float(value)
    assert issubclass(kind, Sized)
    return kind(value) if kind.low <= value <= kind.high else float(value)


def common_type(left: Number, right: Number) -> type:
    """Return the type that two numbers are computed in."""
    if isinstance(left, float) or isinstance(right, float):
        return Decimal if isinstance(left, Decimal) or isinstance(right, Decimal) else float
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return Decimal
    kinds = {int if isinstance(n, _SMALL) or type(n) is bool else type(n) for n in (left, right)}
    if kinds == {int}:
        return int
    if UInt64 in kinds:
        if kinds == {UInt64}:
            return UInt64
        raise NotInDialect("signed and unsigned long numbers together")
    if UInt32 in kinds and kinds != {UInt32}:
        return Int64
    return UInt32 if kinds == {UInt32} else Int64


def divided_by_zero() -> PSError:
    """Return the error of a division by zero."""
    inner = NetException("System.DivideByZeroException", "Attempted to divide by zero.")
    return error("Attempted to divide by zero.", "RuntimeException", category="NotSpecified", inner=inner)


class Arithmetic:
    """Computes for one engine."""

    def __init__(self, convert: Converter) -> None:
        self.convert = convert
        self.operators: dict[str, Callable[[Value, Value], Value]] = {
            "+": self.add, "-": self.subtract, "*": self.multiply, "/": self.divide, "%": self.remainder,
        }  # fmt: skip

    def number(self, value: Value, *, partner: Value = None) -> Number:
        """Return an operand as a number."""
        if value is None:
            return 0
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int | float | Decimal):
            return value
        if isinstance(value, str):
            return self._text(value, partner)
        raise NotInDialect(f"a {type_label(value)} as an operand")

    def _text(self, value: str, partner: Value) -> Number:
        found = text_to_number(value)
        if found is None:
            name = "System.Int32"
            if isinstance(partner, float | Decimal):
                raise cast_failed(None, None)
            self.convert.to_number(value, name)
        assert isinstance(found, int | float | Decimal)
        return found

    def add(self, left: Value, right: Value) -> Value:
        """Return `left + right`."""
        if left is None:
            return right
        if isinstance(left, str):
            return left + self.convert.texts.of(right)
        if isinstance(left, Array | NetList | Collection):
            more = right.items if isinstance(right, Array | NetList | Collection) else [right]
            return Array([*left.items, *more])
        if isinstance(left, Hashtable):
            return self._add_tables(left, right)
        if isinstance(left, DateTime | TimeSpan):
            return self._add_times(left, right)
        if isinstance(left, Char):
            raise NotInDialect("adding to a character")
        return self._compute("+", left, right)

    def _add_tables(self, left: Hashtable, right: Value) -> Value:
        if not isinstance(right, Hashtable):
            raise error(
                "A hash table can only be added to another hash table.", "AddHashTableToNonHashTable",
                category="InvalidOperation",
            )  # fmt: skip
        if isinstance(left, OrderedDictionary) or isinstance(right, OrderedDictionary):
            raise NotInDialect("adding ordered dictionaries")
        result = Hashtable(left.pairs())
        for key, value in right.pairs():
            if result.has(key):
                raise error(None, None)
            result.set(key, value)
        return result

    def _add_times(self, left: DateTime | TimeSpan, right: Value) -> Value:
        if isinstance(right, str):
            raise NotInDialect("a time plus a string")
        span = right if isinstance(right, TimeSpan) else None
        if span is None:
            raise NotInDialect(f"a time plus a {type_label(right)}")
        if isinstance(left, TimeSpan):
            return TimeSpan(left.ticks + span.ticks)
        return self._moment(left.ticks + span.ticks, left.kind)

    @staticmethod
    def _moment(ticks: int, kind: str) -> DateTime:
        try:
            return DateTime(ticks, kind)
        except NetError as exc:
            raise NotInDialect("a time out of range") from exc

    def subtract(self, left: Value, right: Value) -> Value:
        """Return `left - right`."""
        if isinstance(left, DateTime) and isinstance(right, DateTime):
            return TimeSpan(left.ticks - right.ticks)
        if isinstance(left, DateTime) and isinstance(right, TimeSpan):
            return self._moment(left.ticks - right.ticks, left.kind)
        if isinstance(left, TimeSpan) and isinstance(right, TimeSpan):
            return TimeSpan(left.ticks - right.ticks)
        return self._compute("-", left, right)

    def multiply(self, left: Value, right: Value) -> Value:
        """Return `left * right`; strings and arrays are repeated."""
        if isinstance(left, str | Array):
            count = self.convert.to_number(right, "System.Int32")
            assert isinstance(count, int)
            if count < 0:
                raise NotInDialect("a repetition of less than nothing")
            if count * (len(left) if isinstance(left, str) else len(left.items)) > _LARGEST_ARRAY:
                raise NotInDialect("a repetition of this size")
            return left * count if isinstance(left, str) else Array(left.items * count)
        if left is None and not isinstance(right, int | float | None):
            raise NotInDialect("null times something")
        if left is None:
            return None
        return self._compute("*", left, right)

    def _operands(self, left: Value, right: Value) -> tuple[Number, Number]:
        for operand in (left, right):
            if isinstance(operand, Array | Hashtable | NetList):
                raise error(None, None, category="InvalidOperation")
        one = self.number(left, partner=right)
        return one, self.number(right, partner=one)

    def _compute(self, operator: str, left: Value, right: Value) -> Value:
        one, other = self._operands(left, right)
        kind = common_type(one, other)
        if kind is float:
            a, b = float(one), float(other)
            return a + b if operator == "+" else a - b if operator == "-" else self._times(a, b)
        if kind is Decimal:
            c, d = self._decimal(one), self._decimal(other)
            return c + d if operator == "+" else c - d if operator == "-" else c * d
        e, f = int(one), int(other)
        return whole_number(e + f if operator == "+" else e - f if operator == "-" else e * f, kind)

    @staticmethod
    def _times(left: float, right: float) -> float:
        return left * right

    @staticmethod
    def _decimal(value: Number) -> Decimal:
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)

    def divide(self, left: Value, right: Value) -> Value:
        """Return `left / right`: whole where it comes out even, else a double."""
        one, other = self._operands(left, right)
        kind = common_type(one, other)
        if kind is float:
            return self._divide_doubles(float(one), float(other))
        if other == 0:
            raise divided_by_zero()
        if kind is Decimal:
            quotient = Fraction(self._decimal(one)) / Fraction(self._decimal(other))
            if quotient.denominator != 1:
                raise NotInDialect("a decimal division that does not come out even")
            return Decimal(int(quotient))
        whole, rest = divmod(int(one), int(other))
        return whole_number(whole, kind) if rest == 0 else int(one) / int(other)

    @staticmethod
    def _divide_doubles(left: float, right: float) -> float:
        if right:
            return left / right
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1, right)

    def remainder(self, left: Value, right: Value) -> Value:
        """Return `left % right`, with the sign of the left."""
        one, other = self._operands(left, right)
        kind = common_type(one, other)
        if kind is float:
            return math.fmod(float(one), float(other)) if other else math.nan
        if other == 0:
            raise divided_by_zero()
        if kind is Decimal:
            return self._decimal(one) % self._decimal(other)
        rest = abs(int(one)) % abs(int(other))
        return whole_number(-rest if one < 0 else rest, kind)

    def negate(self, value: Value) -> Value:
        """Return `-value`."""
        return self.subtract(0, value)

    def bits(self, operator: str, left: Value, right: Value) -> Value:
        """Return `-band`, `-bor`, `-bxor`, `-shl`, `-shr`."""
        one, other = self.number(left), self.number(right)
        if isinstance(left, EnumValue) or isinstance(right, EnumValue):
            raise NotInDialect("bits of an enum")
        if not isinstance(one, int) or not isinstance(other, int):
            raise NotInDialect("bits of a number that is not whole")
        if operator in ("shl", "shr"):
            return self._shift(operator, one, other)
        kind = common_type(one, other)
        a, b = int(one), int(other)
        result = a & b if operator == "band" else a | b if operator == "bor" else a ^ b
        return whole_number(result, kind)

    @staticmethod
    def _shift(operator: str, value: int, count: int) -> Value:
        kind = type(value) if isinstance(value, Sized) else int
        bits = {int: 32, Int64: 64}.get(kind)
        if bits is None:
            raise NotInDialect("a shift of this type")
        count &= bits - 1
        if operator == "shr":
            return kind(int(value) >> count)
        shifted = (int(value) << count) & ((1 << bits) - 1)
        return kind(shifted - (1 << bits) if shifted >> (bits - 1) else shifted)

    def invert(self, value: Value) -> Value:
        """Return `-bnot value`."""
        number = self.number(value)
        if type(number) not in (int, Int64):
            raise NotInDialect("-bnot of this type")
        assert isinstance(number, int)
        return type(number)(~int(number))
