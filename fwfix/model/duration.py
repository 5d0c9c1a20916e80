"""Lengths of time as people write them: `90s`, `2m`, `1h30m`, `14d`; a bare number is seconds."""

import re
from datetime import timedelta

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """Read a length of time.

    Raises:
        ValueError: it is not one, is negative, or is longer than ten years.
    """
    stripped = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped, re.ASCII):
        seconds = float(stripped)
    elif stripped and _PART.sub("", stripped) == "":
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(stripped))
    else:
        raise ValueError(f"{text!r} is not a length of time: write 90s, 2m, 1h30m or 14d")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than ten years")
    return timedelta(seconds=seconds)


def format_duration(length: timedelta) -> str:
    """Write a length of time so that `parse_duration` reads it back (to the second)."""
    left = round(length.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    if left or not parts:
        parts.append(f"{left}s")
    return "".join(parts)
