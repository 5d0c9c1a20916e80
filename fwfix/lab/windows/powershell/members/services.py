"""Console, Environment, Guid, Version, IPAddress, ScriptBlock and other services."""

from __future__ import annotations

import ipaddress
import uuid
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError, error
from fwfix.lab.windows.powershell.instances import (
    Bag,
    Culture,
    Guid,
    IPAddress,
    TextReader,
    TextWriter,
    Version,
)
from fwfix.lab.windows.powershell.members.tables import constructor, method, prop, static, static_prop
from fwfix.lab.windows.powershell.nettypes import EnumType
from fwfix.lab.windows.powershell.parsing import parse_script
from fwfix.lab.windows.powershell.signals import NotInDialect, ParseFailure
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import EMPTY, EnumValue, NetException, Reference, ScriptBlock, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_CONSOLE, _WRITER, _READER = "System.Console", "System.IO.TextWriter", "System.IO.TextReader"
_ENVIRONMENT, _GUID, _VERSION, _ADDRESS = (
    "System.Environment",
    "System.Guid",
    "System.Version",
    "System.Net.IPAddress",
)


def _newline(engine: Core) -> str:
    return "\r\n" if engine.edition.desktop else "\n"


def _print(engine: Core, text: str) -> None:
    engine.host.stdout(to_python(text).encode("utf-8"))


@static_prop(_CONSOLE, "Out")
def _out(engine: Core) -> Value:
    return TextWriter(lambda text: _print(engine, text))


@static_prop(_CONSOLE, "Error")
def _error_writer(engine: Core) -> Value:
    return TextWriter(lambda text: engine.host.stderr(to_python(text).encode("utf-8")))


@static_prop(_CONSOLE, "In")
def _in(engine: Core) -> Value:
    return TextReader(engine.stdin_text)


method(_READER, "ReadToEnd")(lambda _engine, self: self.read_all())


def _text(engine: Core, value: Value) -> str:
    if not isinstance(value, str | int | float | bool | None):
        raise NotInDialect("writing something else than text to the console")
    return engine.texts.of(value)


@method(_WRITER, "WriteLine")
@method(_WRITER, "WriteLine", "object")
def _write_line(engine: Core, self: TextWriter, value: Value = "") -> Value:
    self.write(_text(engine, value) + _newline(engine))
    return EMPTY


@method(_WRITER, "Write", "object")
def _write(engine: Core, self: TextWriter, value: Value) -> Value:
    self.write(_text(engine, value))
    return EMPTY


method(_WRITER, "Flush")(lambda _engine, _self: EMPTY)


@static(_CONSOLE, "WriteLine")
@static(_CONSOLE, "WriteLine", "object")
def _console_line(engine: Core, value: Value = "") -> Value:
    _print(engine, _text(engine, value) + _newline(engine))
    return EMPTY


@static(_CONSOLE, "Write", "object")
def _console_write(engine: Core, value: Value) -> Value:
    _print(engine, _text(engine, value))
    return EMPTY


# -- Environment


@static(_ENVIRONMENT, "GetEnvironmentVariable", "string")
def _get_variable(engine: Core, name: str) -> Value:
    return engine.read_environment(name)


@static(_ENVIRONMENT, "SetEnvironmentVariable", "string", "string")
def _set_variable(engine: Core, name: str, value: str | None) -> Value:
    engine.write_environment(name, value)
    return EMPTY


static_prop(_ENVIRONMENT, "NewLine")(_newline)


@static_prop(_ENVIRONMENT, "MachineName")
def _machine(engine: Core) -> Value:
    return engine.host.computer_name


@static_prop(_ENVIRONMENT, "TickCount")
def _ticks(engine: Core) -> Value:
    return int(engine.host.clock.monotonic() * 1000) & 0x7FFFFFFF


# -- Guid, Version, IPAddress


@static(_GUID, "NewGuid")
def _new_guid(engine: Core) -> Value:
    del engine
    return Guid(uuid.uuid4().hex)


static_prop(_GUID, "Empty")(lambda _engine: Guid("0" * 32))


@static(_GUID, "Parse", "string")
def _parse_guid(engine: Core, text: str) -> Value:
    del engine
    found = Guid.parse(text)
    if found is None:
        raise NetError("FormatException")
    return found


@static(_GUID, "TryParse", "string", "ref")
def _try_guid(engine: Core, text: str, result: Reference) -> Value:
    del engine
    found = Guid.parse(text or "")
    result.set(found or Guid("0" * 32))
    return found is not None


constructor(_GUID, "string")(_parse_guid)
for _name in ("Major", "Minor", "Build", "Revision"):
    prop(_VERSION, _name)(lambda _engine, self, n=_name: getattr(self, n.lower()))


@static(_VERSION, "Parse", "string")
def _parse_version(engine: Core, text: str) -> Value:
    del engine
    found = Version.parse(text)
    if found is None:
        raise NotInDialect(f"'{text}' as a version")
    return found


@static(_VERSION, "TryParse", "string", "ref")
def _try_version(engine: Core, text: str, result: Reference) -> Value:
    del engine
    found = Version.parse(text or "")
    result.set(found)
    return found is not None


constructor(_VERSION, "string")(_parse_version)
constructor(_VERSION, "int", "int")(lambda _engine, a, b: Version(a, b))
constructor(_VERSION, "int", "int", "int")(lambda _engine, a, b, c: Version(a, b, c))
constructor(_VERSION, "int", "int", "int", "int")(lambda _engine, *parts: Version(*parts))


@method(_VERSION, "ToString", "int")
def _version_text(engine: Core, self: Version, count: int) -> Value:
    del engine
    parts = [p for p in (self.major, self.minor, self.build, self.revision) if p >= 0]
    if not 0 <= count <= len(parts):
        raise NetError("ArgumentException")
    return ".".join(str(p) for p in parts[:count])


@method(_VERSION, "CompareTo", "version")
def _version_compare(engine: Core, self: Version, other: Version) -> Value:
    del engine
    return (self > other) - (self < other)


@static(_ADDRESS, "Parse", "string")
def _parse_address(engine: Core, text: str) -> Value:
    del engine
    return IPAddress.from_text(text, lambda: NetError("FormatException"))


@static(_ADDRESS, "TryParse", "string", "ref")
def _try_address(engine: Core, text: str, result: Reference) -> Value:
    del engine
    try:
        result.set(IPAddress.from_text(text or "", lambda: NetError("FormatException")))
    except NetError:
        result.set(None)
        return False
    return True


prop(_ADDRESS, "IPAddressToString")(lambda _engine, self: self.as_text())


@prop(_ADDRESS, "AddressFamily")
def _family(engine: Core, self: IPAddress) -> Value:
    kind = engine.types.by_full_name("System.Net.Sockets.AddressFamily")
    assert isinstance(kind, EnumType)
    return EnumValue(kind, 2 if isinstance(self.address, ipaddress.IPv4Address) else 23)


# -- the rest


for _name in ("InvariantCulture", "CurrentCulture"):
    static_prop("System.Globalization.CultureInfo", _name)(lambda _engine: Culture())


@static("System.Management.Automation.ScriptBlock", "Create", "string")
def _create_block(engine: Core, text: str | None) -> Value:
    try:
        return ScriptBlock(parse_script(text or ""), engine.scope)
    except ParseFailure as exc:
        kind = "System.Management.Automation."
        inner = NetException(kind + "ParseException", None)
        raise error(None, "ParseException", kind=kind + "MethodInvocationException", inner=inner) from exc


@static("System.Threading.Thread", "Sleep", "int")
def _sleep(engine: Core, milliseconds: int) -> Value:
    engine.host.clock.sleep(milliseconds / 1000, engine.stopped)
    engine.tick()
    return EMPTY


@static("System.Diagnostics.Process", "GetCurrentProcess")
def _process(engine: Core) -> Value:
    return Bag("System.Diagnostics.Process", {"Id": engine.host.process_id})


constructor("System.Object")(lambda _engine: Bag("System.Object"))
