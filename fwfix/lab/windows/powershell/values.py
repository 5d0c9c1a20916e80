"""The values of a script.

`$null` is None, `Boolean` bool, `Int32` int, `Double` float, `Decimal` Decimal, `String` str (in UTF-16
units: a character outside the BMP is two), everything else a class here or in the modules named after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
    from fwfix.lab.windows.powershell.nodes import ScriptBody
    from fwfix.lab.windows.powershell.scopes import Scope

Value = object


class Empty:
    """What a pipeline without output gives: null as a value, nothing when it is enumerated."""


EMPTY = Empty()


class Array:
    """A .NET array; `element` is the full name of its element type."""

    __slots__ = ("element", "items")

    def __init__(self, items: Iterable[Value], element: str = "System.Object") -> None:
        self.items = list(items)
        self.element = element


class NetList:
    """An ArrayList or a generic list."""

    __slots__ = ("element", "generic", "items")

    def __init__(
        self, items: Iterable[Value] = (), *, generic: bool = False, element: str = "System.Object"
    ) -> None:
        self.items = list(items)
        self.generic = generic
        self.element = element


class Collection:
    """A read-only .NET collection such as the keys of a hashtable or the matches of a regex."""

    __slots__ = ("indexable", "items", "type_name")

    def __init__(self, items: Iterable[Value], type_name: str, *, indexable: bool = False) -> None:
        self.items = list(items)
        self.type_name = type_name
        self.indexable = indexable


def hash_key(key: Value) -> object:
    """Return what makes two keys of a hashtable literal the same."""
    if isinstance(key, str):
        return key.upper()
    return (type(key), key) if isinstance(key, int | float | bool) else key


class Hashtable:
    """A hashtable; keys that are strings ignore case."""

    __slots__ = ("entries",)

    def __init__(self, pairs: Iterable[tuple[Value, Value]] = ()) -> None:
        self.entries: dict[object, tuple[Value, Value]] = {}
        for key, value in pairs:
            self.set(key, value)

    def get(self, key: Value) -> Value:
        """Return the value of a key, None if it is missing."""
        found = self.entries.get(hash_key(key))
        return None if found is None else found[1]

    def has(self, key: Value) -> bool:
        """Say whether the key is there."""
        return hash_key(key) in self.entries

    def set(self, key: Value, value: Value) -> None:
        """Set a key; one that is there keeps its spelling and its place."""
        known = hash_key(key)
        old = self.entries.get(known)
        self.entries[known] = (key if old is None else old[0], value)

    def remove(self, key: Value) -> None:
        """Remove a key, if it is there."""
        self.entries.pop(hash_key(key), None)

    def pairs(self) -> Iterator[tuple[Value, Value]]:
        """Return keys with their values."""
        return iter(list(self.entries.values()))


class OrderedDictionary(Hashtable):
    """`[ordered]@{ }`."""

    __slots__ = ()


class Property:
    """A property of an object; the value is read through `get` where it is computed."""

    __slots__ = ("kind", "name", "value")

    def __init__(self, name: str, value: Value, kind: str = "NoteProperty") -> None:
        self.name = name
        self.value = value
        self.kind = kind


class PSObject:
    """An object made of properties: PSCustomObject, or what stands for a CIM instance.

    Attributes:
        type_names: as PSTypeNames has them, the most special first.
        settable: whether a script may set properties of something other than a PSCustomObject.
    """

    __slots__ = ("data", "net_type", "properties", "settable", "type_names")

    def __init__(
        self,
        pairs: Iterable[tuple[str, Value]] = (),
        *,
        type_names: Iterable[str] = ("System.Management.Automation.PSCustomObject", "System.Object"),
        net_type: str = "System.Management.Automation.PSCustomObject",
        data: object = None,
    ) -> None:
        self.properties: dict[str, Property] = {}
        for name, value in pairs:
            self.properties[name.lower()] = Property(name, value)
        self.type_names = list(type_names)
        self.net_type = net_type
        self.data = data
        self.settable = False

    def get(self, name: str) -> Value:
        """Return a property's value, None if there is none."""
        found = self.properties.get(name.lower())
        return None if found is None else found.value

    def set(self, name: str, value: Value) -> None:
        """Set or add a property."""
        known = self.properties.get(name.lower())
        if known is None:
            self.properties[name.lower()] = Property(name, value)
        else:
            known.value = value


def cim_instance(class_name: str, pairs: Iterable[tuple[str, Value]], data: object = None) -> PSObject:
    """Return an object that binds to parameters as a CIM instance of that class does."""
    base = "Microsoft.Management.Infrastructure.CimInstance"
    return PSObject(
        pairs, type_names=(f"{base}#{class_name}", base, "System.Object"), net_type=base, data=data
    )


@dataclass(frozen=True, slots=True)
class Char:
    """System.Char."""

    value: str


@dataclass(frozen=True, slots=True)
class EnumValue:
    """A value of an enum."""

    kind: EnumType
    number: int


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type as a value: `[int]`."""

    type: NetType


@dataclass(frozen=True, slots=True)
class Switch:
    """System.Management.Automation.SwitchParameter."""

    present: bool


@dataclass(slots=True)
class Reference:
    """`[ref]$variable`."""

    get: Callable[[], Value]
    set: Callable[[Value], None]


@dataclass(slots=True, eq=False)
class ScriptBlock:
    """A script block with the scope that it was made in, for what is looked up from there."""

    body: ScriptBody
    scope: Scope | None = None


@dataclass(slots=True, eq=False)
class NetException:
    """A .NET exception; a message of None is not known and must not be read."""

    type_name: str
    message: str | None
    inner: NetException | None = None
    properties: dict[str, Value] = field(default_factory=dict)
    record: ErrorRecord | None = None


@dataclass(slots=True, eq=False)
class ErrorRecord:
    """What `$_` is in a catch; an id or category of None is not known and must not be read."""

    exception: NetException
    error_id: str | None
    category: str | None = None
    target: Value = None
    details: str | None = None
    line: int = 0


class Instance:
    """Base of .NET objects that the engine knows; the full name of the type is `net_type`."""

    net_type: str


def plain(value: Value) -> Value:
    """Return the value, None for an empty pipeline."""
    return None if value is EMPTY else value


def enumerate_value(value: Value) -> Iterator[Value] | None:
    """Return the items of what a pipeline enumerates, None for a value that goes through as it is."""
    if isinstance(value, Array | NetList | Collection):
        return iter(list(value.items))
    if value is EMPTY:
        return iter(())
    return None


def items_of(value: Value) -> list[Value]:
    """Return the items of a collection, or the value alone."""
    found = enumerate_value(value)
    return [value] if found is None else list(found)


def is_list(value: Value) -> bool:
    """Say whether operators treat the value item by item."""
    return isinstance(value, Array | NetList | Collection)


def collected(items: list[Value]) -> Value:
    """Return what a variable gets from a pipeline's output."""
    if not items:
        return EMPTY
    return items[0] if len(items) == 1 else Array(items)
