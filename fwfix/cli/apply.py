"""`fwfix apply`: arm, apply, verify, confirm, or revert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

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
    Yes,
    recorded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwfix.cli.carrying import Applying

_ANSWERED = {
    "inventory": "-i",
    "accept": "--accept",
    "confirm_within": "--confirm-within",
    "max_fail": "--max-fail",
    "max_unreachable": "--max-unreachable",
    "reason": "--reason",
    "templates": "--templates",
}


def apply(
    context: typer.Context,
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A saved plan; without one, plan now (-i).")
    ] = None,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    accept: Accept = None,
    confirm_within: ConfirmWithin = None,
    waves: Waves = None,
    max_fail: MaxFail = "0",
    max_unreachable: MaxUnreachable = "10%",
    stop_after: Annotated[
        int | None,
        typer.Option("--stop-after", metavar="WAVE", min=1, help="Stop after this wave.", show_default=False),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="SPEC",
            help="A window by name, an interval or a recurrence; narrows the hosts' own.",
            show_default=False,
        ),
    ] = None,
    break_glass: Annotated[
        str | None,
        typer.Option(
            "--break-glass",
            callback=recorded,
            metavar="REASON",
            help="Start outside windows and in blackouts; recorded.",
            show_default=False,
        ),
    ] = None,
    continue_run: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="RUN",
            help="Go on under the same run id with the hosts that RUN skipped or could not reach.",
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
    wait: Annotated[bool, typer.Option("--wait", help="Wait for windows to open.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Start hosts that have no window at all.")] = False,
    rollback_on_stop: Annotated[
        bool,
        typer.Option(
            "--rollback-on-stop",
            help="Where --max-fail or --max-unreachable stops the run, undo what it had applied.",
        ),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Apply a saved plan, or plan and apply at once."""
    from fwfix.cli.applying import from_inventory, from_plan
    from fwfix.cli.approving import Asked
    from fwfix.cli.carrying import Applying
    from fwfix.cli.consent import require_consent
    from fwfix.cli.making import Wishes
    from fwfix.cli.session import duration
    from fwfix.errors import UsageError
    from fwfix.runner.gate import GateOptions

    require_consent(yes=yes, command="apply")
    if break_glass is not None and not break_glass.strip():
        raise UsageError("--break-glass needs a reason: it is what the record will say")
    if window is not None and not window.strip():
        raise UsageError("--window is empty", next="Name a window, or leave the option out.")
    wishes = Wishes(
        accept=accept or (),
        waves=waves,
        confirm_within=duration(confirm_within, "--confirm-within") if confirm_within else None,
        max_fail=max_fail,
        max_unreachable=max_unreachable,
        reason=reason,
        forks=forks,
        saved=True,
        keep_connections=True,
    )
    applying = Applying(
        context=context,
        forks=forks,
        connect_timeout=duration(connect_timeout, "--connect-timeout"),
        stop_after=stop_after,
        ticket=ticket,
        yes=yes,
        as_json=as_json,
        gate=GateOptions(window=window, wait=wait, now=now, break_glass=break_glass or ""),
        rollback_on_stop=rollback_on_stop,
        asked=Asked(required=require_approvals, allowed_signers=allowed_signers),
    )
    if continue_run is not None:
        _go_on(context, applying, run_id=continue_run, plan_file=plan_file, limit=limit, waves=waves)
    if plan_file is None:
        from_inventory(applying, inventory, limit, templates=templates, wishes=wishes)
    _refuse_widening(context, _ANSWERED)
    from_plan(applying, plan_file, limit, waves=waves)


def _go_on(
    context: typer.Context,
    applying: Applying,
    *,
    run_id: str,
    plan_file: Path | None,
    limit: str | None,
    waves: str | None,
) -> NoReturn:
    from fwfix.cli.continuing import Continuing, continue_run

    # Where the run made its plan itself, its hosts may be reached another way now, and more of them may fail.
    new = () if plan_file is not None else ("inventory", "max_fail", "max_unreachable")
    _refuse_widening(context, {name: text for name, text in _ANSWERED.items() if name not in new})
    given = {name: context.params[name] for name in new if _is_given(context, name)}
    continue_run(
        applying,
        Continuing(
            run_id=run_id,
            plan_file=plan_file,
            inventory=given.get("inventory"),
            limit=limit,
            waves=waves,
            max_fail=given.get("max_fail"),
            max_unreachable=given.get("max_unreachable"),
        ),
    )


def _refuse_widening(context: typer.Context, answered: Mapping[str, str]) -> None:
    """A plan is applied as it is: options that it already answers are refused, not ignored."""
    from fwfix.errors import UsageError

    for name, option in answered.items():
        if _is_given(context, name):
            raise UsageError(
                f"{option} does not go with a plan that there is already",
                next="Plan again with it, or leave it out.",
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
