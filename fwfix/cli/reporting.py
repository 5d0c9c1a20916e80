"""Begin and end a run in the journal, print its report, and leave with its exit code."""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import typer

from fwfix import __version__
from fwfix.cli.options import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwfix.journal import Journal, RunEntry
    from fwfix.model.host import Host
    from fwfix.model.outcome import HostReport
    from fwfix.output.printing import Output

EXIT_UNEXPECTED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that has begun."""

    command: str
    run_id: str
    started_at: datetime
    operator: str
    controller: str
    ticket: str = ""
    plan_digest: str = ""


def begin(command: str, *, run_id: str | None = None, ticket: str = "", plan_digest: str = "") -> Begun:
    """Name a run; nothing is written yet."""
    from fwfix.model.runid import make_run_id
    from fwfix.whoami import controller, operator

    now = datetime.now(UTC)
    return Begun(
        command=command,
        run_id=run_id or make_run_id(now, secrets.randbits(16)),
        started_at=now,
        operator=operator(),
        controller=controller(),
        ticket=ticket,
        plan_digest=plan_digest,
    )


def mention_unfinished(context: typer.Context) -> None:
    """Say what nobody finished, for commands that do not need the journal; never makes one."""
    from fwfix.errors import JournalError
    from fwfix.journal.database import FILE_NAME
    from fwfix.state_dir import state_dir

    # What only looks at hosts goes on without a journal that can be read.
    with suppress(JournalError, OSError):
        if (state_dir(program(context).state_dir) / FILE_NAME).exists():
            with journal_of(context):
                pass


@contextmanager
def open_journal(context: typer.Context) -> Iterator[Journal]:
    """Open the journal, for a command that itself sees to the runs that nobody finished."""
    from fwfix.journal import Journal
    from fwfix.state_dir import state_dir

    with Journal.open(state_dir(program(context).state_dir)) as journal:
        yield journal


@contextmanager
def journal_of(context: typer.Context) -> Iterator[Journal]:
    """Open the journal; say on stderr which runs nobody finished."""
    with open_journal(context) as journal:
        say_unfinished(journal.unfinished())
        yield journal


def say_unfinished(runs: Iterable[RunEntry]) -> None:
    """Say on stderr which runs nobody finished."""
    for run in runs:
        typer.echo(
            f"fwfix: run {run.run_id} ({run.command}) is unfinished: its controller is gone. "
            "fwfix runs recover brings its hosts to a known state.",
            err=True,
        )


def write_start(
    journal: Journal,
    begun: Begun,
    hosts: Sequence[Host],
    *,
    others: Sequence[Host] = (),
    target: str | None = None,
    plan_json: str | None = None,
    reason: str = "",
) -> None:
    """Make the beginning of a run durable."""
    from fwfix.journal import RunStart

    journal.start_run(
        RunStart(
            run_id=begun.run_id,
            command=begun.command,
            started_at=begun.started_at,
            operator=begun.operator,
            controller=begun.controller,
            fwfix_version=__version__,
            ticket=begun.ticket,
            reason=reason,
            plan_digest=begun.plan_digest,
            plan_json=plan_json,
            target=target,
            hosts=tuple(hosts),
            others=tuple(others),
        )
    )


def output_of(context: typer.Context, *, as_json: bool) -> Output:
    """Return where results are printed."""
    from fwfix.output.printing import Output

    return Output(color=program(context).color, as_json=as_json)


def leave(
    context: typer.Context,
    begun: Begun,
    reports: Sequence[HostReport],
    *,
    as_json: bool,
    journal: Journal | None = None,
    shown_run_id: str | None = None,
    interrupted: bool = False,
    unexpected: bool = False,
    detailed: bool = False,
) -> NoReturn:
    """Print the report, end the run in the journal, and leave with its exit code."""
    from fwfix.model.outcome import RunReport
    from fwfix.report import exit_code, is_amiss

    code = exit_code(
        [report.outcome for report in reports],
        detailed=detailed,
        interrupted=interrupted,
        unexpected=unexpected,
        amiss=any(map(is_amiss, reports)),
    )
    finished = datetime.now(UTC)
    if journal is not None:
        code = _finish(journal, begun.run_id, code, finished)
    report = RunReport(
        command=begun.command,
        run_id=shown_run_id,
        started_at=begun.started_at,
        finished_at=finished,
        operator=begun.operator,
        controller=begun.controller,
        fwfix_version=__version__,
        ticket=begun.ticket,
        plan_digest=begun.plan_digest,
        exit_code=code,
        hosts=tuple(reports),
    )
    output_of(context, as_json=as_json).report(report)
    raise typer.Exit(code)


def _finish(journal: Journal, run_id: str, code: int, at: datetime) -> int:
    """Write the end of a run; what became of its hosts is said also where that fails."""
    from fwfix.errors import JournalError

    try:
        journal.finish_run(run_id, exit_code=code, finished_at=at)
    except JournalError as error:
        typer.echo(f"fwfix: {error.message}\n  {error.next}", err=True)
        return EXIT_UNEXPECTED
    return code
