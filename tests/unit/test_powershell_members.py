"""The engine has no .NET member that the Windows hosts lack: its tables against .NET Framework 4.5."""

import json
from pathlib import Path

import pytest

from fwfix.lab.windows.powershell import DESKTOP_3_0, DESKTOP_5_1, Engine
from fwfix.lab.windows.powershell.members import TABLES

CAPTURE = Path(__file__).resolve().parents[3] / "shared/data/netfx45_members.json"
# Not of .NET: PowerShell shows members of interfaces on arrays, and adds a property to addresses.
POWERSHELLS_OWN = {
    ("System.Array", "contains"),
    ("System.Array", "indexof"),
    ("System.Array", "count"),
    ("System.Net.IPAddress", "ipaddresstostring"),
}
SLIPS = {
    "Ttext": lambda name: name + name[-1],
    "Txet": lambda name: name[:-2] + name[-1] + name[-2],
    "Tex": lambda name: name[:-1],
}


def captured() -> dict[str, dict[str, dict[str, object]]]:
    if not CAPTURE.exists():
        pytest.skip(f"the capture is not at {CAPTURE}")
    return dict(json.loads(CAPTURE.read_text(encoding="utf-8")))


def arity(text: str) -> int:
    """Return how many parameters an overload such as `(String, Int32) -> Int32` has."""
    inside = text[1 : text.rindex(")")]
    return len([part for part in inside.split(", ") if part])


@pytest.mark.parametrize("kind", ["instance methods", "static methods"])
def test_every_method_of_the_engine_is_one_of_the_framework(kind: str) -> None:
    capture = captured()
    declared = TABLES.methods if kind == "instance methods" else TABLES.statics
    unknown = []
    for (owner, name), overloads in declared.items():
        if owner not in capture or (owner, name) in POWERSHELLS_OWN:
            continue
        real = {known.lower(): list(texts) for known, texts in capture[owner].get(kind, {}).items()}  # type: ignore[call-overload]
        counts = {arity(str(text)) for text in real.get(name, [])}
        unknown += [
            (owner, each.name, each.parameters)
            for each in overloads
            if not each.core and (name not in real or (not each.rest and len(each.parameters) not in counts))
        ]
    assert unknown == []


@pytest.mark.parametrize("kind", ["instance properties", "static properties"])
def test_every_property_of_the_engine_is_one_of_the_framework(kind: str) -> None:
    capture = captured()
    declared = TABLES.properties if kind == "instance properties" else TABLES.static_properties
    unknown = [
        (owner, name)
        for (owner, name), (_, core) in declared.items()
        if owner in capture
        and not core
        and (owner, name) not in POWERSHELLS_OWN
        and name not in {known.lower() for known in capture[owner].get(kind, {})}
    ]
    assert unknown == []


@pytest.mark.parametrize("edition", [DESKTOP_3_0, DESKTOP_5_1], ids=["3.0", "5.1"])
@pytest.mark.parametrize("slip", SLIPS)
def test_a_misspelt_static_member_never_runs(edition: object, slip: str) -> None:
    ran = []
    for (owner, name), overloads in TABLES.statics.items():
        wrong = SLIPS[slip](overloads[0].name)
        if (owner, wrong.lower()) in TABLES.statics or wrong.lower() == name:
            continue
        arguments = ", ".join("$null" for _ in overloads[0].parameters)
        result = Engine(edition=edition).run(f"[{owner}]::{wrong}({arguments}); 'ran'")  # type: ignore[arg-type]
        if result.refusal is None and b"ran" in result.stdout and not result.stderr:
            ran.append((owner, wrong))
    assert ran == []


@pytest.mark.parametrize(
    "script",
    [
        "'a'.ToUper()",
        "'a'.Substrin(0)",
        "@(1).Containz(1)",
        "(Get-Date).ToStrin('o')",
        "[Text.Encoding]::UTF8.GetByts('a')",
        "'a'.('Tr' + 'm')()",
    ],
)
def test_a_misspelt_method_of_an_object_never_runs(script: str) -> None:
    result = Engine(edition=DESKTOP_5_1).run(
        f"$null = {script}; 'ran'" if "$m" not in script else f"{script}; 'ran'"
    )
    assert result.refusal is not None or result.stderr
