"""What every object has: GetType, ToString, PSObject, Where and ForEach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.instances import Bag, Match
from fwfix.lab.windows.powershell.members.tables import method, prop
from fwfix.lab.windows.powershell.members.text import GroupCollection
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import type_label
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Collection,
    Instance,
    NetList,
    Property,
    PSObject,
    Reference,
    ScriptBlock,
    Switch,
    TypeRef,
    Value,
    items_of,
)  # fmt: skip

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_O = "System.Object"
_TYPE = "System.RuntimeType"


class PropertyView(Instance):
    """A property as `.PSObject.Properties` shows it."""

    net_type = "System.Management.Automation.PSNoteProperty"

    def __init__(self, owner: PSObject, known: Property) -> None:
        self.owner = owner
        self.known = known


class PropertyCollection(Collection):
    """`.PSObject.Properties`."""

    __slots__ = ("owner",)

    def __init__(self, owner: PSObject) -> None:
        views = (PropertyView(owner, p) for p in owner.properties.values())
        super().__init__(views, "System.Management.Automation.PSMemberInfoIntegratingCollection`1")
        self.owner = owner


def psobject(target: Value) -> Value:
    """Return `.PSObject`."""
    if not isinstance(target, PSObject):
        raise NotInDialect(f"PSObject of a {type_label(target)}")
    view = Bag("System.Management.Automation.PSObject")
    view.properties = {
        "Properties": PropertyCollection(target), "TypeNames": NetList(target.type_names),
        "BaseObject": target,
    }  # fmt: skip
    return view


_P = PropertyView.net_type
prop(_P, "Name")(lambda _engine, self: self.known.name)
prop(_P, "Value")(lambda _engine, self: self.known.value)
prop(_P, "MemberType")(lambda _engine, self: self.known.kind)


@method("System.Management.Automation.PSMemberInfoIntegratingCollection`1", "Remove", "string")
def _remove_property(engine: Core, self: PropertyCollection, name: str) -> Value:
    del engine
    self.owner.properties.pop(name.lower(), None)
    return EMPTY


def set_member(target: Value, name: str, value: Value) -> bool:
    """Set a property of what is no object of the script; false if it has none to set."""
    if isinstance(target, Reference) and name.lower() == "value":
        target.set(value)
        return True
    if isinstance(target, PropertyView) and name.lower() == "value":
        target.known.value = value
        return True
    return False


def element(engine: Core, target: Value, index: Value) -> Value:
    """Return an element of an object with an index of its own; `EMPTY` if it has none."""
    if isinstance(target, PropertyCollection) and isinstance(index, str):
        known = target.owner.properties.get(index.lower())
        return None if known is None else PropertyView(target.owner, known)
    if isinstance(target, GroupCollection) and isinstance(index, str):
        match = target.match
        assert isinstance(match, Match)
        return match.named(index)
    del engine
    return EMPTY


prop("System.Management.Automation.PSReference`1", "Value")(lambda _engine, self: self.get())
prop("System.Management.Automation.SwitchParameter", "IsPresent")(lambda _engine, self: self.present)
method("System.Management.Automation.SwitchParameter", "ToBool")(lambda _engine, self: self.present)


@method(_O, "GetType")
def _get_type(engine: Core, self: Value) -> Value:
    if isinstance(self, PSObject) and self.net_type.endswith("PSCustomObject"):
        return TypeRef(NetType(self.net_type))
    return TypeRef(engine.convert.type_of(self))


@method(_O, "ToString")
def _to_string(engine: Core, self: Value) -> Value:
    if isinstance(self, PSObject | Array | NetList | Collection):
        if isinstance(self, Array):
            return self.element + "[]"
        raise NotInDialect(f"ToString of a {type_label(self)}")
    if isinstance(self, TypeRef):
        return self.type.full_name
    return engine.texts.of(self)


@method(_O, "Equals", "object")
def _equals(engine: Core, self: Value, other: Value) -> Value:
    del engine
    if isinstance(self, PSObject | Array | NetList):
        return self is other
    return type(self) is type(other) and self == other


def _generic_name(kind: NetType) -> str:
    if kind.element and not kind.full_name.endswith("[]"):
        raise NotInDialect("the full name of a generic type")
    return kind.full_name


prop(_TYPE, "Name")(lambda _engine, self: self.type.name)
prop(_TYPE, "FullName")(lambda _engine, self: _generic_name(self.type))
prop(_TYPE, "IsArray")(lambda _engine, self: self.type.full_name.endswith("[]"))


@prop(_TYPE, "Namespace")
def _namespace(engine: Core, self: TypeRef) -> Value:
    del engine
    return self.type.full_name.rsplit(".", 1)[0]


def where_or_foreach(engine: Core, name: str, target: Value, arguments: list[Value]) -> Value:
    """Call `.Where({ })` or `.ForEach({ })`."""
    if engine.edition.version < (4, 0):
        raise NotInDialect(f".{name}(), which came with PowerShell 4.0")
    if len(arguments) != 1 or not isinstance(arguments[0], ScriptBlock):
        raise NotInDialect(f"these arguments of .{name}()")
    block = arguments[0]
    found: list[Value] = []
    for item in items_of(target):
        if name == "where":
            if engine.convert.to_bool(engine.block_value(block, item)):
                found.append(item)
        else:
            engine.run_script_block_here(block, item, found.append)
    return Collection(found, "System.Collections.ObjectModel.Collection`1", indexable=True)


# -- script blocks

_B = "System.Management.Automation.ScriptBlock"


@method(_B, "Invoke", rest=True)
def _invoke(engine: Core, self: ScriptBlock, *arguments: Value) -> Value:
    found: list[Value] = []
    engine.call_block(self, list(arguments), found.append)
    return Collection(found, "System.Collections.ObjectModel.Collection`1", indexable=True)


@method(_B, "ToString")
def _block_text(engine: Core, self: ScriptBlock) -> Value:
    del engine
    return self.body.text


prop("System.Object", "PSTypeNames")(lambda _engine, _self: EMPTY)
prop("System.Enum", "value__")(lambda _engine, self: self.number)


def as_switch(value: Value) -> bool:
    """Return a switch or a boolean as a boolean."""
    return value.present if isinstance(value, Switch) else bool(value)
