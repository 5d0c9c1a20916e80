"""Variables and functions, scope by scope."""

from __future__ import annotations

from dataclasses import dataclass, field

from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.nodes import ScriptBody
from fwfix.lab.windows.powershell.values import Value


@dataclass(slots=True)
class Cell:
    """A variable: its value and the types that it was declared with, outermost first."""

    value: Value
    types: tuple[NetType, ...] = ()
    constant: bool = False


@dataclass(slots=True, eq=False)
class Function:
    """A function that a script defined."""

    name: str
    body: ScriptBody


@dataclass(slots=True, eq=False)
class Scope:
    """One scope; what is not here is looked for in the one that called it."""

    parent: Scope | None = None
    script: bool = False
    cells: dict[str, Cell] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    strict: bool | None = None
    command: str | None = None

    def command_name(self) -> str | None:
        """Return the function that runs here; None for a script, empty for a script block."""
        scope: Scope | None = self
        while scope is not None:
            if scope.command is not None:
                return scope.command
            scope = scope.parent
        return None

    def find(self, name: str) -> Cell | None:
        """Return a variable that can be seen from here."""
        scope: Scope | None = self
        while scope is not None:
            cell = scope.cells.get(name)
            if cell is not None:
                return cell
            scope = scope.parent
        return None

    def find_function(self, name: str) -> Function | None:
        """Return a function that can be seen from here."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.functions.get(name)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def is_strict(self) -> bool:
        """Say whether strict mode is on."""
        scope: Scope | None = self
        while scope is not None:
            if scope.strict is not None:
                return scope.strict
            scope = scope.parent
        return False

    def script_scope(self) -> Scope:
        """Return the scope of the script."""
        scope = self
        while not scope.script and scope.parent is not None:
            scope = scope.parent
        return scope

    def global_scope(self) -> Scope:
        """Return the outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def define(self, name: str, value: Value, types: tuple[NetType, ...] = ()) -> None:
        """Set a variable here, whatever the callers have."""
        self.cells[name.lower()] = Cell(value, types)
