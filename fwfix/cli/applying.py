"""What `apply` does, from a saved plan or from an inventory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from fwfix.cli.making import Made, Wishes
from fwfix.cli.options import program
from fwfix.errors import UsageError

if TYPE_CHECKING:
    from fwfix.cli.reporting import Begun
    from fwfix.journal import Journal
    from fwfix.model.host import Host
    from fwfix.model.inventory import WindowText
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import Plan
    from fwfix.rendering.environment import Renderer
    from fwfix.runner.context import RunContext
    from fwfix.runner.gate import GateOptions, WindowGate
    from fwfix.runner.vantages import Lookout
    from fwfix.secret_store import SecretStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """What the command line says about applying."""

    context: typer.Context
    forks: int
    connect_timeout: timedelta
    stop_after: int | None
    ticket: str
    yes: bool
    as_json: bool
    gate: GateOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run works with once it is open."""

    begun: Begun
    journal: Journal
    surroundings: RunContext
    lookout: Lookout


def from_inventory(
    applying: Applying,
    paths: Sequence[Path] | None,
    limit: str | None,
    *,
    templates: Sequence[Path] | None,
    wishes: Wishes,
) -> NoReturn:
    """Plan and apply at once."""
    from fwfix.cli.making import make
    from fwfix.cli.reporting import begin
    from fwfix.cli.session import load, make_renderer, protections_of
    from fwfix.runner.maintenance import expected_budget

    loaded = load(paths, limit)
    inventory = loaded.inventory
    protections = protections_of(loaded)
    gate = _gate(applying, loaded.hosts, inventory.windows.values(), inventory.blackouts)
    gate.refuse_closed(
        {host.name: expected_budget(host, protections[host.name]) for host in loaded.hosts}, loaded.hosts
    )
    begun = begin("apply", ticket=applying.ticket)
    renderer = make_renderer(templates, inventory)
    with _open(
        applying,
        begun,
        hosts=tuple(inventory.hosts.values()),
        vantages=loaded.vantage_hosts,
        store=loaded.store,
        renderer=renderer,
    ) as work:
        work.surroundings.observer.run_started(hosts=len(loaded.hosts), run_id=begun.run_id)
        made = make(loaded, protections, work.surroundings, begun=begun, wishes=wishes)
        reports, broken = _carry_out(applying, made, work, gate)
        _leave(applying, work, reports, broken=broken)
    raise AssertionError  # _leave never returns; the context managers hide that


def from_plan(applying: Applying, path: Path, limit: str | None, *, waves: str | None) -> NoReturn:
    """Apply a saved plan: nothing that was not in it, on hosts that are still what it was made for."""
    from fwfix.cli.reporting import begin
    from fwfix.cli.session import make_renderer
    from fwfix.loading.plan_file import check_not_expired, load_plan
    from fwfix.model.plan import PlannedOutcome
    from fwfix.runner.maintenance import budget_of
    from fwfix.secret_store import SecretStore

    saved = load_plan(path)
    check_not_expired(saved.plan, datetime.now(UTC))
    plan = narrow(saved.plan, limit, waves)
    store = SecretStore()
    _check_secrets(plan, store)
    changing = [each for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE]
    gate = _gate(applying, [each.host for each in plan.hosts], plan.windows, plan.blackouts)
    gate.refuse_closed(
        {each.host.name: budget_of(each) for each in changing}, [each.host for each in changing]
    )
    begun = begin(
        "apply", run_id=plan.run_id, ticket=applying.ticket or plan.ticket, plan_digest=saved.digest
    )
    with _open(
        applying,
        begun,
        hosts=_unique(tuple(each.host for each in plan.hosts), plan.vantages, plan.jumps),
        vantages=plan.vantages,
        store=store,
        renderer=make_renderer(None),
    ) as work:
        work.surroundings.observer.run_started(hosts=len(plan.hosts), run_id=begun.run_id)
        if applying.gate.wait:
            _test_credentials(plan, work, forks=applying.forks)
        reports, broken = _carry_out(applying, Made(plan=plan, seen={}), work, gate)
        _leave(applying, work, reports, broken=broken)
    raise AssertionError  # _leave never returns; the context managers hide that


def narrow(plan: Plan, limit: str | None, waves: str | None) -> Plan:
    """Return a plan with fewer hosts or smaller waves; never with more.

    Raises:
        UsageError: the limit matches nothing, or the waves are larger than the plan's.
    """
    from fwfix.loading.limit import select_hosts
    from fwfix.model.inventory import Inventory
    from fwfix.waves import split_waves

    hosts = {each.host.name: each.host for each in plan.hosts}
    groups: dict[str, tuple[str, ...]] = {}
    for host in hosts.values():
        for group in host.groups:
            groups[group] = (*groups.get(group, ()), host.name)
    chosen = {host.name for host in select_hosts(Inventory(hosts=hosts, groups=groups, policies={}), limit)}
    kept = tuple(kept for wave in plan.waves if (kept := tuple(name for name in wave if name in chosen)))
    if waves is not None:
        asked = split_waves([name for wave in kept for name in wave], waves)
        if not all(any(set(small) <= set(large) for large in kept) for small in asked):
            raise UsageError(
                f"--waves {waves} makes larger waves than the plan",
                next="Only smaller waves can be asked for.",
            )
        kept = asked
    return replace(plan, hosts=tuple(each for each in plan.hosts if each.host.name in chosen), waves=kept)


@contextmanager
def _open(
    applying: Applying,
    begun: Begun,
    *,
    hosts: Sequence[Host],
    vantages: Sequence[Host],
    store: SecretStore,
    renderer: Renderer,
) -> Iterator[Work]:
    from fwfix.cli.reporting import journal_of
    from fwfix.cli.session import running
    from fwfix.output.observe import make_observer
    from fwfix.runner.log import JournalLog

    with (
        journal_of(applying.context) as journal,
        make_observer(program(applying.context), "apply") as observer,
        running(
            run_id=begun.run_id,
            hosts={host.name: host for host in hosts},
            vantages=vantages,
            store=store,
            renderer=renderer,
            log=JournalLog(journal, begun.run_id),
            observer=observer,
            connect_timeout=applying.connect_timeout,
            ticket=begun.ticket,
        ) as (surroundings, lookout),
    ):
        yield Work(begun=begun, journal=journal, surroundings=surroundings, lookout=lookout)


def _gate(
    applying: Applying, hosts: Sequence[Host], windows: Iterable[WindowText], blackouts: Sequence[str]
) -> WindowGate:
    from fwfix.runner.gate import WindowGate

    return WindowGate(
        hosts,
        windows=tuple(windows),
        blackouts=blackouts,
        options=applying.gate,
        clock=lambda: datetime.now(UTC),
    )


def _test_credentials(plan: Plan, work: Work, *, forks: int) -> None:
    """Log on to every host before waiting for its window: a wrong password is found now, not at night."""
    from fwfix.runner.fleet import observe_hosts

    hosts = [each.host for each in plan.hosts]
    seen = observe_hosts(hosts, work.surroundings, services={}, forks=forks, keep=False)
    silent = [f"{name}: {each.reason.message}" for name, each in seen.items() if each.reason is not None]
    for line in silent:
        work.surroundings.observer.note(f"cannot be reached yet: {line}")


def _announce_wait(work: Work, gate: WindowGate, plan: Plan) -> None:
    opens = gate.next_opening([each.host for each in plan.hosts])
    if opens is not None and opens > datetime.now(UTC):
        minutes = round((opens - datetime.now(UTC)).total_seconds() / 60)
        said = f"waiting for windows: the next opens at {opens:%Y-%m-%dT%H:%M:%SZ}, in {minutes} min"
        work.surroundings.observer.note(said)


def _carry_out(
    applying: Applying, made: Made, work: Work, gate: WindowGate
) -> tuple[tuple[HostReport, ...], bool]:
    """Ask, write the beginning of the run, and go through its waves; the end is written as well."""
    from fwfix.cli.consent import ask
    from fwfix.cli.reporting import output_of, write_start
    from fwfix.loading.plan_file import dump_plan
    from fwfix.runner.fleet import Fleet
    from fwfix.runner.limits import Limits, parse_limit
    from fwfix.runner.prepare import vantage_addresses
    from fwfix.runner.recheck import Recheck

    plan, begun, count = made.plan, work.begun, len(made.plan.hosts)
    hosts = tuple(each.host for each in plan.hosts)
    limits = Limits(
        max_fail=parse_limit(plan.max_fail, hosts=count, option="--max-fail"),
        max_unreachable=parse_limit(plan.max_unreachable, hosts=count, option="--max-unreachable"),
    )
    if not applying.yes:
        output_of(applying.context, as_json=applying.as_json).plan(plan)
        ask(f"Apply this to {sum(len(wave) for wave in plan.waves)} host(s)?", yes=False)
    write_start(
        work.journal,
        begun,
        hosts,
        others=_unique(plan.vantages, plan.jumps, without=hosts),
        plan_json=dump_plan(plan).decode(),
        reason=plan.reason,
    )
    if applying.gate.break_glass:
        body = {"reason": applying.gate.break_glass, "operator": begun.operator}
        work.journal.append(begun.run_id, None, "break-glass", body)
    if applying.gate.wait:
        _announce_wait(work, gate, plan)
    fleet = Fleet(
        plan,
        work.surroundings,
        lookout=work.lookout,
        limits=limits,
        forks=applying.forks,
        seen=made.seen,
        recheck=Recheck(
            run_id=begun.run_id,
            accepted=plan.accepted,
            created_at=plan.created_at,
            vantages=vantage_addresses(hosts, plan.vantages),
        ),
        gate=gate,
    )
    return fleet.run(stop_after=applying.stop_after), fleet.broken


def _leave(applying: Applying, work: Work, reports: Sequence[HostReport], *, broken: bool) -> NoReturn:
    from fwfix.cli.reporting import leave

    interrupted = work.surroundings.brake.stopped is not None
    work.surroundings.observer.close()
    leave(
        applying.context,
        work.begun,
        reports,
        as_json=applying.as_json,
        journal=work.journal,
        shown_run_id=work.begun.run_id,
        interrupted=interrupted and not broken,
        unexpected=broken,
    )


def _check_secrets(plan: Plan, store: SecretStore) -> None:
    """Find out before any host is contacted that a secret is not there."""
    from fwfix.loading.references import secrets_of

    for host in _unique(tuple(each.host for each in plan.hosts), plan.vantages, plan.jumps):
        for ref in secrets_of(host):
            store.check(ref)


def _unique(*groups: Sequence[Host], without: Sequence[Host] = ()) -> tuple[Host, ...]:
    found = {host.name: host for group in groups for host in group}
    for host in without:
        found.pop(host.name, None)
    return tuple(found.values())
