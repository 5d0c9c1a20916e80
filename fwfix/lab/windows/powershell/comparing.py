"""Equality and order of values; where cultures disagree about strings the engine refuses."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.errors import PSError, error
from fwfix.lab.windows.powershell.instances import Guid, IPAddress, Version
from fwfix.lab.windows.powershell.numbers import Sized
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan
from fwfix.lab.windows.powershell.values import Array, Char, EnumValue, Switch, TypeRef, Value

_PLAIN = re.compile(r"[\x20-\x7e\n\r\t]*")
# How the two kinds of comparison that an engine may use order a character class against letters and digits.
_BELOW_ALL = set(" !\"#$%&'()*+,./")


def fold(text: str) -> str:
    """Return a text as comparisons that ignore case see it."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)


def strings_equal(left: str, right: str, *, ignore_case: bool) -> bool:
    """Say whether two strings are equal in every culture.

    Raises:
        NotInDialect: it depends on the culture.
    """
    if left == right:
        return True
    same = ignore_case and fold(left) == fold(right)
    if same or (_PLAIN.fullmatch(left) and _PLAIN.fullmatch(right)):
        return same
    if _bare(left) == _bare(right) and (ignore_case or _marks(left) != _marks(right)):
        raise NotInDialect("a comparison of strings that depends on the culture")
    return False


def _bare(text: str) -> str:
    kept = [c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c)[0] not in "CM"]
    return "".join(kept).casefold()


def _marks(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def compare_strings(left: str, right: str, *, ignore_case: bool) -> int:
    """Return the order of two strings.

    Raises:
        NotInDialect: it depends on the culture.
    """
    if strings_equal(left, right, ignore_case=ignore_case):
        return 0
    a, b = fold(left), fold(right)
    if not (_PLAIN.fullmatch(left) and _PLAIN.fullmatch(right)):
        raise NotInDialect("an order of strings that depends on the culture")
    if a == b:
        raise NotInDialect("an order of strings by case")
    for one, other in zip(a, b, strict=False):
        if one != other:
            return _order(one, other)
    return -1 if len(a) < len(b) else 1


def _order(one: str, other: str) -> int:
    if one.isalnum() and other.isalnum():
        return -1 if one < other else 1
    if one in _BELOW_ALL and other.isalnum():
        return -1
    if other in _BELOW_ALL and one.isalnum():
        return 1
    raise NotInDialect(f"the order of '{one}' and '{other}'")


class Comparer:
    """Compares values as the operators do."""

    def __init__(self, convert: Converter) -> None:
        self.convert = convert

    def equal(self, left: Value, right: Value, *, ignore_case: bool = True) -> bool:
        """Return `left -eq right` of values that are no lists."""
        if left is None or right is None:
            return left is None and right is None
        if isinstance(left, Array) or left is right:
            return left is right
        if isinstance(left, str | Char):
            return self._text_equal(left, right, ignore_case=ignore_case)
        if isinstance(left, bool | Switch):
            return self.convert.to_bool(left) == self.convert.to_bool(right)
        try:
            return self._converted_equal(left, right)
        except PSError:
            return False

    def _text_equal(self, left: str | Char, right: Value, *, ignore_case: bool) -> bool:
        one = left.value if isinstance(left, Char) else left
        if isinstance(left, Char) and not isinstance(right, Char | str):
            raise NotInDialect("a character compared with something else")
        if isinstance(right, Array) and isinstance(left, str):
            return strings_equal(one, self.convert.texts.of(right), ignore_case=ignore_case)
        return strings_equal(one, self.convert.texts.of(right), ignore_case=ignore_case)

    def _converted_equal(self, left: Value, right: Value) -> bool:
        if isinstance(left, int | float | Decimal):
            return self._numbers(left, right) == 0
        if isinstance(left, EnumValue):
            found = self.convert.to_enum(right, left.kind) if not isinstance(right, int) else right
            return left.number == (found.number if isinstance(found, EnumValue) else found)
        if isinstance(left, DateTime | TimeSpan | Version | Guid | IPAddress):
            other = self.convert.to(right, self.convert.type_of(left))
            return (
                bool(left.ticks == other.ticks)
                if isinstance(left, DateTime) and isinstance(other, DateTime)
                else left == other
            )
        if isinstance(left, TypeRef) and isinstance(right, TypeRef):
            return left.type.full_name == right.type.full_name
        if isinstance(right, str) and not isinstance(left, TypeRef):
            raise NotInDialect("an object compared with a string")
        return False

    def _numbers(self, left: float | Decimal, right: Value) -> int:
        if isinstance(right, str):
            target = "System.Double" if isinstance(left, float) else None
            number = self.convert.to_number(right, target) if target else self._number_of(right, left)
        else:
            number = self._number_of(right, left)
        one, other = left, number
        if isinstance(one, Decimal) and isinstance(other, float):
            other = Decimal(repr(other))
        if isinstance(other, Decimal) and isinstance(one, float):
            one = Decimal(repr(one))
        return (one > other) - (one < other)  # type: ignore[operator]

    def _number_of(self, right: Value, left: float | Decimal) -> float | Decimal:
        if isinstance(right, int | float | Decimal):
            return right
        name = "System." + left.name if isinstance(left, Sized) else self.convert.type_of(left).full_name
        if isinstance(right, str) and isinstance(left, int):
            return self._text_for_integer(right, name)
        number = self.convert.to_number(right, name)
        assert isinstance(number, int | float | Decimal)
        return number

    def _text_for_integer(self, right: str, name: str) -> float | Decimal:
        """An integer compared with a string: a text with a fraction is rounded first, which surprises."""
        if "." in right or "e" in right.lower():
            raise NotInDialect(f"an integer compared with '{right}'")
        number = self.convert.to_number(right, name)
        assert isinstance(number, int | float | Decimal)
        return number

    def order(self, left: Value, right: Value, *, ignore_case: bool = True) -> int:
        """Return the order that `-lt` and its like see."""
        if left is None or right is None:
            return self._null_order(left, right)
        if isinstance(left, str):
            return compare_strings(left, self.convert.texts.of(right), ignore_case=ignore_case)
        if isinstance(left, bool):
            other = self.convert.to_bool(right)
            return int(left) - int(other)
        try:
            return self._converted_order(left, right)
        except PSError as exc:
            raise error(None, "ComparisonFailure", category="NotSpecified") from exc

    def _converted_order(self, left: Value, right: Value) -> int:
        if isinstance(left, int | float | Decimal):
            return self._numbers(left, right)
        if isinstance(left, DateTime | TimeSpan | Version):
            other = self.convert.to(right, self.convert.type_of(left))
            one = left.ticks if isinstance(left, DateTime) else left
            other = other.ticks if isinstance(other, DateTime) else other
            return (one > other) - (one < other)  # type: ignore[operator]
        if isinstance(left, EnumValue):
            found = self.convert.to_enum(right, left.kind)
            assert isinstance(found, EnumValue)
            return (left.number > found.number) - (left.number < found.number)
        raise NotInDialect("an order of objects")

    def _null_order(self, left: Value, right: Value) -> int:
        if left is None and right is None:
            return 0
        other = right if left is None else left
        if not isinstance(other, int | float | Decimal) or isinstance(other, bool):
            raise NotInDialect("the order of null and a value")
        if left is None:
            return -1 if other >= 0 else 1
        return 1 if other >= 0 else -1

    def sort_key_order(self, left: Value, right: Value) -> int:
        """Return the order that Sort-Object uses: null first, numbers by size, text as text."""
        if left is None or right is None:
            return (left is not None) - (right is not None)
        if isinstance(left, bool) != isinstance(right, bool) or isinstance(left, str) != isinstance(
            right, str
        ):
            raise NotInDialect("an order of values of different types")
        return self.order(left, right)
