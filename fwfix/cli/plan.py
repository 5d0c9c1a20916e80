"""`fwfix plan`: the dry run."""

from __future__ import annotations

from dataclasses import replace
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
from fwfix.errors import UsageError

if TYPE_CHECKING:
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import HostPlan


app = typer.Typer(
    name="plan",
    help="Show what would change on each host, read-only; show or approve a saved plan.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
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
    if context.invoked_subcommand is not None:
        return
    from fwfix.cli.making import Wishes, make
    from fwfix.cli.reporting import begin, leave, output_of
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running
    from fwfix.output.observe import make_observer
    from fwfix.runner.log import NoLog

    if offline and output is not None:
        raise UsageError(
            "a plan made with --offline cannot be saved: nobody looked at the hosts", next="Leave out -o."
        )
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
        offline=offline,
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
    if offline:
        printed.say("Made offline: no host was looked at, so hazards and the firewalls' state are not known.")
    if output is not None and not interrupted:
        from fwfix.loading.plan_file import save_plan

        begun = replace(begun, plan_digest=save_plan(made.plan, output))
        printed.say(f"Saved as {output} ({begun.plan_digest}). Apply it with: fwfix apply {output}")
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


@app.command("show")
def show(
    context: typer.Context,
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="A saved plan.")],
    *,
    show_scripts: Annotated[
        bool, typer.Option("--show-scripts", help="Print every script as it will be run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read a saved plan; it is readable when it is stale or has expired."""
    from fwfix.cli.reporting import begin, leave, output_of
    from fwfix.loading.plan_file import load_plan

    saved = load_plan(plan_file)
    begun = begin("plan", run_id=saved.plan.run_id, ticket=saved.plan.ticket, plan_digest=saved.digest)
    output_of(context, as_json=as_json).plan(saved.plan, show_scripts=show_scripts)
    reports = [report_of(each) for each in saved.plan.hosts]
    leave(context, begun, reports, as_json=as_json, shown_run_id=saved.plan.run_id)
