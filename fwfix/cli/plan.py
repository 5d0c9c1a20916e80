"""`fwfix plan`: the dry run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import (
    Accept,
    ConfirmWithin,
    ConnectTimeout,
    Forks,
    InventoryPaths,
    Json,
    Limit,
    MaxFail,
    MaxUnreachable,
    ReasonText,
    Templates,
    Ticket,
    Waves,
    program,
)

if TYPE_CHECKING:
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import HostPlan


def plan(
    context: typer.Context,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Save the plan.", show_default=False),
    ] = None,
    accept: Accept = None,
    confirm_within: ConfirmWithin = None,
    waves: Waves = None,
    max_fail: MaxFail = "0",
    max_unreachable: MaxUnreachable = "10%",
    expires: Annotated[
        str, typer.Option("--expires", metavar="DURATION", help="How long a saved plan may be applied.")
    ] = "14d",
    ticket: Ticket = "",
    reason: ReasonText = "",
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    templates: Templates = None,
    *,
    show_scripts: Annotated[
        bool, typer.Option("--show-scripts", help="Print every script as it will be run.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Render without contacting any host.")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 6 where changes are pending.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what would change on each host, read-only: diff, hazards, and who would be cut off."""
    from fwfix.cli.making import Wishes, make
    from fwfix.cli.reporting import begin, leave, output_of
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running
    from fwfix.output.observe import make_observer
    from fwfix.runner.log import NoLog

    wishes = Wishes(
        accept=accept or (),
        waves=waves,
        confirm_within=duration(confirm_within, "--confirm-within") if confirm_within else None,
        max_fail=max_fail,
        max_unreachable=max_unreachable,
        expires=duration(expires, "--expires"),
        reason=reason,
        forks=forks,
        saved=output is not None,
    )
    timeout = duration(connect_timeout, "--connect-timeout")
    loaded = load(inventory, limit)
    protections = protections_of(loaded)
    renderer = make_renderer(templates, loaded.inventory)
    begun = begin("plan", ticket=ticket)
    with (
        make_observer(program(context), "plan") as observer,
        running(
            run_id=begun.run_id,
            hosts=loaded.inventory.hosts,
            vantages=(),
            store=loaded.store,
            renderer=renderer,
            log=NoLog(),
            observer=observer,
            connect_timeout=timeout,
        ) as (surroundings, _),
    ):
        observer.run_started(hosts=len(loaded.hosts))
        made = make(loaded, protections, surroundings, begun=begun, wishes=wishes)
        interrupted = surroundings.brake.stopped is not None
    printed = output_of(context, as_json=as_json)
    printed.plan(made.plan, show_scripts=show_scripts)
    reports = [report_of(each) for each in made.plan.hosts]
    leave(
        context,
        begun,
        reports,
        as_json=as_json,
        shown_run_id=made.plan.run_id,
        interrupted=interrupted,
        detailed=detailed_exitcode,
    )


def report_of(host: HostPlan) -> HostReport:
    """Return a planned host as `plan --json` shows it."""
    from fwfix.model.outcome import Outcome
    from fwfix.runner.fleet import untouched_report

    return untouched_report(host, Outcome(host.outcome), host.reason)
