"""What the Linux `observe` script answered, as an Observation. Pure."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from fwfix.drivers.answers import Document, parse_answer, state_of
from fwfix.drivers.iptables_save import Ruleset, parse_save
from fwfix.drivers.linux_facts import LinuxFacts, Unit
from fwfix.drivers.nft_list import parse_nft
from fwfix.drivers.plain_words import from_plain_word
from fwfix.drivers.sockets import (
    InterfaceAddress,
    parse_addresses,
    parse_conntrack,
    parse_listeners,
    parse_proc_net,
    parse_sessions,
    parse_ssh_connection,
)
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
from fwfix.model.policy import Address, Family
from fwfix.model.runid import is_run_id
from fwfix.model.script import Result

_SAVES = {Family.IPV4: ("iptables", "save4"), Family.IPV6: ("ip6tables", "save6")}


def read_linux_observation(result: Result, *, direct: bool = True) -> Observation:
    """Read what `observe` answered.

    Raises:
        AnswerError: it is not an observation.
        PrivilegeError: the script did not run as root, so it saw neither rules nor processes.
    """
    document = parse_answer(result)
    if document.number("uid") != 0:
        raise PrivilegeError(
            "the script did not run as root",
            next="Log on as root, or set `become: sudo` under `ssh` in the inventory.",
        )
    if not document.flag("ok") and "ok" in document.values:
        raise ScriptError(document.text("message") or "observe failed", code=document.text("code") or None)
    identity = document.text("machine_id").strip()
    if not identity or document.number("uptime") is None:
        raise AnswerError("the script's answer names no machine id or no uptime")
    return _observation(document, identity, direct=direct)


def _observation(document: Document, identity: str, *, direct: bool) -> Observation:
    peer, _, port = parse_ssh_connection(document.text("ssh_connection"))
    boot_id = document.text("boot_id").strip()
    uptime = timedelta(seconds=document.number("uptime") or 0.0)
    facts = read_facts(document)
    listeners, sessions = _sockets(document)
    records = tuple(
        _record(item, identity=identity, boot_id=boot_id, uptime=uptime)
        for item in document.objects("records")
    )
    return Observation(
        platform=Platform.LINUX,
        identity=identity,
        hostname=document.text("hostname").strip(),
        boot_id=boot_id,
        uptime=uptime,
        management=ManagementPath(peer=peer, port=port, direct=direct),
        addresses=_outside_addresses(facts),
        listeners=listeners,
        sessions=sessions,
        records=tuple(sorted(records, key=lambda record: record.run_id)),
        lock_holder=_lock_holder(document.text("lock"), boot_id=boot_id, uptime=uptime),
        facts=facts,
    )


def _sockets(document: Document) -> tuple[tuple[Listener, ...], tuple[Session, ...]]:
    if document.text("ss").strip() or not document.values.get("proc_net"):
        listeners = parse_listeners(document.text("ss"), document.texts("commands"))
        sessions = parse_sessions(document.text("sessions"))
    else:
        listeners, sessions = parse_proc_net(document.texts("proc_net"))
    translated = parse_conntrack(document.text("conntrack"))
    return listeners, tuple(sorted({*sessions, *translated}))


def _outside_addresses(facts: LinuxFacts) -> tuple[Address, ...]:
    """Return the addresses at which others can reach the host: first those of the interface we came in by."""
    outside = [item for item in facts.interfaces if not item.internal]
    ours = {item.interface for item in outside if item.address == facts.local_address}
    ordered = sorted(outside, key=lambda item: (item.interface not in ours, item.temporary))
    return tuple(dict.fromkeys(item.address for item in ordered))


def read_facts(document: Document) -> LinuxFacts:
    """Read what only the Linux driver needs."""
    tools = {name: path for name, path in document.texts("tools").items() if path.strip()}
    _, local, _ = parse_ssh_connection(document.text("ssh_connection"))
    pid1 = document.text("pid1").strip()
    systemd = document.flag("systemd")
    boot_unit = document.object("boot_unit")
    return LinuxFacts(
        saves=MappingProxyType(_saves(document, tools)),
        nft=parse_nft(document.text("nft")),
        tools=MappingProxyType(tools),
        iptables_version=document.text("iptables_version").strip(),
        legacy=bool(document.lines("legacy_tables")),
        interfaces=_interfaces(document),
        local_address=local,
        forwards=_forwards(document),
        pid1=pid1,
        systemd=systemd,
        units=tuple(_unit(item) for item in document.objects("units")),
        processes=frozenset(document.lines("processes")),
        traps=document.lines("traps"),
        config_management=document.lines("config_management"),
        bjnp_clients=document.lines("bjnp_clients"),
        cron=document.lines("cron"),
        init=document.text("init").strip() or "none",
        tracks_sessions=document.text("conntrack_source").strip() not in {"", "-"},
        boot_unit=boot_unit.flag("present") and boot_unit.flag("enabled"),
    )


def _saves(document: Document, tools: dict[str, str]) -> dict[Family, Ruleset]:
    saves = {}
    for family, (tool, key) in _SAVES.items():
        if tool in tools and (document.number(f"{key}_code") or 0) == 0:
            saves[family] = parse_save(document.text(key))
    return saves


def _interfaces(document: Document) -> tuple[InterfaceAddress, ...]:
    return parse_addresses(document.text("addresses"))


def _forwards(document: Document) -> frozenset[Family]:
    keys = {Family.IPV4: "forward4", Family.IPV6: "forward6"}
    return frozenset(family for family, key in keys.items() if document.flag(key))


def _unit(document: Document) -> Unit:
    return Unit(
        name=document.text("name"),
        active=document.text("active").lower() in {"active", "true", "1", "yes"},
        enabled=document.text("enabled").lower() in {"enabled", "true", "1", "yes", "enabled-runtime"},
    )


def _record(document: Document, *, identity: str, boot_id: str, uptime: timedelta) -> RunRecord:
    run_id = document.text("run_id").strip()
    if not is_run_id(run_id):
        raise AnswerError(f"the host has a record that is not one of a run: {run_id!r}")
    state = state_of(document.text("state"))
    if state is None:
        raise AnswerError(f"the record of run {run_id} on the host has no state")
    machine = document.text("machine_id").strip()
    return RunRecord(
        run_id=run_id,
        state=state,
        since=_instant(document.text("since")),
        operator=from_plain_word(document.text("operator")),
        remaining=_remaining(document, state, boot_id=boot_id, uptime=uptime),
        superseded_by=document.text("superseded_by").strip(),
        supersedes=document.text("supersedes").strip().strip("-"),
        backend=document.text("backend").strip(),
        desired=document.text("desired").strip(),
        foreign=bool(machine) and machine != identity,
    )


def _remaining(
    document: Document, state: RecordState, *, boot_id: str, uptime: timedelta
) -> timedelta | None:
    """Return the time until the timer fires; None where the run is over or the host was restarted."""
    deadline = document.number("deadline")
    if deadline is None or state not in {RecordState.ARMING, RecordState.ARMED, RecordState.REVERTING}:
        return None
    if document.text("boot_id").strip() not in {"", boot_id}:
        return None
    return max(timedelta(0), timedelta(seconds=deadline) - uptime)


def _instant(text: str) -> datetime | None:
    stripped = text.strip()
    if not stripped:
        return None
    try:
        if stripped.isdecimal():
            return datetime.fromtimestamp(int(stripped), UTC)
        instant = datetime.fromisoformat(stripped)
    except (ValueError, OverflowError, OSError):
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _lock_holder(text: str, *, boot_id: str, uptime: timedelta) -> str | None:
    """Return the run that holds the lock; one past its deadline or from an earlier boot holds nothing."""
    words = text.split()
    if not words or not is_run_id(words[0]):
        return None
    if (
        len(words) > 1
        and words[1].replace(".", "", 1).isdecimal()
        and float(words[1]) < uptime.total_seconds()
    ):
        return None
    return words[0] if len(words) < 3 or words[2] == boot_id else None  # noqa: PLR2004 - run, deadline, boot
