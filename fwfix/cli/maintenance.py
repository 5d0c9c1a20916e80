"""`fwfix maintenance`: when the windows open next, and for which hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import InventoryPaths, Json, Limit
from fwfix.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwfix.output.text import Line
    from fwfix.runner.maintenance import Listed

# Nearer to the ends of the calendar no opening can be computed.
_FIRST_YEAR, _LAST_YEAR = 1900, 9000
# Within it the name of the day says which one it is.
_NEAR = timedelta(days=6)


def maintenance(
    context: typer.Context,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="RFC3339", help="As if it were then. Default: now.", show_default=False),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=1000, help="Openings a window.")
    ] = 3,
    *,
    as_json: Json = False,
) -> None:
    """Show when maintenance windows open next, with their hosts, in local time and in UTC."""
    from fwfix.cli.reporting import output_of
    from fwfix.loading.calendar import Calendar
    from fwfix.loading.inventory import load_inventory
    from fwfix.loading.limit import select_hosts
    from fwfix.loading.site import load_site
    from fwfix.runner.maintenance import expected_budget, list_windows, maintenance_document

    if not inventory:
        raise UsageError("no inventory given", next="Give -i PATH, or set FWFIX_INVENTORY.")
    instant = _read_instant(at)
    loaded = load_inventory(inventory)
    # The site's blackouts close a window as those of the inventory do.
    blackouts = tuple(dict.fromkeys((*loaded.blackouts, *load_site().blackouts)))
    loaded = replace(loaded, blackouts=blackouts)
    hosts = select_hosts(loaded, limit)
    calendar = Calendar(loaded)
    listed = tuple(list_windows(calendar, hosts, instant, count))
    output = output_of(context, as_json=as_json)
    output.document(maintenance_document(listed, instant))
    if not as_json:
        budgets = {host.name: expected_budget(host, loaded.services_of(host)) for host in hosts}
        used = {window.name for each in loaded.hosts.values() if (window := calendar.of_host(each))}
        for each in listed:
            output.lines(_lines(each, instant, budgets, used=each.window.name in used))
        without = [host.name for host in hosts if host.window is None]
        if without:
            needs = "apply needs --now or --window" if loaded.windows_in_use else "may start at any time"
            output.say(f"no window at all ({needs}): {', '.join(without)}")


def _read_instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is not a time", next="Write 2026-11-21T22:00:00+01:00.") from None
    if instant.tzinfo is None:
        raise UsageError(f"--at {text!r} has no offset", next=f"Write {text}Z or {text}+01:00.")
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise UsageError(f"--at {text!r} is too far away", next=f"Name a year up to {_LAST_YEAR}.")
    return instant.astimezone(UTC)


def _lines(each: Listed, at: datetime, budgets: Mapping[str, timedelta], *, used: bool) -> Iterator[Line]:
    from zoneinfo import ZoneInfo

    from fwfix.output.text import Line, Style

    zone = ZoneInfo(each.window.window.timezone)
    now_open = any(opening.holds(at) for opening in each.openings)
    state = "open" if now_open else "closed"
    yield Line(f"{each.window.name} ({zone.key}): {state}", Style.GOOD if now_open else Style.PLAIN)
    for opening in each.openings:
        start, end = opening.start.astimezone(zone), opening.end.astimezone(zone)
        date = "" if end - start < _NEAR else f" {end:%Y-%m-%d}"
        local = f"{start:%a %Y-%m-%d %H:%M} to {end:%a}{date} {end:%H:%M}"
        utc = f"{opening.start:%Y-%m-%dT%H:%MZ} to {opening.end:%Y-%m-%dT%H:%MZ}"
        yield Line(f"  {local}  ({utc})")
    if not each.openings:
        yield Line("  does not open again", Style.WARN)
    if not each.hosts:
        yield Line("  no selected host uses it" if used else "  no host uses it")
    yield from _last_starts(each, at, budgets)


def _last_starts(each: Listed, at: datetime, budgets: Mapping[str, timedelta]) -> Iterator[Line]:
    from fwfix.output.text import Line, Style

    for name in each.hosts:
        budget = budgets[name]
        needs = f"  {name}: may need {round(budget.total_seconds())} s"
        last = next(
            (one.end - budget for one in each.stretches if one.end - budget >= max(one.start, at)), None
        )
        if last is not None:
            yield Line(f"{needs}, started until {last:%Y-%m-%dT%H:%M:%SZ} at the latest")
        elif each.stretches:
            yield Line(f"{needs}, which fits into none of these", Style.WARN)
        else:
            yield Line(needs)
