"""The house stands as docs/architecture.md draws it: imports point downwards, and the core is pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fwfix"

# From the roof to the ground; a room imports from its own floor and from the floors below it.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("lab",),
    ("runner",),
    ("evidence", "lint"),
    ("output",),
    ("journal", "executors", "probes"),
    ("lifecycle", "verification"),
    ("planning",),
    ("deadlines", "waves"),
    ("drivers",),
    ("hazards", "fingerprint", "waves", "deadlines"),
    ("rendering",),
    ("loading", "resolve", "approvals"),
    ("secret_store", "report", "state_dir", "whoami", "signing"),
    ("programs", "terminal", "whole_file"),
    ("model",),
    ("secrets",),
    ("errors", "canonical"),
)
PURE = (
    "lifecycle",
    "verification",
    "planning",
    "hazards",
    "fingerprint",
    "drivers",
    "model",
    "errors",
    "canonical",
    "secrets",
)
IMPURE_MODULES = {
    "asyncio", "getpass", "http", "jinja2", "keyring", "os", "paramiko", "random", "requests", "select",
    "socket", "sqlite3", "subprocess", "threading", "time", "typer", "urllib", "winrm",
}  # fmt: skip


def _floor(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"fwfix/{room} stands on no floor: add it to FLOORS and to docs/architecture.md")


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts not in (("__init__",), ("_version",)):
            yield parts[0], path


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno


def test_imports_never_point_upwards() -> None:
    wrong = []
    for room, path in _modules():
        for name, line in _imports(path):
            if not name.startswith("fwfix."):
                continue
            other = name.split(".")[1]
            if other != room and _floor(other) <= _floor(room):
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert wrong == []


def test_nothing_but_the_demo_command_imports_the_lab() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for room, path in _modules()
        for name, line in _imports(path)
        if name.startswith("fwfix.lab") and room != "lab" and path.name != "demo.py"
    ]
    assert wrong == []


@pytest.mark.parametrize("room", PURE)
def test_the_core_touches_nothing_outside_itself(room: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for owner, path in _modules()
        if owner == room
        for name, line in _imports(path)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert wrong == []


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for _, path in _modules()
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
