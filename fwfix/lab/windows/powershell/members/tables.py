"""Tables of .NET members, and the choice among overloads.

A member is declared where it is written, with its parameter types as a script would name them. What is not
declared does not exist for the engine, which then refuses. `core=True` marks what .NET Framework 4.5 lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.typespecs import parse_type
from fwfix.lab.windows.powershell.values import Array, Char, NetList, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

Function = Callable[..., Value]
_WIDER = {
    "System.Int32": ("System.Int64", "System.Double", "System.Decimal"),
    "System.Byte": ("System.Int32", "System.Int64", "System.Double", "System.Decimal"),
    "System.Int64": ("System.Double", "System.Decimal"),
}
_NO = None


@dataclass(frozen=True, slots=True)
class Overload:
    """One way to call a member; `rest` takes any number of arguments as they are."""

    name: str
    parameters: tuple[str, ...]
    function: Function
    rest: bool
    core: bool


@dataclass(slots=True)
class Tables:
    """All members, by type and lower-case name."""

    methods: dict[tuple[str, str], list[Overload]] = field(default_factory=dict)
    statics: dict[tuple[str, str], list[Overload]] = field(default_factory=dict)
    constructors: dict[str, list[Overload]] = field(default_factory=dict)
    properties: dict[tuple[str, str], tuple[Function, bool]] = field(default_factory=dict)
    static_properties: dict[tuple[str, str], tuple[Function, bool]] = field(default_factory=dict)


TABLES = Tables()


def method(
    kind: str, name: str, *parameters: str, rest: bool = False, core: bool = False
) -> Callable[[Function], Function]:
    """Declare a method of instances: the function takes the engine, the object and the arguments."""

    def add(function: Function) -> Function:
        overload = Overload(name, parameters, function, rest, core)
        TABLES.methods.setdefault((kind, name.lower()), []).append(overload)
        return function

    return add


def static(
    kind: str, name: str, *parameters: str, rest: bool = False, core: bool = False
) -> Callable[[Function], Function]:
    """Declare a static method: the function takes the engine and the arguments."""

    def add(function: Function) -> Function:
        overload = Overload(name, parameters, function, rest, core)
        TABLES.statics.setdefault((kind, name.lower()), []).append(overload)
        return function

    return add


def constructor(kind: str, *parameters: str, rest: bool = False) -> Callable[[Function], Function]:
    """Declare a constructor: the function takes the engine and the arguments."""

    def add(function: Function) -> Function:
        overload = Overload(kind, parameters, function, rest, core=False)
        TABLES.constructors.setdefault(kind, []).append(overload)
        return function

    return add


def prop(kind: str, name: str, *, core: bool = False) -> Callable[[Function], Function]:
    """Declare a property of instances: the function takes the engine and the object."""

    def add(function: Function) -> Function:
        TABLES.properties[kind, name.lower()] = (function, core)
        return function

    return add


def static_prop(kind: str, name: str, *, core: bool = False) -> Callable[[Function], Function]:
    """Declare a static property or field: the function takes the engine."""

    def add(function: Function) -> Function:
        TABLES.static_properties[kind, name.lower()] = (function, core)
        return function

    return add


def score(engine: Core, value: Value, target: NetType) -> int | None:
    """Return how well a value fits a parameter, the lower the better; None if it does not."""
    wanted = target.full_name
    if value is None:
        return None if target.value_type else 2
    if wanted == "System.Object":
        return 20
    own = engine.convert.type_of(value)
    if own.full_name == wanted:
        return 0
    if own.derives_from(wanted):
        return 1
    if wanted in _WIDER.get(own.full_name, ()):
        return 2 + _WIDER[own.full_name].index(wanted)
    if isinstance(value, Char) and wanted == "System.String":
        return 5
    if isinstance(value, Array | NetList) and not wanted.endswith("[]"):
        return None
    return _converted_score(engine, value, target)


def _converted_score(engine: Core, value: Value, target: NetType) -> int | None:
    try:
        engine.convert.to(value, target)
    except (PSError, NotInDialect):
        return None
    if isinstance(target, EnumType) or target.full_name == "System.Char":
        return 6
    return 30 if target.full_name == "System.String" else 10


def choose(
    engine: Core, overloads: list[Overload], arguments: list[Value], label: str
) -> tuple[Overload, list[Value]]:
    """Return the overload that fits best, with the arguments converted."""
    known = [o for o in overloads if not (o.core and engine.edition.desktop)]
    if not known:
        raise NotInDialect(f"{label}, which .NET Framework 4.5 does not have")
    best: tuple[int, Overload, list[NetType]] | None = None
    for overload in known:
        if overload.rest:
            if best is None:
                best = (1000, overload, [])
            continue
        if len(overload.parameters) != len(arguments):
            continue
        targets = [engine.types.resolve(parse_type(p, 0)) for p in overload.parameters]
        scores = [score(engine, a, t) for a, t in zip(arguments, targets, strict=True)]
        if None in scores:
            continue
        total = sum(s for s in scores if s is not None)
        if best is None or total < best[0]:
            best = (total, overload, targets)
    if best is None:
        newer = [o for o in overloads if o not in known and len(o.parameters) == len(arguments)]
        raise NotInDialect(
            f"{label} with these arguments" + (", which .NET Framework 4.5 does not have" if newer else "")
        )
    _, overload, targets = best
    if overload.rest:
        return overload, arguments
    return overload, [engine.convert.to(a, t) for a, t in zip(arguments, targets, strict=True)]
