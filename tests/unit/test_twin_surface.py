"""The stand-in cmdlets take exactly what was captured on Windows, version by version."""

import json
import re
from pathlib import Path

import pytest

from fwfix.lab.windows.cmdlets import stand_ins
from fwfix.lab.windows.cmdlets.standins import ALL
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.powershell import Command

CAPTURE = Path(__file__).resolve().parents[3] / "shared/data/ps_cmdlet_signatures.json"
NAMES = [each.name for each in ALL]
PARAMETER = re.compile(r"(\[*)-(\w+)(\]?)(?: <([^>]+)>)?")


def captured(text: str) -> set[frozenset[tuple[str, bool, bool, bool]]]:
    """Read a capture: for each set name, whether it takes a value, is mandatory, has a position."""
    return {
        frozenset(
            (
                name,
                bool(kind),
                not before or (before == "[" and bool(after) and bool(kind)),
                bool(kind) and bool(after),
            )
            for before, name, after, kind in PARAMETER.findall(part)
        )
        for part in text.split("[<CommonParameters>]")
        if part.strip()
    }


def declared(command: Command) -> set[frozenset[tuple[str, bool, bool, bool]]]:
    """Read a stand-in the same way."""
    common = {(name, False, False, False) for name in ("WhatIf", "Confirm") if command.should_process}
    return {
        frozenset(
            {
                (each.name, not each.is_switch, how.mandatory, how.position is not None)
                for each in command.parameters
                if (how := each.binding(name)) is not None
            }
            | common
        )
        for name in command.set_names
    }


@pytest.mark.parametrize(("version", "key"), [("3.0", "3.0"), ("4.0", "4.0"), ("5.1", "5.1.14393.206")])
@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_has_the_captured_parameter_sets(name: str, version: str, key: str) -> None:
    if not CAPTURE.exists():
        pytest.skip(f"the capture is not at {CAPTURE}")
    capture = json.loads(CAPTURE.read_text(encoding="utf-8"))[key]
    commands = {each.name: each for each in stand_ins(WindowsHost(knobs=Knobs(ps_version=version)))}

    assert declared(commands[name]) == captured(capture[name]["sets"])


@pytest.mark.parametrize("version", ["3.0", "4.0", "5.1"])
def test_a_stand_in_obeys_only_parameters_that_some_version_has(version: str) -> None:
    commands = {each.name: each for each in stand_ins(WindowsHost(knobs=Knobs(ps_version=version)))}
    for each in ALL:
        known = {parameter.name for parameter in commands[each.name].parameters}
        assert set(each.obeys) - known <= {"OwningProcess"}, each.name
