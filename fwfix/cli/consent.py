"""Ask before anything changes; without a terminal somebody must have said --yes."""

import os
import selectors
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fwfix.errors import InterruptedRunError, RefusedError, UsageError


def require_consent(*, yes: bool, command: str) -> None:
    """Refuse at once where nobody can be asked; call it before anything else.

    Raises:
        UsageError: there is no terminal and no `--yes`.
    """
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{command} changes hosts and there is no terminal to ask on", next="Say --yes if you mean it."
        )


def ask(question: str, *, yes: bool) -> None:
    """Ask on the terminal, so that stdout stays what programs read.

    Raises:
        RefusedError: the answer was no; no host was touched.
        InterruptedRunError: there was no answer, but Ctrl-C or the end of the input.
    """
    if yes:
        return
    try:
        with _ended_by_ctrl_c():
            agreed = _agrees(question)
    except (KeyboardInterrupt, EOFError):
        raise InterruptedRunError("nothing was changed: you did not answer") from None
    if not agreed:
        raise RefusedError("nothing was changed: you said no")


def _agrees(question: str) -> bool:
    while True:
        typer.echo(f"{question} [y/N]: ", nl=False, err=True)
        _await_line()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        answer = line.strip().lower()
        if answer in {"", "n", "no", "y", "yes"}:
            return answer in {"y", "yes"}
        typer.echo("Please answer y or n.", err=True)


def _await_line() -> None:
    """Wait for an answer or a signal: one that comes right before Python begins to read would go unheard."""
    if os.name == "nt":
        return
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    before = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    try:
        # Not select(): it refuses descriptors beyond 1023, and a fleet's connections may be open already.
        with selectors.DefaultSelector() as both:
            both.register(sys.stdin, selectors.EVENT_READ)
            both.register(receiving, selectors.EVENT_READ)
            both.select()
    finally:
        signal.set_wakeup_fd(before)
        os.close(receiving)
        os.close(sending)


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end a question, where nothing has been started that would have to be brought back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
