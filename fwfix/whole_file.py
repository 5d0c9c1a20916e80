"""Files that are written whole or not at all: a reader sees the old one or the whole new one."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def check_place(path: Path) -> None:
    """Find out whether a file could be written there, before much is done for what it will hold.

    Raises:
        OSError: it could not; a device or a pipe is never replaced by a file, whoever asks.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "a device or a pipe, and not a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "its folder cannot be written to", str(path.parent))


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file and let it take the place of an older one once it is on the disk.

    Args:
        path: where.
        content: all of it.
        mode: who may read and write it.

    Raises:
        OSError: it cannot be written there; what was there is as it was.
    """
    check_place(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
