"""Carry a plan out: open the run, ask, write its beginning, go through its waves, and leave."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from fwfix.cli.approving import Asked, write_approvals
from fwfix.cli.options import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta

    import typer

    from fwfix.approvals import Approval
    from fwfix.cli.making import Made
    from fwfix.cli.reporting import Begun
    from fwfix.journal import Journal, RunEntry
    from fwfix.model.host import Host
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import HostPlan, Plan, Reason
    from fwfix.rendering.environment import Renderer
    from fwfix.runner.context import RunContext
    from fwfix.runner.counters import CounterWatch
    from fwfix.runner.fleet import Fleet
    from fwfix.runner.gate import GateOptions
    from fwfix.runner.limits import Limits
    from fwfix.runner.site_gate import SiteGate
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
    rollback_on_stop: bool = False
    asked: Asked = field(default_factory=Asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run works with once it is open."""

    begun: Begun
    journal: Journal
    surroundings: RunContext
    lookout: Lookout


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a run that goes on has done before.

    Attributes:
        run: as it was when this was read.
        reports: of all hosts that are reported, by name, in the order of the run.
        plans: of all its hosts, as they were made first.
        packets: how the counters stood when they were last read, by host.
    """

    run: RunEntry
    reports: Mapping[str, HostReport]
    plans: Mapping[str, HostPlan]
    packets: Mapping[str, Mapping[str, int]]

    @property
    def applied(self) -> tuple[HostPlan, ...]:
        """The hosts that are applied already."""
        from fwfix.model.outcome import Outcome

        names = [name for name, each in self.reports.items() if each.outcome is Outcome.APPLIED]
        return tuple(self.plans[name] for name in names if name in self.plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What is written about a run before it begins.

    Attributes:
        plan_text: the plan word for word; None where it was made now.
        approvals: who has signed it.
        before: what this run has done before, where it goes on.
    """

    plan_text: str | None = None
    approvals: tuple[Approval, ...] = ()
    before: Before | None = None

    def joined(self, reports: Sequence[HostReport]) -> tuple[HostReport, ...]:
        """Return the reports of the whole run, in its order; hosts that are new to it come last."""
        if self.before is None:
            return tuple(reports)
        return tuple({**self.before.reports, **{report.name: report for report in reports}}.values())

    @property
    def applied(self) -> tuple[HostPlan, ...]:
        """The hosts that this run has applied before."""
        return () if self.before is None else self.before.applied

    def plans(self, plan: Plan) -> Mapping[str, HostPlan]:
        """Return the plan of every host of the whole run."""
        now = {each.host.name: each for each in plan.hosts}
        return now if self.before is None else {**self.before.plans, **now}


@contextmanager
def opened(
    applying: Applying,
    begun: Begun,
    *,
    journal: Journal,
    hosts: Sequence[Host],
    vantages: Sequence[Host],
    store: SecretStore,
    renderer: Renderer,
) -> Iterator[Work]:
    """Yield what a run works with; closes every connection."""
    from fwfix.cli.session import running
    from fwfix.output.observe import make_observer
    from fwfix.runner.log import JournalLog

    with (
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


def carry_out(
    applying: Applying, made: Made, work: Work, *, gate: SiteGate, paper: Paper
) -> tuple[tuple[HostReport, ...], bool]:
    """Ask, write the beginning of the run, and go through its waves; tell whether something broke."""
    from fwfix.cli.consent import ask
    from fwfix.cli.reporting import output_of
    from fwfix.model.wording import plural
    from fwfix.terminal import alone

    plan = made.plan
    limits = _limits(plan, work.begun.run_id)
    watch = _watch(applying, work, paper)
    shown = watch.show(paper.applied)
    kept_out = {each.host.name for each in plan.hosts if each.stopping(plan.accepted)}
    going = sum(name not in kept_out for wave in plan.waves for name in wave)
    # Who pressed Ctrl-C meanwhile has answered.
    if going and not applying.yes and work.surroundings.brake.stopped is None:
        with alone():
            output_of(applying.context, as_json=applying.as_json).plan(plan)
            ask(f"Apply this to {plural(going, 'host')}?", yes=False)
    _write_start(applying, plan, work, paper)
    watch.write(shown)
    if applying.gate.wait:
        _announce_wait(work, gate, plan)
        made = replace(made, plan=_soonest_first(plan, gate))
    fleet = _fleet(applying, made, work, gate=gate, limits=limits, look_back=_look_back(watch, paper))
    reports = paper.joined(fleet.run(stop_after=applying.stop_after))
    if applying.rollback_on_stop and limits.exceeded is not None and not fleet.broken:
        reports = _roll_back(applying, work, reports, plans=paper.plans(plan), because=limits.exceeded)
    return reports, fleet.broken


def _roll_back(
    applying: Applying,
    work: Work,
    reports: Sequence[HostReport],
    *,
    plans: Mapping[str, HostPlan],
    because: Reason,
) -> tuple[HostReport, ...]:
    from fwfix.runner.stopping import undo_applied

    work.surroundings.observer.note("undoing what this run had applied")
    return undo_applied(reports, plans, work.surroundings, forks=applying.forks, because=because)


def _limits(plan: Plan, run_id: str) -> Limits:
    from fwfix.runner.limits import Limits, parse_limit

    count = len(plan.hosts)
    return Limits(
        run_id=run_id,
        max_fail=parse_limit(plan.max_fail, hosts=count, option="--max-fail"),
        max_unreachable=parse_limit(plan.max_unreachable, hosts=count, option="--max-unreachable"),
    )


def _write_start(applying: Applying, plan: Plan, work: Work, paper: Paper) -> None:
    from fwfix.cli.reporting import write_start
    from fwfix.loading.plan_file import dump_plan

    begun, journal = work.begun, work.journal
    hosts = tuple(each.host for each in plan.hosts)
    others = unique(plan.vantages, plan.jumps, without=hosts)
    if paper.before is None:
        text = paper.plan_text or dump_plan(plan).decode()
        write_start(journal, begun, hosts, others=others, plan_json=text, reason=plan.reason)
    else:
        _refuse_moved(paper.before.run, journal)
        journal.resume_run(
            begun.run_id,
            command="apply",
            operator=begun.operator,
            controller=begun.controller,
            hosts=hosts,
            others=others,
        )
        if paper.plan_text is not None:
            journal.append(begun.run_id, None, "replanned", {"plan": paper.plan_text})
        if applying.ticket:  # the run itself keeps the one that it began with
            journal.append(begun.run_id, None, "ticket", {"ticket": applying.ticket})
    write_approvals(journal, begun.run_id, begun.plan_digest, paper.approvals)
    if applying.gate.break_glass:
        body = {"reason": applying.gate.break_glass, "operator": begun.operator}
        journal.append(begun.run_id, None, "break-glass", body)


def _refuse_moved(run: RunEntry, journal: Journal) -> None:
    """Refuse to go on from where a run no longer is: somebody else did, while we asked.

    Raises:
        UsageError: the run has gone on since it was read.
    """
    from fwfix.errors import UsageError

    now = journal.header(run.run_id)
    if (now.pid, now.finished_at) != (run.pid, run.finished_at):
        raise UsageError(
            f"another fwfix has gone on with {run.run_id} meanwhile",
            next=f"See what is left: fwfix runs show {run.run_id}",
        )


def _watch(applying: Applying, work: Work, paper: Paper) -> CounterWatch:
    from fwfix.runner.counters import CounterWatch

    return CounterWatch(
        work.surroundings,
        forks=applying.forks,
        write=_diary(work),
        before=paper.before.packets if paper.before is not None else None,
    )


def _diary(work: Work) -> Callable[[str, Mapping[str, object]], None]:
    def write(kind: str, body: Mapping[str, object]) -> None:
        work.journal.append(work.begun.run_id, None, kind, body)

    return write


def _look_back(watch: CounterWatch, paper: Paper) -> Callable[[Sequence[HostPlan]], None]:
    """Look, after every wave, also at the hosts that were applied before the run went on."""
    return lambda applied: watch((*paper.applied, *applied))


def _fleet(
    applying: Applying,
    made: Made,
    work: Work,
    *,
    gate: SiteGate,
    limits: Limits,
    look_back: Callable[[Sequence[HostPlan]], None],
) -> Fleet:
    from fwfix.runner.fleet import Fleet
    from fwfix.runner.prepare import vantage_addresses
    from fwfix.runner.recheck import Recheck

    plan, begun = made.plan, work.begun
    hosts = tuple(each.host for each in plan.hosts)
    probed = (address for each in plan.hosts for address in each.probe_addresses)
    return Fleet(
        plan,
        work.surroundings,
        lookout=work.lookout,
        limits=limits,
        forks=applying.forks,
        seen=made.seen,
        recheck=Recheck(
            run_id=begun.run_id,
            accepted=plan.accepted,
            vantages=vantage_addresses(hosts, plan.vantages, observed=probed),
        ),
        gate=gate,
        diary=_diary(work),
        look_back=look_back,
    )


def _soonest_first(plan: Plan, gate: SiteGate) -> Plan:
    """Let hosts of a wave that wait long keep no turn from those that need not."""
    hosts = {each.host.name: each for each in plan.hosts}
    waves = (gate.soonest_first([hosts[name] for name in wave]) for wave in plan.waves)
    return replace(plan, waves=tuple(tuple(each.host.name for each in wave) for wave in waves))


def _announce_wait(work: Work, gate: SiteGate, plan: Plan) -> None:
    from fwfix.runner.maintenance import budget_of

    budgets = {each.host.name: budget_of(each) for each in plan.hosts}
    gate.count_down_to(work.surroundings.observer.note)
    opens = gate.next_opening(budgets, [each.host for each in plan.hosts])
    if opens is not None and opens > datetime.now(UTC):
        minutes = round((opens - datetime.now(UTC)).total_seconds() / 60)
        said = f"waiting for windows: the next opens at {opens:%Y-%m-%dT%H:%M:%SZ}, in {minutes} min"
        work.surroundings.observer.note(said)


def leave_run(applying: Applying, work: Work, reports: Sequence[HostReport], *, broken: bool) -> NoReturn:
    """Print the report, end the run in the journal, and leave with its exit code."""
    from fwfix.cli.reporting import leave

    stopped = work.surroundings.brake.stopped
    broken = broken or (stopped is not None and stopped.code != "interrupted")
    work.surroundings.observer.close()
    leave(
        applying.context,
        work.begun,
        reports,
        as_json=applying.as_json,
        journal=work.journal,
        shown_run_id=work.begun.run_id,
        interrupted=stopped is not None and not broken,
        unexpected=broken,
    )


def unique(*groups: Sequence[Host], without: Sequence[Host] = ()) -> tuple[Host, ...]:
    """Return hosts, each name once."""
    found = {host.name: host for group in groups for host in group}
    for host in without:
        found.pop(host.name, None)
    return tuple(found.values())
