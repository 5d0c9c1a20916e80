"""`fwfix apply`: arm, apply, verify, confirm, or revert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    Yes,
)

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
        str,
        typer.Option(
            "--break-glass",
            metavar="REASON",
            help="Start outside windows and in blackouts; recorded.",
            show_default=False,
        ),
    ] = "",
    ticket: Ticket = "",
    reason: ReasonText = "",
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    templates: Templates = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for windows to open.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Start hosts that have no window at all.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Apply a saved plan, or plan and apply at once."""
    from fwfix.cli.applying import Applying, from_inventory, from_plan
    from fwfix.cli.consent import require_consent
    from fwfix.cli.making import Wishes
    from fwfix.cli.session import duration
    from fwfix.runner.gate import GateOptions

    require_consent(yes=yes, command="apply")
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
        gate=GateOptions(window=window, wait=wait, now=now, break_glass=break_glass),
    )
    if plan_file is None:
        from_inventory(applying, inventory, limit, templates=templates, wishes=wishes)
    _refuse_widening(context)
    from_plan(applying, plan_file, limit, waves=waves)


def _refuse_widening(context: typer.Context) -> None:
    """A saved plan is applied as it is: options that it already answers are refused, not ignored."""
    from fwfix.errors import UsageError

    for name, option in _ANSWERED.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"{option} does not go with a saved plan", next="Plan again with it, or leave it out."
            )
