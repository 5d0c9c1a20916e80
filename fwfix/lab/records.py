"""What a lab made on this machine, written down before it is made, and the removal of it from that alone.

Imports nothing but the standard library: the supervisor of a lab runs it too.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fwfix.errors import LabError
from fwfix.lab import syscalls

NETNS = Path("/run/netns")
_PRIVATE = ".lab"
_PATIENCE = 15.0  # seconds for everything of a lab to end


class Record:
    """The list of what has to be removed, on disk before any of it exists.

    Whoever adds something to a lab, the Windows twins for example, adds it here first (`add_netns`,
    `add_file`), or at once where it has no name before it exists (`add_process`).
    """

    def __init__(self, directory: Path, content: dict[str, Any]) -> None:
        self.directory = directory
        self.content = content
        self._busy: int | None = None

    @property
    def private(self) -> Path:
        """The lab's own folder inside the directory."""
        return self.directory / _PRIVATE

    @classmethod
    def create(cls, directory: Path, *, lab_id: str, interface: str) -> "Record":
        """Start the record of a lab in the directory, which is created where it is missing."""
        made = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            (directory / _PRIVATE).mkdir(mode=0o700)
        except FileExistsError:
            raise LabError(
                f"There is a lab in {directory} already.",
                next="Remove it (fwfix demo --clean) or take another directory.",
            ) from None
        content: dict[str, Any] = {
            "schema": "fwfix.lab/1",
            "id": lab_id,
            "boot_id": _boot_id(),
            "interface": interface,
            "made_directory": made,
            "netns": [],
            "processes": [],
            "files": [],
        }
        record = cls(directory, content)
        record.save()
        record._busy = _open_busy(record.private)
        fcntl.flock(record._busy, fcntl.LOCK_EX)
        return record

    @classmethod
    def load(cls, directory: Path) -> "Record | None":
        """Read the record of the lab in the directory, if there is one."""
        try:
            return cls(
                directory, json.loads((directory / _PRIVATE / "record.json").read_text(encoding="utf-8"))
            )
        except FileNotFoundError:
            return None

    @property
    def busy(self) -> tuple[int, ...]:
        """Open files for every process started while the lab is built: `clean` waits for their end."""
        return () if self._busy is None else (self._busy,)

    def settle(self) -> None:
        """Say that the lab is built, or that its building was given up."""
        if self._busy is not None:
            os.close(self._busy)
            self._busy = None

    def save(self) -> None:
        """Write the record so that it is whole at any moment."""
        path = self.private / "record.json"
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(self.content), encoding="utf-8")
        scratch.replace(path)

    def add_netns(self, *names: str) -> None:
        """Note names under /run/netns."""
        self.content["netns"] += [name for name in names if name not in self.content["netns"]]
        self.save()

    def add_process(self, pid: int) -> None:
        """Note a process in this machine's own PID namespace; it gets SIGTERM first when the lab ends."""
        self.content["processes"].append([pid, _started(pid)])
        self.save()

    def add_file(self, *paths: Path) -> None:
        """Note files."""
        self.content["files"] += [str(path.absolute()) for path in paths]
        self.save()


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Be the only lab that chooses names or makes and removes /run/netns."""
    handle = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clean(directory: Path) -> None:
    """Remove everything that the lab in the directory made, after a kill of its builder as well.

    Works from the record alone. A directory without a lab is left as it is.

    Raises:
        LabError: something could not be removed; called again, this goes on.
    """
    with contextlib.suppress(FileNotFoundError), _only_cleaner(directory):
        _remove(directory)


def clean_unless_others_do(directory: Path, settle: Callable[[], None]) -> None:
    """Clean on behalf of a dead builder, unless somebody is at it already.

    The lock is kept until this process ends, so that whoever cleans next finds it gone.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settle()
        _remove(directory)


@contextlib.contextmanager
def _only_cleaner(directory: Path) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove(directory: Path) -> None:
    record = Record.load(directory)
    if record is None:
        shutil.rmtree(directory / _PRIVATE, ignore_errors=True)
        return
    same_boot = record.content["boot_id"] == _boot_id()
    if same_boot:
        _end_processes([(int(pid), str(started)) for pid, started in record.content["processes"]])
        _await_builders(record)
        _end_guests(record.content["netns"])
        _remove_interface(record.content["interface"])
    for name in record.content["netns"]:
        remove_netns(name)
    with machine_lock(), contextlib.suppress(OSError):
        if same_boot and record.content.get("made_netns_mount") and not any(NETNS.iterdir()):
            syscalls.unmount(str(NETNS))
        NETNS.rmdir()  # refused unless empty, and while somebody else's mount is on it
    for path in record.content["files"]:
        Path(path).unlink(missing_ok=True)
    shutil.rmtree(record.private)
    if record.content["made_directory"]:
        with contextlib.suppress(OSError):
            directory.rmdir()


def share_netns(record: Record) -> None:
    """Make /run/netns a shared mount before there is a name in it, as the first `ip netns add` would.

    If iproute2 did it afterwards, every name that is there by then would be mounted twice, and below its
    mount could not be removed any more. Where there are names already, it stays as it is. Call it in the
    `machine_lock`.
    """
    NETNS.mkdir(mode=0o755, exist_ok=True)
    handle = os.open(NETNS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # iproute2 does so too
        names = [entry.name for entry in os.scandir(handle)]
        if _share(str(NETNS)):
            # The last lab to go takes the mount along, if a lab made it.
            made = any(name.startswith("fwfix-") for name in names)
        elif made := not names:
            record.content["made_netns_mount"] = True
            record.save()
            syscalls.mount(str(NETNS), str(NETNS), "none", flags=syscalls.MS_BIND | syscalls.MS_REC)
            _share(str(NETNS))
        record.content["made_netns_mount"] = made
        record.save()
    finally:
        os.close(handle)


def _share(path: str) -> bool:
    """Let mounts below a mount point show in other mount namespaces; false where it is no mount point."""
    try:
        syscalls.mount("", path, "none", flags=syscalls.MS_SHARED | syscalls.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def remove_netns(name: str) -> None:
    """Remove a name from /run/netns; the namespace goes with its last user."""
    path = NETNS / name
    with contextlib.suppress(OSError):
        syscalls.unmount(str(path))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        # Where names were there before us, the first `ip netns add` mounts /run/netns over itself, and every
        # name a second time below the first: that one can be neither reached nor removed, and names nothing.
        if error.errno != errno.EBUSY:
            raise


def _open_busy(private: Path) -> int:
    return os.open(private / "busy", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _started(pid: int) -> str:
    """Return when the process started, which with the pid names it for good; empty when it is gone."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _end_processes(processes: list[tuple[int, str]]) -> None:
    alive = [item for item in processes if item[0] != os.getpid() and item[1]]
    for number, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, _PATIENCE)):
        for pid, started in alive:
            if _started(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = time.monotonic() + patience
        while alive and time.monotonic() < deadline:
            alive = [item for item in alive if _started(item[0]) == item[1]]
            time.sleep(0.005)
    if alive:
        raise LabError(f"Processes of the lab do not end: {[pid for pid, _ in alive]}.")


def _await_builders(record: Record) -> None:
    """Wait for what a builder left when it was killed: a tool at work, or a supervisor not noted yet.

    Both end by themselves; until then they could make something behind our back.
    """
    handle = _open_busy(record.private)
    deadline = time.monotonic() + _PATIENCE
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() > deadline:
                raise LabError(f"Somebody still builds the lab in {record.directory}.")
            time.sleep(0.005)
    finally:
        os.close(handle)


def _end_guests(names: list[str]) -> None:
    """End what still runs inside the hosts: in a network namespace of ours, in a PID namespace not ours."""
    inodes = set()
    for name in names:
        with contextlib.suppress(OSError):
            inodes.add((NETNS / name).stat().st_ino)
    deadline = time.monotonic() + _PATIENCE
    while left := _guests(inodes):
        if time.monotonic() > deadline:
            raise LabError(f"Processes inside the lab's hosts do not end: {left}.")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _guests(inodes: set[int]) -> list[int]:
    ours = Path("/proc/self/ns/pid").stat().st_ino
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                spaces = Path(entry.path, "ns")
                if (spaces / "net").stat().st_ino in inodes and (spaces / "pid").stat().st_ino != ours:
                    found.append(int(entry.name))
    return found


def _remove_interface(name: str) -> None:
    if Path("/sys/class/net", name).exists():
        done = subprocess.run(["ip", "link", "del", name], capture_output=True, text=True, check=False)
        if Path("/sys/class/net", name).exists():
            raise LabError(f"The interface {name} cannot be removed: {done.stderr.strip()}")
