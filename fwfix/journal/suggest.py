"""Name the runs that somebody may have meant, and those that there are already."""

import difflib
from collections.abc import Sequence

from fwfix.errors import JournalError, UsageError

_MOST = 3


def nearest_runs(wanted: str, known: Sequence[str]) -> list[str]:
    """Return up to three known runs: those that begin or end as wanted, then those spelt nearly so."""
    same_ends = [run for run in known if wanted and (run.startswith(wanted) or run.endswith(wanted))]
    spelt = difflib.get_close_matches(wanted, known, n=_MOST, cutoff=0.6)
    return list(dict.fromkeys([*same_ends, *spelt]))[:_MOST]


def unknown_run(wanted: str, known: Sequence[str], *, command: str | None = None) -> UsageError:
    """Say that a run is not in the journal, and which ones are.

    Args:
        wanted: what was asked for.
        known: the ids of the runs that may be meant, newest first.
        command: the only kind of runs that may be.
    """
    if not known:
        lacks = f"has no {command}" if command else "is empty"
        return UsageError(
            f"There is no run {wanted!r}: the journal {lacks}.", next="Is --state-dir the right one?"
        )
    near = nearest_runs(wanted, known)
    if near:
        return UsageError(
            f"There is no run {wanted!r} in the journal.", next=f"Did you mean {' or '.join(near)}?"
        )
    return UsageError(
        f"There is no run {wanted!r} in the journal.",
        next=f"The newest is {known[0]}; `fwfix runs list` shows all.",
    )


def taken_run(run_id: str) -> JournalError:
    """Say that a run is in the journal already."""
    return JournalError(
        f"The journal has run {run_id} already.", next="A plan is applied once: make a new one."
    )
