"""Operators with a name: comparison, matching, splitting, joining, formatting, types."""

from __future__ import annotations

from collections.abc import Callable

from fwfix.lab.windows.powershell.arithmetic import Arithmetic
from fwfix.lab.windows.powershell.comparing import Comparer
from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.errors import NetError, PSError, error
from fwfix.lab.windows.powershell.formats import format_text
from fwfix.lab.windows.powershell.instances import NetPattern, Regex
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.regexes import compile_regex, replace, split, wildcard
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import (
    Array,
    Collection,
    Hashtable,
    NetList,
    ScriptBlock,
    TypeRef,
    Value,
    is_list,
    items_of,
)  # fmt: skip

Test = Callable[[Value, Value, bool], bool]
_RANGE_LIMIT = 1_000_000


class Operators:
    """Applies operators for one engine; `set_matches` is told what `$Matches` becomes."""

    def __init__(self, convert: Converter, set_matches: Callable[[Hashtable], None]) -> None:
        self.convert = convert
        self.compare = Comparer(convert)
        self.arithmetic = Arithmetic(convert)
        self.set_matches = set_matches
        self.tests: dict[str, Test] = {
            "eq": self._eq,
            "ne": lambda a, b, i: not self._eq(a, b, i),
            "gt": lambda a, b, i: self.compare.order(a, b, ignore_case=i) > 0,
            "ge": lambda a, b, i: self.compare.order(a, b, ignore_case=i) >= 0,
            "lt": lambda a, b, i: self.compare.order(a, b, ignore_case=i) < 0,
            "le": lambda a, b, i: self.compare.order(a, b, ignore_case=i) <= 0,
            "like": self._like,
            "notlike": lambda a, b, i: not self._like(a, b, i),
            "match": self._match,
            "notmatch": lambda a, b, i: not self._match(a, b, i),
        }
        self.others: dict[str, Callable[[Value, Value, bool], Value]] = {
            "contains": self.contains,
            "notcontains": lambda a, b, i: not self.contains(a, b, i),
            "in": lambda a, b, i: self.contains(b, a, i),
            "notin": lambda a, b, i: not self.contains(b, a, i),
            "replace": self.replace,
            "split": self.split,
        }
        self.exact: dict[str, Callable[[Value, Value], Value]] = {
            **self.arithmetic.operators,
            "f": self.format,
            "join": self.join,
            "is": lambda a, b: self.convert.is_a(a, self._type(b)),
            "isnot": lambda a, b: not self.convert.is_a(a, self._type(b)),
            "as": self.convert_or_null,
            "..": self.range,
        }
        for name in ("band", "bor", "bxor", "shl", "shr"):
            self.exact[name] = lambda a, b, name=name: self.arithmetic.bits(name, a, b)  # type: ignore[misc]

    def binary(self, operator: str, left: Value, right: Value) -> Value:
        """Apply an operator that is no `-and` or `-or`."""
        found = self.exact.get(operator)
        if found is not None:
            return found(left, right)
        name, ignore_case = operator, True
        if name not in self.tests and name not in self.others and name[:1] in ("c", "i"):
            ignore_case, name = name[0] == "i", name[1:]
        if name in self.tests:
            return self._test(name, left, right, ignore_case=ignore_case)
        if name in self.others:
            return self.others[name](left, right, ignore_case)
        raise NotInDialect(f"the operator -{operator}")

    def _test(self, name: str, left: Value, right: Value, *, ignore_case: bool) -> Value:
        """Apply a comparison; a list on the left is filtered."""
        test = self.tests[name]
        if is_list(left):
            kept = [
                item
                for item in items_of(left)
                if self._item_test(test, name, item, right, ignore_case=ignore_case)
            ]
            return Array(kept)
        return test(left, right, ignore_case)

    def _item_test(self, test: Test, name: str, item: Value, right: Value, *, ignore_case: bool) -> bool:
        if is_list(item):
            raise NotInDialect("a comparison with a list in a list")
        if name in ("match", "notmatch"):
            found = self._search(item, right, ignore_case=ignore_case)[1] is not None
            return found is (name == "match")
        return test(item, right, ignore_case)

    def _eq(self, left: Value, right: Value, ignore_case: bool) -> bool:  # noqa: FBT001 - one of a table
        return self.compare.equal(left, right, ignore_case=ignore_case)

    def _like(self, left: Value, right: Value, ignore_case: bool) -> bool:  # noqa: FBT001 - one of a table
        pattern = wildcard(self.convert.texts.of(right), ignore_case=ignore_case)
        return pattern.fullmatch(self.convert.texts.of(left)) is not None

    def pattern(self, value: Value, *, ignore_case: bool) -> NetPattern:
        """Return the regular expression that an operand is."""
        if isinstance(value, Regex):
            raise NotInDialect("a [regex] as an operand")
        return compile_regex(self.convert.texts.of(value), ignore_case=ignore_case)

    def _search(self, left: Value, right: Value, *, ignore_case: bool) -> tuple[NetPattern, object]:
        pattern = self.pattern(right, ignore_case=ignore_case)
        return pattern, pattern.python.search(self.convert.texts.of(left))

    def _match(self, left: Value, right: Value, ignore_case: bool) -> bool:  # noqa: FBT001 - one of a table
        pattern = self.pattern(right, ignore_case=ignore_case)
        found = pattern.python.search(self.convert.texts.of(left))
        if found is None:
            return False
        groups = Hashtable()
        for number, python in enumerate(pattern.numbers):
            value = found.group(python)
            if value is not None:
                name = pattern.names[number]
                groups.set(int(name) if name.isdigit() else name, value)
        self.set_matches(groups)
        return True

    def contains(self, left: Value, right: Value, ignore_case: bool) -> bool:  # noqa: FBT001 - one of a table
        """Return `left -contains right`."""
        if isinstance(left, Hashtable):
            raise NotInDialect("-contains of a hashtable")
        return any(
            self.compare.equal(item, right, ignore_case=ignore_case)
            for item in items_of(left)
            if not (item is None and right is not None)
        )

    def replace(self, left: Value, right: Value, ignore_case: bool) -> Value:  # noqa: FBT001 - one of a table
        """Return `left -replace right`."""
        operands = right.items if isinstance(right, Array) else [right]
        if not 1 <= len(operands) <= 2 or any(isinstance(o, ScriptBlock) for o in operands):  # noqa: PLR2004 - pattern and text
            raise NotInDialect("these operands of -replace")
        pattern = self.pattern(operands[0], ignore_case=ignore_case)
        text = self.convert.texts.of(operands[1]) if len(operands) > 1 else ""
        if is_list(left):
            return Array(replace(pattern, self.convert.texts.of(item), text) for item in items_of(left))
        return replace(pattern, self.convert.texts.of(left), text)

    def split(self, left: Value, right: Value, ignore_case: bool) -> Value:  # noqa: FBT001 - one of a table
        """Return `left -split right`."""
        operands = right.items if isinstance(right, Array) else [right]
        if any(isinstance(o, ScriptBlock) for o in operands) or not 1 <= len(operands) <= 3:  # noqa: PLR2004 - see below
            raise NotInDialect("these operands of -split")
        limit = self.convert.to_number(operands[1], "System.Int32") if len(operands) > 1 else 0
        assert isinstance(limit, int)
        source = self.convert.texts.of(operands[0])
        pattern = compile_regex(source, ignore_case=ignore_case)
        if len(operands) > 2:  # noqa: PLR2004 - pattern, count, options
            if self.convert.texts.of(operands[2]).lower() != "simplematch":
                raise NotInDialect("these options of -split")
            pattern = compile_regex(
                "".join("\\" + c if not c.isalnum() else c for c in source), ignore_case=ignore_case
            )
        if limit < 0:
            raise NotInDialect("a negative count of -split")
        parts = [p for item in items_of(left) for p in split(pattern, self.convert.texts.of(item), limit)]
        return Array(parts, "System.String")

    def split_words(self, value: Value) -> Value:
        """Return unary `-split`."""
        return Array(
            (w for item in items_of(value) for w in self.convert.texts.of(item).split()), "System.String"
        )

    def join(self, left: Value, right: Value) -> Value:
        """Return `left -join right`."""
        separator = self.convert.texts.of(right)
        return separator.join(self._join_item(item) for item in items_of(left))

    def _join_item(self, item: Value) -> str:
        if isinstance(item, Array | NetList | Collection):
            raise NotInDialect("-join of a list in a list")
        return self.convert.texts.of(item)

    def format(self, left: Value, right: Value) -> Value:
        """Return `left -f right`."""
        arguments = list(right.items) if isinstance(right, Array) else [right]
        try:
            return format_text(self.convert.texts.of(left), arguments, self.convert.edition)
        except NetError as exc:
            raise error(None, "FormatError", category="InvalidOperation", inner=exc.exception) from exc

    def _type(self, value: Value) -> NetType:
        if isinstance(value, TypeRef):
            return value.type
        raise NotInDialect("-is or -as with something else than a type")

    def convert_or_null(self, left: Value, right: Value) -> Value:
        """Return `left -as right`."""
        try:
            return self.convert.to(left, self._type(right))
        except PSError:
            return None

    def range(self, left: Value, right: Value) -> Value:
        """Return `left..right`."""
        if isinstance(left, str) or isinstance(right, str):
            for text in (left, right):
                if isinstance(text, str) and not text.strip().lstrip("-").isdigit():
                    raise NotInDialect("a range of strings")
        start = self.convert.to_number(left, "System.Int32")
        end = self.convert.to_number(right, "System.Int32")
        assert isinstance(start, int)
        assert isinstance(end, int)
        if abs(end - start) > _RANGE_LIMIT:
            raise NotInDialect("a range of this size")
        step = 1 if end >= start else -1
        return Array(range(start, end + step, step))
