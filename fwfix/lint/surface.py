"""The cmdlets and .NET members that templates may use, as Windows has them (surface.json)."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

VERSIONS = ("3.0", "4.0", "5.1")
_TOKEN = re.compile(r"(?P<word>[^<\s]+)(?:\s+<(?P<type>[^>]+)>\]*)?")
_MANY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter in one set; the type is empty for a switch."""

    name: str
    type: str
    mandatory: bool
    positional: bool


ParameterSet = Mapping[str, Parameter]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many arguments an overload takes, and the type that it returns."""

    least: int
    most: int
    returns: str


Overloads = tuple[Shape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetType:
    """Public members of a .NET type by lower-case name; properties and enum values with their type."""

    name: str
    static_methods: Mapping[str, Overloads] = field(default_factory=dict)
    methods: Mapping[str, Overloads] = field(default_factory=dict)
    static_properties: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    constructors: Overloads = ()

    @property
    def short(self) -> str:
        """The name without `System.`."""
        return self.name.removeprefix("System.")


def read_set(text: str) -> ParameterSet:
    """Read one parameter set as `Get-Command -Syntax` prints it; keys are lower case."""
    found: dict[str, Parameter] = {}
    for token in _TOKEN.finditer(text):
        word, kind = token["word"], token["type"] or ""
        positional = bool(kind) and word.startswith("[") and word.endswith("]")
        name = word.strip("[]").removeprefix("-")
        found[name.lower()] = Parameter(
            name=name,
            type=kind,
            mandatory=not word.startswith("[[" if positional else "["),
            positional=positional,
        )
    return found


@functools.cache
def _table() -> Any:  # noqa: ANN401 - JSON
    return json.loads(resources.files(__package__).joinpath("surface.json").read_text(encoding="utf-8"))


@functools.cache
def cmdlets() -> Mapping[str, Mapping[str, tuple[ParameterSet, ...]]]:
    """Return name in lower case -> version -> parameter sets."""
    return {
        name.lower(): {
            version: tuple(read_set(text) for text in variant["sets"])
            for variant in variants
            for version in variant["versions"]
        }
        for name, variants in _table()["cmdlets"].items()
    }


def cmdlet_names() -> tuple[str, ...]:
    """Return the cmdlets as Windows spells them."""
    return tuple(_table()["cmdlets"])


@functools.cache
def _spellings() -> Mapping[str, str]:
    common = {name.lower(): name for name in ("ErrorAction", "WarningAction", "ErrorVariable", "OutVariable")}
    members = (names for entry in _table()["types"].values() for names in entry.values())
    types = {name.lower(): name for names in members for name in names}
    sets = (each for versions in cmdlets().values() for known in versions.values() for each in known)
    return {**common, **types, **{key: parameter.name for each in sets for key, parameter in each.items()}}


def spelling(name: str) -> str:
    """Return a member or parameter as Windows spells it."""
    return _spellings().get(name, name)


@functools.cache
def net_types() -> Mapping[str, NetType]:
    """Return full name in lower case -> type."""
    return {name.lower(): _net_type(name, entry) for name, entry in _table()["types"].items()}


def _net_type(name: str, entry: Mapping[str, Any]) -> NetType:
    values = dict.fromkeys((value.lower() for value in entry.get("enum", ())), name)
    properties = {key.lower(): kind for key, kind in entry.get("static properties", {}).items()}
    return NetType(
        name=name,
        static_methods=_methods(entry.get("static methods", {})),
        methods=_methods(entry.get("instance methods", {})),
        static_properties={**properties, **values},
        properties={key.lower(): kind for key, kind in entry.get("instance properties", {}).items()},
        constructors=tuple(_shape(text) for text in entry.get("constructors", ())),
    )


def _methods(entry: Mapping[str, list[str]]) -> dict[str, Overloads]:
    return {name.lower(): tuple(_shape(text) for text in shapes) for name, shapes in entry.items()}


def _shape(text: str) -> Shape:
    count, _, returns = text.partition(":")
    least = int(count.rstrip("+"))
    return Shape(least=least, most=_MANY if count.endswith("+") else least, returns=returns)
