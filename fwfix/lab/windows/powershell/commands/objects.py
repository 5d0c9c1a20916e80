"""ForEach-Object, Where-Object, Group-Object, Measure-Object, New-Object, Add-Member."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cmp_to_key

from fwfix.lab.windows.powershell.errors import NetError, PSError
from fwfix.lab.windows.powershell.functions import type_from_text
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, parameter, per_record
from fwfix.lab.windows.powershell.values import (
    Array,
    Hashtable,
    NetList,
    PSObject,
    ScriptBlock,
    Value,
    items_of,
)  # fmt: skip

_COMMANDS = "Microsoft.PowerShell.Commands."
_Grouped = tuple[Value, list[Value]]
_INPUT = parameter("InputObject", "psobject", pipeline=True)


class _ForEach:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        blocks: list[ScriptBlock] = []
        self.member = ""
        for value in items_of(invocation.get("Process")):
            if isinstance(value, ScriptBlock):
                blocks.append(value)
            elif isinstance(value, str) and len(items_of(invocation.get("Process"))) == 1:
                self.member = value
            elif value is not None:
                raise NotInDialect("this argument of ForEach-Object")
        begin, end = invocation.get("Begin"), invocation.get("End")
        self.begin_block = begin if isinstance(begin, ScriptBlock) else None
        self.end_block = end if isinstance(end, ScriptBlock) else None
        if len(blocks) > 1 and (begin is not None or end is not None or len(blocks) > 3):  # noqa: PLR2004 - begin, process, end
            raise NotInDialect("these script blocks of ForEach-Object")
        if len(blocks) > 1:
            self.begin_block, blocks = blocks[0], blocks[1:]
        if len(blocks) > 1:
            self.end_block, blocks = blocks[-1], blocks[:-1]
        self.blocks = blocks

    def _run(self, block: ScriptBlock | None, item: Value) -> None:
        if block is not None:
            self.call.engine.run_script_block_here(block, item, self.call.sink)

    def begin(self) -> None:
        """Run the first block."""
        self._run(self.begin_block, None)

    def process(self) -> None:
        """Run the block for one object."""
        item = self.call.item if self.call.has_input else None
        if self.member:
            if item is None:
                raise NotInDialect("a member of null in ForEach-Object")
            value = self.call.engine.access.member_of(item, self.member)
            if value is not None:
                self.call.write_all(value)
        for block in self.blocks:
            self._run(block, item)

    def end(self) -> None:
        """Run the last block."""
        self._run(self.end_block, None)


_WHERE_OPERATORS = (
    "EQ", "NE", "GT", "GE", "LT", "LE", "Like", "NotLike", "Match", "NotMatch", "Contains", "NotContains",
    "In",
    "NotIn", "Is", "IsNot", "CEQ", "CNE", "CLike", "CMatch", "CContains",
)  # fmt: skip


class _Where:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.block: ScriptBlock | None = None
        self.name = invocation.text("Property")
        first = invocation.get("FilterScript")
        if isinstance(first, ScriptBlock):
            self.block = first
        elif first is not None:
            self.name = invocation.engine.texts.of(first)
        self.operator = next((o for o in _WHERE_OPERATORS if invocation.flag(o)), "")

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Let one object through, or not."""
        if self.call.has_input and self._fits(self.call.item):
            self.call.write(self.call.item)

    def _fits(self, item: Value) -> bool:
        engine = self.call.engine
        if self.block is not None:
            return engine.convert.to_bool(engine.block_value(self.block, item))
        name = self.name
        if not name:
            raise NotInDialect("Where-Object without a condition")
        value = engine.access.property(item, name) if item is not None else None
        if not self.operator:
            if self.call.has("Value"):
                raise NotInDialect("Where-Object without an operator")
            return engine.convert.to_bool(value)
        return engine.convert.to_bool(engine.ops.binary(self.operator.lower(), value, self.call.get("Value")))

    def end(self) -> None:
        """Nothing to do."""


class _Group:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.groups: list[tuple[Value, list[Value]]] = []

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Put one object into its group."""
        if not self.call.has_input:
            return
        item = self.call.item
        key = self._key(item)
        compare = self.call.engine.ops.compare
        for known, members in self.groups:
            if type(known) is type(key) and compare.equal(known, key):
                members.append(item)
                return
        self.groups.append((key, [item]))

    def _key(self, item: Value) -> Value:
        by = self.call.get("Property")
        names = items_of(by) if by is not None else []
        if len(names) > 1:
            raise NotInDialect("Group-Object by several properties")
        if not names:
            return item
        if isinstance(names[0], ScriptBlock):
            return self.call.engine.block_value(names[0], item)
        return self.call.engine.access.property(item, self.call.engine.texts.of(names[0]))

    def end(self) -> None:
        """Write the groups; PowerShell sorts them by key."""
        compare = self.call.engine.ops.compare
        if self.call.flag("AsHashTable"):
            raise NotInDialect("Group-Object -AsHashTable")
        if not self.call.engine.edition.desktop:
            ordered = _sorted(self.groups, compare.sort_key_order)
        else:
            ordered = self.groups
        for key, members in ordered:
            pairs: list[tuple[str, Value]] = [
                ("Count", len(members)),
                ("Name", self.call.engine.texts.of(key)),
            ]
            if not self.call.flag("NoElement"):
                pairs.insert(1, ("Group", NetList(members)))
            self.call.write(
                PSObject(pairs, net_type=_COMMANDS + "GroupInfo", type_names=(_COMMANDS + "GroupInfo",))
            )


def _sorted(groups: list[_Grouped], order: Callable[[Value, Value], int]) -> list[_Grouped]:
    def compare(one: _Grouped, other: _Grouped) -> int:
        return order(one[0], other[0])

    return sorted(groups, key=cmp_to_key(compare))


class _Measure:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.count = 0
        self.values: list[Value] = []

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Count one object."""
        if not self.call.has_input:
            return
        item = self.call.item
        if self.call.has("Property"):
            item = self.call.engine.access.property(item, self.call.text("Property"))
        if item is None:
            return
        self.count += 1
        self.values.append(item)

    def _doubles(self) -> list[float]:
        found = []
        for value in self.values:
            if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
                raise NotInDialect("Measure-Object of something else than numbers")
            found.append(float(value))
        return found

    def end(self) -> None:
        """Write what was measured."""
        wanted = [n for n in ("Average", "Sum", "Maximum", "Minimum") if self.call.flag(n)]
        numbers = self._doubles() if wanted else []
        pairs: list[tuple[str, Value]] = [("Count", self.count)]
        pairs.extend(
            (name, self._one(name, numbers) if name in wanted and numbers else None)
            for name in ("Average", "Sum", "Maximum", "Minimum")
        )
        kind = _COMMANDS + "GenericMeasureInfo"
        self.call.write(PSObject(pairs, net_type=kind, type_names=(kind,)))

    @staticmethod
    def _one(name: str, numbers: list[float]) -> float:
        if name == "Sum":
            return sum(numbers)
        if name == "Average":
            return sum(numbers) / len(numbers)
        return max(numbers) if name == "Maximum" else min(numbers)


def _new_object(call: Invocation) -> None:
    engine = call.engine
    if call.has("ComObject"):
        make = engine.host.com.get(call.text("ComObject").lower())
        if make is None:
            raise NotInDialect("this New-Object -ComObject")
        call.write(make())
        return
    kind = type_from_text(call.text("TypeName"), engine)
    arguments = list(items_of(call.get("ArgumentList"))) if call.has("ArgumentList") else []
    if kind.full_name == "System.Management.Automation.PSObject":
        if arguments:
            raise NotInDialect("New-Object PSObject of arguments")
        table = call.get("Property")
        made: Value = PSObject()
        if table is not None:
            made = engine.convert.to_psobject(table)
        call.write(made)
        return
    if call.has("Property"):
        raise NotInDialect("New-Object -Property")
    try:
        call.write(engine.access.construct(kind, arguments))
    except NetError as exc:
        message = None
        if exc.exception.message is not None:
            message = (
                f'Exception calling ".ctor" with "{len(arguments)}" argument(s): "{exc.exception.message}"'
            )
        failed = call.record(
            message, "ConstructorInvokedThrowException", category="InvalidOperation",
            kind="System.Management.Automation.MethodInvocationException",
        )  # fmt: skip
        failed.exception.inner = exc.exception
        raise PSError(failed) from exc


def _add_member(call: Invocation) -> None:
    target = call.get("InputObject")
    if not isinstance(target, PSObject) or not target.net_type.endswith("PSCustomObject"):
        raise NotInDialect("Add-Member to this")
    pairs: list[tuple[str, Value]] = []
    members = call.get("NotePropertyMembers")
    if isinstance(members, Hashtable):
        pairs = [(call.engine.texts.of(k), v) for k, v in members.pairs()]
    elif call.has("NotePropertyName"):
        pairs = [(call.text("NotePropertyName"), call.get("NotePropertyValue"))]
    elif call.text("MemberType").lower() == "noteproperty" and call.has("Name"):
        pairs = [(call.text("Name"), call.get("Value"))]
    else:
        raise NotInDialect("this member of Add-Member")
    for name, value in pairs:
        if name.lower() in target.properties and not call.flag("Force"):
            call.write_error(
                None,
                "MemberAlreadyExists",
                category="InvalidOperation",
                kind="System.InvalidOperationException",
            )
            continue
        target.set(name, value)
    if call.flag("PassThru"):
        call.write(target)


COMMANDS = (
    Command(
        name="ForEach-Object", error_name=_COMMANDS + "ForEachObjectCommand", make=_ForEach,
        parameters=(
            _INPUT, parameter("Begin", "scriptblock"),
            parameter("Process", "object", position=0, remaining=True, aliases=("MemberName",)),
            parameter("End", "scriptblock"),
        ),
    ),
    Command(
        name="Where-Object", error_name=_COMMANDS + "WhereObjectCommand", make=_Where,
        parameters=(
            _INPUT, parameter("FilterScript", "object", position=0), parameter("Property", "string"),
            parameter("Value", "object", position=1), *(parameter(o, "switch") for o in _WHERE_OPERATORS),
        ),
    ),
    Command(
        name="Group-Object", error_name=_COMMANDS + "GroupObjectCommand", make=_Group,
        parameters=(
            _INPUT, parameter("Property", "object[]", position=0), parameter("NoElement", "switch"),
            parameter("AsHashTable", "switch"),
        ),
    ),
    Command(
        name="Measure-Object", error_name=_COMMANDS + "MeasureObjectCommand", make=_Measure,
        parameters=(
            _INPUT, parameter("Property", "string", position=0), parameter("Sum", "switch"),
            parameter("Average", "switch"),
            parameter("Maximum", "switch"), parameter("Minimum", "switch"),
        ),
    ),
    Command(
        name="New-Object", error_name=_COMMANDS + "NewObjectCommand", make=per_record(_new_object),
        parameters=(
            parameter("TypeName", "string", position=0),
            parameter("ArgumentList", "object[]", position=1, aliases=("Args",)),
            parameter("Property", "object"), parameter("ComObject", "string"),
        ),
    ),
    Command(
        name="Add-Member", error_name=_COMMANDS + "AddMemberCommand", make=per_record(_add_member),
        parameters=(
            parameter("InputObject", "psobject", pipeline=True, mandatory=True),
            parameter("MemberType", "string", aliases=("Type",)),
            parameter("Name", "string"), parameter("Value", "object"), parameter("Force", "switch"),
            parameter("PassThru", "switch"), parameter("NotePropertyName", "string", position=0),
            parameter("NotePropertyValue", "object", position=1), parameter("NotePropertyMembers", "object"),
        ),
    ),
)  # fmt: skip

__all__ = ["COMMANDS", "Array"]
