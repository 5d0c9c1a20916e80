"""Our values as plain JSON, the same for equal values. Pure."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_WRITTEN_AS_TEXT = (IPv4Address, IPv6Address, IPv4Network, IPv6Network, PurePath)


def as_json(value: object) -> Json:
    """Return a value as JSON knows it: instants in UTC, lengths of time in seconds, sets sorted.

    Raises:
        TypeError: it is none of the kinds that our values are made of.
    """
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


def _composed(value: object) -> Json:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in a plan")
