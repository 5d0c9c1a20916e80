"""What the host prints for an object; only what has one plain line is known."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol, runtime_checkable

from fwfix.lab.windows.powershell.edition import Edition
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import scalar_text, type_label
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import EMPTY, Array, Char, EnumValue, PSObject, Switch, Value

_LINE_TYPES = (str, bool, int, float, Decimal, Char, EnumValue)


def line_of(value: Value, edition: Edition) -> str | None:
    """Return the line that an object prints, None if it prints nothing.

    Raises:
        NotInDialect: it prints a table, a list or something that is not known.
    """
    if value is None or value is EMPTY:
        return None
    if isinstance(value, Switch) or not isinstance(value, _LINE_TYPES):
        raise NotInDialect(f"printing a {type_label(value)}")
    return scalar_text(value, edition)


@runtime_checkable
class Shown(Protocol):
    """The data of an object that knows what Windows prints for it; a stand-in gives it such data."""

    def printed(self, value: PSObject) -> str:
        """Return the text, with line feeds."""


class HostSink:
    """The end of the outermost pipeline: prints."""

    def __init__(self, write: Callable[[bytes], None], edition: Edition) -> None:
        self.write = write
        self.edition = edition

    def __call__(self, value: Value) -> None:
        """Print one object."""
        if isinstance(value, Array):
            for item in value.items:
                if isinstance(item, Array):
                    raise NotInDialect("printing nested arrays")
                self(item)
            return
        if isinstance(value, PSObject) and isinstance(value.data, Shown):
            self.text(value.data.printed(value).replace("\n", self.newline))
            return
        line = line_of(value, self.edition)
        if line is not None:
            self.text(line + self.newline)

    @property
    def newline(self) -> str:
        """The line end of the host."""
        return "\r\n" if self.edition.desktop else "\n"

    def text(self, text: str) -> None:
        """Print text as it is."""
        self.write(to_python(text).encode("utf-8"))

    def raw(self, content: bytes) -> None:
        """Print bytes as they are."""
        self.write(content)
