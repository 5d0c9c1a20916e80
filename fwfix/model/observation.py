"""What a host looked like at one moment, in the terms that planning needs on any platform."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from fwfix.model.host import Platform
from fwfix.model.policy import Address, Family, Protocol


class RecordState(StrEnum):
    """The state of a run as its record on the host says it (contract 5)."""

    ARMING = "arming"
    ARMED = "armed"
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """fwfix's own record of one run, as found on a host.

    Attributes:
        remaining: until its timer fires; None where none is pending.
        superseded_by: the newer run that left its id here; empty if none did.
        supersedes: the run that it replaced; empty if none.
        desired: digest of the protections that the run was made for.
        foreign: the record came from another machine and is never acted on.
    """

    run_id: str
    state: RecordState
    since: datetime | None = None
    operator: str = ""
    remaining: timedelta | None = None
    superseded_by: str = ""
    supersedes: str = ""
    backend: str = ""
    desired: str = ""
    foreign: bool = False


def is_undone(records: tuple[RunRecord, ...], run_id: str) -> bool:
    """Tell whether the host undoes a run, or has undone it."""
    undone = (RecordState.REVERTING, RecordState.REVERTED)
    return any(each.run_id == run_id and each.state in undone for each in records)


def in_force(records: tuple[RunRecord, ...]) -> RunRecord | None:
    """Return the run whose rules are in force: confirmed, and replaced by none that is not reverted."""
    alive = {
        record.run_id for record in records if record.state is not RecordState.REVERTED and not record.foreign
    }
    standing = [
        record
        for record in records
        if record.state is RecordState.CONFIRMED and not record.foreign and record.superseded_by not in alive
    ]
    return max(standing, key=lambda record: record.run_id, default=None)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Listener:
    """A socket that waits for packets. `family` None means both (a dual-stack socket)."""

    protocol: Protocol
    port: int
    address: str = ""
    family: Family | None = None
    process: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Session:
    """An open connection to a local port."""

    protocol: Protocol
    port: int
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PublishedPort:
    """A port that is translated to somewhere else before INPUT sees it.

    Attributes:
        port: where packets arrive.
        target: where they go, `address:port`; a port alone for a redirect to the host itself.
        covered: a hook exists in which we can block it (DOCKER-USER, or our own nft chain).
    """

    protocol: Protocol
    family: Family
    port: int
    target: str
    covered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementPath:
    """How we reached the host: our address as the host sees it, and the port that we used there.

    Attributes:
        direct: False where something stands between, whose address `peer` is then; not in the fingerprint.
    """

    peer: Address | None
    port: int
    direct: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One host at one moment.

    Attributes:
        identity: what stays the same while it is the same machine (machine id).
        addresses: its global addresses, in both families.
        lock_holder: the run id in the lock, if there is a lock.
        facts: what the platform's own driver needs; opaque to everybody else.
    """

    platform: Platform
    identity: str
    hostname: str
    boot_id: str
    uptime: timedelta
    management: ManagementPath
    addresses: tuple[Address, ...] = ()
    listeners: tuple[Listener, ...] = ()
    sessions: tuple[Session, ...] = ()
    records: tuple[RunRecord, ...] = ()
    lock_holder: str | None = None
    facts: object = field(default=None, repr=False)

    @property
    def families(self) -> frozenset[Family]:
        """The address families in which the host can be reached from elsewhere."""
        return frozenset(Family.of(address) for address in self.addresses)
