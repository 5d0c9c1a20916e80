"""Choose what a rollback undoes, and on which hosts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fwfix.errors import UsageError
from fwfix.journal import HostEntry, Journal, RunEntry
from fwfix.loading.limit import select_hosts
from fwfix.loading.plan_file import parse_plan
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Protection, Service
from fwfix.runner.rollback import Undo, baseline_of

# More hosts than this are never undone by a command that names neither a run nor hosts.
MOST_WITHOUT_A_NAME = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One run to undo, with every host that is needed for it.

    Attributes:
        others: jump hosts.
    """

    run_id: str
    undos: tuple[Undo, ...]
    others: tuple[Host, ...] = ()

    @property
    def reachable(self) -> Mapping[str, Host]:
        """Every host that a connection may need, by name."""
        hosts = [*self.others, *(undo.host for undo in self.undos)]
        return {host.name: host for host in hosts}


def newest_in_force(journal: Journal, limit: str | None) -> str | None:
    """Return the newest run that is still in force somewhere; None where every run is undone.

    Raises:
        UsageError: the journal knows of no run, or it stands on so many hosts that it has to be named.
    """
    standing: dict[str, list[str]] = {}
    for each in journal.hosts_in_force():
        standing.setdefault(each.run_id, []).append(each.host)
    # A saved plan got its id when it was made, which may be long before the run: by id is not by time.
    runs = [run.run_id for run in journal.runs()]
    if not standing and runs:
        return None
    if not standing:
        raise UsageError(
            "this journal knows of no run",
            next="fwfix status -i INVENTORY shows what the hosts have; then fwfix rollback RUN -i INVENTORY.",
        )
    offered = [run_id for run_id in runs if run_id in standing]
    newest = next((run_id for run_id in offered if _touches(journal, run_id, limit)), None)
    if newest is None:
        raise UsageError(
            f"no run is in force on a host that {limit!r} names", next="fwfix runs list shows the runs."
        )
    if len(standing[newest]) > MOST_WITHOUT_A_NAME and limit is None:
        commands = "\n  ".join(f"fwfix rollback {run_id}" for run_id in offered)
        raise UsageError(
            f"the newest run is in force on {len(standing[newest])} hosts: name it, or say which hosts",
            next=f"Choose one of:\n  {commands}\n  fwfix rollback {newest} -l HOST",
        )
    return newest


def _touches(journal: Journal, run_id: str, limit: str | None) -> bool:
    """Tell whether a limit names a host that a run stands on."""
    if limit is None:
        return True
    standing = {each.host for each in journal.hosts_in_force() if each.run_id == run_id}
    hosts = [entry.host for entry in journal.run(run_id).hosts if entry.name in standing]
    try:
        return bool(_selected(hosts, limit))
    except UsageError:
        return False


def from_journal(run: RunEntry, limit: str | None, inventory: Inventory | None = None) -> Chosen:
    """Return what the journal knows of a run; an inventory's connection settings win over its own."""
    run_id = run.run_id
    if run.target is not None:
        raise UsageError(
            f"{run_id} is itself a rollback, of {run.target}", next="To apply again: fwfix apply."
        )
    plans = plans_of(run)
    # A jump host may have been one of the run's own, with nothing to undo on it.
    everybody = (*run.others, *(entry.host for entry in run.hosts))
    others = inventory.hosts if inventory is not None else {host.name: host for host in everybody}
    entries = run.changed
    chosen = {host.name for host in _selected([entry.host for entry in entries], limit)}
    undos = tuple(
        _undo(entry, run_id, plans.get(entry.name), others) for entry in entries if entry.name in chosen
    )
    if not undos:
        raise UsageError(f"run {run_id} changed no host", next="fwfix runs list shows the others.")
    return Chosen(run_id=run_id, undos=undos, others=tuple(others.values()))


def from_inventory(
    hosts: Sequence[Host],
    run_id: str,
    *,
    inventory: Inventory,
    protections: Mapping[str, tuple[Protection, ...]],
) -> Chosen:
    """Return the hosts of an inventory, for a run of which no journal is left."""
    undos = tuple(
        Undo(host=host, run_id=run_id, services=_services(protections.get(host.name, ()))) for host in hosts
    )
    return Chosen(run_id=run_id, undos=undos, others=tuple(inventory.hosts.values()))


def plans_of(run: RunEntry) -> Mapping[str, HostPlan]:
    """Return the plans of a run's hosts by name, as the journal keeps them."""
    if not run.plan_json:
        return {}
    texts = (run.plan_json, *run.replanned)
    return {each.host.name: each for text in texts for each in parse_plan(text.encode()).hosts}


def _undo(entry: HostEntry, run_id: str, plan: HostPlan | None, others: Mapping[str, Host]) -> Undo:
    host = others.get(entry.name, entry.host)
    if host.name == entry.name and host.platform is not entry.host.platform:
        host = replace(host, platform=entry.host.platform)
    probes = entry.report.probes if entry.report is not None else ()
    return Undo(
        host=host,
        run_id=run_id,
        services=_services(plan.protections) if plan else (),
        before=baseline_of(probes),
        addresses=plan.probe_addresses if plan else (),
    )


def _services(protections: Sequence[Protection]) -> tuple[Service, ...]:
    return tuple(protection.service for protection in protections)


def _selected(hosts: Sequence[Host], limit: str | None) -> tuple[Host, ...]:
    groups: dict[str, tuple[str, ...]] = {}
    for host in hosts:
        for group in host.groups:
            groups[group] = (*groups.get(group, ()), host.name)
    by_name = {host.name: host for host in hosts}
    return select_hosts(Inventory(hosts=by_name, groups=groups, policies={}), limit)
