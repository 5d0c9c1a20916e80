"""The table of cmdlets and .NET members is the one that the capture gives."""

import importlib.machinery
import importlib.util
import json
from pathlib import Path

import pytest

from fwfix.lint.outputs import OUTPUTS
from fwfix.lint.surface import VERSIONS, cmdlet_names, cmdlets, net_types, read_set

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "data"


def test_the_table_is_what_the_script_makes_of_its_source() -> None:
    if not (SOURCE / "netfx45_members.json").exists():
        pytest.skip("the captures (shared/data) are not here")
    path = ROOT / "scripts" / "build-lint-tables"
    loader = importlib.machinery.SourceFileLoader("build_lint_tables", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    table = (ROOT / "fwfix" / "lint" / "surface.json").read_text(encoding="utf-8")
    assert module.text(SOURCE) == table, "run scripts/build-lint-tables"


def test_the_table_names_its_source_and_licence() -> None:
    head = (ROOT / "fwfix" / "lint" / "surface.json").read_text(encoding="utf-8").splitlines()[1]
    assert "MIT License" in head
    assert "PSScriptAnalyzer" in head


def test_every_cmdlet_of_the_dialect_is_there_in_every_version() -> None:
    assert {name for name, versions in cmdlets().items() if set(versions) != set(VERSIONS)} == set()


def test_a_parameter_set_is_read_with_mandatory_positional_and_switch() -> None:
    known = read_set("[-Name] <string[]> [[-Path] <string>] -Id <int> [-Force] [-Depth <int>]")
    assert [each.name for each in known.values()] == ["Name", "Path", "Id", "Force", "Depth"]
    assert [each.mandatory for each in known.values()] == [True, False, True, False, False]
    assert [each.positional for each in known.values()] == [True, True, False, False, False]
    assert not known["force"].type


def test_members_that_came_after_the_framework_4_5_are_not_in_the_table() -> None:
    move = net_types()["system.io.file"].static_methods["move"]
    assert {(each.least, each.most) for each in move} == {(2, 2)}
    assert "tohexstring" not in net_types()["system.convert"].static_methods


# Cmdlets that put out .NET objects: the type, and what PowerShell adds to it (types.ps1xml).
PUT_OUT = {
    "Get-Process": (
        "System.Diagnostics.Process",
        {"Name", "Path", "Company", "Description", "FileVersion", "Product", "ProductVersion", "Handles"},
    ),
    "Get-Service": ("System.ServiceProcess.ServiceController", {"Name", "RequiredServices"}),
    "Get-Acl": (
        "System.Security.AccessControl.DirectorySecurity",
        {"Path", "Owner", "Group", "Access", "Sddl", "AccessToString"},
    ),
}


def test_properties_are_listed_for_cmdlets_of_the_dialect() -> None:
    assert {name for name in OUTPUTS if "-" in name} <= set(cmdlet_names())


@pytest.mark.parametrize("cmdlet", PUT_OUT)
def test_listed_properties_of_net_objects_are_those_of_the_framework_4_5(cmdlet: str) -> None:
    source = SOURCE / "netfx45_members.json"
    if not source.exists():
        pytest.skip("the captures (shared/data) are not here")
    name, added = PUT_OUT[cmdlet]
    members = json.loads(source.read_text(encoding="utf-8"))[name]["instance properties"]
    assert set(OUTPUTS[cmdlet].split()) - set(members) <= added
