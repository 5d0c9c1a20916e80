"""The seam for platforms: what to run on a host, and how to read what came back. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol as Interface

from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host
from fwfix.model.observation import Observation, RecordState
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Address, Family, Protocol, Service
from fwfix.model.script import Invocation, Result

__all__ = ["Answer", "Counter", "Desired", "Draft", "Driver", "Judgement", "Stamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who does this run, for the host's own record."""

    operator: str
    controller: str
    ticket: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a changing script said.

    Attributes:
        code: empty when `ok`; else one of the codes in docs/linux-hosts.md.
        state: what the record's file says now; None where there is no record.
        remaining: until the timer fires; None where none is pending.
        holder: the run id that stands in the way (`locked`, `superseded`).
        persistent: what was applied survives a reboot.
        notes: warnings for people, such as lines that others had put into our chains.
    """

    ok: bool
    code: str = ""
    message: str = ""
    state: RecordState | None = None
    remaining: timedelta | None = None
    holder: str = ""
    persistent: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Packets that met one blocking or probe rule of ours.

    Attributes:
        source: the address that a temporary probe rule counts; None for the rule that blocks everybody.
        published: it is the rule for the published container port.
    """

    source: Address | None
    family: Family
    protocol: Protocol
    port: int
    published: bool
    packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether our rules stand on a host as they should.

    Attributes:
        problems: what is missing, edited, or stands in front of our rules and could let a packet through.
        enforced: ports that a rule of ours provably blocks, where the platform counts no packets; there a
            probe that met something before and meets silence now is the proof.
        inherited: ports that the replaced run blocked until now: silence before was its doing.
        uncovered: families that our rules cannot reach on this host, which the engineer accepted.
    """

    problems: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()
    enforced: frozenset[tuple[Family, Protocol, int]] = frozenset()
    inherited: frozenset[tuple[Family, Protocol, int]] = frozenset()
    uncovered: frozenset[Family] = frozenset()


class Driver(Interface):
    """Everything that depends on the platform."""

    def observe(self, services: Sequence[Service]) -> Invocation:
        """Return the read-only script that looks at a host; `services` are the ports of interest."""

    def read_observation(self, result: Result, *, direct: bool = True) -> Observation:
        """Read what `observe` answered; `direct` unless something stands between us and the host.

        Raises:
            AnswerError: it is not an observation.
            PrivilegeError: the script ran without the rights it needs.
        """

    def assume(self, host: Host) -> Observation:
        """Return what an ordinary host of the platform would look like, for a plan that contacts nobody."""

    def draft(self, desired: Desired) -> Draft:
        """Say what would change on a host, with scripts and the platform's own hazards."""

    def arm(self, plan: HostPlan, *, seconds: int, stamp: Stamp) -> Invocation:
        """Return the script that gives the host its rollback and its timer, and reads the marker back."""

    def apply(self, plan: HostPlan, *, probe_sources: Sequence[Address]) -> Invocation:
        """Return the script that loads the rules; `probe_sources` get temporary counted rules."""

    def confirm(self, plan: HostPlan) -> Invocation:
        """Return the script that makes the rules persist and commits the run."""

    def rollback(self, run_id: str) -> Invocation:
        """Return the script that undoes a run by the host's own record; needs no plan."""

    def read_answer(self, result: Result) -> Answer:
        """Read what arm, apply, confirm or rollback answered.

        Raises:
            AnswerError: it is not an answer.
        """

    def judge(self, plan: HostPlan, run_id: str, observation: Observation) -> Judgement:
        """Compare the rules of a run on a host with what the plan wants there, and read their counters."""

    def is_clear(self, plan: HostPlan, run_id: str, observation: Observation) -> bool:
        """Tell whether an observation shows for certain that a host has no rule of a run."""
