"""The command line of `powershell.exe` 5.1: what script it is asked to run, and from where."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from fwfix.errors import LabError
from fwfix.lab.windows.cmd.programs import Invocation

# What powershell.exe exits with when it cannot read its command line (0xFFFD0000).
BAD_COMMAND_LINE = -196608
_FLAGS = ("noprofile", "noninteractive", "nologo", "noexit", "sta", "mta")
_VALUES = (
    "executionpolicy",
    "outputformat",
    "inputformat",
    "windowstyle",
    "version",
    "psconsolefile",
    "configurationname",
)
_SHORT = {"ep": "executionpolicy", "ec": "encodedcommand", "nop": "noprofile", "noni": "noninteractive"}
_ORDER = ("command", "encodedcommand", "executionpolicy", "file", *_FLAGS, *_VALUES)


class PowerShellArgumentError(LabError):
    """The command line cannot be read; the message is what Windows writes."""

    code = "powershell-arguments"


class Source(Enum):
    """Where the script comes from."""

    COMMAND = "command"
    FILE = "file"
    STDIN = "stdin"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerShellCall:
    """What the command line asks for.

    Attributes:
        script: the text to run; for FILE its path; for STDIN empty.
        arguments: what follows the path of a file.
        options: the other parameters by full lower-case name; a flag has the value "true".
    """

    source: Source
    script: str
    arguments: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()


def parse_powershell_arguments(arguments: Sequence[str]) -> PowerShellCall:
    """Read the arguments of powershell.exe.

    Raises:
        PowerShellArgumentError: they cannot be read.
    """
    options: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest:
        word = rest[0]
        name = _parameter(word)
        if name in _FLAGS:
            options.append((name, "true"))
            rest = rest[1:]
        elif name in _VALUES:
            if len(rest) == 1:
                raise PowerShellArgumentError(f"Missing argument for parameter {name}.")
            options.append((name, rest[1]))
            rest = rest[2:]
        else:
            return replace(_script(name, rest), options=tuple(options))
    return PowerShellCall(source=Source.STDIN, script="", options=tuple(options))


def _parameter(word: str) -> str:
    """Return the full name of a parameter, "" for text; any prefix that is unique in order will do."""
    if len(word) == 1 or word[0] not in "-/–":
        return ""
    lowered = word[1:].lower()
    return _SHORT.get(lowered) or next((name for name in _ORDER if name.startswith(lowered)), "")


def _script(name: str, rest: list[str]) -> PowerShellCall:
    if name == "encodedcommand":
        return PowerShellCall(source=Source.COMMAND, script=_decoded(rest[1] if len(rest) > 1 else ""))
    if name == "file":
        if len(rest) == 1:
            raise PowerShellArgumentError("The -File parameter requires a file path.")
        return _from(Source.FILE, rest[1], tuple(rest[2:]))
    words = rest[1:] if name == "command" else rest
    if name == "command" and not words:
        raise PowerShellArgumentError(
            "Cannot process the command because of a missing parameter. A command must follow -Command."
        )
    return _from(Source.COMMAND, " ".join(words))


def _from(source: Source, script: str, arguments: tuple[str, ...] = ()) -> PowerShellCall:
    if script == "-":
        return PowerShellCall(source=Source.STDIN, script="")
    return PowerShellCall(source=source, script=script, arguments=arguments)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise PowerShellArgumentError(
            "Cannot process the command because the value specified with -EncodedCommand is not properly "
            "encoded. The value must be Base64 encoded."
        ) from error


class PowerShellEngine(Protocol):
    """Runs a script; the twin's own engine or a real one stands behind it."""

    def run(self, wanted: PowerShellCall, call: Invocation, /) -> int:
        """Run it to the end with the streams of the call and return the exit code; let KilledError pass."""


@dataclass(frozen=True, slots=True)
class PowerShellProgram:
    """`powershell.exe` as a program of the twin."""

    engine: PowerShellEngine

    def start(self, call: Invocation, /) -> int:
        """Read the command line and hand the script to the engine."""
        try:
            wanted = parse_powershell_arguments(call.args)
        except PowerShellArgumentError as error:
            call.complain(f"{error}\n")
            return BAD_COMMAND_LINE
        return self.engine.run(wanted, call)
