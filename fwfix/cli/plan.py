"""`fwfix plan`: the dry run."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.approve import approve
from fwfix.cli.approving import AllowedSigners, RequireApprovals
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
    from collections.abc import Mapping

    from fwfix.cli.approving import Asked, SignedPlan
    from fwfix.cli.making import Wishes
    from fwfix.cli.session import Loaded
    from fwfix.errors import FwfixError
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import HostPlan, Plan
    from fwfix.model.policy import Protection


class Format(StrEnum):
    """How a saved plan is shown."""

    TEXT = "text"
    MD = "md"


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
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="KEY",
            help="Sign the saved plan with this key, as its author.",
            show_default=False,
        ),
    ] = None,
    require_approvals: RequireApprovals = None,
    allowed_signers: AllowedSigners = None,
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
    from fwfix.cli.approving import Asked
    from fwfix.cli.making import Wishes, make
    from fwfix.cli.reporting import begin, leave, mention_unfinished, output_of
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running
    from fwfix.loading.calendar import Calendar
    from fwfix.loading.plan_file import check_plan_place
    from fwfix.output.observe import make_observer
    from fwfix.runner.log import NoLog

    if offline and output is not None:
        raise UsageError(
            "a plan made with --offline cannot be saved: nobody looked at the hosts", next="Leave out -o."
        )
    if sign is not None and output is None:
        raise UsageError("--sign signs a saved plan", next="Save it with -o FILE.")
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
    mention_unfinished(context)
    loaded = load(inventory, limit)
    Calendar(loaded.inventory).read_files()
    protections = protections_of(loaded)
    if output is not None:
        check_plan_place(output)
        asked = Asked(required=require_approvals, allowed_signers=allowed_signers)
        wishes = _checked(wishes, loaded, protections, asked=asked, sign=sign)
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
        begun = replace(begun, plan_digest=_save(made.plan, output, sign))
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


def _checked(
    wishes: Wishes,
    loaded: Loaded,
    protections: Mapping[str, tuple[Protection, ...]],
    *,
    asked: Asked,
    sign: Path | None,
) -> Wishes:
    """Find out before any host is contacted that the plan could never be applied, or not be signed."""
    from fwfix.cli.approving import demanded
    from fwfix.loading.site import load_site
    from fwfix.signing import fingerprint_of

    site = load_site()
    rules = asked.added_to([loaded.inventory.approvals])
    demanded(site, rules)
    site.refuse_ports(protections.items())
    key = "" if sign is None else fingerprint_of(sign.expanduser())
    return replace(wishes, approvals=rules, author_key=key)


def _save(plan: Plan, output: Path, sign: Path | None) -> str:
    """Save a plan, signed where asked for; signatures of what stood there before go."""
    from fwfix.approvals import signature_files
    from fwfix.cli.approve import write_signature
    from fwfix.loading.plan_file import dump_plan, save_plan
    from fwfix.signing import PLAN_NAMESPACE
    from fwfix.signing import sign as sign_bytes

    signed = None if sign is None else sign_bytes(dump_plan(plan), sign, namespace=PLAN_NAMESPACE)
    digest = save_plan(plan, output)
    for old in signature_files(output):
        old.unlink(missing_ok=True)
    if signed is not None:
        write_signature(output, signed)
    return digest


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
    how: Annotated[
        Format,
        typer.Option("--format", metavar="text|md", help="md: impact, test and backout for a change board."),
    ] = Format.TEXT,
    as_json: Json = False,
) -> None:
    """Read a saved plan; it is readable when it is stale or has expired."""
    from fwfix.cli.approving import read_signed
    from fwfix.cli.reporting import begin, leave, output_of
    from fwfix.output.board import board_lines

    saved = read_signed(plan_file, foreign=True)
    plan, signed = saved.plan, _signed_by(saved)
    if how is Format.MD and not as_json:
        typer.echo("\n".join(board_lines(plan, digest=saved.file.digest, approvals=signed)))
        return
    begun = begin("plan", run_id=plan.run_id, ticket=plan.ticket, plan_digest=saved.file.digest)
    output = output_of(context, as_json=as_json)
    output.plan(plan, show_scripts=show_scripts)
    output.say(f"Plan file: {saved.file.digest}")
    for line in signed:
        output.say(f"Signed by {line}")
    reports = [report_of(each) for each in plan.hosts]
    leave(context, begun, reports, as_json=as_json, shown_run_id=plan.run_id)


def _signed_by(saved: SignedPlan) -> tuple[str, ...]:
    """Say of every signature beside a plan whose it is, and whether it counts."""
    from fwfix.approvals import examine, refuse_foreign
    from fwfix.cli.approving import demanded
    from fwfix.errors import FwfixError
    from fwfix.loading.site import load_site

    said: dict[str, str] = {}
    for each in saved.signatures:
        try:
            refuse_foreign(saved.content, [each])
        except FwfixError as error:
            said[each.name] = _nobody(error)
    # Together: the second signature of one person does not count.
    ours = [each for each in saved.signatures if each.name not in said]
    try:
        examined = examine(saved.content, ours, saved.plan, demanded(load_site(), saved.plan.approvals))
    except FwfixError as error:
        said.update((each.name, _nobody(error)) for each in ours)
    else:
        for found in examined:
            problem = f", which does not count: {found.problem}" if found.problem else ""
            said[found.signature.name] = f"{found.who}{problem}"
    return tuple(said[each.name] for each in saved.signatures)


def _nobody(error: FwfixError) -> str:
    return f"nobody who counts: {error.message}"


app.command("approve")(approve)
