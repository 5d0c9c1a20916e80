"""What is outside the engine: files, registry, clock, programs, environment. All of it can be replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

Value = object


class Files(Protocol):
    """A file system; every method may raise an OSError."""

    def is_file(self, path: str) -> bool:
        """Say whether a file is there."""

    def is_folder(self, path: str) -> bool:
        """Say whether a folder is there."""

    def read(self, path: str) -> bytes:
        """Return a file's content."""

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        """Write a file whole, or add to its end."""

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        """Rename a file; FileExistsError if the target is there and must not be replaced."""

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy a file; FileExistsError if the target is there and must not be replaced."""

    def flush(self, path: str) -> None:
        """Put a file and its name on the disk, past every cache."""

    def make_folder(self, path: str) -> None:
        """Create a folder with its parents; one that is there is no error."""

    def delete_folder(self, path: str, *, recursive: bool) -> None:
        """Delete a folder."""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""


class RealFiles:
    """The machine's own file system."""

    def is_file(self, path: str) -> bool:
        """Say whether a file is there."""
        return Path(path).is_file()

    def is_folder(self, path: str) -> bool:
        """Say whether a folder is there."""
        return Path(path).is_dir()

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return Path(path).read_bytes()

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        """Write a file whole, or add to its end."""
        with Path(path).open("ab" if append else "wb") as stream:
            stream.write(content)

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        Path(path).unlink(missing_ok=True)

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        """Rename a file."""
        if not overwrite and Path(target).exists():
            raise FileExistsError(target)
        Path(source).replace(target)

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy a file."""
        if not overwrite and Path(target).exists():
            raise FileExistsError(target)
        shutil.copyfile(source, target)

    def flush(self, path: str) -> None:
        """Put a file on the disk."""
        with Path(path).open("r+b") as stream:
            os.fsync(stream.fileno())

    def make_folder(self, path: str) -> None:
        """Create a folder with its parents."""
        Path(path).mkdir(parents=True, exist_ok=True)

    def delete_folder(self, path: str, *, recursive: bool) -> None:
        """Delete a folder."""
        if recursive:
            shutil.rmtree(path)
        else:
            Path(path).rmdir()

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return sorted(p.name for p in Path(path).iterdir())


class Registry(Protocol):
    """The hive behind `HKLM:`; paths begin without the drive, separated by backslashes."""

    def values(self, path: str) -> Mapping[str, Value] | None:
        """Return a key's values in their order, None if there is no such key."""


class NoRegistry:
    """A machine without a registry."""

    def values(self, path: str) -> Mapping[str, Value] | None:
        """Return None: there is no key."""
        del path
        return None


class Clock(Protocol):
    """The time of the host."""

    def now(self) -> datetime:
        """Return the time, aware."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait; come back early once `stopped` says so."""


class RealClock:
    """The machine's own time."""

    step = 0.05

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait in small steps."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stopped():
            time.sleep(min(left, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeResult:
    """What a native program did."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


Native = Callable[[list[str], bytes], NativeResult]


def run_program(path: str, environment: Mapping[str, str]) -> Native:
    """Return a native that runs a real program."""

    def run(arguments: list[str], stdin: bytes) -> NativeResult:
        done = subprocess.run(
            [path, *arguments], input=stdin, capture_output=True, check=False, env=dict(environment)
        )
        return NativeResult(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return run


@contextmanager
def this_process(pid: int | None) -> Iterator[int]:
    """Give a script that runs here the id of this process; nobody on such a host asks for others."""
    yield os.getpid() if pid is None else pid


@dataclass(slots=True, kw_only=True)
class Host:
    """Everything outside, in one place.

    Attributes:
        com: makers of COM objects by lower-case name.
        natives: programs by lower-case name; a name with and without `.exe` is the same.
        real_programs: programs that are not in `natives` are looked for on PATH.
        language_mode: what `$ExecutionContext.SessionState.LanguageMode` says.
        execution_policy: what Get-ExecutionPolicy says.
        process: counts a process for as long as it runs, under this id, or under a new one; its id.
        process_id: of the script that runs.
        stdout, stderr: take what the script prints, as it prints it.
    """

    files: Files = field(default_factory=RealFiles)
    registry: Registry = field(default_factory=NoRegistry)
    clock: Clock = field(default_factory=RealClock)
    com: dict[str, Callable[[], Value]] = field(default_factory=dict)
    natives: dict[str, Native] = field(default_factory=dict)
    real_programs: bool = False
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    process: Callable[[int | None], AbstractContextManager[int]] = this_process
    process_id: int = field(default_factory=os.getpid)
    language_mode: str = "FullLanguage"
    execution_policy: str = "Unrestricted"
    computer_name: str = "localhost"
    stdout: Callable[[bytes], None] = lambda _: None
    stderr: Callable[[bytes], None] = lambda _: None

    def native(self, name: str) -> Native | None:
        """Return the program of a name."""
        lowered = (
            name.lower().replace("/", "\\").rsplit("\\", 1)[-1] if not self.real_programs else name.lower()
        )
        bare = lowered.removesuffix(".exe")
        known = self.natives.get(lowered) or self.natives.get(bare) or self.natives.get(f"{bare}.exe")
        if known is not None or not self.real_programs:
            return known
        path = shutil.which(name, path=self.environment.get("PATH", ""))
        return run_program(path, self.environment) if path else None
