"""`fwfix inventory`: check the inventory, list its hosts, print the JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fwfix.cli.options import InventoryPaths, Json, Limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwfix.model.host import Host
    from fwfix.model.inventory import Inventory

app = typer.Typer(
    name="inventory",
    help="Check the inventory, list its hosts, or print its JSON Schema.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("check")
def check(inventory: InventoryPaths = None, limit: Limit = None, *, as_json: Json = False) -> None:
    """Validate the inventory, and that the secrets, keys, calendars and signers that it names are there."""
    from fwfix.errors import InventoryError
    from fwfix.loading.calendar import Calendar
    from fwfix.loading.references import find_problems
    from fwfix.secret_store import SecretStore
    from fwfix.signing import check_signers

    loaded, hosts = _load(inventory, limit)
    problems = list(find_problems(loaded, hosts, SecretStore()))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InventoryError("\n".join(str(problem) for problem in problems))
    Calendar(loaded).read_files()
    if loaded.approvals.allowed_signers is not None:
        check_signers(loaded.approvals.allowed_signers)
    counts = {
        "hosts": len(hosts),
        "groups": len(loaded.groups),
        "policies": len(loaded.policies),
        "maintenance_windows": len(loaded.windows),
    }
    if as_json:
        files = [str(path) for path in loaded.sources]
        _print_json({"schema": "fwfix.inventory-check/1", "digest": loaded.digest, "files": files, **counts})
    else:
        summary = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        typer.echo(f"The inventory is valid: {summary}.")


@app.command("list")
def list_hosts(inventory: InventoryPaths = None, limit: Limit = None, *, as_json: Json = False) -> None:
    """List hosts with every value resolved: their own, else their groups', else the defaults'."""
    loaded, hosts = _load(inventory, limit)
    if as_json:
        documents = [_document(loaded, host) for host in hosts]
        _print_json({"schema": "fwfix.inventory/1", "digest": loaded.digest, "hosts": documents})
        return
    rows = [("HOST", "ADDRESS", "PLATFORM", "GROUPS", "POLICIES", "PORTS", "WINDOW")]
    rows.extend(_row(loaded, host) for host in hosts)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("schema")
def schema(*, as_json: Json = False) -> None:  # noqa: ARG001 - it is JSON with and without
    """Print the JSON Schema of an inventory file, for editors."""
    from fwfix.loading.schema import inventory_schema

    _print_json(inventory_schema())


def _load(paths: list[Path] | None, limit: str | None) -> tuple[Inventory, Sequence[Host]]:
    from fwfix.loading.inventory import load_inventory
    from fwfix.loading.limit import select_hosts

    loaded = load_inventory(paths or [])
    return loaded, select_hosts(loaded, limit)


def _ports(inventory: Inventory, host: Host) -> list[str]:
    from fwfix.model.protection import merge_services

    services = (service for name in host.policies for service in inventory.policies[name].services)
    return [str(service) for service in merge_services(services)]


def _row(inventory: Inventory, host: Host) -> tuple[str, str, str, str, str, str, str]:
    return (
        host.name,
        host.address,
        host.platform.value,
        ",".join(host.groups) or "-",
        ",".join(host.policies) or "-",
        ",".join(_ports(inventory, host)) or "-",
        host.window or "-",
    )


def _document(inventory: Inventory, host: Host) -> dict[str, object]:
    policies = [inventory.policies[name] for name in host.policies]
    return {
        "name": host.name,
        "address": host.address,
        "platform": host.platform.value,
        "groups": list(host.groups),
        "labels": dict(host.labels),
        "policies": list(host.policies),
        "ports": _ports(inventory, host),
        "allow_from": sorted({entry.text for policy in policies for entry in policy.allow_from}),
        "allow_also": [entry.text for entry in host.allow_also],
        "window": host.window,
        "vantage": host.vantage,
        "probe_addresses": [str(address) for address in host.probe_addresses],
        "expect_hostname": host.expect_hostname,
        "defined_at": inventory.places.get(("hosts", host.name)),
    }


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
