"""The live view on a real terminal: counts, hosts at work, and nothing left behind."""

import os
import pty
import re
import select
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import pytest

from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import Reason
from fwfix.output.live import LiveView
from fwfix.output.observe import make_observer
from fwfix.output.plain import PlainLines
from fwfix.terminal import alone


@dataclass(frozen=True)
class Wishes:
    color: bool = True


class Screen:
    """The far end of a pseudo-terminal: remembers everything that was sent to it."""

    def __init__(self) -> None:
        self._far, near = pty.openpty()
        termios.tcsetwinsize(near, (24, 100))
        self.stream: TextIO = os.fdopen(near, "w", buffering=1)
        self._seen = bytearray()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set() or select.select([self._far], [], [], 0)[0]:
            if select.select([self._far], [], [], 0.02)[0]:
                self._seen += os.read(self._far, 65536)

    @property
    def text(self) -> str:
        return self._seen.decode("utf-8", "replace")

    def wait_for(self, wanted: str) -> None:
        end = time.monotonic() + 10
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} never came: {self.text[-2000:]!r}"
            time.sleep(0.01)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.stream.close()
        os.close(self._far)


@contextmanager
def a_screen() -> Iterator[Screen]:
    screen = Screen()
    try:
        yield screen
    finally:
        screen.close()


def ended(name: str, outcome: Outcome = Outcome.APPLIED, message: str = "") -> HostReport:
    reason = Reason(code="x", message=message) if message else None
    return HostReport(name=name, address="10.0.0.1", platform="linux", outcome=outcome, reason=reason)


@pytest.fixture(autouse=True)
def a_capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_a_terminal_shows_wave_counts_and_hosts_at_work() -> None:
    with a_screen() as screen:
        with make_observer(Wishes(), "apply", stream=screen.stream) as observer:
            assert isinstance(observer, LiveView)
            observer.run_started(hosts=2, run_id="20261121T220003Z-4f2a")
            observer.wave_started(1, of=3, hosts=2)
            observer.host_step("label-gw-01", "arm")
            screen.wait_for("label-gw-01: arm")
            screen.wait_for("apply 20261121T220003Z-4f2a | wave 1/3 (2) | 0/2 done")
            observer.host_done(ended("label-gw-01"))
            screen.wait_for("1/2 done | 1 applied")
            screen.wait_for("label-gw-01: applied")
            observer.host_step("pos-win-07", "observe")
            screen.wait_for("pos-win-07: observe")
            observer.host_rests("pos-win-07")
            observer.note("a limit was exceeded")
        screen.wait_for("a limit was exceeded")
        # The last thing that was done to the cursor is to show it.
        assert re.findall(r"\x1b\[\?25[hl]", screen.text)[-1] == "\x1b[?25h"


def test_nothing_is_drawn_over_a_question_and_what_happened_meanwhile_is_shown_afterwards() -> None:
    with a_screen() as far, make_observer(Wishes(), "apply", stream=far.stream) as observer:
        observer.host_step("gw-1", "observe")
        far.wait_for("gw-1: observe")
        with alone():
            far.stream.write("Apply? ")
            far.stream.flush()
            far.wait_for("Apply? ")
            observer.host_step("gw-1", "arm")
            observer.note("a note")
            end = time.monotonic() + 0.5  # four times redrawn, if it were
            while time.monotonic() < end:
                assert far.text.endswith("Apply? ")
                time.sleep(0.01)
        far.wait_for("a note")
        far.wait_for("gw-1: arm")


def test_a_host_cannot_send_control_sequences_to_the_terminal() -> None:
    with a_screen() as screen:
        with make_observer(Wishes(color=False), "apply", stream=screen.stream) as observer:
            observer.host_done(ended("evil", Outcome.FAILED, "\x1b]0;owned\x07 \u202e [bold]"))
        screen.wait_for("\\x1b]0;owned\\x07 \\u202e [bold]")
        assert "\x1b]0;" not in screen.text


def test_no_colour_means_no_colour() -> None:
    with a_screen() as screen:
        with make_observer(Wishes(color=False), "apply", stream=screen.stream) as observer:
            observer.host_done(ended("a", Outcome.FAILED))
        screen.wait_for("a: failed")
        assert not re.search(r"\x1b\[3[0-9]m", screen.text)


def test_a_dumb_terminal_and_a_pipe_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with a_screen() as screen:
        with make_observer(Wishes(), "apply", stream=screen.stream) as observer:
            assert isinstance(observer, PlainLines)
            observer.note("plain")
        screen.wait_for("plain")
        assert "\x1b" not in screen.text


def test_a_thousand_hosts_cost_no_more_per_event_than_a_few() -> None:
    def seconds_per_event(hosts: int) -> float:
        with a_screen() as screen, make_observer(Wishes(), "apply", stream=screen.stream) as observer:
            observer.run_started(hosts=hosts)
            for number in range(hosts):
                observer.host_step(f"h{number}", "observe")
            began = time.perf_counter()
            for number in range(hosts):
                for step in ("arm", "apply", "verify", "confirm"):
                    observer.host_step(f"h{number}", step)
            return (time.perf_counter() - began) / (4 * hosts)

    # Drawing costs the screen, not the fleet: far below a redraw even on a busy machine.
    assert min(seconds_per_event(5000) for _ in range(3)) < 0.0002


def test_a_terminal_that_goes_away_stops_nobody() -> None:
    screen = Screen()
    observer = LiveView(screen.stream, "apply", color=True)
    screen.close()

    observer.host_step("a", "arm")
    observer.host_done(ended("a"))
    observer.close()
    observer.close()
