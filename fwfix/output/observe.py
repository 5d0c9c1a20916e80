"""Choose how progress is shown: a live view on a terminal, else plain lines; on stderr, always."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol, TextIO

from fwfix.model.outcome import HostReport
from fwfix.output.plain import PlainLines
from fwfix.terminal import drawn


class Observer(Protocol):
    """Somebody who watches a run. Every method may be called from any thread, and none blocks for long."""

    def run_started(self, *, hosts: int, run_id: str | None = None) -> None:
        """A run begins on so many hosts."""

    def wave_started(self, number: int, *, of: int, hosts: int) -> None:
        """A wave begins; numbers start at 1."""

    def host_step(self, host: str, step: str) -> None:
        """A host goes on to a step."""

    def host_rests(self, host: str) -> None:
        """Nobody works on a host for now, and it has no outcome yet."""

    def host_done(self, report: HostReport) -> None:
        """A host has its outcome."""

    def note(self, text: str) -> None:
        """Something that concerns the whole run."""

    def close(self) -> None:
        """Nothing more comes."""


class Wishes(Protocol):
    """What the operator said about looks."""

    @property
    def color(self) -> bool:
        """Whether colour is allowed."""


class Nobody:
    """Watches nothing."""

    def run_started(self, *, hosts: int, run_id: str | None = None) -> None:
        """Nothing is shown."""

    def wave_started(self, number: int, *, of: int, hosts: int) -> None:
        """Nothing is shown."""

    def host_step(self, host: str, step: str) -> None:
        """Nothing is shown."""

    def host_rests(self, host: str) -> None:
        """Nothing is shown."""

    def host_done(self, report: HostReport) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is shown."""


@contextmanager
def make_observer(wishes: Wishes, command: str, *, stream: TextIO | None = None) -> Iterator[Observer]:
    """Yield an observer for one command, and close it at the end.

    Args:
        wishes: the options in front of the command.
        command: shown in front.
        stream: stderr if None.
    """
    chosen = stream or sys.stderr
    if chosen.isatty() and os.environ.get("TERM", "") != "dumb":
        from fwfix.output.live import LiveView  # noqa: PLC0415 - rich is slow to import

        view = LiveView(chosen, command, color=wishes.color)
        with closing(view), drawn(view.aside):
            yield view
    else:
        with closing(PlainLines(chosen, command)) as lines:
            yield lines
