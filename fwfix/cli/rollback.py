"""`fwfix rollback`: undo one run, on all or some of its hosts, and verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import (
    ConnectTimeout,
    Forks,
    InventoryPaths,
    Json,
    Limit,
    ReasonText,
    Ticket,
    Yes,
    program,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fwfix.journal import Journal
    from fwfix.model.outcome import HostReport
    from fwfix.runner.rollback import Undo
    from fwfix.runner.undo import Chosen

_EXIT_USAGE = 2


def rollback(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="The run to undo; default: the newest that is still in force somewhere."
        ),
    ] = None,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    ticket: Ticket = "",
    reason: ReasonText = "",
    *,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Undo one run and verify that the ports are as they were before it. Needs no window."""
    from fwfix.cli.consent import ask, require_consent
    from fwfix.cli.reporting import begin, journal_of, leave, write_start
    from fwfix.cli.session import duration, make_renderer, running
    from fwfix.errors import UsageError
    from fwfix.model.outcome import NO_RECORD
    from fwfix.model.wording import plural
    from fwfix.output.observe import make_observer
    from fwfix.runner.fleet import each_host
    from fwfix.runner.log import JournalLog
    from fwfix.runner.rollback import roll_back
    from fwfix.secret_store import SecretStore

    require_consent(yes=yes, command="rollback")
    timeout = duration(connect_timeout, "--connect-timeout")
    with journal_of(context) as journal:
        chosen = _choose(journal, run, inventory, limit)
        if chosen is None:
            typer.echo(
                "fwfix: no run in this journal is in force anywhere: there is nothing to undo\n"
                "  fwfix status -i INVENTORY shows what another controller may have left on hosts.",
                err=True,
            )
            leave(context, begin("rollback", ticket=ticket), [], as_json=as_json)
        ask(f"Undo run {chosen.run_id} on {plural(len(chosen.undos), 'host')}?", yes=yes)
        begun, known = begin("rollback", ticket=ticket), journal.knows(chosen.run_id)
        hosts = tuple(undo.host for undo in chosen.undos)
        names = {host.name for host in hosts}
        others = tuple(host for host in chosen.others if host.name not in names)
        write_start(journal, begun, hosts, others=others, target=chosen.run_id, reason=reason)
        with (
            make_observer(program(context), "rollback") as observer,
            running(
                run_id=chosen.run_id,
                hosts=chosen.reachable,
                vantages=(),
                store=SecretStore(),
                renderer=make_renderer(None),
                log=JournalLog(journal, begun.run_id),
                observer=observer,
                connect_timeout=timeout,
                ticket=ticket,
            ) as (surroundings, _),
        ):
            observer.run_started(hosts=len(hosts), run_id=chosen.run_id)

            def work(undo: Undo) -> HostReport:
                return roll_back(undo, surroundings)

            reports = {undo.host.name: report for undo, report in each_host(chosen.undos, work, forks=forks)}
            stopped = surroundings.brake.stopped
            interrupted = stopped is not None and stopped.code == "interrupted"
        found = [reports[host.name] for host in hosts]
        if not known and all(each.reason is not None and each.reason.code == NO_RECORD for each in found):
            journal.finish_run(begun.run_id, exit_code=_EXIT_USAGE)
            raise UsageError(
                f"neither the journal nor a host that was asked knows run {chosen.run_id}",
                next="fwfix status -i INVENTORY shows the runs that the hosts have.",
            )
        leave(
            context,
            begun,
            found,
            as_json=as_json,
            journal=journal,
            shown_run_id=chosen.run_id,
            interrupted=interrupted,
            unexpected=stopped is not None and not interrupted,
        )


def _choose(
    journal: Journal, run: str | None, paths: Sequence[Path] | None, limit: str | None
) -> Chosen | None:
    """Find the run and its hosts: in the journal, else by the inventory from the hosts' own records.

    None where no run was named and none is in force.
    """
    from fwfix.cli.session import load, protections_of
    from fwfix.errors import UsageError
    from fwfix.model.runid import is_run_id
    from fwfix.runner.undo import from_inventory, from_journal, newest_in_force

    if run is not None and not is_run_id(run):
        raise UsageError(
            f"{run!r} is not a run id such as 20261121T220003Z-4f2a", next="See fwfix runs list."
        )
    known = {each.run_id for each in journal.runs()}
    wanted = run or newest_in_force(journal, limit)
    if wanted is None:
        return None
    entry = journal.run(wanted) if wanted in known else None
    # A run that this journal only knows as refused may still stand on hosts, from another controller.
    if entry is not None and (not paths or entry.changed):
        inventory = load(paths, None).inventory if paths else None
        return from_journal(entry, limit, inventory)
    if not paths:
        journal.header(wanted, command="apply")  # says which runs it may have meant
        raise AssertionError
    loaded = load(paths, limit)
    return from_inventory(
        loaded.hosts, wanted, inventory=loaded.inventory, protections=protections_of(loaded)
    )
