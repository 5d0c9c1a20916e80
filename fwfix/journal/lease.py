"""A lease on a run: held while its controller lives, and let go by the kernel when it is killed."""

import fcntl
import os
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from fwfix.errors import JournalError

_FOLDER = "leases"
# Long enough to outlast `is_held` in another process, which locks for an instant.
PATIENCE = timedelta(milliseconds=300)
_RETRY_EVERY = timedelta(milliseconds=20)


class Lease:
    """An flock on a file of its own. flock survives nothing: not a kill, not a crash, not a reboot."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path, name: str, *, patience: timedelta = PATIENCE) -> "Lease | None":
        """Take a lease; None if another process has had it all the time.

        Raises:
            JournalError: the file cannot be made.
        """
        path = directory / _FOLDER / name
        end = monotonic() + patience.total_seconds()
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = _lock(path)
            while descriptor is None and monotonic() < end:
                sleep(_RETRY_EVERY.total_seconds())
                descriptor = _lock(path)
        except OSError as exc:
            raise JournalError(
                f"The lease {path} cannot be used: {exc.strerror}.",
                next="Make it accessible, or name another directory with --state-dir.",
            ) from exc
        return None if descriptor is None else cls(path, descriptor)

    def release(self) -> None:
        """Let go; harmless when it was let go before."""
        if self._descriptor < 0:
            return
        # Removed while still locked: whoever has opened it meanwhile finds that it is no longer there.
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(path: Path) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass  # removed between the two looks
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_held(directory: Path, name: str) -> bool:
    """Tell whether a living process has a lease, without taking it."""
    try:
        descriptor = os.open(directory / _FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise JournalError(
            f"The lease {exc.filename} cannot be read: {exc.strerror}.",
            next="Make it accessible, or name another directory with --state-dir.",
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
