"""What a program on the twin is, how it is started, and how Windows finds it by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from fwfix.lab.windows.cmd.environment import Environment
from fwfix.lab.windows.cmd.jobs import Job
from fwfix.lab.windows.cmd.machine import Machine, User
from fwfix.lab.windows.cmd.streams import InputPipe, Writer

SYSTEM32 = r"C:\Windows\System32"
POWERSHELL = rf"{SYSTEM32}\WindowsPowerShell\v1.0\powershell.exe"
CODECS = {65001: "utf-8", 20127: "ascii", 28591: "latin-1", 1200: "utf-16-le"}


def codec_of(codepage: int) -> str:
    """Return Python's name of a Windows code page; cp437 for one that it does not have."""
    name = CODECS.get(codepage, f"cp{codepage}")
    try:
        "".encode(name)
    except LookupError:
        return "cp437"
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One start of a program: everything that a process has.

    Attributes:
        name: as it was typed.
        args: split as the C runtime of Windows splits them.
        tail: the command line behind the name, unsplit.
        job: kills it; a program that waits uses `job.sleep` or the pipes, which a kill ends.
        programs: for a program that starts others.
    """

    name: str
    args: tuple[str, ...]
    tail: str
    stdin: InputPipe
    stdout: Writer
    stderr: Writer
    environment: Environment
    cwd: str
    codepage: int
    machine: Machine
    user: User
    job: Job
    programs: "ProgramTable"

    def say(self, text: str) -> None:
        """Write text to standard output in the console's code page, line feeds as CR LF."""
        self.stdout.write(self._encoded(text))

    def complain(self, text: str) -> None:
        """Write text to standard error, as `say` does."""
        self.stderr.write(self._encoded(text))

    def _encoded(self, text: str) -> bytes:
        return text.replace("\n", "\r\n").encode(codec_of(self.codepage), "replace")

    def child(self, name: str, tail: str, **changes: "InputPipe | Writer") -> "Invocation":
        """Return the invocation of a program that this one starts: same job, copied environment."""
        inherited = replace(
            self, name=name, tail=tail, args=split_arguments(tail), environment=self.environment.copy()
        )
        return replace(inherited, **changes)  # type: ignore[arg-type] # only streams are changed


class Program(Protocol):
    """Something that runs as a process."""

    def start(self, call: Invocation, /) -> int:
        """Run to the end and return the exit code; let KilledError pass."""


class ProgramTable:
    """The executable files of the twin, by full path."""

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self._programs = {
            _normal(_placed(path)): (_placed(path), program) for path, program in programs.items()
        }

    def having(self, programs: Mapping[str, Program]) -> "ProgramTable":
        """Return a table with these programs too; a bare name is put into System32."""
        return ProgramTable({**dict(self._programs.values()), **programs})

    @property
    def by_name(self) -> Mapping[str, tuple[str, Program]]:
        """Lower-case file name to path and program."""
        return {key.rpartition("\\")[2]: found for key, found in self._programs.items()}

    def at(self, path: str) -> tuple[str, Program] | None:
        """Return the program at exactly this path, as CreateProcess wants it; None if there is none."""
        return self._programs.get(_normal(path)) or self._programs.get(_normal(path) + ".exe")

    def find(self, name: str, environment: Environment) -> tuple[str, Program] | None:
        """Look a name up as cmd.exe does: extensions of PATHEXT, in the folders of PATH."""
        extensions = ["", *environment.get("PATHEXT", ".EXE").split(";")]
        folders = [""] if re.search(r"[\\/:]", name) else environment.get("PATH", "").split(";")
        for folder in folders:
            path = f"{folder.strip().rstrip(chr(92))}\\{name}" if folder.strip() else name
            for extension in extensions:
                found = self._programs.get(_normal(path + extension))
                if found is not None:
                    return found
        return None


def _placed(path: str) -> str:
    if "\\" in path:
        return path
    if path.lower() == "powershell.exe":
        return POWERSHELL
    return rf"{SYSTEM32}\{path}"


def _normal(path: str) -> str:
    flat = re.sub(r"\\+", r"\\", path.replace("/", "\\")).lower()
    return flat.replace(r"\sysnative\ ".strip(), r"\system32\ ".strip())


def split_arguments(tail: str) -> tuple[str, ...]:
    r"""Split as the C runtime does: quotes group, `\"` is a quote, backslashes count only before a quote."""
    arguments: list[str] = []
    current: list[str] | None = None
    quoted = False
    for slashes, character in re.findall(r"(\\*)([^\\]|\Z)", tail):
        backslashes = len(slashes)
        blank = character in (" ", "\t", "\n", "\r", "") and not quoted
        if backslashes or not blank:
            current = [] if current is None else current
        if current is None:
            continue
        if character == '"':
            current.append("\\" * (backslashes // 2))
            if backslashes % 2:
                current.append('"')
            else:
                quoted = not quoted
        else:
            current.append("\\" * backslashes + ("" if blank else character))
        if blank:
            arguments.append("".join(current))
            current = None
    if current is not None:
        arguments.append("".join(current))
    return tuple(arguments)
