"""Progress on a terminal: a line per host at work, counts, wave and time, redrawn a few times a second.

Events only change numbers; drawing happens in a thread of its own and costs the height of the screen,
however many hosts there are and however often they report.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fwfix.model.outcome import HostReport, Outcome
from fwfix.output.plain import done_text
from fwfix.output.text import printable, took

_REDRAW_SECONDS = 0.12
_MOST_LINES = 15
_COLORS = {
    Outcome.APPLIED: "green",
    Outcome.ROLLED_BACK: "green",
    Outcome.OK: "green",
    Outcome.NOOP: "green",
    Outcome.CHANGE: "green",
    Outcome.SKIPPED: "yellow",
    Outcome.REVERTED: "yellow",
    Outcome.DRIFT: "yellow",
}


class LiveView:
    """Shows a run while it goes on. Every method may be called from any thread."""

    def __init__(self, stream: TextIO, command: str, *, color: bool) -> None:
        self._console = Console(file=stream, no_color=not color, highlight=False, markup=False, emoji=False)
        self._title = command
        self._wave = ""
        self._hosts = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._active: dict[str, tuple[str, float]] = {}
        self._ends: dict[str, Outcome] = {}
        self._said: deque[Text] = deque()
        self._ended = threading.Event()
        self._drawing = threading.Lock()
        self._live = self._begin()
        self._thread = threading.Thread(target=self._redraw, name="fwfix-live", daemon=True)
        self._thread.start()

    def _begin(self) -> Live:
        # Whatever else is printed goes its own way; nothing is redirected.
        live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        # A second signal ends us at once: a hidden cursor would stay hidden.
        self._console.show_cursor(show=True)
        return live

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the view away for a while; what happens meanwhile is shown afterwards."""
        with self._drawing:
            with suppress(OSError, ValueError):
                self._draw_now()  # what was said before a question belongs above it
                self._live.stop()
            try:
                yield
            finally:
                with suppress(OSError, ValueError):
                    self._live = self._begin()

    def run_started(self, *, hosts: int, run_id: str | None = None) -> None:
        """Learn how many hosts there are."""
        self._hosts = hosts
        if run_id:
            self._title = f"{self._title} {run_id}"

    def wave_started(self, number: int, *, of: int, hosts: int) -> None:
        """Show which wave is under way."""
        self._wave = f"wave {number}/{of}" + (f" ({hosts})" if hosts else "")

    def host_step(self, host: str, step: str) -> None:
        """Show that a host goes on to a step."""
        with self._lock:
            _, since = self._active.get(host, ("", time.monotonic()))
            self._active[host] = (step, since)

    def host_rests(self, host: str) -> None:
        """Take a host away from those at work."""
        with self._lock:
            self._active.pop(host, None)

    def host_done(self, report: HostReport) -> None:
        """Count a host and leave a line about it on the screen."""
        text = Text(printable(done_text(report)), style=_COLORS.get(report.outcome, "red"))
        with self._lock:
            self._active.pop(report.name, None)
            self._ends[report.name] = report.outcome
            self._said.append(text)

    def note(self, text: str) -> None:
        """Leave a line on the screen."""
        with self._lock:
            self._said.append(Text(printable(text)))

    def close(self) -> None:
        """Write what is left and take the view away; harmless when closed before."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        try:
            self._draw()
            self._live.stop()
        except (OSError, ValueError):
            return  # the terminal has gone, and with it whoever could have read it

    def _redraw(self) -> None:
        while not self._ended.wait(_REDRAW_SECONDS):
            try:
                self._draw()
            except (OSError, ValueError):
                return

    def _draw(self) -> None:
        if not self._drawing.acquire(blocking=False):
            return
        try:
            self._draw_now()
        finally:
            self._drawing.release()

    def _draw_now(self) -> None:
        with self._lock:
            said = list(self._said)
            self._said.clear()
            height = max(1, min(_MOST_LINES, self._console.height - 4))
            shown = list(islice(self._active.items(), height))
            more = len(self._active) - len(shown)
            counts = Counter(self._ends.values())
        if said:
            self._console.print(Text("\n").join(said), soft_wrap=True)
        self._live.update(self._view(shown, more, counts), refresh=True)

    def _view(
        self, shown: list[tuple[str, tuple[str, float]]], more: int, counts: dict[Outcome, int]
    ) -> Group:
        now = time.monotonic()
        done = sum(counts.values())
        total = f"/{self._hosts}" if self._hosts else ""
        parts = [self._title, self._wave, f"{done}{total} done"]
        parts += [f"{count} {outcome}" for outcome, count in counts.items()]
        parts.append(took(now - self._began))
        lines = [
            Text(" | ".join(part for part in parts if part), style="bold", no_wrap=True, overflow="ellipsis")
        ]
        for host, (step, since) in shown:
            text = f"  {printable(host)}: {printable(step)} {took(now - since)}"
            lines.append(Text(text, no_wrap=True, overflow="ellipsis"))
        if more:
            lines.append(Text(f"  ... and {more} more at work", no_wrap=True))
        return Group(*lines)
