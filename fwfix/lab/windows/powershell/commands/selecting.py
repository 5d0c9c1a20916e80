"""Select-Object and Sort-Object."""

from __future__ import annotations

from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.regexes import wildcard
from fwfix.lab.windows.powershell.signals import NotInDialect, StopUpstream
from fwfix.lab.windows.powershell.signature import Command, parameter
from fwfix.lab.windows.powershell.texts import type_label
from fwfix.lab.windows.powershell.values import Hashtable, PSObject, ScriptBlock, Value, items_of

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_COMMANDS = "Microsoft.PowerShell.Commands."
_INPUT = parameter("InputObject", "psobject", pipeline=True)


# .NET sorts three items by exchanges and more than sixteen by parts; otherwise equal ones keep their order.
_SWAPPED, _INSERTED = 3, 16


def _alike(one: Value, other: Value) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, str | int | float) and one == other)


def property_value(engine: Core, item: Value, name: str) -> Value:
    """Return a property, null where there is none."""
    if isinstance(item, PSObject):
        return item.get(name)
    return engine.access.property(item, name)


def _entry(table: Hashtable, *names: str) -> Value:
    """Return an entry of a calculated property, whose key may be shortened."""
    for key, value in table.pairs():
        if isinstance(key, str) and any(n.startswith(key.lower()) for n in names):
            return value
    return None


class _Select:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.first = invocation.number("First", -1)
        self.last = invocation.number("Last", -1)
        self.skip = invocation.number("Skip", 0)
        self.seen = 0
        self.written = 0
        self.kept: list[Value] = []
        self.unique: list[Value] = []
        if self.last >= 0 and (self.first >= 0 or self.skip):
            raise NotInDialect("Select-Object -Last with -First or -Skip")

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Take one object."""
        if not self.call.has_input:
            for item in items_of(self.call.get("InputObject")):
                self.take(item)
            return
        self.take(self.call.item)

    def take(self, item: Value) -> None:
        """Let an object through if its turn has come."""
        self.seen += 1
        if self.last >= 0 or self.call.has("SkipLast"):
            self.kept.append(item)
            return
        if self.seen <= self.skip:
            return
        if self.first == 0:
            raise StopUpstream(self)
        self.put(item)
        if self.first > 0 and self.written >= self.first and not self.call.flag("Unique"):
            raise StopUpstream(self)

    def put(self, item: Value) -> None:
        """Write an object in the form that was asked for."""
        self.written += 1
        for made in self.shaped(item):
            if self.call.flag("Unique"):
                if any(self._same(made, known) for known in self.unique):
                    continue
                self.unique.append(made)
            self.call.write(made)

    def _same(self, one: Value, other: Value) -> bool:
        compare = self.call.engine.ops.compare
        if isinstance(one, PSObject) and isinstance(other, PSObject):
            return list(one.properties) == list(other.properties) and all(
                self._same(p.value, other.properties[k].value) for k, p in one.properties.items()
            )
        # Select-Object -Unique tells upper from lower case.
        return type(one) is type(other) and compare.equal(one, other, ignore_case=False)

    def shaped(self, item: Value) -> list[Value]:
        """Return the object, its chosen properties, or what one of them holds."""
        if self.call.has("ExpandProperty"):
            if self.call.has("Property"):
                raise NotInDialect("Select-Object -Property with -ExpandProperty")
            return self._expanded(item)
        if not self.call.has("Property"):
            return [item]
        if not isinstance(item, PSObject):
            raise NotInDialect(f"properties of a {type_label(item)} in Select-Object")
        made = PSObject(type_names=("Selected." + item.type_names[0], *item.type_names))
        for wanted in items_of(self.call.get("Property")):
            for name, value in self._selected(item, wanted):
                if name.lower() in made.properties:
                    raise NotInDialect("a property selected twice")
                made.set(name, value)
        return [made]

    def _selected(self, item: PSObject, wanted: Value) -> list[tuple[str, Value]]:
        engine = self.call.engine
        if isinstance(wanted, Hashtable):
            name, source = _entry(wanted, "name", "label"), _entry(wanted, "expression")
            if not isinstance(source, ScriptBlock):
                value = property_value(engine, item, engine.texts.of(source))
            else:
                value = engine.block_value(source, item)
            if name is None:
                raise NotInDialect("a calculated property without a name")
            return [(engine.texts.of(name), value)]
        if isinstance(wanted, ScriptBlock):
            raise NotInDialect("a script block in Select-Object -Property")
        text = engine.texts.of(wanted)
        if any(c in text for c in "*?["):
            pattern = wildcard(text, ignore_case=True)
            excluded = {t.lower() for t in self.call.texts("ExcludeProperty")}
            return [
                (p.name, p.value)
                for k, p in item.properties.items()
                if pattern.fullmatch(p.name) and k not in excluded
            ]
        known = item.properties.get(text.lower())
        return [(known.name if known else text, known.value if known else None)]

    def _expanded(self, item: Value) -> list[Value]:
        name = self.call.text("ExpandProperty")
        if isinstance(item, PSObject) and name.lower() not in item.properties:
            message = f'Property "{name}" cannot be found.'
            self.call.write_error(
                message,
                "ExpandPropertyNotFound",
                category="InvalidArgument",
                kind="System.Management.Automation.PSArgumentException",
            )
            return []
        return items_of(property_value(self.call.engine, item, name))

    def end(self) -> None:
        """Write the last objects."""
        if self.call.has("SkipLast"):
            for item in self.kept[: max(0, len(self.kept) - self.call.number("SkipLast"))]:
                self.put(item)
        elif self.last > 0:
            for item in self.kept[-self.last :]:
                self.put(item)


class _Sort:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.items: list[Value] = []

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Keep one object."""
        if self.call.has_input:
            if self.call.item is not None or self.call.has("Property"):
                self.items.append(self.call.item)
        else:
            self.items.extend(items_of(self.call.get("InputObject")))

    def _keys(self, item: Value) -> list[Value]:
        engine = self.call.engine
        found = []
        for wanted in items_of(self.call.get("Property")) if self.call.has("Property") else [None]:
            if wanted is None:
                found.append(item)
            elif isinstance(wanted, ScriptBlock):
                found.append(engine.block_value(wanted, item))
            elif isinstance(wanted, Hashtable):
                source = _entry(wanted, "expression")
                found.append(
                    engine.block_value(source, item)
                    if isinstance(source, ScriptBlock)
                    else property_value(engine, item, engine.texts.of(source))
                )
            else:
                found.append(property_value(engine, item, engine.texts.of(wanted)))
        return found

    def _directions(self) -> list[int]:
        default = -1 if self.call.flag("Descending") else 1
        found = []
        for wanted in items_of(self.call.get("Property")) if self.call.has("Property") else [None]:
            direction = default
            if isinstance(wanted, Hashtable):
                descending, ascending = _entry(wanted, "descending"), _entry(wanted, "ascending")
                if descending is not None:
                    direction = -1 if descending else 1
                elif ascending is not None:
                    direction = 1 if ascending else -1
            found.append(direction)
        return found

    def end(self) -> None:
        """Write the objects in order."""
        compare = self.call.engine.ops.compare
        ignore_case = not self.call.flag("CaseSensitive")
        if not ignore_case:
            raise NotInDialect("Sort-Object -CaseSensitive")
        directions = self._directions()
        keyed = [(self._keys(item), item) for item in self.items]

        def order(one: tuple[list[Value], Value], other: tuple[list[Value], Value]) -> int:
            for a, b, direction in zip(one[0], other[0], directions, strict=True):
                found = compare.sort_key_order(a, b)
                if found:
                    return found * direction
            return 0

        ordered = sorted(keyed, key=cmp_to_key(order))
        if len(ordered) == _SWAPPED or len(ordered) > _INSERTED:
            for one, other in pairwise(ordered):
                if order(one, other) == 0 and not _alike(one[1], other[1]):
                    raise NotInDialect("an order of objects that are equal")
        previous: tuple[list[Value], Value] | None = None
        for entry in ordered:
            if self.call.flag("Unique") and previous is not None and order(previous, entry) == 0:
                continue
            previous = entry
            self.call.write(entry[1])


COMMANDS = (
    Command(
        name="Select-Object", error_name=_COMMANDS + "SelectObjectCommand", make=_Select,
        parameters=(
            _INPUT, parameter("Property", "object[]", position=0), parameter("ExcludeProperty", "string[]"),
            parameter("ExpandProperty", "string"), parameter("First", "int"), parameter("Last", "int"),
            parameter("Skip", "int"), parameter("SkipLast", "int"), parameter("Unique", "switch"),
        ),
    ),
    Command(
        name="Sort-Object", error_name=_COMMANDS + "SortObjectCommand", make=_Sort,
        parameters=(
            _INPUT, parameter("Property", "object[]", position=0), parameter("Descending", "switch"),
            parameter("Unique", "switch"), parameter("CaseSensitive", "switch"),
        ),
    ),
)  # fmt: skip
