"""ConvertTo-Json and ConvertFrom-Json."""

from __future__ import annotations

from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.jsontext import JsonError, JsonReader, JsonWriter
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, parameter
from fwfix.lab.windows.powershell.values import Array, Value

_COMMANDS = "Microsoft.PowerShell.Commands."
_DEEPEST = 100


class _ToJson:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.items: list[Value] = []

    def begin(self) -> None:
        """Check the depth."""
        if not 0 <= self.call.number("Depth", 2) <= _DEEPEST:
            raise self.call.throw(None, None)

    def process(self) -> None:
        """Keep one object."""
        self.items.append(self.call.get("InputObject"))

    def end(self) -> None:
        """Write the text of the one object, or of all as an array."""
        if not self.items:
            return
        value = self.items[0] if len(self.items) == 1 else Array(self.items)
        if self.call.flag("AsArray") and not (isinstance(value, Array) and len(self.items) > 1):
            value = Array([value])
        if self.call.flag("EnumsAsStrings"):
            raise NotInDialect("-EnumsAsStrings")
        depth = self.call.number("Depth", 2)
        writer = JsonWriter(self.call.engine.convert, depth, compress=self.call.flag("Compress"))
        text = writer.text(value)
        if writer.truncated and not self.call.engine.edition.desktop:
            self._warn(depth)
        self.call.write(text)

    def _warn(self, depth: int) -> None:
        given = self.call.preferences.get("warningaction")
        engine = self.call.engine
        action = (
            engine.texts.of(given).lower()
            if given is not None
            else engine.preference("WarningPreference", "continue")
        )
        if action not in ("silentlycontinue", "ignore"):
            engine.streams.warning(
                f"Resulting JSON is truncated as serialization has exceeded the set depth of {depth}."
            )


class _FromJson:
    def __init__(self, invocation: Invocation) -> None:
        self.call = invocation
        self.lines: list[str] = []

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Keep one line."""
        self.lines.append(self.call.text("InputObject"))

    def end(self) -> None:
        """Write what the text says."""
        if not self.lines:
            return
        edition = self.call.engine.edition
        if len(self.lines) > 1:
            self._check_first()
        text = "\n".join(self.lines)
        if not text.strip():
            if edition.desktop or not text:
                raise NotInDialect("ConvertFrom-Json of nothing")
            return
        if self.call.has("Depth"):
            raise NotInDialect("ConvertFrom-Json -Depth")
        reader = JsonReader(edition, tables=self.call.flag("AsHashtable"))
        try:
            value = reader.read(text)
        except JsonError as exc:
            raise self.call.throw(None, "System.ArgumentException", kind="System.ArgumentException") from exc
        if edition.desktop or self.call.flag("NoEnumerate"):
            self.call.write(value)
        else:
            self.call.write_all(value)

    def _check_first(self) -> None:
        """PowerShell tries the first line alone: where it is JSON, every line must be."""
        try:
            JsonReader(self.call.engine.edition, tables=False).read(self.lines[0])
        except JsonError:
            return
        raise NotInDialect("ConvertFrom-Json of several texts")


COMMANDS = (
    Command(
        name="ConvertTo-Json", error_name=_COMMANDS + "ConvertToJsonCommand", make=_ToJson,
        parameters=(
            parameter(
                "InputObject", "object", mandatory=True, position=0, pipeline=True, allow_null=True,
                allow_empty=True,
            ),
            parameter("Depth", "int"), parameter("Compress", "switch"), parameter("AsArray", "switch"),
            parameter("EnumsAsStrings", "switch"),
        ),
    ),
    Command(
        name="ConvertFrom-Json", error_name=_COMMANDS + "ConvertFromJsonCommand", make=_FromJson,
        parameters=(
            parameter("InputObject", "string", mandatory=True, position=0, pipeline=True, allow_empty=True),
            parameter("AsHashtable", "switch"), parameter("NoEnumerate", "switch"), parameter("Depth", "int"),
        ),
    ),
)  # fmt: skip
