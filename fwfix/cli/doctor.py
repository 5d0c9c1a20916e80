"""`fwfix doctor`: what works, what would stop an apply, what to type to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import ConnectTimeout, Forks, InventoryPaths, Json, Limit, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwfix.model.host import Host
    from fwfix.output.text import Line
    from fwfix.runner.doctor import Check

EXIT_TROUBLE = 3


def doctor(
    context: typer.Context,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="HOST...", help="Hosts of the inventory, or patterns.")
    ] = None,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    *,
    as_json: Json = False,
) -> None:
    """Look at hosts step by step, read-only: what works, what would stop an apply, what to type."""
    from fwfix.cli.reporting import begin, output_of
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running
    from fwfix.errors import UsageError
    from fwfix.output.observe import make_observer
    from fwfix.runner.doctor import examine
    from fwfix.runner.fleet import each_host
    from fwfix.runner.log import NoLog
    from fwfix.runner.prepare import vantage_addresses

    if not hosts and limit is None:
        raise UsageError(
            "doctor needs to know which hosts to look at", next="Name them: fwfix doctor HOST..."
        )
    timeout = duration(connect_timeout, "--connect-timeout")
    loaded = load(inventory, ",".join([*(hosts or ()), *([limit] if limit else ())]))
    protections = protections_of(loaded)
    vantages = vantage_addresses(loaded.hosts, loaded.vantage_hosts)
    with (
        make_observer(program(context), "doctor") as observer,
        running(
            run_id=begin("doctor").run_id,
            hosts=loaded.inventory.hosts,
            vantages=(),
            store=loaded.store,
            renderer=make_renderer(None, loaded.inventory),
            log=NoLog(),
            observer=observer,
            connect_timeout=timeout,
        ) as (surroundings, _),
    ):

        def work(host: Host) -> tuple[Check, ...]:
            return examine(host, surroundings, protections=protections[host.name], vantages=vantages)

        found = {host.name: checks for host, checks in each_host(loaded.hosts, work, forks=forks)}
    output = output_of(context, as_json=as_json)
    output.document(
        {"schema": "fwfix.doctor/1", "hosts": [_document(host, found[host.name]) for host in loaded.hosts]}
    )
    if not as_json:
        output.lines(line for host in loaded.hosts for line in _lines(host, found[host.name]))
    if not all(check.ok for checks in found.values() for check in checks):
        raise typer.Exit(EXIT_TROUBLE)


def _document(host: Host, checks: tuple[Check, ...]) -> Mapping[str, object]:
    return {
        "name": host.name,
        "address": host.address,
        "platform": str(host.platform),
        "ok": all(check.ok for check in checks),
        "checks": [
            {"check": each.check, "ok": each.ok, "message": each.message, "next": each.next}
            for each in checks
        ],
    }


def _lines(host: Host, checks: tuple[Check, ...]) -> Iterator[Line]:
    from fwfix.output.text import Line, Style

    good = all(check.ok for check in checks)
    verdict = "nothing stops an apply" if good else "an apply would stop here"
    yield Line(f"{host.name} ({host.address}): {verdict}", Style.GOOD if good else Style.BAD)
    for check in checks:
        yield Line(f"  {'ok  ' if check.ok else 'STOP'} {check.check}: {check.message}")
        if check.next:
            yield Line(f"       {check.next}")
