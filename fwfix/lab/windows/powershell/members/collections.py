"""Arrays, lists, hashtables and other collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.instances import Bag
from fwfix.lab.windows.powershell.members.tables import constructor, method, prop, static
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Collection,
    Hashtable,
    NetList,
    OrderedDictionary,
    Value,
    items_of,
)  # fmt: skip

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_A, _L, _G = "System.Array", "System.Collections.ArrayList", "System.Collections.Generic.List`1"
_H, _O = "System.Collections.Hashtable", "System.Collections.Specialized.OrderedDictionary"
_LISTS = (_A, _L, _G)


def _count(engine: Core, self: Array | NetList | Collection) -> Value:
    del engine
    return len(self.items)


for _kind in (_A, _L, _G, "System.Collections.ICollection"):
    prop(_kind, "Count")(_count)
for _name in ("Length", "LongLength"):
    prop(_A, _name)(_count)
prop(_A, "Rank")(lambda _engine, _self: 1)


def same(left: Value, right: Value) -> bool:
    """Return what `Equals` returns: no conversion, case matters."""
    return type(left) is type(right) and left == right


def _contains(engine: Core, self: Array | NetList, value: Value) -> Value:
    del engine
    return any(same(item, value) for item in self.items)


def _index_of(engine: Core, self: Array | NetList, value: Value) -> Value:
    del engine
    return next((i for i, item in enumerate(self.items) if same(item, value)), -1)


for _kind in _LISTS:
    method(_kind, "Contains", "object")(_contains)
    method(_kind, "IndexOf", "object")(_index_of)
static(_A, "IndexOf", "array", "object")(_index_of)


@method(_A, "Clone")
def _clone(engine: Core, self: Array) -> Value:
    del engine
    return Array(self.items, self.element)


@static(_A, "Reverse", "array")
def _reverse(engine: Core, self: Array) -> Value:
    del engine
    self.items.reverse()
    return EMPTY


def _item(engine: Core, self: NetList, value: Value) -> Value:
    return (
        value
        if self.element == "System.Object"
        else engine.convert.to(value, engine.types.by_full_name(self.element))
    )


@method(_L, "Add", "object")
@method(_G, "Add", "object")
def _add(engine: Core, self: NetList, value: Value) -> Value:
    self.items.append(_item(engine, self, value))
    return EMPTY if self.generic else len(self.items) - 1


@method(_L, "AddRange", "object")
@method(_G, "AddRange", "object")
def _add_range(engine: Core, self: NetList, values: Value) -> Value:
    self.items.extend(_item(engine, self, v) for v in items_of(values))
    return EMPTY


@method(_L, "Insert", "int", "object")
@method(_G, "Insert", "int", "object")
def _insert(engine: Core, self: NetList, index: int, value: Value) -> Value:
    if not 0 <= index <= len(self.items):
        raise NetError("ArgumentOutOfRangeException")
    self.items.insert(index, _item(engine, self, value))
    return EMPTY


@method(_L, "RemoveAt", "int")
@method(_G, "RemoveAt", "int")
def _remove_at(engine: Core, self: NetList, index: int) -> Value:
    del engine
    if not 0 <= index < len(self.items):
        raise NetError("ArgumentOutOfRangeException")
    del self.items[index]
    return EMPTY


@method(_L, "Remove", "object")
@method(_G, "Remove", "object")
def _remove(engine: Core, self: NetList, value: Value) -> Value:
    index = _index_of(engine, self, value)
    assert isinstance(index, int)
    if index >= 0:
        del self.items[index]
    return (index >= 0) if self.generic else EMPTY


@method(_L, "Clear")
@method(_G, "Clear")
def _clear(engine: Core, self: NetList) -> Value:
    del engine
    self.items.clear()
    return EMPTY


@method(_L, "Reverse")
@method(_G, "Reverse")
def _list_reverse(engine: Core, self: NetList) -> Value:
    del engine
    self.items.reverse()
    return EMPTY


@method(_L, "ToArray")
@method(_G, "ToArray")
def _to_array(engine: Core, self: NetList) -> Value:
    del engine
    return Array(self.items, self.element)


@constructor(_L)
def _new_arraylist(engine: Core) -> Value:
    del engine
    return NetList()


@constructor(_L, "object")
def _new_arraylist_of(engine: Core, values: Value) -> Value:
    del engine
    if isinstance(values, int) and not isinstance(values, bool):
        return NetList()
    if not isinstance(values, Array | NetList):
        raise NotInDialect("an ArrayList of this")
    return NetList(values.items)


def new_list(engine: Core, kind: NetType, arguments: list[Value]) -> Value:
    """Return a generic list, empty or with the items of another."""
    made = NetList(generic=True, element=kind.element)
    if len(arguments) > 1:
        raise NotInDialect("a list of several arguments")
    if arguments and not (isinstance(arguments[0], int) and not isinstance(arguments[0], bool)):
        if not isinstance(arguments[0], Array | NetList):
            raise NotInDialect("a list of this")
        made.items.extend(_item(engine, made, v) for v in arguments[0].items)
    return made


# -- hashtables


@prop(_H, "Count")
@prop(_O, "Count")
def _table_count(engine: Core, self: Hashtable) -> Value:
    del engine
    return len(self.entries)


@prop(_H, "Keys")
@prop(_O, "Keys")
def _keys(engine: Core, self: Hashtable) -> Value:
    del engine
    return Collection((k for k, _ in in_known_order(self).pairs()), _view(self, "Key"))


@prop(_H, "Values")
@prop(_O, "Values")
def _values(engine: Core, self: Hashtable) -> Value:
    del engine
    return Collection((v for _, v in in_known_order(self).pairs()), _view(self, "Value"))


def in_known_order(self: Hashtable) -> Hashtable:
    """Return the table; refuse one whose order .NET decides and scripts can see."""
    ordered = isinstance(self, OrderedDictionary) or len(self.entries) < 2  # noqa: PLR2004 - an order needs two
    if not ordered and not all(isinstance(key, str) for key, _ in self.pairs()):
        raise NotInDialect("the order of a hashtable with keys that are no strings")
    return self


def _view(self: Hashtable, what: str) -> str:
    if isinstance(self, OrderedDictionary):
        return "System.Collections.Specialized.OrderedDictionary+OrderedDictionaryKeyValueCollection"
    return f"System.Collections.Hashtable+{what}Collection"


@method(_H, "ContainsKey", "object")
@method(_H, "Contains", "object")
@method(_O, "Contains", "object")
def _contains_key(engine: Core, self: Hashtable, key: Value) -> Value:
    del engine
    if key is None:
        raise NetError("ArgumentNullException")
    return self.has(key)


@method(_H, "ContainsValue", "object")
def _contains_value(engine: Core, self: Hashtable, value: Value) -> Value:
    del engine
    return any(same(v, value) for _, v in self.pairs())


@method(_H, "Add", "object", "object")
@method(_O, "Add", "object", "object")
def _table_add(engine: Core, self: Hashtable, key: Value, value: Value) -> Value:
    del engine
    if key is None:
        raise NetError("ArgumentNullException")
    if self.has(key):
        raise NetError("ArgumentException")
    self.set(key, value)
    return EMPTY


@method(_H, "Remove", "object")
@method(_O, "Remove", "object")
def _table_remove(engine: Core, self: Hashtable, key: Value) -> Value:
    del engine
    if key is None:
        raise NetError("ArgumentNullException")
    self.remove(key)
    return EMPTY


@method(_H, "Clear")
@method(_O, "Clear")
def _table_clear(engine: Core, self: Hashtable) -> Value:
    del engine
    self.entries.clear()
    return EMPTY


@method(_H, "Clone")
def _table_clone(engine: Core, self: Hashtable) -> Value:
    del engine
    return Hashtable(self.pairs())


@method(_H, "GetEnumerator")
@method(_O, "GetEnumerator")
def _entries(engine: Core, self: Hashtable) -> Value:
    del engine
    kind = "System.Collections.DictionaryEntry"
    return Collection(
        (Bag(kind, {"Key": k, "Value": v, "Name": k}) for k, v in in_known_order(self).pairs()),
        "System.Collections.IDictionaryEnumerator",
    )


@constructor(_H)
def _new_table(engine: Core) -> Value:
    del engine
    raise NotInDialect("a hashtable whose keys know case")


@constructor(_O)
def _new_ordered(engine: Core) -> Value:
    del engine
    raise NotInDialect("an ordered dictionary whose keys know case")
