"""`fwfix doctor`: what works, what would stop an apply, what to type to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import ConnectTimeout, Forks, InventoryPaths, Json, Limit, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwfix.cli.session import Loaded
    from fwfix.executors.recording import Recorder
    from fwfix.model.host import Host
    from fwfix.output.text import Line
    from fwfix.runner.context import RunContext
    from fwfix.runner.doctor import Check
    from fwfix.secret_store import RememberingStore

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
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Keep what was said to the hosts and by them, secrets removed, as one JSON document.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Look at hosts step by step, read-only: what works, what would stop an apply, what to type."""
    from fwfix.cli.reporting import begin, output_of
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running
    from fwfix.errors import UsageError
    from fwfix.executors.recording import Recorder, check_recording_place
    from fwfix.output.observe import make_observer
    from fwfix.runner.doctor import Status
    from fwfix.runner.log import NoLog
    from fwfix.secret_store import RememberingStore

    if not hosts and limit is None:
        raise UsageError(
            "doctor needs to know which hosts to look at", next="Name them: fwfix doctor HOST..."
        )
    if record is not None:
        check_recording_place(record)
    timeout = duration(connect_timeout, "--connect-timeout")
    loaded = load(inventory, ",".join([*(hosts or ()), *([limit] if limit else ())]))
    protections_of(loaded)
    store, recorder = RememberingStore(), Recorder() if record is not None else None
    with (
        make_observer(program(context), "doctor") as observer,
        running(
            run_id=begin("doctor").run_id,
            hosts=loaded.inventory.hosts,
            vantages=(),
            store=store,
            renderer=make_renderer(None, loaded.inventory),
            log=NoLog(),
            observer=observer,
            connect_timeout=timeout,
        ) as (surroundings, _),
    ):
        found = _examine(loaded, surroundings, recorder, forks=forks)
    output = output_of(context, as_json=as_json)
    entries = [_document(host, found[host.name]) for host in loaded.hosts]
    if record is not None and recorder is not None:
        # Before the document is printed: what goes wrong here prints one of its own.
        _write(record, recorder, loaded.hosts, store, entries)
    output.document({"schema": "fwfix.doctor/1", "hosts": entries})
    if not as_json:
        output.lines(line for host in loaded.hosts for line in _lines(host, found[host.name]))
    if record is not None:
        output.say(f"recorded: {record} (secrets are removed; names, addresses and rules are not)")
    if any(check.status is Status.FAILED for checks in found.values() for check in checks):
        raise typer.Exit(EXIT_TROUBLE)


def _examine(
    loaded: Loaded, surroundings: RunContext, recorder: Recorder | None, *, forks: int
) -> Mapping[str, tuple[Check, ...]]:
    from fwfix.cli.session import protections_of
    from fwfix.runner.doctor import below, examine
    from fwfix.runner.fleet import each_host
    from fwfix.runner.prepare import vantage_addresses

    protections = protections_of(loaded)
    vantages = vantage_addresses(loaded.hosts, loaded.vantage_hosts)
    platforms = sorted({host.platform for host in loaded.hosts})
    connector = surroundings.connector
    beneath = {platform: below(connector, platform, loaded.inventory.hosts) for platform in platforms}
    if recorder is not None:
        surroundings.connector = recorder.attach(connector, platforms)

    def work(host: Host) -> tuple[Check, ...]:
        return examine(
            host,
            surroundings,
            below=beneath[host.platform],
            protections=protections[host.name],
            vantages=vantages,
        )

    return {host.name: checks for host, checks in each_host(loaded.hosts, work, forks=forks)}


def _write(
    path: Path,
    recorder: Recorder,
    hosts: Sequence[Host],
    store: RememberingStore,
    entries: Sequence[Mapping[str, object]],
) -> None:
    from datetime import UTC, datetime

    from fwfix import __version__
    from fwfix.executors.recording import write_recording

    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    secrets = [secret.reveal() for secret in store.seen]
    document = recorder.document(
        hosts, secrets, fwfix_version=__version__, recorded_at=now, command="doctor", examined=list(entries)
    )
    write_recording(path, document)


def _document(host: Host, checks: tuple[Check, ...]) -> Mapping[str, object]:
    from fwfix.runner.doctor import Status

    tried = {Status.OK: True, Status.FAILED: False, Status.NOT_TRIED: None}
    return {
        "name": host.name,
        "address": host.address,
        "platform": str(host.platform),
        "ok": all(check.status is not Status.FAILED for check in checks),
        "checks": [
            {
                "check": each.check,
                "ok": tried[each.status],
                "status": str(each.status),
                "message": each.message,
                "next": each.next,
                "on": each.on,
            }
            for each in checks
        ],
    }


def _lines(host: Host, checks: tuple[Check, ...]) -> Iterator[Line]:
    from fwfix.output.text import Line, Style
    from fwfix.runner.doctor import Status

    marks = {Status.OK: "ok        ", Status.FAILED: "FAILED    ", Status.NOT_TRIED: "not tried "}
    good = all(check.status is not Status.FAILED for check in checks)
    verdict = "nothing stops an apply" if good else "an apply would stop here"
    yield Line(f"{host.name} ({host.address}): {verdict}", Style.GOOD if good else Style.BAD)
    width = max(len(check.check) for check in checks)
    styles = {Status.OK: Style.PLAIN, Status.FAILED: Style.BAD, Status.NOT_TRIED: Style.FAINT}
    for check in checks:
        yield Line(f"  {marks[check.status]}{check.check:<{width}}  {check.message}", styles[check.status])
        if check.next:
            where = "here" if check.on in {"", "here"} else f"on {check.on}"
            yield Line(f"            {where}: {check.next}")
