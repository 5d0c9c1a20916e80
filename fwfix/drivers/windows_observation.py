"""What the Windows `observe` script answered, as an Observation. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import MappingProxyType

from fwfix.drivers.answers import Document, parse_answer, state_of
from fwfix.drivers.plain_words import from_plain_word
from fwfix.drivers.windows_facts import Network, Printer, Profile, WindowsFacts
from fwfix.drivers.windows_rules import RegistryRule, parse_rule
from fwfix.errors import AnswerError, PrivilegeError, ScriptError
from fwfix.model.host import Platform
from fwfix.model.observation import (
    Listener,
    ManagementPath,
    Observation,
    RecordState,
    RunRecord,
    Session,
)
from fwfix.model.policy import Address, Family, Protocol
from fwfix.model.runid import is_run_id
from fwfix.model.script import Result

_WINRM_PORTS = (5986, 5985)
_STORES = (("local", "rules"), ("policy", "policy_rules"), ("mdm", "mdm_rules"))
_PENDING = frozenset({RecordState.ARMING, RecordState.ARMED, RecordState.REVERTING})
_LOCK_WORDS = 3


def read_windows_observation(result: Result, *, direct: bool = True) -> Observation:
    """Read what `observe` answered.

    Raises:
        AnswerError: it is not an observation.
        PrivilegeError: the account has no administrator's token.
        ScriptError: fwfix cannot manage this version of Windows, or the script met an error.
    """
    document = parse_answer(result)
    if not document.flag("ok"):
        _refuse(document)
    identity = document.text("machine_id").strip()
    uptime = document.number("uptime")
    if not identity or uptime is None:
        raise AnswerError("the script's answer names no machine id or no uptime")
    return _observation(document, identity, timedelta(seconds=uptime), direct=direct)


def _refuse(document: Document) -> None:
    code, message = document.text("code"), document.text("message") or "observe failed"
    if code == "not-administrator":
        raise PrivilegeError(
            message,
            next="Use a domain account that is an administrator of the host, or set"
            " LocalAccountTokenFilterPolicy=1 there for a local one.",
        )
    if code == "unsupported-os":
        raise ScriptError(message, next="Leave this host out of the run.", code=code)
    raise ScriptError(message, next="Run `fwfix doctor` on this host.", code=code or None)


def _observation(document: Document, identity: str, uptime: timedelta, *, direct: bool) -> Observation:
    boot_id = document.text("boot_id").strip()
    sessions = tuple(sorted(set(_sessions(document))))
    records = tuple(
        _record(item, identity=identity, boot_id=boot_id, uptime=uptime)
        for item in document.objects("records")
    )
    return Observation(
        platform=Platform.WINDOWS,
        identity=identity,
        hostname=document.text("hostname").strip(),
        boot_id=boot_id,
        uptime=uptime,
        management=_management(sessions, direct=direct),
        addresses=_addresses(document),
        listeners=tuple(sorted(set(_listeners(document)), key=_order)),
        sessions=sessions,
        records=tuple(sorted(records, key=lambda record: record.run_id)),
        lock_holder=_lock_holder(document.text("lock"), boot_id=boot_id, uptime=uptime),
        facts=read_facts(document),
    )


def read_facts(document: Document) -> WindowsFacts:
    """Read what only the Windows driver needs."""
    return WindowsFacts(
        os_name=document.text("os_name"),
        os_version=document.text("os_version"),
        ps_version=document.text("ps_version"),
        services=MappingProxyType(
            {item.text("name"): item.text("status") for item in document.objects("services")}
        ),
        profiles=tuple(_profile(item) for item in document.objects("profiles")),
        networks=tuple(
            Network(interface=item.text("interface"), category=item.text("category"))
            for item in document.objects("networks")
        ),
        rules=tuple(_rules(document)),
        enforced=MappingProxyType(
            {item.text("name"): item.lines("status") for item in document.objects("enforced")}
        ),
        printers=tuple(_printers(document)),
        products=tuple(item.text("name") for item in document.objects("products")),
        execution_policy=document.text("execution_policy"),
        place=document.text("place"),
        troubles=MappingProxyType(dict(document.texts("troubles"))),
    )


def _profile(item: Document) -> Profile:
    return Profile(
        name=item.text("name"),
        enabled=item.text("enabled"),
        default_inbound=item.text("default_inbound"),
        allow_inbound=item.text("allow_inbound"),
        allow_local_rules=item.text("allow_local_rules"),
        allow_user_ports=item.text("allow_user_ports"),
        disabled_interfaces=tuple(
            alias for alias in item.lines("disabled_interfaces") if alias != "NotConfigured"
        ),
    )


def _rules(document: Document) -> Iterator[RegistryRule]:
    for store, key in _STORES:
        for name, text in sorted(document.texts(key).items()):
            yield parse_rule(name, text, store=store)


def _printers(document: Document) -> Iterator[Printer]:
    ports = {item.text("name"): item for item in document.objects("printer_ports")}
    for item in document.objects("printers"):
        whole = item.text("port")
        # A pool of printers has its ports in one text.
        for name in dict.fromkeys((whole, *(part.strip() for part in whole.split(",")))):
            port = ports.get(name)
            if port is not None and port.text("address"):
                yield Printer(name=item.text("name"), address=port.text("address"), port=port.text("port"))


def _plain(text: str) -> Address | None:
    """Read an address without its zone; an IPv4 address in IPv6 clothes is an IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _addresses(document: Document) -> tuple[Address, ...]:
    """Return the addresses at which others can reach the host; temporary IPv6 ones last."""
    found: list[tuple[bool, Address]] = []
    for item in document.objects("addresses"):
        address = _plain(item.text("address"))
        usable = item.text("state") not in {"Tentative", "Duplicate", "Invalid", "1", "2", "0"}
        if address is None or address.is_loopback or address.is_link_local or not usable:
            continue
        found.append((item.text("origin") in {"Random", "5"}, address))
    return tuple(dict.fromkeys(address for _, address in sorted(found, key=lambda each: each[0])))


def _listeners(document: Document) -> Iterator[Listener]:
    processes = document.object("processes")
    for protocol, items in ((Protocol.TCP, document.objects("tcp")), (Protocol.UDP, document.objects("udp"))):
        for item in items:
            if protocol is Protocol.TCP and item.text("state") != "Listen":
                continue
            owner = processes.object(item.text("pid"))
            yield _listener(protocol, item, owner)


def _listener(protocol: Protocol, item: Document, owner: Document) -> Listener:
    address = _plain(item.text("local"))
    anywhere = address is None or address.is_unspecified
    return Listener(
        protocol=protocol,
        port=int(item.number("port") or 0),
        address="" if anywhere else str(address),
        # Windows lists a dual-stack socket once for each family.
        family=Family.of(address) if address is not None else None,
        process=owner.text("name"),
        command=owner.text("path"),
    )


def _order(listener: Listener) -> tuple[str, int, str, str, str]:
    return (
        listener.protocol,
        listener.port,
        listener.address,
        listener.family or "",
        f"{listener.process} {listener.command}",
    )


def _sessions(document: Document) -> Iterator[Session]:
    for item in document.objects("tcp"):
        peer = _plain(item.text("peer"))
        if item.text("state") == "Established" and peer is not None and not peer.is_loopback:
            yield Session(protocol=Protocol.TCP, port=int(item.number("port") or 0), peer=str(peer))


def _management(sessions: tuple[Session, ...], *, direct: bool) -> ManagementPath:
    """Return how we came in: nothing says which connection is ours, so only a single peer is certain."""
    for port in _WINRM_PORTS:
        peers = {each.peer for each in sessions if each.port == port}
        if peers:
            peer = ip_address(peers.pop()) if len(peers) == 1 else None
            return ManagementPath(peer=peer, port=port, direct=direct)
    return ManagementPath(peer=None, port=0, direct=direct)


def _record(document: Document, *, identity: str, boot_id: str, uptime: timedelta) -> RunRecord:
    run_id = document.text("run_id").strip()
    state = state_of(document.text("state"))
    if not is_run_id(run_id) or state is None:
        raise AnswerError(f"the host has a record that is not one of a run: {run_id!r}")
    machine = document.text("machine_id").strip()
    same_boot = document.flag("timer") or document.text("boot_id").strip() in {"", boot_id}
    deadline = document.number("deadline")
    pending = state in _PENDING and deadline is not None and same_boot
    return RunRecord(
        run_id=run_id,
        state=state,
        since=_instant(document.text("since")),
        operator=from_plain_word(document.text("operator")),
        remaining=max(timedelta(0), timedelta(seconds=deadline or 0.0) - uptime) if pending else None,
        superseded_by=document.text("superseded_by").strip(),
        supersedes=document.text("supersedes").strip(),
        backend=document.text("backend").strip(),
        desired=document.text("desired").strip(),
        foreign=bool(machine) and machine != identity,
    )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except ValueError:
        return None


def _lock_holder(text: str, *, boot_id: str, uptime: timedelta) -> str | None:
    """Return the run that holds the lock; one past its deadline or from an earlier boot holds nothing."""
    words = text.split()
    if len(words) != _LOCK_WORDS or not is_run_id(words[0]) or words[2] != boot_id:
        return None
    try:
        return words[0] if float(words[1]) >= uptime.total_seconds() else None
    except ValueError:
        return None
