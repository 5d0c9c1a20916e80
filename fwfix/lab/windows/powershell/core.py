"""The state of a running engine, and what its parts need from each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.enums import add_enums
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.hosts import Host
from fwfix.lab.windows.powershell.nettypes import NetType, TypeTable
from fwfix.lab.windows.powershell.operators import Operators
from fwfix.lab.windows.powershell.scopes import Scope
from fwfix.lab.windows.powershell.signals import Cancelled, NotInDialect
from fwfix.lab.windows.powershell.signature import Command
from fwfix.lab.windows.powershell.texts import Texts
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    ErrorRecord,
    Hashtable,
    NetList,
    ScriptBlock,
    Value,
    plain,
)

Sink = Callable[[Value], None]


class MemberAccess(Protocol):
    """Properties, methods and constructors; see `members`."""

    def property(self, target: Value, name: str) -> Value:
        """Return a property."""

    def method(self, target: Value, name: str, arguments: list[Value]) -> Value:
        """Call a method."""

    def member_of(self, target: Value, name: str) -> Value:
        """Return a property, or what a method without arguments returns."""

    def construct(self, kind: NetType, arguments: list[Value]) -> Value:
        """Return a new object."""


class Streams:
    """Where a script's streams other than output go; redirections replace them for a while."""

    def __init__(
        self,
        error: Callable[[ErrorRecord], None],
        host: Callable[[str], None],
        warning: Callable[[str], None],
    ) -> None:
        self.error = error
        self.host = host
        self.warning = warning


class Core:
    """State, and the operations that every part uses."""

    access: MemberAccess

    def __init__(self, edition: Edition, host: Host, commands: dict[str, Command], types: TypeTable) -> None:
        self.edition = edition
        self.host = host
        self.commands = commands
        self.types = types
        add_enums(types)
        self.convert = Converter(types, edition)
        self.texts: Texts = self.convert.texts
        self.ops = Operators(self.convert, self._set_matches)
        self.scope = Scope(parent=Scope(), script=True)
        self.error_list = NetList()
        self.streams = Streams(lambda _: None, lambda _: None, lambda _: None)
        self.action: str | None = None
        self.error_variable: NetList | None = None
        self.success: bool | None = True
        self.last_exit: int | None = None
        self.try_depth = 0
        self.depth = 0
        self.stopped: Callable[[], bool] = lambda: False
        self.host_sink: Sink = lambda _: None
        self.stdin_text: Callable[[], str] = lambda: ""

    def _set_matches(self, groups: Hashtable) -> None:
        self.scope.define("Matches", groups)

    # -- what the parts provide

    def evaluate(self, node: nodes.Expression) -> Value:
        """Return an expression's value; `EMPTY` for a pipeline without output."""
        raise NotImplementedError

    def run_block(self, block: nodes.Block, sink: Sink) -> None:
        """Run statements."""
        raise NotImplementedError

    def run_statement(self, node: nodes.Statement, sink: Sink) -> None:
        """Run one statement."""
        raise NotImplementedError

    def statement_value(self, node: nodes.Statement) -> Value:
        """Return what an assignment or a parenthesis gets from a statement."""
        raise NotImplementedError

    def run_pipeline(self, node: nodes.Pipeline, sink: Sink) -> None:
        """Run a pipeline."""
        raise NotImplementedError

    def call_block(
        self, block: ScriptBlock, arguments: list[Value], sink: Sink, *, item: Value = EMPTY,
        new_scope: bool = True,
        stdin: list[Value] | None = None,
    ) -> None:  # fmt: skip
        """Run a script block; `item` becomes `$_`."""
        raise NotImplementedError

    def run_script_block_here(self, block: ScriptBlock, item: Value, sink: Sink) -> None:
        """Run a script block in the present scope, as ForEach-Object does; `item` becomes `$_`."""
        raise NotImplementedError

    def block_value(self, block: ScriptBlock, item: Value) -> Value:
        """Return what a script block gives for an item."""
        raise NotImplementedError

    def assign(self, target: nodes.Expression, value: Value) -> None:
        """Assign to a variable, member or element."""
        raise NotImplementedError

    def read_environment(self, name: str) -> Value:
        """Return an environment variable."""
        raise NotImplementedError

    def write_environment(self, name: str, value: Value) -> None:
        """Set an environment variable."""
        raise NotImplementedError

    def write(self, node: nodes.Variable, value: Value, types: tuple[NetType, ...] = ()) -> None:
        """Set a variable."""
        raise NotImplementedError

    # -- shared

    def value(self, node: nodes.Expression) -> Value:
        """Return an expression's value, None where there was no output."""
        return plain(self.evaluate(node))

    def resolve(self, spec: nodes.TypeSpec, line: int) -> NetType:
        """Return a type."""
        return self.types.resolve(spec, line)

    def tick(self) -> None:
        """Stop here if the script was told to stop."""
        if self.stopped():
            raise Cancelled

    def preference(self, name: str, default: str) -> str:
        """Return a preference variable in lower case."""
        cell = self.scope.find(name.lower())
        return self.texts.of(cell.value).lower() if cell is not None and cell.value is not None else default

    def error_action(self) -> str:
        """Return what happens to errors here."""
        action = self.action or self.preference("ErrorActionPreference", "continue")
        if action not in ("continue", "stop", "silentlycontinue", "ignore"):
            raise NotInDialect(f"the error action '{action}'")
        return action

    def remember(self, record: ErrorRecord) -> None:
        """Put an error in front of `$Error`, unless it is there already."""
        if not (self.error_list.items and self.error_list.items[0] is record):
            self.error_list.items.insert(0, record)
            del self.error_list.items[256:]

    def write_error(self, record: ErrorRecord) -> None:
        """Report an error that does not end anything, as the error action says.

        Raises:
            PSError: the error action is Stop.
        """
        action = self.error_action()
        if self.error_variable is not None and action != "ignore":
            self.error_variable.items.append(record)
        if action == "stop":
            raise PSError(record, thrown=True)
        self.success = False
        if action == "ignore":
            return
        self.remember(record)
        if action == "continue":
            self.streams.error(record)
