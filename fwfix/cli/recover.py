"""`fwfix runs recover`: finish what a killed controller left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import ConnectTimeout, Forks, InventoryPaths, Json, Limit, program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from fwfix.journal import HostEntry, Journal, RunEntry
    from fwfix.model.host import Host
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import Reason


def recover(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run; default: every unfinished one.")
    ] = None,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    *,
    as_json: Json = False,
) -> None:
    """Ask each host of an unfinished run what its file says, and bring it to a known state."""
    from fwfix.cli.reporting import begin, leave, open_journal, say_unfinished
    from fwfix.cli.session import duration, load
    from fwfix.model.wording import plural

    timeout = duration(connect_timeout, "--connect-timeout")
    loaded = load(inventory, limit) if inventory else None
    settings = {host.name: host for host in loaded.inventory.hosts.values()} if loaded else {}
    only = {host.name for host in loaded.hosts} if loaded and limit else None
    begun = begin("recover")
    with open_journal(context) as journal:
        wanted = [journal.header(run)] if run else list(reversed(journal.unfinished()))
        taken = {each.run_id for each in wanted}
        say_unfinished(each for each in journal.unfinished() if each.run_id not in taken)
        reports: list[HostReport] = []
        stopped: Reason | None = None
        for each in wanted:
            found, stopped = _recover_run(
                context, journal, each.run_id, settings=settings, only=only, forks=forks, timeout=timeout
            )
            reports.extend(found)
            if stopped is not None:
                break  # whatever it is, no host of another run is started now
        if not wanted:
            typer.echo("fwfix: no run is unfinished: there is nothing to recover", err=True)
        elif len(wanted) > 1:
            typer.echo(f"fwfix: {plural(len(wanted), 'run')} recovered", err=True)
    shown = wanted[0].run_id if len(wanted) == 1 else None
    interrupted = stopped is not None and stopped.code == "interrupted"
    leave(
        context,
        begun,
        reports,
        as_json=as_json,
        shown_run_id=shown,
        interrupted=interrupted,
        unexpected=stopped is not None and not interrupted,
    )


def _recover_run(
    context: typer.Context,
    journal: Journal,
    run_id: str,
    *,
    settings: Mapping[str, Host],
    only: set[str] | None,
    forks: int,
    timeout: timedelta,
) -> tuple[list[HostReport], Reason | None]:
    from fwfix.cli.session import make_renderer, running
    from fwfix.errors import JournalError
    from fwfix.output.observe import make_observer
    from fwfix.report import exit_code, is_amiss
    from fwfix.runner.context import reason_of
    from fwfix.runner.fleet import each_host
    from fwfix.runner.log import JournalLog
    from fwfix.runner.recover import recover_host
    from fwfix.runner.undo import plans_of
    from fwfix.secret_store import SecretStore
    from fwfix.whoami import controller, operator

    run = _with_settings(journal.run(run_id), settings)
    journal.resume_run(run_id, command="recover", operator=operator(), controller=controller())
    entries = [entry for entry in run.hosts if only is None or entry.name in only]
    everybody = {host.name: host for host in (*run.others, *(entry.host for entry in run.hosts))}
    plans = plans_of(run)
    with (
        make_observer(program(context), "recover") as observer,
        running(
            run_id=run.target or run_id,
            hosts=everybody,
            vantages=(),
            store=SecretStore(),
            renderer=make_renderer(None),
            log=JournalLog(journal, run_id),
            observer=observer,
            connect_timeout=timeout,
        ) as (surroundings, lookout),
    ):
        observer.run_started(hosts=len(entries), run_id=run_id)

        def work(entry: HostEntry) -> HostReport:
            return recover_host(entry, run, plans=plans, context=surroundings, lookout=lookout)

        found = {entry.name: report for entry, report in each_host(entries, work, forks=forks)}
        stopped = surroundings.brake.stopped
    reports = [found[entry.name] for entry in entries]
    if len(entries) == len(run.hosts) and stopped is None:
        outcomes = [report.outcome for report in reports]
        try:
            journal.finish_run(run_id, exit_code=exit_code(outcomes, amiss=any(map(is_amiss, reports))))
        except JournalError as error:
            stopped = reason_of(error)
    if stopped is not None and stopped.code != "interrupted":
        typer.echo(f"fwfix: {stopped.message}\n  {stopped.next}", err=True)
    return reports, stopped


def _with_settings(run: RunEntry, settings: Mapping[str, Host]) -> RunEntry:
    """Let an inventory's connection settings win over those in the journal."""
    hosts = tuple(replace(entry, host=settings.get(entry.name, entry.host)) for entry in run.hosts)
    others = tuple(settings.get(host.name, host) for host in run.others)
    return replace(run, hosts=hosts, others=others)
