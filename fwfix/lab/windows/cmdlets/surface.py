"""The parameters of the cmdlets as captured on Windows, as declarations for the engine."""

import functools
import json
import re
from dataclasses import dataclass, replace
from importlib import resources

from fwfix.lab.windows.cmdlets.types import BY_NAME, OPAQUE
from fwfix.lab.windows.powershell import Binding, NetType, Parameter

VERSIONS = ("3.0", "4.0", "5.1")
_TOKEN = re.compile(r"(?P<word>[^<\s]+)(?:\s+<(?P<type>[^>]+)>\]*)?")
_CIM = "Microsoft.Management.Infrastructure."
# Which parameters take objects of the pipeline is not in the capture; it is documented for these [D].
_FROM_PIPELINE = re.compile(r"InputObject|Associated\w+")
# Other names are not in the capture either; these are documented [D].
_ALIASES = {
    ("NetFirewallProfile", "Name"): ("Profile",),
    ("NetFirewallRule", "Name"): ("ID",),
    ("NetFirewallRule", "LocalAddress"): ("LocalIP",),
    ("NetFirewallRule", "RemoteAddress"): ("RemoteIP",),
}
_LISTS = ("System.Array", "System.Collections.IList", "System.Collections.IEnumerable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What a cmdlet takes in one version."""

    name: str
    parameters: tuple[Parameter, ...]
    default_set: str
    should_process: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One parameter in one set; the type is empty for a switch, the position None for a named one."""

    name: str
    type: str
    mandatory: bool
    position: int | None


def read_set(text: str) -> tuple[Captured, ...]:
    """Read one parameter set of `Get-Command -Syntax`."""
    found: list[Captured] = []
    positions = 0
    for token in _TOKEN.finditer(text):
        word, kind = token["word"], token["type"] or ""
        bare = word.strip("[]")
        positional = bool(kind) and word.startswith("[") and word.endswith("]")
        optional = word.startswith("[[") if positional else word.startswith("[")
        found.append(
            Captured(
                name=bare.removeprefix("-"),
                type=kind,
                mandatory=not optional,
                position=positions if positional else None,
            )
        )
        positions += positional
    return tuple(found)


@functools.cache
def surfaces(version: str) -> dict[str, Surface]:
    """Return every cmdlet of the table that a version has."""
    table = json.loads(resources.files(__package__).joinpath("surface.json").read_text(encoding="utf-8"))
    return {
        name: _surface(name, variant["sets"])
        for name, variants in table["cmdlets"].items()
        for variant in variants
        if version in variant["versions"]
    }


def _surface(name: str, texts: list[str]) -> Surface:
    bindings: dict[str, dict[str, Binding]] = {}
    types: dict[str, str] = {}
    for number, text in enumerate(texts):
        for captured in read_set(text):
            types[captured.name] = captured.type
            bindings.setdefault(captured.name, {})[f"Set{number}"] = Binding(
                mandatory=captured.mandatory,
                position=captured.position,
                pipeline=bool(_FROM_PIPELINE.fullmatch(captured.name)),
            )
    should_process = bindings.pop("WhatIf", None) is not None
    bindings.pop("Confirm", None)
    noun = name.partition("-")[2]
    parameters = tuple(
        replace(_parameter(each, types[each], sets), aliases=_ALIASES.get((noun, each), ()))
        for each, sets in bindings.items()
    )
    return Surface(name=name, parameters=parameters, default_set="Set0", should_process=should_process)


def _parameter(name: str, kind: str, sets: dict[str, Binding]) -> Parameter:
    element, many = kind.removesuffix("[]"), kind.endswith("[]")
    if not kind:
        return Parameter(name=name, type="switch", sets=sets)
    if element.startswith("CimInstance#"):
        cim = "ciminstance[]" if many else "ciminstance"
        return Parameter(name=name, type=cim, ps_type=_CIM + element, sets=sets)
    if element in OPAQUE:
        return Parameter(name=name, sets=sets)
    if element in BY_NAME:
        enum = BY_NAME[element]
        full = NetType(enum.full_name + "[]", _LISTS, element=enum.full_name) if many else enum
        return Parameter(name=name, type=full, sets=sets)
    return Parameter(name=name, type=kind.replace("WildcardPattern", "string"), sets=sets)
