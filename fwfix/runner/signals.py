"""The first signal brings every started host to a known state; the second leaves at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from fwfix.model.plan import Reason
from fwfix.runner.context import Brake

EXIT_INTERRUPTED = 130
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def interruptible(brake: Brake, pending: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Turn signals into a brake; only in the main thread.

    Args:
        brake: what the hosts heed.
        pending: one line for each host that would restore itself, for those who cannot wait.
    """

    def heed(number: int, _: FrameType | None) -> None:
        if brake.stopped is None:
            name = signal.Signals(number).name
            said = f"\nfwfix: {name}: bringing started hosts to a known state; again to leave at once\n"
            # A handler may interrupt a write: nothing but the raw file descriptor is safe here.
            _tell(said)
            brake.stop(
                Reason(code="interrupted", message=f"the run was interrupted ({name})", next="apply it again")
            )
            return
        for line in pending():
            _tell(f"{line}\n")
        os._exit(EXIT_INTERRUPTED)

    before = {number: signal.signal(number, heed) for number in _SIGNALS}
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    """Write to stderr, which is gone where the signal is that the terminal hung up."""
    with suppress(OSError):
        os.write(2, text.encode())
