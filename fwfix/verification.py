"""Step 4 of a host's life: what the probes, the rules and the listeners prove together. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fwfix.drivers.base import Counter, Judgement
from fwfix.model.observation import Listener
from fwfix.model.outcome import NOT_AS_BEFORE, Expectation, Probe, ProbeResult, Reading, Target
from fwfix.model.plan import Reason
from fwfix.model.policy import Address, Family, Protection, Protocol

CONTROLLER = "controller"
STRUCTURE = "structure"
# Whatever verification finds then, this is why.
UNDONE = Reason(
    code="lost-race",
    message="the host undid the run before it was verified: its timer fired, or somebody rolled it back",
    next="apply again; where the time was too short, with a longer --confirm-within",
)

Key = tuple[Family, Protocol, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vantage:
    """Somewhere to probe from: our own machine, or a host that the inventory lends for it.

    Attributes:
        sources: its addresses as the probed host sees them, by family.
        certain: it can tell closed from filtered; through a jump host only `open` is certain.
    """

    name: str
    sources: Mapping[Family, Address] = field(default_factory=lambda: MappingProxyType({}))
    certain: bool = True

    def expects(self, protection: Protection, family: Family) -> Expectation | None:
        """Say what it must see once the host is protected.

        None where its address is not known, but for a port to which nobody is allowed.
        """
        source = self.sources.get(family)
        if source is None:
            return None if protection.allowed_in(family) else Expectation.BLOCKED
        return Expectation.OPEN if protection.allows(source) else Expectation.BLOCKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was seen on and around a host before and after apply."""

    protections: tuple[Protection, ...]
    vantages: tuple[Vantage, ...]
    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    judgement: Judgement
    listeners_before: tuple[Listener, ...]
    listeners_after: tuple[Listener, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The probes with their proof, and the first reason that speaks against the host."""

    probes: tuple[Probe, ...]
    reason: Reason | None
    settled: bool


def targets_for(
    protections: Sequence[Protection], addresses: Sequence[Address], vantage: str
) -> tuple[Target, ...]:
    """Return every port of every protection at every address, for one vantage."""
    return tuple(
        Target(vantage=vantage, address=address, protocol=protection.service.protocol, port=port)
        for protection in protections
        for port in protection.service.ports
        for address in addresses
    )


def probe_sources(protections: Sequence[Protection], vantages: Sequence[Vantage]) -> tuple[Address, ...]:
    """Return the addresses that get a temporary counted rule: vantages that must be blocked somewhere."""
    sources = {
        source
        for vantage in vantages
        for source in vantage.sources.values()
        for protection in protections
        if not protection.allows(source)
    }
    return tuple(sorted(sources, key=lambda address: (address.version, int(address))))


def describe_before(readings: Sequence[Reading]) -> tuple[Probe, ...]:
    """Return the baseline as the report shows it: nothing is expected yet."""
    return tuple(
        Probe(
            phase="before",
            target=reading.target,
            result=reading.result,
            detail=reading.detail,
            took_ms=reading.took_ms,
        )
        for reading in readings
    )


def judge_evidence(evidence: Evidence, *, accept_unproven: bool) -> Verdict:
    """Weigh the evidence.

    The verdict is settled where waiting longer would not change it: every probe that must be
    blocked has raised a counter of ours, or has ended (C5, C7).
    """
    expectations = _expectations(evidence)
    counted = _counted(evidence)
    silenced = _silenced(evidence)
    probes = tuple(
        _after(reading, expectations.get(reading.target), counted, silenced) for reading in evidence.after
    )
    settled = all(
        reading.settled or probe.proof is not None
        for reading, probe in zip(evidence.after, probes, strict=True)
    )
    reason = _first_reason(evidence, probes, accept_unproven=accept_unproven)
    return Verdict(probes=probes, reason=reason, settled=settled)


def _expectations(evidence: Evidence) -> Mapping[Target, Expectation | None]:
    vantages = {vantage.name: vantage for vantage in evidence.vantages}
    was_open = {reading.target for reading in evidence.before if reading.result is ProbeResult.OPEN}
    found: dict[Target, Expectation | None] = {}
    for reading in evidence.after:
        target = reading.target
        protection = protection_of(evidence.protections, target.protocol, target.port)
        vantage = vantages[target.vantage]
        expected = vantage.expects(protection, target.family) if protection else None
        sure = vantage.certain or reading.result is ProbeResult.OPEN
        if expected is Expectation.OPEN and not (target in was_open and sure):
            expected = None  # whoever could not reach it before, or cannot tell, need not reach it now
        if expected is Expectation.BLOCKED and target.family in evidence.judgement.uncovered:
            expected = None  # shown as it is; it was accepted that our rules do not reach it
        found[target] = expected
    return found


def protection_of(protections: Sequence[Protection], protocol: Protocol, port: int) -> Protection | None:
    """Return the protection that covers a port."""
    for protection in protections:
        if protection.service.protocol is protocol and port in protection.service.ports:
            return protection
    return None


def _counted(evidence: Evidence) -> Mapping[tuple[str, Key], int]:
    """Return the packets that only a vantage's own probes can have raised."""
    found: dict[tuple[str, Key], int] = {}
    for vantage in evidence.vantages:
        for counter in evidence.judgement.counters:
            if _counts_for(counter, vantage):
                key = (vantage.name, (counter.family, counter.protocol, counter.port))
                found[key] = found.get(key, 0) + counter.packets
    return found


def _counts_for(counter: Counter, vantage: Vantage) -> bool:
    return counter.source is not None and vantage.sources.get(counter.family) == counter.source


def _silenced(evidence: Evidence) -> Mapping[Target, str]:
    """Return what is silent now that a rule of ours is enforced and was not before, and what was before."""
    before = {reading.target: reading.result for reading in evidence.before}
    certain = {vantage.name for vantage in evidence.vantages if vantage.certain}
    found: dict[Target, str] = {}
    for reading in evidence.after:
        target, then = reading.target, before.get(reading.target)
        key = (target.family, target.protocol, target.port)
        silent = reading.settled and reading.result is ProbeResult.FILTERED and target.vantage in certain
        if not silent or key not in evidence.judgement.enforced:
            continue
        if then in (ProbeResult.OPEN, ProbeResult.CLOSED):
            found[target] = f"{then} before"
        elif then is ProbeResult.FILTERED and key in evidence.judgement.inherited:
            found[target] = "blocked before by the run that this one replaces"
    return found


def _after(
    reading: Reading,
    expected: Expectation | None,
    counted: Mapping[tuple[str, Key], int],
    silenced: Mapping[Target, str],
) -> Probe:
    target = reading.target
    packets = counted.get((target.vantage, (target.family, target.protocol, target.port)), 0)
    proven = expected is Expectation.BLOCKED and reading.result is not ProbeResult.OPEN
    proof = f"counter +{packets}" if packets else None
    if target in silenced:
        proof = f"enforced; {silenced[target]}"
    return Probe(
        phase="after",
        target=target,
        result=reading.result,
        expected=expected,
        proof=proof if proven else None,
        detail=reading.detail,
        took_ms=reading.took_ms,
    )


def _first_reason(evidence: Evidence, probes: Sequence[Probe], *, accept_unproven: bool) -> Reason | None:
    checks: tuple[Callable[[], Reason | None], ...] = (
        lambda: _rules(evidence.judgement),  # where our rules do nothing, it says why a port is open
        lambda: _still_open(probes),
        lambda: _listeners(evidence),
        lambda: _cut_off(probes),
        lambda: None if accept_unproven else _unproven(probes),
    )
    return next((reason for check in checks if (reason := check()) is not None), None)


def _still_open(probes: Sequence[Probe]) -> Reason | None:
    opened = [
        probe
        for probe in probes
        if probe.expected is Expectation.BLOCKED and probe.result is ProbeResult.OPEN
    ]
    if not opened:
        return None
    return Reason(
        code="still-open",
        message=f"{_ports(opened)} still answered with our rules in place",
        next="something handles these packets before our rules do: on Linux look at its nat table, "
        "on Windows for rules that go before every block (authenticated bypass)",
    )


def _rules(judgement: Judgement) -> Reason | None:
    if not judgement.problems:
        return None
    return Reason(
        code="rules-not-in-place",
        message="; ".join(judgement.problems),
        next="find out who else changes the firewall of this host, then plan again",
    )


def _listeners(evidence: Evidence) -> Reason | None:
    def keyed(listeners: Sequence[Listener]) -> set[tuple[Protocol, int, str]]:
        # Other ports come and go (UDP clients show as listeners); they are nothing of ours.
        return {
            (each.protocol, each.port, each.process)
            for each in listeners
            if protection_of(evidence.protections, each.protocol, each.port) is not None
        }

    gone = sorted(keyed(evidence.listeners_before) - keyed(evidence.listeners_after))
    if not gone:
        return None
    names = ", ".join(f"{process or 'the listener'} on {port}/{protocol}" for protocol, port, process in gone)
    return Reason(
        code="listener-gone",
        message=f"{names} no longer listens; a stopped service is not a fix",
        next="find out why it stopped, then apply again",
    )


def _cut_off(probes: Sequence[Probe]) -> Reason | None:
    cut = [
        probe
        for probe in probes
        if probe.expected is Expectation.OPEN and probe.result is not ProbeResult.OPEN
    ]
    if not cut:
        return None
    return Reason(
        code="allowed-source-cut",
        message=f"{_ports(cut)} is allowed and was open before, and is {cut[0].result} now",
        next="look at the allow list and at the rules behind ours",
    )


def _unproven(probes: Sequence[Probe]) -> Reason | None:
    if any(probe.proof is not None for probe in probes):
        return None
    return Reason(
        code="unproven",
        message="no probe met a rule of ours for certain: nothing proves that our rules blocked anything",
        next="probe from another place (vantage: true in the inventory), or accept it: --accept unproven",
    )


def with_structure(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Mark what counts by read-back alone: blocked as it must be, but by no packet of ours."""
    return tuple(
        replace(probe, proof=STRUCTURE)
        if probe.expected is Expectation.BLOCKED
        and probe.proof is None
        and probe.result is not ProbeResult.OPEN
        else probe
        for probe in probes
    )


def compare_with_before(
    before: Sequence[Reading],
    after: Sequence[Reading],
    listeners: Sequence[Listener],
    *,
    stealthy: bool = False,
) -> Reason | None:
    """Tell what differs from before the run once it is undone; a dead service is no failed rollback (E8).

    A port at which nothing listens answers that it is closed. Silence is somebody's rule, also where the
    listener is not to be seen, as behind a published port; but `stealthy` hosts keep silent by themselves.
    """
    then = {reading.target: reading.result for reading in before}
    living = {(each.protocol, each.port) for each in listeners}
    shut = [
        reading
        for reading in after
        if then.get(reading.target) is ProbeResult.OPEN and reading.result is not ProbeResult.OPEN
    ]
    if not shut:
        return None
    dead = [
        each
        for each in shut
        if (each.target.protocol, each.target.port) not in living
        and (stealthy or each.result is ProbeResult.CLOSED)
    ]
    ports = _names({(each.target.port, each.target.protocol, each.target.address) for each in shut})
    if len(dead) == len(shut):
        return Reason(
            code="listener-gone",
            message=f"our rules are gone, but nothing listens any more on {ports}",
            next="start the service again",
        )
    return Reason(
        code=NOT_AS_BEFORE,
        message=f"our rules are gone, but {ports} was open before and is not now",
        next="look at what else changed on the host in the meantime",
    )


def _ports(probes: Sequence[Probe]) -> str:
    return _names({(each.target.port, each.target.protocol, each.target.address) for each in probes})


def _names(ports: set[tuple[int, Protocol, Address]]) -> str:
    ordered = sorted(ports, key=lambda each: (each[0], each[1], each[2].version, int(each[2])))
    return ", ".join(f"{port}/{protocol} at {address}" for port, protocol, address in ordered)
