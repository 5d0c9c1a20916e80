"""What goes into the journal and what comes out of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from fwfix.model.host import Host
from fwfix.model.outcome import HostReport, Outcome, StepRecord
from fwfix.model.script import Result

# Steps that leave a host exactly as it was, whatever becomes of their answer.
READ_ONLY_STEPS = frozenset({"connect", "observe", "baseline", "probe", "verify", "check", "ask", "done"})


def changes_host(steps: Iterable[str]) -> bool:
    """Tell whether one of these steps may change a host."""
    return any(step not in READ_ONLY_STEPS for step in steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """A run that is about to begin.

    Attributes:
        run_id: unique in the journal; `apply --continue` and `runs recover` resume a run instead.
        target: the run that this one works on, for `rollback`; None otherwise.
        hosts: the hosts of the run, with references to secrets and no secret.
        others: hosts that are needed to reach or probe those: jump hosts and vantages.
        plan_json: the plan as saved or as made, word for word; None where there is none.
    """

    run_id: str
    command: str
    started_at: datetime
    operator: str
    controller: str
    fwfix_version: str
    ticket: str = ""
    reason: str = ""
    plan_digest: str = ""
    plan_json: str | None = None
    target: str | None = None
    hosts: tuple[Host, ...] = ()
    others: tuple[Host, ...] = ()


class RunState(StrEnum):
    """Whether somebody is at work on a run."""

    RUNNING = "running"
    FINISHED = "finished"
    UNFINISHED = "unfinished"  # its controller is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a run's history.

    Attributes:
        seq: 1, 2, 3, ... within the run.
        host: None where it concerns the whole run.
        previous: digest of the event before; empty for the first.
        digest: SHA-256 over everything else in it.
    """

    run_id: str
    seq: int
    at: str
    host: str | None
    kind: str
    body: Mapping[str, object]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a step ended, and what the host answered.

    Attributes:
        answer: kept word for word.
        reverts_at: when the host restores itself at the latest, if that is known better now.
        detail: anything else that a later reader needs; JSON.
    """

    step: StepRecord
    answer: Result | None = None
    reverts_at: datetime | None = None
    detail: Mapping[str, object] | None = None


def results_in(event: Event) -> Sequence[Mapping[str, object]]:
    """Return the results of steps that an event tells of, oldest first.

    A result stands in an event of its own, or in the next one of its host where that followed at once.
    """
    if event.kind == "step":
        return (event.body,)
    return cast("Sequence[Mapping[str, object]]", event.body.get("results", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEntry:
    """One host of a run, replayed from its events.

    Attributes:
        host: address, connection settings and references to secrets, as the run used them.
        announced: every step announced for it alone, oldest first; the last may or may not have been taken.
            Its first looks are announced for a whole wave.
        completed: every step whose result was recorded, oldest first.
        reverts_at: when the host restores itself at the latest, as last recorded; None if it was never armed.
        report: how it ended; None while it has not.
    """

    host: Host
    announced: tuple[str, ...] = ()
    completed: tuple[str, ...] = ()
    reverts_at: datetime | None = None
    report: HostReport | None = None

    @property
    def name(self) -> str:
        """The name of the host."""
        return self.host.name

    @property
    def may_have_changed(self) -> bool:
        """Tell whether a step that changes the host was announced."""
        return changes_host(self.announced)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run as the journal knows it.

    Attributes:
        plan_json: loaded with the run's hosts only; None in lists.
        replanned: plans of hosts that could be planned only when the run went on, oldest first.
        counts: hosts by outcome; hosts without an outcome are not in it.
        pid: of the controller that works or worked on it last.
    """

    run_id: str
    command: str
    target: str | None
    state: RunState
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    operator: str
    controller: str
    fwfix_version: str
    ticket: str
    reason: str
    plan_digest: str
    pid: int
    host_count: int
    counts: Mapping[Outcome, int]
    plan_json: str | None = None
    replanned: tuple[str, ...] = ()
    hosts: tuple[HostEntry, ...] = ()
    others: tuple[Host, ...] = ()

    @property
    def changed(self) -> tuple[HostEntry, ...]:
        """The hosts that it changed, or may have changed."""
        return tuple(entry for entry in self.hosts if entry.may_have_changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A host on which a run has its rules, or may have.

    Attributes:
        certain: False where the journal does not know: the host went unknown, or the controller was killed.
    """

    host: str
    run_id: str
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFault:
    """A place at which a run's history is not what was written; without a run, in the journal as a whole."""

    run_id: str | None
    seq: int | None
    message: str
