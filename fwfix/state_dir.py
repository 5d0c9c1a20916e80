"""Where the journal lives: found, made, and refused where a journal would not be safe."""

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from fwfix.errors import JournalError

VARIABLE = "FWFIX_STATE_DIR"
_ELSEWHERE = "Name another directory with --state-dir or FWFIX_STATE_DIR."

# SQLite's WAL needs shared memory, and our leases need flock: neither works between machines.
_NETWORK = frozenset(
    {"9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "vboxsf"}
    | {"fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)


def state_dir(explicit: Path | None = None) -> Path:
    """Return the state directory that applies: the option, the variable, the platform's own."""
    if explicit is not None:
        return explicit.expanduser().absolute()
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs  # noqa: PLC0415 - keeps `--help` fast

    return Path(platformdirs.user_state_dir("fwfix", appauthor=False))


def prepare_state_dir(directory: Path, *, mounts: str | None = None) -> Path:
    """Make sure that a journal can live in a directory, and return its real path.

    Args:
        directory: made with its parents (0700) if it is not there.
        mounts: the text of /proc/mounts; read from this machine if None.

    Raises:
        JournalError: it cannot be made or written, is not ours, or is on a network file system.
    """
    try:
        _make(directory)
        real = directory.resolve(strict=True)
        found = real.stat()
    except OSError as exc:
        raise JournalError(
            f"The state directory {directory} cannot be used: {_say(exc)}.", next=_ELSEWHERE
        ) from exc
    _refuse_network(real, _read_mounts() if mounts is None else mounts)
    _refuse_foreign(real, found)
    _refuse_unwritable(real)
    return real


def _make(directory: Path) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _say(exc: OSError) -> str:
    reason = exc.strerror or str(exc)
    where = f" ({exc.filename})" if exc.filename else ""
    return f"{reason[:1].lower()}{reason[1:]}{where}"


def _read_mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # not Linux: nothing to compare with


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that a real path is on; empty if the mounts do not say."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 - device, mount point, type
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1])
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


def _refuse_network(real: Path, mounts: str) -> None:
    kind = file_system_of(real, mounts)
    if kind in _NETWORK:
        raise JournalError(
            f"The state directory {real} is on a network file system ({kind}), unsafe for a journal.",
            next="Name a local directory with --state-dir or FWFIX_STATE_DIR.",
        )


def _refuse_foreign(real: Path, found: os.stat_result) -> None:
    # The journal says where to connect and which command gives a password: nobody else may write it.
    if found.st_uid != os.geteuid():
        owner, ours = _name(found.st_uid), _name(os.geteuid())
        raise JournalError(
            f"The state directory {real} belongs to {owner}, and fwfix runs as {ours}.",
            next=f"Run fwfix as {owner}. {_ELSEWHERE}",
        )
    if found.st_mode & stat.S_IWOTH:
        raise JournalError(
            f"Anybody may write to the state directory {real}.",
            next=f"Run `chmod o-w {real}`, or name another directory with --state-dir.",
        )


def _name(uid: int) -> str:
    try:
        import pwd  # noqa: PLC0415 - only on POSIX

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"uid {uid}"


def _refuse_unwritable(real: Path) -> None:
    trial = real / f".trial-{os.getpid()}"
    try:
        with trial.open("wb") as file:
            file.write(b"fwfix")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        advice = "Make room there." if exc.errno in {errno.ENOSPC, errno.EDQUOT} else "Make it writable."
        raise JournalError(
            f"Nothing can be written to the state directory {real}: {_say(exc)}.",
            next=f"{advice} {_ELSEWHERE}",
        ) from exc
    finally:
        with suppress(OSError):  # a read-only file system refuses even what is not there
            trial.unlink()
