"""Progress as plain lines, for logs and pipes: no wrapping, no boxes, no colour."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from fwfix.model.outcome import HostReport
from fwfix.model.wording import plural
from fwfix.output.text import Line, write_lines

# With more hosts than this, a line per step would bury the lines that matter.
STEPS_UP_TO = 20


def _clock() -> datetime:
    return datetime.now().astimezone()


class PlainLines:
    """Writes one line per event. Every method may be called from any thread."""

    def __init__(self, stream: TextIO, command: str, *, now: Callable[[], datetime] = _clock) -> None:
        self._stream = stream
        self._command = command
        self._now = now
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._hosts = 0
        self._done: set[str] = set()
        self._unheard = False

    def run_started(self, *, hosts: int, run_id: str | None = None) -> None:
        """Say how many hosts there are."""
        self._hosts = hosts
        name = f"{self._command} {run_id}" if run_id else self._command
        self._write(f"{name}: {plural(hosts, 'host')}")

    def wave_started(self, number: int, *, of: int, hosts: int) -> None:
        """Say that a wave begins."""
        self._write(f"wave {number} of {of}: {plural(hosts, 'host')}")

    def host_step(self, host: str, step: str) -> None:
        """Say that a host goes on to a step, where hosts are few."""
        with self._lock:
            self._seen.add(host)
            few = max(len(self._seen), self._hosts) <= STEPS_UP_TO
        if few:
            self._write(f"{host}: {step}")

    def host_rests(self, host: str) -> None:
        """Say nothing: the next line about it will."""

    def host_done(self, report: HostReport) -> None:
        """Say what became of a host."""
        with self._lock:
            self._done.add(report.name)  # twice, where a run that is stopped undoes what it had applied
            count = f"[{len(self._done)}/{self._hosts}] " if self._hosts else ""
        self._write(f"{count}{done_text(report)}")

    def note(self, text: str) -> None:
        """Say something about the whole run."""
        self._write(text)

    def close(self) -> None:
        """Nothing is left to write."""

    def _write(self, text: str) -> None:
        line = Line(f"{self._now():%H:%M:%S} {text}")
        with self._lock:
            if self._unheard:
                return
            try:
                write_lines(self._stream, [line], color=False)
            except (OSError, ValueError):
                # The reader has gone, or the disk of the log is full: no reason to leave hosts half-way.
                self._unheard = True


def done_text(report: HostReport) -> str:
    """Return what became of a host in one line."""
    reason = "" if report.reason is None else f": {report.reason.message}"
    return f"{report.name}: {report.outcome}{reason}"
