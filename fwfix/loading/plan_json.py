"""Our values as plain JSON, the same for equal values. Pure."""

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath

from fwfix.model.host import SshSettings, WinrmSettings
from fwfix.model.plan import Change
from fwfix.model.policy import Protection
from fwfix.model.script import Script

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# The hosts of a fleet have the same few of these; whoever gets the JSON of one leaves it as it is.
_SHARED = frozenset({SshSettings, WinrmSettings, Protection, Change, Script})

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
