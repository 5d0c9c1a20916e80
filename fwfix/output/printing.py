"""Where results go: prose on stdout, or with `--json` one document there and the prose on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import tzinfo
from itertools import chain, islice
from typing import TextIO

from fwfix.model.outcome import RunReport
from fwfix.model.plan import Plan
from fwfix.output.plan import plan_lines
from fwfix.output.summary import summary_lines
from fwfix.output.text import Line, write_lines
from fwfix.report import run_document

_PIECES_AT_ONCE = 10_000


class Output:
    """Prints the result of one command.

    Args:
        color: allowed by the operator; used where the stream is a terminal.
        as_json: `--json` was given.
        zone: for local time; None is this machine's own.
    """

    def __init__(
        self,
        *,
        color: bool = True,
        as_json: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self._stdout = stdout or sys.stdout
        self._color = color
        self._as_json = as_json
        self._prose = (stderr or sys.stderr) if as_json else self._stdout
        self._zone = zone

    def lines(self, lines: Iterable[Line]) -> None:
        """Print prose; where it only goes along with a document, it is no reason to lose that."""
        with suppress(OSError) if self._as_json else nullcontext():
            write_lines(self._prose, lines, color=self._color and self._prose.isatty())

    def say(self, text: str) -> None:
        """Print one line of prose."""
        self.lines([Line(text)])

    def document(self, document: Mapping[str, object]) -> None:
        """Print the one JSON document; nothing without `--json`."""
        if self._as_json:
            # ASCII, so that it is the same document whatever the terminal's encoding.
            pieces = chain(json.JSONEncoder(indent=2).iterencode(document), "\n")
            # A run of a whole fleet is hundreds of megabytes: never in memory as text.
            while text := "".join(islice(pieces, _PIECES_AT_ONCE)):
                self._stdout.write(text)
            self._stdout.flush()

    def plan(self, plan: Plan, *, show_scripts: bool = False) -> None:
        """Print a plan as a diff."""
        self.lines(plan_lines(plan, show_scripts=show_scripts, zone=self._zone))

    def report(self, report: RunReport) -> None:
        """Print the end of a run: the summary, and with `--json` its document."""
        self.lines(summary_lines(report, zone=self._zone))
        self.document(run_document(report))
