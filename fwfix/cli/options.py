"""The options that many commands share, and what the program itself was told."""

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The options in front of the command."""

    state_dir: Path | None = None
    color: bool = True
    log_level: str = "warning"


def program(context: typer.Context) -> Program:
    """Return the options in front of the command."""
    found = context.find_root().obj
    return found if isinstance(found, Program) else Program()


# The command that was asked for JSON, for whoever ends the program in its place.
_OF_JSON: ContextVar[typer.Context | None] = ContextVar("of_json", default=None)


def _note_json(context: typer.Context, *, value: bool) -> bool:
    _OF_JSON.set(context if value else None)
    return value


def context_of_json() -> typer.Context | None:
    """Return the command that promised one JSON document on stdout; None if it did not."""
    return _OF_JSON.get()


def recorded(value: str | None) -> str | None:
    """Return a text that goes into the journal; a terminal in another encoding may have sent anything."""
    if value is None or _is_writable(value):
        return value
    try:
        return os.fsencode(value).decode()  # UTF-8 in the locale C
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{_shown(value)} is not UTF-8, as the terminal sends it") from None


def _recorded_paths(value: list[Path] | None) -> list[Path] | None:
    for path in value or ():
        if not _is_writable(str(path)):
            raise typer.BadParameter(
                f"{_shown(str(path))} is no text in this locale, and cannot be recorded:"
                " set LC_ALL=C.UTF-8, or rename it"
            )
    return value


def _shown(text: str) -> str:
    return ascii(os.fsencode(text)).removeprefix("b")


def _is_writable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


InventoryPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "-i",
        "--inventory",
        callback=_recorded_paths,
        envvar="FWFIX_INVENTORY",
        metavar="PATH",
        help="An inventory file or a folder of them. May be given several times.",
        show_default=False,
    ),
]
Limit = Annotated[
    str | None,
    typer.Option(
        "-l",
        "--limit",
        metavar="PATTERN",
        help="host, group, glob, label:key=value, @file, !pattern; several with commas.",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_note_json, help="Print one JSON document on stdout, and nothing else there."
    ),
]
Forks = Annotated[
    int, typer.Option("-f", "--forks", metavar="N", min=1, max=1000, help="Hosts worked on at the same time.")
]
ConnectTimeout = Annotated[
    str, typer.Option("--connect-timeout", metavar="DURATION", help="For one connection, logon included.")
]
Templates = Annotated[
    list[Path] | None,
    typer.Option(
        "--templates", metavar="DIR", help="Own templates, in front of the built-in ones.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        metavar="CODE[@PATTERN]",
        help="Go on in spite of a stop hazard, everywhere or on some hosts. May be given several times.",
        show_default=False,
    ),
]
ConfirmWithin = Annotated[
    str | None,
    typer.Option(
        "--confirm-within",
        metavar="DURATION",
        help="The host reverts by itself unless confirmed within this time. Default: computed for each host.",
        show_default=False,
    ),
]
Waves = Annotated[
    str | None,
    typer.Option(
        "--waves",
        metavar="SPEC",
        help="Such as 1,5%,25%,100%: cumulative counts or shares.",
        show_default=False,
    ),
]
MaxFail = Annotated[
    str, typer.Option("--max-fail", metavar="N|N%", help="Stop when more hosts than this fail.")
]
MaxUnreachable = Annotated[
    str,
    typer.Option(
        "--max-unreachable", metavar="N|N%", help="Stop when more hosts than this are out of reach."
    ),
]
Ticket = Annotated[
    str,
    typer.Option("--ticket", callback=recorded, metavar="TEXT", help="Recorded.", show_default=False),
]
ReasonText = Annotated[
    str,
    typer.Option("--reason", callback=recorded, metavar="TEXT", help="Recorded.", show_default=False),
]
