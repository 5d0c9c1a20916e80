"""Our values as plain JSON, the same for equal values. Pure."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from json import JSONEncoder
from pathlib import PurePath
from typing import cast

from fwfix.model.host import SshSettings, WinrmSettings
from fwfix.model.plan import Change
from fwfix.model.policy import Protection
from fwfix.model.script import Script

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# The hosts of a fleet have the same few of these; whoever gets the JSON of one leaves it as it is.
_SHARED = frozenset({SshSettings, WinrmSettings, Protection, Change, Script})

_ENCODER = JSONEncoder(ensure_ascii=False)
_AS_IT_IS = frozenset({str, int, bool, float})
_WRITTEN_AS_TEXT = (IPv4Address, IPv6Address, IPv4Network, IPv6Network, PurePath)


def as_json(value: object) -> Json:
    """Return a value as JSON knows it: instants in UTC, lengths of time in seconds, sets sorted.

    Raises:
        TypeError: it is none of the kinds that our values are made of.
    """
    kind: type = type(value)
    if value is None or kind in _AS_IT_IS:
        return value  # type: ignore[return-value]  # mypy does not see what the comparison tells
    if kind in _SHARED:
        return _as_shared(value)
    if (names := _names_of(kind)) is not None:
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, _WRITTEN_AS_TEXT):
        return str(value)
    return _composed(value)


def as_text(value: object) -> str:
    """Return what `dumped` makes of a value's JSON; of values that hosts share only once."""
    if value is None:
        return "null"
    kind: type = type(value)
    if kind is str:
        return dumped(cast("str", value))
    if kind in _SHARED:
        return _shared_text(value)
    if kind is tuple:
        return f"[{', '.join([as_text(item) for item in cast('tuple[object, ...]', value)])}]"
    if (names := _names_of(kind)) is not None:
        return in_braces((name, as_text(getattr(value, name))) for name in names)
    return dumped(as_json(value))


def in_braces(items: Iterable[tuple[str, str]]) -> str:
    """Return an object of names, which need no quoting, and the JSON of their values."""
    return "{" + ", ".join([f'"{name}": {text}' for name, text in items]) + "}"


@lru_cache(maxsize=1024)
def _shared_text(value: Hashable) -> str:
    return dumped(as_json(value))


def dumped(value: Json) -> str:
    """Write JSON as it stands in a plan file."""
    return _ENCODER.encode(value)


@lru_cache(maxsize=1024)
def _as_shared(value: Hashable) -> Json:
    return {name: as_json(getattr(value, name)) for name in _names_of(type(value)) or ()}


@cache
def _names_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields: a plan holds many values of few kinds."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


def _composed(value: object) -> Json:
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, frozenset):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, Mapping):
        return {str(key): as_json(value[key]) for key in sorted(value)}
    raise TypeError(f"{type(value).__name__} has no place in a plan")
