"""What became of a host, with the evidence."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fwfix.model.hazard import Hazard
from fwfix.model.plan import Change, Reason
from fwfix.model.policy import Address, Family, Protocol

# The code of the reason where a run was undone, and yet a port is not as it was before it.
NOT_AS_BEFORE = "not-as-before"
NO_RECORD = "no-record"


class Outcome(StrEnum):
    """How a host ended in a run; the words of the JSON."""

    NOOP = "noop"
    APPLIED = "applied"
    REVERTED = "reverted"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    ROLLED_BACK = "rolled_back"
    OK = "ok"
    DRIFT = "drift"
    CHANGE = "change"


class ProbeResult(StrEnum):
    """What a connection attempt met (C2)."""

    OPEN = "open"
    CLOSED = "closed"
    FILTERED = "filtered"
    PROHIBITED = "prohibited"
    UNREACHABLE = "unreachable"
    LOCAL_ERROR = "local_error"


class Expectation(StrEnum):
    """What a probe must meet for the host to count as protected."""

    BLOCKED = "blocked"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One port at one address, seen from one vantage."""

    vantage: str
    address: Address
    protocol: Protocol
    port: int

    @property
    def family(self) -> Family:
        """The family that this target tests."""
        return Family.of(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one target answered so far.

    Attributes:
        settled: waiting longer would not change it.
    """

    target: Target
    result: ProbeResult
    settled: bool
    detail: str = ""
    took_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One tested target and the evidence that came with it."""

    phase: str
    target: Target
    result: ProbeResult
    expected: Expectation | None = None
    proof: str | None = None
    detail: str = ""
    took_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step that was taken on a host."""

    step: str
    ok: bool
    at: datetime
    took_ms: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """Everything that a run says about one host."""

    name: str
    address: str
    platform: str
    labels: tuple[tuple[str, str], ...] = ()
    outcome: Outcome
    reason: Reason | None = None
    reverts_at: datetime | None = None
    hazards: tuple[Hazard, ...] = ()
    changes: tuple[Change, ...] = ()
    probes: tuple[Probe, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The document that a command prints with `--json`."""

    command: str
    run_id: str | None
    started_at: datetime
    finished_at: datetime
    operator: str
    controller: str
    fwfix_version: str
    ticket: str
    plan_digest: str
    exit_code: int
    hosts: tuple[HostReport, ...]
