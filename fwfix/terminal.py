"""There is one terminal: while somebody is asked on it, whatever else is drawn there steps aside."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

StepAside = Callable[[], AbstractContextManager[None]]
_DRAWN: list[StepAside] = []


@contextmanager
def drawn(step_aside: StepAside) -> Iterator[None]:
    """Draw on the terminal, and take it away whenever somebody is asked."""
    _DRAWN.append(step_aside)
    try:
        yield
    finally:
        _DRAWN.remove(step_aside)


@contextmanager
def alone() -> Iterator[None]:
    """Have the terminal alone, to ask somebody: a view that is drawn anew would wipe the question away."""
    with ExitStack() as views:
        for step_aside in tuple(_DRAWN):
            views.enter_context(step_aside())
        yield
