"""Our values as plain JSON, the same for equal values. Pure."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_WRITTEN_AS_TEXT = (IPv4Address, IPv6Address, IPv4Network, IPv6Network, PurePath)


def as_json(value: object) -> Json:
    """Return a value as JSON knows it: instants in UTC, lengths of time in seconds, sets sorted.

    Raises:
        TypeError: it is none of the kinds that our values are made of.
    """
    kind: type = type(value)
    if kind is str or kind is int or kind is bool or kind is float:
        return value  # type: ignore[return-value]  # mypy does not see what the comparison tells
    if (names := _names_of(kind)) is not None:
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return as_json(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, _WRITTEN_AS_TEXT):
        return str(value)
    return _composed(value)


@cache
def _names_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields: a plan holds many values of few kinds."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


def _composed(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): as_json(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in a plan")
