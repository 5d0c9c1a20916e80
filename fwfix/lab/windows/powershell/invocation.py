"""One call of a command: its arguments, and where its output and errors go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import PSError, error
from fwfix.lab.windows.powershell.signature import Command
from fwfix.lab.windows.powershell.values import (
    Array,
    EnumValue,
    ErrorRecord,
    NetException,
    Switch,
    Value,
    enumerate_value,
)

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core


class Invocation:
    """What a processor works with.

    Attributes:
        values: the bound arguments by lower-case name; those from the pipeline change with each object.
        set_name: the parameter set that was chosen.
        item: the object of the pipeline; only meaningful where `has_input`.
    """

    def __init__(  # noqa: PLR0917 - .NET has them so, or all are of one kind
        self,
        command: Command,
        engine: Core,
        values: dict[str, Value],
        set_name: str,
        sink: Callable[[Value], None],
    ) -> None:
        self.command = command
        self.engine = engine
        self.values = values
        self.set_name = set_name
        self.sink = sink
        self.item: Value = None
        self.has_input = False
        self.preferences: dict[str, Value] = {}

    def has(self, name: str) -> bool:
        """Say whether a parameter was given."""
        return name.lower() in self.values

    def get(self, name: str, default: Value = None) -> Value:
        """Return an argument."""
        return self.values.get(name.lower(), default)

    def flag(self, name: str) -> bool:
        """Return a switch."""
        value = self.values.get(name.lower())
        return value.present if isinstance(value, Switch) else bool(value)

    def text(self, name: str, default: str = "") -> str:
        """Return an argument as text."""
        return self.engine.texts.of(self.values[name.lower()]) if self.has(name) else default

    def number(self, name: str, default: int = 0) -> int:
        """Return an argument as a whole number."""
        value = self.values.get(name.lower(), default)
        assert isinstance(value, int)
        return int(value)

    def texts(self, name: str) -> list[str]:
        """Return an argument of several strings; enum values by name."""
        value = self.values.get(name.lower())
        items = [] if value is None else list(enumerate_value(value) or [value])
        return [self.engine.texts.of(item) for item in items]

    def enum_name(self, name: str, default: str = "") -> str:
        """Return the name of an enum argument."""
        value = self.values.get(name.lower())
        if isinstance(value, EnumValue):
            return value.kind.name_of(value.number) or default
        return default

    def write(self, value: Value) -> None:
        """Put one object into the pipeline, a list as it is."""
        self.sink(value)

    def write_all(self, value: Value) -> None:
        """Put a value into the pipeline, a list item by item."""
        items = enumerate_value(value)
        for item in [value] if items is None else items:
            self.sink(item)

    def record(
        self, message: str | None, error_id: str | None, *, category: str = "NotSpecified",
        kind: str = "System.Management.Automation.RuntimeException", target: Value = None,
    ) -> ErrorRecord:  # fmt: skip
        """Return an error record of this command."""
        name = self.command.error_name or self.command.name
        exception = NetException(kind, message)
        return ErrorRecord(exception, None if error_id is None else f"{error_id},{name}", category, target)

    def write_error(
        self, message: str | None, error_id: str | None, *, category: str = "NotSpecified",
        kind: str = "System.Management.Automation.RuntimeException", target: Value = None,
    ) -> None:  # fmt: skip
        """Report a non-terminating error; `-ErrorAction` and the preference decide what becomes of it."""
        self.engine.write_error(self.record(message, error_id, category=category, kind=kind, target=target))

    def throw(
        self, message: str | None, error_id: str | None, *, category: str = "NotSpecified",
        kind: str = "System.Management.Automation.RuntimeException", target: Value = None,
    ) -> PSError:  # fmt: skip
        """Return a terminating error to raise."""
        return PSError(self.record(message, error_id, category=category, kind=kind, target=target))

    def confirmed(self) -> bool:
        """Do what ShouldProcess does; false means that nothing may be changed.

        Raises:
            PSError: it would have to ask, and nobody is there.
        """
        if isinstance(what_if := self.preferences.get("whatif"), Switch) and what_if.present:
            return False
        asked = self.preferences.get("confirm")
        must_ask = asked.present if isinstance(asked, Switch) else self.command.confirm_impact == "High"
        if must_ask:
            kind = "System.Management.Automation.PSInvalidOperationException"
            raise error(None, None, kind=kind, category="InvalidOperation")
        return True


def to_array(values: list[Value]) -> Array:
    """Return values as an array."""
    return Array(values)
