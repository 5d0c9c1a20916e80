"""Lines for people: nothing that a host said can act on the terminal, and colour is only ever added last."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import TextIO

# Controls, invisible and bidirectional marks, what has no meaning of its own, and what else ends a line.
_HARMFUL = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


class Style(StrEnum):
    """How a line looks where there is colour; the values are SGR parameters."""

    PLAIN = ""
    TITLE = "1"
    GOOD = "32"
    BAD = "31"
    WARN = "33"
    FAINT = "2"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output; its text is made harmless when it is made."""

    text: str = ""
    style: Style = Style.PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))


def printable(text: str) -> str:
    r"""Write out every character that could move the cursor, hide text or ring a bell: ESC becomes `\x1b`."""
    if text.isprintable():
        return text
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    if character == "\t" or unicodedata.category(character) not in _HARMFUL:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def paint(line: Line, *, color: bool) -> str:
    """Return a line as it is sent to a terminal or a file."""
    if not color or not line.style or not line.text:
        return line.text
    return f"\x1b[{line.style}m{line.text}\x1b[0m"


def write_lines(stream: TextIO, lines: Iterable[Line], *, color: bool) -> None:
    """Write lines, one each, never wrapped; what the stream cannot encode is written out."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = "".join(f"{paint(line, color=color)}\n" for line in lines)
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def moment(instant: datetime, zone: tzinfo | None = None) -> str:
    """Write an instant in local time and in UTC; `zone` None is this machine's own."""
    local, universal = instant.astimezone(zone), instant.astimezone(UTC)
    here = local.strftime("%Y-%m-%d %H:%M:%S")
    if not local.utcoffset():
        return f"{here} UTC"
    there = universal.strftime("%H:%M:%S" if local.date() == universal.date() else "%Y-%m-%d %H:%M:%S")
    return f"{here} {local.tzname()} ({there} UTC)"


def took(seconds: float) -> str:
    """Write a short length of time: `0.3s`, `42s`, `1m05s`."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter below it
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
