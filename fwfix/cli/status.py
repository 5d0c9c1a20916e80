"""`fwfix status`: what fwfix has on each host, from the hosts' own records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from fwfix.cli.options import ConnectTimeout, Forks, InventoryPaths, Json, Limit, program

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_NOT_ALL = 3


def status(
    context: typer.Context,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    *,
    as_json: Json = False,
) -> None:
    """Show what fwfix has on each host: run, when, by whom, state, pending timers."""
    from fwfix.cli.reporting import mention_unfinished
    from fwfix.cli.session import duration, load, make_renderer, running
    from fwfix.output.observe import make_observer
    from fwfix.report import status_document
    from fwfix.runner.fleet import observe_hosts
    from fwfix.runner.log import NoLog
    from fwfix.runner.status import status_of

    mention_unfinished(context)
    loaded = load(inventory, limit)
    with (
        make_observer(program(context), "status") as observer,
        running(
            run_id="",
            hosts=loaded.inventory.hosts,
            vantages=(),
            store=loaded.store,
            renderer=make_renderer(None, loaded.inventory),
            log=NoLog(),
            observer=observer,
            connect_timeout=duration(connect_timeout, "--connect-timeout"),
        ) as (run, _),
    ):
        seen = observe_hosts(loaded.hosts, run, services={}, forks=forks, keep=False)
        entries = [status_of(host, seen[host.name], run) for host in loaded.hosts]
    if as_json:
        typer.echo(json.dumps(status_document(entries), indent=2))
    else:
        _print(entries)
    if any(entry.get("error") for entry in entries):
        raise typer.Exit(EXIT_NOT_ALL)


def _print(entries: list[Mapping[str, object]]) -> None:
    rows: list[tuple[str, ...]] = [
        ("HOST", "STATE", "RUN", "SINCE", "BY", "RESTORES ITSELF AT", "SUPERSEDED")
    ]
    for entry in entries:
        error = entry.get("error")
        if isinstance(error, dict):
            rows.append((str(entry["name"]), "not reached", str(error["message"]), "", "", "", ""))
            continue
        superseded = entry["superseded"]
        rows.append(
            (
                str(entry["name"]),
                str(entry["state"] or "nothing"),
                *(str(entry[key] or "-") for key in ("run_id", "since", "operator", "reverts_at")),
                ", ".join(superseded) if isinstance(superseded, list) and superseded else "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
