"""The first signal brings every started host to a known state; the second leaves at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
            os.write(2, said.encode())
            brake.stop(
                Reason(code="interrupted", message=f"the run was interrupted ({name})", next="apply it again")
            )
            return
        for line in pending():
            os.write(2, f"{line}\n".encode())
        os._exit(EXIT_INTERRUPTED)

    before = {number: signal.signal(number, heed) for number in _SIGNALS}
    try:
        yield
    finally:
        sys.stderr.flush()
        for number, handler in before.items():
            signal.signal(number, handler)
