"""What would be done to which host, and with which scripts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from fwfix.model.hazard import Hazard, Severity
from fwfix.model.host import Host
from fwfix.model.inventory import ApprovalRule, WindowText
from fwfix.model.policy import Address, Family, Protection
from fwfix.model.script import Script


class ChangeOp(StrEnum):
    """What happens to an object."""

    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the diff of a host."""

    op: ChangeOp
    object: str
    family: Family | None
    text: str


class PlannedOutcome(StrEnum):
    """What planning says about a host."""

    CHANGE = "change"
    NOOP = "noop"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a host is not as wanted: a stable code, a sentence, and what to do."""

    code: str
    message: str
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """Everything that will happen to one host.

    Attributes:
        host: as the inventory resolved it; carries references to secrets, never secrets.
        protections: what is wanted.
        fingerprint: digest of what decided the plan (contract 6).
        scripts: by name; every text as it will be run.
        probe_addresses: where the ports are re-tested, in each family.
        controller_address: ours as the host saw it when it was observed.
        supersedes: the run in force that this one replaces; empty if none.
        deadline: seconds to confirm, computed for this host or as asked for.
    """

    host: Host
    outcome: PlannedOutcome
    reason: Reason | None = None
    protections: tuple[Protection, ...] = ()
    identity: str = ""
    fingerprint: str = ""
    changes: tuple[Change, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    scripts: Mapping[str, Script] = field(default_factory=lambda: MappingProxyType({}))
    probe_addresses: tuple[Address, ...] = ()
    controller_address: Address | None = None
    backend: str = ""
    supersedes: str = ""
    deadline: timedelta = timedelta(0)

    def stopping(self, accepted: "Acceptance") -> tuple[Hazard, ...]:
        """Return the hazards that keep this host out of the run."""
        return accepted.stopping(self.hazards, self.host.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Hazards that the operator accepts: codes for all hosts, or for some by name."""

    everywhere: frozenset[str] = frozenset()
    hosts: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def covers(self, code: str, host: str) -> bool:
        """Tell whether a hazard is accepted on a host."""
        return code in self.everywhere or host in self.hosts.get(code, frozenset())

    def stopping(self, hazards: Iterable[Hazard], host: str) -> tuple[Hazard, ...]:
        """Return the hazards that keep a host out of the run."""
        return tuple(
            hazard
            for hazard in hazards
            if hazard.severity is Severity.STOP and not self.covers(hazard.code, host)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run will do.

    Attributes:
        run_id: None until it is saved or applied.
        waves: names of the hosts that have something to change, wave by wave.
        max_fail, max_unreachable: as written, such as `0` or `10%`.
        vantages: hosts that may be asked to test ports, in the plan or not.
        jumps: hosts of the inventory that others are reached through.
        windows, blackouts: the inventory's, as written; what the hosts' windows mean.
        approvals: what the inventory and the command line demanded; the site may demand more.
        author_key: fingerprint of the key with which the author signs it; empty where nobody does.
    """

    run_id: str | None
    created_at: datetime
    hosts: tuple[HostPlan, ...]
    waves: tuple[tuple[str, ...], ...] = ()
    accepted: Acceptance = field(default_factory=Acceptance)
    confirm_within: timedelta | None = None
    max_fail: str = "0"
    max_unreachable: str = "10%"
    expires_at: datetime | None = None
    operator: str = ""
    controller: str = ""
    ticket: str = ""
    reason: str = ""
    inventory_digest: str = ""
    template_digest: str = ""
    fwfix_version: str = ""
    vantages: tuple[Host, ...] = ()
    jumps: tuple[Host, ...] = ()
    windows: tuple[WindowText, ...] = ()
    blackouts: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    author_key: str = ""
