"""The end of a run for people: what became of every host, and what to do next."""

import re
from collections.abc import Iterator
from datetime import datetime, tzinfo

from fwfix.errors import JournalError
from fwfix.model.hazard import Hazard
from fwfix.model.outcome import NO_RECORD, HostReport, Outcome, RunReport
from fwfix.model.plan import Reason
from fwfix.model.wording import plural
from fwfix.output.text import Line, Style, moment, took
from fwfix.report import count_outcomes, is_amiss

_WORDS = {
    Outcome.NOOP: "as wanted already",
    Outcome.OK: "as wanted",
    Outcome.CHANGE: "to change",
    Outcome.ROLLED_BACK: "rolled back",
}
_FINE = frozenset({Outcome.APPLIED, Outcome.NOOP, Outcome.OK, Outcome.ROLLED_BACK, Outcome.CHANGE})
# The most urgent first.
_ORDER = (
    *(Outcome.UNKNOWN, Outcome.FAILED, Outcome.DRIFT, Outcome.REVERTED, Outcome.SKIPPED),
    *(Outcome.ROLLED_BACK, Outcome.APPLIED),
)
_STYLES = dict.fromkeys((Outcome.SKIPPED, Outcome.REVERTED, Outcome.DRIFT, Outcome.ROLLED_BACK), Style.WARN)
# What it means for the host, where the reason alone does not say.
_MEANS = {
    Outcome.FAILED: "nothing was changed on it",
    Outcome.REVERTED: "it is as it was before",
    Outcome.SKIPPED: "it was not started",
}
_NEXT = {
    Outcome.UNKNOWN: "ask the host with `fwfix status`, then `fwfix runs recover RUN`",
    Outcome.FAILED: "see what `fwfix doctor` says about it",
    Outcome.REVERTED: "mend the cause and apply again",
    Outcome.SKIPPED: "apply again, or go on with `fwfix apply --continue RUN`",
    Outcome.DRIFT: "apply again",
    Outcome.ROLLED_BACK: "look at the host",
}

# After these a host that is unknown may restore itself, or has done so.
_MAY_RESTORE = frozenset({"apply", "recover"})
# To be mended before the host is asked again.
_COMES_FIRST = frozenset({NO_RECORD, JournalError.code})


def summary_lines(report: RunReport, *, zone: tzinfo | None = None) -> Iterator[Line]:
    """Yield every host that needs somebody's eye, grouped where they share a reason, then the counts."""
    for outcome in _ORDER:
        for hosts in _by_reason(report, outcome):
            yield from _trouble(report, hosts, zone)
    yield from _remarks(report)
    fine = all(host.outcome in _FINE and not is_amiss(host) for host in report.hosts)
    style = Style.GOOD if fine else Style.WARN
    yield Line(_headline(report), style)


def _headline(report: RunReport) -> str:
    counts = count_outcomes(report.command, (host.outcome for host in report.hosts))
    parts = [f"{count} {_word(Outcome(outcome))}" for outcome, count in counts.items() if count]
    name = f"{report.command} {report.run_id}" if report.run_id else report.command
    length = took((report.finished_at - report.started_at).total_seconds())
    said = ", ".join(parts) or "nothing to do"
    return f"{name}: {said} ({plural(len(report.hosts), 'host')}, {length})"


def _word(outcome: Outcome) -> str:
    return _WORDS.get(outcome, outcome)


def _by_reason(report: RunReport, outcome: Outcome) -> list[list[HostReport]]:
    groups: dict[tuple[Reason | None, datetime | None], list[HostReport]] = {}
    for host in report.hosts:
        if host.outcome is outcome and (outcome not in _FINE or host.reason is not None):
            groups.setdefault((host.reason, host.reverts_at), []).append(host)
    return list(groups.values())


def _trouble(report: RunReport, hosts: list[HostReport], zone: tzinfo | None) -> Iterator[Line]:
    first = hosts[0]
    style = _STYLES.get(first.outcome, Style.BAD)
    if len(hosts) == 1:
        yield Line(f"{_word(first.outcome)}: {first.name} ({first.address})", style)
    else:
        names = ", ".join(host.name for host in hosts)
        yield Line(f"{_word(first.outcome)}: {plural(len(hosts), 'host')}: {names}", style)
    if first.reason is not None:
        yield Line(f"  {first.reason.code}: {first.reason.message}")
    if first.outcome in _MEANS:
        yield Line(f"  {_MEANS[first.outcome]}" if len(hosts) == 1 else f"  each: {_MEANS[first.outcome]}")
    if first.reverts_at is not None and first.outcome is Outcome.UNKNOWN:
        when = moment(first.reverts_at, zone)
        past = first.reverts_at <= report.finished_at
        due = f"was due to restore itself at {when}, and tries again every 10 s until it has"
        yield Line(f"  {due if past else f'restores itself at {when}'}", Style.WARN)
    # Advice is often written where the run id is not known.
    advice = re.sub(r"\bRUN\b", report.run_id or "RUN", _advice(report, first))
    yield Line(f"  next: {advice}")


def _advice(report: RunReport, host: HostReport) -> str:
    own = host.reason.next if host.reason is not None else ""
    if host.outcome is Outcome.UNKNOWN and report.command in _MAY_RESTORE:
        # What would have kept the connection comes too late: something was changed already.
        comes_first = host.reason is not None and host.reason.code in _COMES_FIRST
        return own if comes_first and own else _NEXT[Outcome.UNKNOWN]
    if not own and host.outcome is Outcome.UNKNOWN and report.command == "rollback":
        return "ask again: `fwfix rollback RUN`"
    return own or _NEXT[host.outcome]


def _remarks(report: RunReport) -> Iterator[Line]:
    """Yield what went well but should be known, once per text, with the hosts that it concerns."""
    remarks: dict[str, list[str]] = {}
    for host in report.hosts:
        if host.outcome in _FINE and host.outcome is not Outcome.CHANGE:
            for text in (*map(_hazard, host.hazards), *host.notes):
                remarks.setdefault(text, []).append(host.name)
    for text, names in remarks.items():
        yield Line(f"note: {', '.join(names)}: {text}", Style.FAINT)


def _hazard(hazard: Hazard) -> str:
    return f"{hazard.code}: {hazard.message}"
