"""Values between `pwsh` and the model, as JSON that no reader reinterprets.

Every value is an object with a kind `k`. Texts begin with `=`, because ConvertFrom-Json makes dates of texts
that look like dates; whole numbers are texts, because it makes each of them an Int64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fwfix.lab.windows.powershell import Array, DateTime, EnumType, EnumValue, PSObject, Switch, TimeSpan
from fwfix.lab.windows.powershell.numbers import INT32_HIGH, INT32_LOW, SIZED, Sized
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.unicode import from_python
from fwfix.lab.windows.powershell.values import EMPTY, NetList, Value

Json = dict[str, object]


def enum_name(full_name: str) -> str:
    """Return the name of an enum's stand-in in the generated profile, where types have no namespace."""
    return "Fwfix" + "".join(full_name.split(".")[-2:])


class Wire:
    """Both directions for one process, with the objects that it was given.

    Args:
        enums: every enum that may pass.
    """

    def __init__(self, enums: Iterable[EnumType]) -> None:
        self._enums = {enum_name(kind.full_name).lower(): kind for kind in enums}
        self._objects: dict[int, PSObject] = {}

    def encode(self, value: Value) -> Json:
        """Return what the process rebuilds a value from.

        Raises:
            NotInDialect: a value of a kind that no stand-in gave so far.
        """
        if value is None or value is EMPTY:
            return {"k": "null"}
        if isinstance(value, str):
            return {"k": "text", "v": "=" + value}
        if isinstance(value, bool):
            return {"k": "bool", "v": value}
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, Switch):
            return {"k": "bool", "v": value.present}
        if isinstance(value, EnumValue):
            return {"k": "enum", "t": self._enum(value.kind), "v": str(value.number)}
        if isinstance(value, Array | NetList):
            return {"k": "array", "e": value.element, "v": [self.encode(item) for item in value.items]}
        if isinstance(value, DateTime):
            return {"k": "date", "v": str(value.ticks), "z": value.kind}
        if isinstance(value, PSObject):
            return self._encode_object(value)
        raise NotInDialect(f"a value for pwsh of the kind {type(value).__name__}")

    def decode(self, sent: object) -> Value:
        """Return the value that the process has sent.

        Raises:
            NotInDialect: a value of a kind that the model has no counterpart of.
        """
        if not isinstance(sent, dict) or (read := _READ.get(str(sent.get("k")))) is None:
            raise NotInDialect(f"an argument from pwsh: {sent!r:.100}")
        return read(self, sent)

    def _enum(self, kind: EnumType) -> str:
        name = enum_name(kind.full_name)
        if name.lower() not in self._enums:
            raise NotInDialect(f"the enum {kind.full_name} for pwsh")
        return name

    def _encode_object(self, value: PSObject) -> Json:
        handle = len(self._objects) + 1
        self._objects[handle] = value
        pairs = [[each.name, self.encode(each.value)] for each in value.properties.values()]
        return {"k": "object", "types": value.type_names, "h": str(handle), "p": pairs}

    def _decode_enum(self, sent: Json) -> Value:
        kind = self._enums.get(str(sent["t"]).lower())
        if kind is None:
            raise NotInDialect(f"a value of the enum {sent['t']}")
        return EnumValue(kind, int(str(sent["v"])))

    def _decode_array(self, sent: Json) -> Value:
        items = sent["v"]
        assert isinstance(items, list)
        element = str(sent["e"])
        kind = self._enums.get(element.lower())
        return Array([self.decode(item) for item in items], kind.full_name if kind else element)

    def _decode_object(self, sent: Json) -> Value:
        found = self._objects.get(int(str(sent["h"])))
        if found is None:
            raise NotInDialect("an object that the model did not make")
        return found


def _number(value: int | float) -> Json:  # noqa: PYI041 - an int is none to isinstance
    if isinstance(value, float):
        return {"k": "number", "t": "Double", "v": repr(value)}
    if isinstance(value, Sized):
        return {"k": "number", "t": value.name, "v": str(int(value))}
    if not INT32_LOW <= value <= INT32_HIGH:
        raise NotInDialect(f"the Int32 {value}")
    return {"k": "number", "t": "Int32", "v": str(value)}


def _decode_number(sent: Json) -> Value:
    name, text = str(sent["t"]), str(sent["v"])
    if name == "Int32":
        return int(text)
    if name == "Double":
        return float(text)
    if name in SIZED:
        return SIZED[name](text)
    raise NotInDialect(f"a number of the type {name}")


def _decode_text(sent: Json) -> str:
    return from_python(str(sent["v"])[1:])


_READ: dict[str, Callable[[Wire, Json], Value]] = {
    "null": lambda _, __: None,
    "text": lambda _, sent: _decode_text(sent),
    "bool": lambda _, sent: bool(sent["v"]),
    "switch": lambda _, sent: Switch(bool(sent["v"])),
    "number": lambda _, sent: _decode_number(sent),
    "date": lambda _, sent: DateTime(int(str(sent["v"])), str(sent["z"])),
    "span": lambda _, sent: TimeSpan(int(str(sent["v"]))),
    "enum": Wire._decode_enum,  # noqa: SLF001 - methods of the class above
    "array": Wire._decode_array,  # noqa: SLF001
    "object": Wire._decode_object,  # noqa: SLF001
}
