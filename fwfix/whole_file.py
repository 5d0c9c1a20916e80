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
    if is_own_stream(path):
        raise FileExistsError(errno.EEXIST, "this command prints there, or reads from it", str(path))
    folder = _target(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "its folder cannot be written to", str(folder))


def is_own_stream(path: Path) -> bool:
    """Tell whether this is what the program itself reads from or prints to, such as /dev/stdout."""
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
    return False


def write_whole(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file and let it take the place of an older one once it is on the disk.

    Args:
        path: where; a link is followed.
        content: all of it.
        private: nobody but its owner may read it; else who the umask lets.

    Raises:
        OSError: it cannot be written there; what was there is as it was.
    """
    check_place(path)
    target = _target(path)
    mode = 0o600
    if not private:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:50]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))
