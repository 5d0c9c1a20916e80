"""The grammar of one command line of cmd.exe: operators, redirections, quotes and carets."""

import re
from dataclasses import dataclass
from enum import Enum

from fwfix.errors import LabError


class LineError(LabError):
    """The line cannot be read; the message is the one of Windows."""

    code = "cmd-line"


class Link(Enum):
    """What joins a command to the one before it."""

    ALWAYS = "&"
    SUCCESS = "&&"
    FAILURE = "||"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """One redirection.

    Attributes:
        handle: 0, 1 or 2.
        target: a file name; or a handle to copy, as `&1`.
    """

    handle: int
    target: str
    append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command: its text without operators and redirections, blanks kept as they stood."""

    text: str
    redirects: tuple[Redirect, ...] = ()

    @property
    def name(self) -> str:
        """The first word: what is looked up."""
        return _NAME.match(self.text)[0].strip(_LEADING + '"')  # type: ignore[index] # always matches

    @property
    def tail(self) -> str:
        """Everything behind the first word, its separator included."""
        return self.text[_NAME.match(self.text).end() :]  # type: ignore[union-attr] # always matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Commands joined by `|`, and how the pipeline hangs on what went before."""

    link: Link
    commands: tuple[Command, ...]


_LEADING = " \t,;=@"
# A quoted name, or everything up to a separator; a slash starts an option, as in `ipconfig/all`.
_NAME = re.compile(r'[ \t,;=@]*(?:"[^"]*"?|[^ \t,;=/"])*')
# A remark reaches to the end of the line, operators included.
_REMARK = re.compile(r"[ \t,;=@]*rem(?:\s|\Z)", re.IGNORECASE)
_REDIRECT = re.compile(r"(>>?|<)(&\d|[ \t]*(?:\"[^\"]*\"|[^\s&|<>]*))")


def parse(line: str) -> tuple[Pipeline, ...]:
    """Split a line, variables already replaced, into pipelines.

    Raises:
        LineError: with the text that cmd.exe writes, or naming what the twin does not know.
    """
    pipelines: list[Pipeline] = []
    link = Link.ALWAYS
    commands: list[Command] = []
    for text, operator in _split(line):
        command = _command(text)
        if command is None and (operator not in ("", "&") or link is not Link.ALWAYS or commands):
            raise LineError(f"{operator or link.value} was unexpected at this time.")
        if command is not None:
            commands.append(command)
        if operator == "|":
            continue
        if commands:
            pipelines.append(Pipeline(link=link, commands=tuple(commands)))
        commands = []
        link = Link(operator or "&")
    return tuple(pipelines)


def _split(line: str) -> list[tuple[str, str]]:
    """Return (text, operator behind it); the texts still hold their redirections, quotes and carets."""
    parts: list[tuple[str, str]] = []
    start = position = 0
    quoted = False
    while position < len(line):
        if position == start and _REMARK.match(line, position):
            break
        character = line[position]
        if character == '"':
            quoted = not quoted
        elif character == "^" and not quoted:
            position += 1
        elif character in "&|" and not quoted and not _copies_handle(line, position):
            operator = character * (2 if line[position : position + 2] == character * 2 else 1)
            parts.append((line[start:position], operator))
            position += len(operator)
            start = position
            continue
        position += 1
    parts.append((line[start:], ""))
    return parts


def _copies_handle(line: str, position: int) -> bool:
    return (
        line[position] == "&"
        and position > 0
        and line[position - 1] in "<>"
        and line[position - 2 : position - 1] != "^"
    )


def _command(text: str) -> Command | None:
    """Take redirections and carets out of the text of one command; None if nothing is left."""
    kept: list[str] = []
    redirects: list[Redirect] = []
    position = 0
    quoted = False
    while position < len(text):
        character = text[position]
        if character == '"':
            quoted = not quoted
        elif character == "^" and not quoted:
            position += 1
            character = text[position : position + 1]
        elif character in "<>" and not quoted:
            redirect, position = _redirect(text, position, kept)
            redirects.append(redirect)
            continue
        kept.append(character)
        position += 1
    plain = "".join(kept).lstrip(_LEADING)
    if plain.startswith("("):
        raise LineError("( was unexpected at this time.")
    if not plain.strip() and not redirects:
        return None
    return Command(text=plain, redirects=tuple(redirects))


def _redirect(text: str, position: int, kept: list[str]) -> tuple[Redirect, int]:
    found = _REDIRECT.match(text, position)
    assert found is not None
    operator, target = found[1], found[2].strip().strip('"')
    if not target:
        raise LineError("The syntax of the command is incorrect.")
    handle = 0 if operator == "<" else 1
    # `2>` names the handle only where the digit stands alone: `err>&2` writes "err".
    if kept and kept[-1].isdigit() and (len(kept) == 1 or kept[-2] in _LEADING):
        handle = int(kept.pop())
    return Redirect(handle=handle, target=target, append=operator == ">>"), found.end()
