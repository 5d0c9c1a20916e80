"""What may go wrong on a host of any platform, told from what was seen there. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from types import MappingProxyType

from fwfix.model.duration import format_duration
from fwfix.model.hazard import Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Listener, Observation, Session
from fwfix.model.policy import Address, Family, Protection, Protocol, is_printing_port

CONTROLLER = "controller"
_MOST_NAMED = 8
_WHOLE_FAMILY = 0

# G1: what is known to use these ports without being a printer. Process names are cut at 15 characters.
_EXPORTERS = re.compile(
    r"(^|[/\s_-])[\w.-]*exporter\b|^prometheus|^(bacula|bareos)-|^elasticsearch|^telegraf$|^grafana-agent$"
    r"|^alloy$|^netdata$|com\.ibm\.ws|websphere|wsserver|gitlab-runner|org\.elasticsearch",
    re.IGNORECASE,
)
# Programs that take print jobs, or hand a connection to one that does.
_PRINTER_DAEMONS = re.compile(
    r"^(p910nd|cupsd|cups-|lpd$|lpr|xinetd|inetd|jetdirect|papercut|pc-|rawprint|snmpd|hpssd|bjnp|cnij"
    r"|spoolsv)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Everything about one host that a hazard may depend on.

    Attributes:
        protected: the ports that the run in force blocks.
        vantages: where probes come from, by name: addresses as the host sees them. `controller` is us.
        deadline, worst_case: what the timer is armed with, and what the run may need.
    """

    host: Host
    observation: Observation
    protections: tuple[Protection, ...]
    probe_addresses: tuple[Address, ...] = ()
    protected: frozenset[tuple[Protocol, int]] = frozenset()
    in_force: str = ""
    vantages: Mapping[str, tuple[Address, ...]] = field(default_factory=lambda: MappingProxyType({}))
    deadline: timedelta | None = None
    worst_case: timedelta | None = None


def find_hazards(circumstances: Circumstances) -> tuple[Hazard, ...]:
    """Return every hazard that does not depend on the platform."""
    return tuple(
        sorted(
            {
                Hazard(code=code, message=message)
                for code, look in HAZARDS.items()
                for message in look(circumstances)
            }
        )
    )


def listener_is_exporter(seen: Circumstances) -> Iterator[str]:
    """G1: 9100/tcp is also the port of node_exporter, the Bacula daemons live next to it, and so on."""
    for listener in _exposed_listeners(seen):
        if _EXPORTERS.search(listener.process) or _EXPORTERS.search(listener.command):
            yield (
                f"{_program(listener)} listens on {_port(listener)} and is no printer: whoever reads its "
                f"numbers would be cut off; allow those readers in allow_from, or leave this host out"
            )


def listener_unknown(seen: Circumstances) -> Iterator[str]:
    """Say which program nobody could place, so that the reader can."""
    for listener in _exposed_listeners(seen):
        names = (listener.process, listener.command)
        if any(_EXPORTERS.search(name) or _PRINTER_DAEMONS.search(name) for name in names if name):
            continue
        what = f"{_program(listener)} listens on {_port(listener)}"
        yield f"{what}; make sure that nobody needs it from elsewhere"


def session_would_be_cut(seen: Circumstances) -> Iterator[str]:
    """B4: our rules cut what is open; a job that is printing stops in the middle."""
    if not seen.observation.sessions:
        return
    ours = {*_controller(seen), *seen.observation.addresses, seen.observation.management.peer}
    for protection in seen.protections:
        cut = sorted(
            {
                session.peer
                for session in seen.observation.sessions
                if _covers(protection, session)
                for peer in [ip_address(session.peer.partition("%")[0])]
                if not (protection.allows(peer) or peer in ours or peer.is_loopback)
            }
        )
        if cut:
            yield (
                f"open sessions on {protection.service} would be cut: {named(cut)}; wait until they are "
                f"over, or allow these addresses"
            )


def narrows_protection(seen: Circumstances) -> Iterator[str]:
    """Contract 4: superseding must not open what an earlier run closed."""
    kept = {
        (protection.service.protocol, port)
        for protection in seen.protections
        if not any(network.prefixlen == _WHOLE_FAMILY for network in protection.allowed)
        for port in protection.service.ports
    }
    opened = sorted(seen.protected - kept)
    if opened:
        ports = named([f"{port}/{protocol}" for protocol, port in opened])
        yield (
            f"run {seen.in_force} protects {ports}, which this run would open again; add it to the policy, "
            f"or undo that run first: fwfix rollback {seen.in_force} -l {seen.host.name}"
        )


def not_a_printing_port(seen: Circumstances) -> Iterator[str]:
    """Ask twice before a port is closed that no profile knows."""
    for protection in seen.protections:
        service = protection.service
        strange = [port for port in service.ports if not is_printing_port(service.protocol, port)]
        if strange:
            ports = f"{_span(strange)}/{service.protocol}"
            yield f"{ports} is a port of no printing profile; make sure that it is meant"


def unproven(seen: Circumstances) -> Iterator[str]:
    """Tell beforehand that no packet from any vantage can show that our rules block."""
    vantages = _vantages(seen)
    targets = {Family.of(address) for address in seen.probe_addresses}
    sources = [address for addresses in vantages.values() for address in addresses]
    provable = any(
        Family.of(source) in targets and not protection.allows(source)
        for source in sources
        for protection in seen.protections
    )
    if seen.protections and sources and not provable:
        names = named(sorted(vantages))
        yield (
            f"every vantage ({names}) is on the allow list, so no packet can prove that others are blocked; "
            f"give a host `vantage: true` that is not allowed, or accept that only the rules are read back"
        )


def controller_is_allowed(seen: Circumstances) -> Iterator[str]:
    """C4: from an allowed address a perfect block looks open."""
    for protection in seen.protections:
        allowed = sorted(str(address) for address in _controller(seen) if protection.allows(address))
        if allowed:
            yield (
                f"this controller ({named(allowed)}) is allowed to reach {protection.service}, so it will "
                f"see the port open; other vantages have to prove the block"
            )


def nobody_allowed(seen: Circumstances) -> Iterator[str]:
    """Say that not even print servers keep access."""
    for protection in seen.protections:
        if not protection.allowed:
            yield f"nobody will reach {protection.service} any more: the policy allows no source"


def family_loses_access(seen: Circumstances) -> Iterator[str]:
    """G7: an allow list of one family locks the same clients out in the other."""
    for protection in seen.protections:
        for family in sorted(seen.observation.families):
            if protection.allowed and not protection.allowed_in(family):
                yield (
                    f"the allow list of {protection.service} has no {family.label} source, but this host "
                    f"has {family.label} addresses: allowed clients that come by it lose access"
                )


def deadline_short(seen: Circumstances) -> Iterator[str]:
    """D10: a timer that fires while the run is still proving itself undoes good work."""
    if seen.deadline is not None and seen.worst_case is not None and seen.deadline < seen.worst_case:
        yield (
            f"the timer fires {format_duration(seen.deadline)} after arming, but this host may need "
            f"{format_duration(seen.worst_case)}; the probes shrink to fit, and a slow host may revert"
        )


HAZARDS: Mapping[str, Callable[[Circumstances], Iterator[str]]] = MappingProxyType(
    {
        "listener-is-exporter": listener_is_exporter,
        "listener-unknown": listener_unknown,
        "session-would-be-cut": session_would_be_cut,
        "narrows-protection": narrows_protection,
        "not-a-printing-port": not_a_printing_port,
        "unproven": unproven,
        "controller-is-allowed": controller_is_allowed,
        "nobody-allowed": nobody_allowed,
        "family-loses-access": family_loses_access,
        "deadline-short": deadline_short,
    }
)


def _exposed_listeners(seen: Circumstances) -> Iterator[Listener]:
    """Yield the listeners on protected ports that others can reach, each program once."""
    once: set[tuple[Protocol, int, str]] = set()
    for protection in seen.protections:
        for listener in seen.observation.listeners:
            key = (listener.protocol, listener.port, listener.process)
            if _covers(protection, listener) and key not in once and not is_loopback(listener.address):
                once.add(key)
                yield listener


def _covers(protection: Protection, socket: Listener | Session) -> bool:
    service = protection.service
    return socket.protocol is service.protocol and socket.port in service.ports


def is_loopback(address: str) -> bool:
    """Tell whether an address, or what stands for one, is of the host itself and reached by nobody else."""
    if not address:
        return False
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def _controller(seen: Circumstances) -> tuple[Address, ...]:
    """Return our own addresses: as the host sees us (G8), and for the other family as we were told."""
    peer = seen.observation.management.peer
    told = seen.vantages.get(CONTROLLER, ())
    if peer is None or _jump(seen) or not seen.observation.management.direct:
        return told
    return (peer, *(address for address in told if address.version != peer.version))


def _vantages(seen: Circumstances) -> Mapping[str, tuple[Address, ...]]:
    others = {
        name: addresses
        for name, addresses in seen.vantages.items()
        if name not in {CONTROLLER, seen.host.name} and addresses
    }
    ours, peer, jump = _controller(seen), seen.observation.management.peer, _jump(seen)
    if jump and peer is not None:
        others[jump] = (peer,)
    return {CONTROLLER: ours, **others} if ours else others


def _jump(seen: Circumstances) -> str | None:
    """Return the jump host; behind one, the address that the host sees is not ours."""
    if seen.host.platform is Platform.WINDOWS:
        return seen.host.winrm.jump
    known = None if seen.observation.management.direct else "the jump host of ssh_config"
    return seen.host.ssh.jump or known


def _program(listener: Listener) -> str:
    return listener.process or "a program that cannot be named"


def _port(listener: Listener) -> str:
    return f"{listener.port}/{listener.protocol}"


def named(items: Sequence[str]) -> str:
    """Return the first few by name, and how many more there are."""
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(ports: Sequence[int]) -> str:
    whole = len(ports) > 1 and ports[-1] - ports[0] == len(ports) - 1
    return f"{ports[0]}-{ports[-1]}" if whole else ", ".join(str(port) for port in ports)
