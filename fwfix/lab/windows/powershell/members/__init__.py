"""Members of values: properties, methods, static members, constructors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError, PSError, error, method_failed
from fwfix.lab.windows.powershell.instances import Bag, Match, Stopwatch, XmlNode
from fwfix.lab.windows.powershell.members import (
    chars,
    collections,
    dates,
    exceptions,
    files,
    intrinsic,
    numeric,
    services,
    strings,
    text,
    xmlnodes,
)  # fmt: skip
from fwfix.lab.windows.powershell.members.tables import TABLES, Overload, choose
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import type_label
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Char,
    Collection,
    EnumValue,
    Hashtable,
    NetList,
    PSObject,
    ScriptBlock,
    Switch,
    TypeRef,
    Value,
    enumerate_value,
    plain,
)  # fmt: skip

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_MODULES = (
    chars,
    collections,
    dates,
    exceptions,
    files,
    intrinsic,
    numeric,
    services,
    strings,
    text,
    xmlnodes,
)
# Types of which every property is in the tables: another name is nothing, not something unknown.
_COMPLETE = (str, int, float, Char, Switch)
_COUNTS = ("count", "length")


def chain(kind: NetType) -> tuple[str, ...]:
    """Return the types whose members a type has."""
    return (kind.full_name, *kind.bases, "System.Object")


def _fits(old: Value, new: Value) -> bool:
    """Say whether a CIM property takes a value as it is; texts are the ones that may be null."""
    if isinstance(old, bool) or isinstance(new, bool):
        return isinstance(old, bool) and isinstance(new, bool)
    return isinstance(old, str | None) and isinstance(new, str | None)


class Members:
    """Finds and calls members for one engine."""

    def __init__(self, engine: Core) -> None:
        self.engine = engine

    # -- properties

    def property(self, target: Value, name: str) -> Value:  # noqa: C901, PLR0911 - one line a case
        """Return a property; what does not exist is null, an error in strict mode."""
        lowered = name.lower()
        if target is None:
            return self._missing(target, name)
        if lowered in ("psobject", "pstypenames"):
            return self._adapted(target, lowered)
        if isinstance(target, Hashtable) and target.has(name):
            return target.get(name)
        if isinstance(target, PSObject):
            known = target.properties.get(lowered)
            if known is not None:
                return known.value
            return self._missing(target, name)
        if isinstance(target, Bag):
            for key, value in target.properties.items():
                if key.lower() == lowered:
                    return value
        if isinstance(target, Collection) and lowered == "count":
            return len(target.items)
        found = self._declared(target, lowered)
        if found is not EMPTY:
            return found
        if isinstance(target, XmlNode):
            return self._xml(target, name)
        if isinstance(target, Array | NetList | Collection):
            return self._of_each(target, name)
        return self._missing(target, name)

    def _xml(self, target: XmlNode, name: str) -> Value:
        found = xmlnodes.child(target, name)
        return self._missing(target, name) if found is EMPTY else found

    def _declared(self, target: Value, lowered: str) -> Value:
        kind = self.engine.convert.type_of(target)
        for owner in chain(kind):
            entry = TABLES.properties.get((owner, lowered))
            if entry is not None:
                function, core = entry
                if core and self.engine.edition.desktop:
                    raise NotInDialect(f"{owner}.{lowered}, which .NET Framework 4.5 does not have")
                return function(self.engine, target)
        return EMPTY

    def _adapted(self, target: Value, lowered: str) -> Value:
        if lowered == "pstypenames":
            if isinstance(target, PSObject):
                return NetList(target.type_names)
            raise NotInDialect(f"PSTypeNames of a {type_label(target)}")
        return intrinsic.psobject(target)

    def _missing(self, target: Value, name: str) -> Value:
        engine = self.engine
        if engine.scope.is_strict():
            message = (
                f"The property '{name}' cannot be found on this object. Verify that the property exists."
            )
            raise error(message, "PropertyNotFoundStrict", category="NotSpecified")
        if name.lower() in _COUNTS:
            if target is None:
                return 0
            if isinstance(target, PSObject) and engine.edition.desktop:
                return None
            if not isinstance(target, Hashtable):
                return 1
        if isinstance(target, Hashtable) and name.lower() in _HASHTABLE_UNKNOWN:
            raise NotInDialect(f"the property {name} of a hashtable")
        if target is None or isinstance(target, (*_COMPLETE, PSObject, Hashtable)):
            return None
        raise NotInDialect(f"the property {name} of a {type_label(target)}")

    def _of_each(self, target: Array | NetList | Collection, name: str) -> Value:
        """Return the property of every item, as PowerShell does for a list that has no such property."""
        if name.lower() in _LIST_PROPERTIES:
            raise NotInDialect(f"the property {name} of a {type_label(target)}")
        found: list[Value] = []
        for item in target.items:
            if item is None:
                continue
            if self.engine.scope.is_strict():
                raise NotInDialect("a property of every item in strict mode")
            if isinstance(item, PSObject) and name.lower() not in item.properties:
                continue
            value = self.property(item, name)
            if (
                value is None
                and not isinstance(item, PSObject)
                and not (isinstance(item, Hashtable) and item.has(name))
            ):
                continue
            self._flatten(value, found)
        return plain(_collected(found))

    def _flatten(self, value: Value, found: list[Value]) -> None:
        items = enumerate_value(value)
        if items is None:
            found.append(value)
        else:
            found.extend(items)

    def set_property(self, target: Value, name: str, value: Value) -> None:
        """Set a property."""
        if isinstance(target, Hashtable):
            target.set(name, value)
            return
        if isinstance(target, PSObject):
            known = target.properties.get(name.lower())
            if known is None:
                message = (
                    f"The property '{name}' cannot be found on this object. "
                    "Verify that the property exists and can be set."
                )
                raise error(
                    f'Exception setting "{name}": "{message}"', "ExceptionWhenSetting",
                    kind="System.Management.Automation.SetValueInvocationException", category="NotSpecified",
                )  # fmt: skip
            if target.net_type != "System.Management.Automation.PSCustomObject" and not (
                target.settable and _fits(known.value, value)
            ):
                raise NotInDialect(f"setting {name} of a {target.type_names[0]}")
            known.value = value
            return
        if intrinsic.set_member(target, name, value):
            return
        raise NotInDialect(f"setting {name} of a {type_label(target)}")

    def indexer(self, target: Value, index: Value) -> Value:
        """Return an element of an object with an index of its own; `EMPTY` if it has none."""
        return intrinsic.element(self.engine, target, index)

    def iterate(self, value: Value) -> Iterator[Value]:
        """Return what `foreach` goes through."""
        items = enumerate_value(value)
        return iter([value]) if items is None else items

    # -- methods

    def member_of(self, target: Value, name: str) -> Value:
        """Return a property, or what a method without arguments returns, as `ForEach-Object Name` does."""
        lowered = name.lower()
        own = (isinstance(target, PSObject) and lowered in target.properties) or (
            isinstance(target, Hashtable) and target.has(name)
        )
        if not own and target is not None:
            kinds = chain(self.engine.convert.type_of(target))
            declared = any((k, lowered) in TABLES.properties for k in kinds)
            if not declared and any((k, lowered) in TABLES.methods for k in kinds):
                return self.method(target, name, [])
        if isinstance(target, PSObject) and not own:
            return None
        return self.property(target, name)

    def method(self, target: Value, name: str, arguments: list[Value]) -> Value:
        """Call a method."""
        lowered = name.lower()
        if lowered in ("where", "foreach") and not isinstance(target, Hashtable):
            return intrinsic.where_or_foreach(self.engine, lowered, target, arguments)
        kind = self.engine.convert.type_of(target)
        overloads: list[Overload] = []
        for owner in chain(kind):
            own = TABLES.methods.get((owner, lowered), [])
            known = {o.parameters for o in overloads}
            overloads = overloads + [o for o in own if o.parameters not in known]
        if not overloads and isinstance(target, Array | NetList | Collection):
            return self._call_each(target, name, arguments)
        if not overloads:
            raise NotInDialect(f"the method {name} of a {type_label(target)}")
        overload, converted = choose(
            self.engine, overloads, arguments, f"{kind.full_name}.{overloads[0].name}"
        )
        return self._guarded(overload, len(arguments), target, *converted)

    def _call_each(self, target: Array | NetList | Collection, name: str, arguments: list[Value]) -> Value:
        if name.lower() in _LIST_METHODS or isinstance(target, Collection):
            raise NotInDialect(f"the method {name} of a {type_label(target)}")
        found: list[Value] = []
        for item in target.items:
            if item is None:
                raise NotInDialect("a method of every item, one of them null")
            value = self.method(item, name, arguments)
            if value is not EMPTY:
                self._flatten(value, found)
        return _collected(found)

    def _guarded(self, overload: Overload, count: int, *arguments: Value) -> Value:
        try:
            return overload.function(self.engine, *arguments)
        except NetError as exc:
            raise method_failed(overload.name, count, exc) from exc

    # -- static members

    def static_property(self, kind: NetType, name: str) -> Value:
        """Return a static property, a field or an enum's value."""
        if isinstance(kind, EnumType):
            number = kind.number_of(name)
            if number is not None:
                return EnumValue(kind, number)
        entry = TABLES.static_properties.get((kind.full_name, name.lower()))
        if entry is None:
            raise NotInDialect(f"[{kind.full_name}]::{name}")
        function, core = entry
        if core and self.engine.edition.desktop:
            raise NotInDialect(f"[{kind.full_name}]::{name}, which .NET Framework 4.5 does not have")
        return function(self.engine)

    def static_method(self, kind: NetType, name: str, arguments: list[Value]) -> Value:
        """Call a static method; `new` constructs."""
        if name.lower() == "new":
            if self.engine.edition.version < (5, 0):
                raise NotInDialect("::new(), which came with PowerShell 5.0")
            try:
                return self.construct(kind, arguments)
            except NetError as exc:
                raise method_failed(".ctor", len(arguments), exc) from exc
        overloads = TABLES.statics.get((kind.full_name, name.lower()), [])
        if isinstance(kind, EnumType) or not overloads:
            raise NotInDialect(f"[{kind.full_name}]::{name}")
        overload, converted = choose(
            self.engine, overloads, arguments, f"[{kind.full_name}]::{overloads[0].name}"
        )
        return self._guarded(overload, len(arguments), *converted)

    def construct(self, kind: NetType, arguments: list[Value]) -> Value:
        """Return a new object.

        Raises:
            NetError: the constructor threw.
        """
        if kind.full_name == "System.Collections.Generic.List`1":
            return collections.new_list(self.engine, kind, arguments)
        if kind.derives_from("System.Exception"):
            return exceptions.new_exception(self.engine, kind, arguments)
        overloads = TABLES.constructors.get(kind.full_name, [])
        if not overloads:
            raise NotInDialect(f"making a {kind.full_name}")
        if len(arguments) == 1 and isinstance(arguments[0], TypeRef | ScriptBlock | Match | Stopwatch):
            raise NotInDialect(f"making a {kind.full_name} of this")
        overload, converted = choose(self.engine, overloads, arguments, f"making a {kind.full_name}")
        return overload.function(self.engine, *converted)


# Members that lists have and that are not known here; the items are not asked for these.
_LIST_PROPERTIES = {
    "longlength", "rank", "isfixedsize", "isreadonly", "issynchronized", "syncroot", "capacity", "length",
    "current",
}  # fmt: skip
_LIST_METHODS = frozenset(
    [
        "add",
        "addrange",
        "address",
        "asreadonly",
        "binarysearch",
        "clear",
        "clone",
        "compareto",
        "contains",
        "convertall",
        "copyto",
        "equals",
        "exists",
        "find",
        "findall",
        "findindex",
        "findlast",
        "findlastindex",
        "fixedsize",
        "foreach",
        "get",
        "getenumerator",
        "gethashcode",
        "getlength",
        "getlonglength",
        "getlowerbound",
        "getrange",
        "getupperbound",
        "getvalue",
        "indexof",
        "initialize",
        "insert",
        "insertrange",
        "lastindexof",
        "remove",
        "removeall",
        "removeat",
        "removerange",
        "repeat",
        "reset",
        "reverse",
        "set",
        "setrange",
        "setvalue",
        "sort",
        "synchronized",
        "toarray",
        "trimexcess",
        "trimtosize",
        "trueforall",
        "movenext",
        "dispose",
        "ensurecapacity",
        "slice",
    ]
)
_HASHTABLE_UNKNOWN = {"length", "isreadonly", "isfixedsize", "issynchronized", "syncroot", "comparer"}


def _collected(found: list[Value]) -> Value:
    if not found:
        return EMPTY
    return found[0] if len(found) == 1 else Array(found)


__all__ = ["Members", "PSError"]
