"""What works on a host, what would stop an apply, and what to type to mend it. Read-only."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fwfix.drivers.base import Desired
from fwfix.errors import FwfixError, PrivilegeError
from fwfix.executors.base import Executor
from fwfix.hazards import Circumstances, find_hazards
from fwfix.model.hazard import Severity
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Observation, RecordState, in_force
from fwfix.model.policy import Address, Protection
from fwfix.runner.context import SCRIPT_SECONDS, RunContext

_PORTS = {(Platform.LINUX, ""): 22, (Platform.WINDOWS, "http"): 5985, (Platform.WINDOWS, "https"): 5986}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: stable, for programs.
        next: what to type to mend it; empty where nothing is wrong.
    """

    check: str
    ok: bool
    message: str
    next: str = ""


def examine(
    host: Host,
    context: RunContext,
    *,
    protections: tuple[Protection, ...],
    vantages: Mapping[str, tuple[Address, ...]],
) -> tuple[Check, ...]:
    """Look at a host step by step; stops where the next step cannot be taken."""
    found: list[Check] = []
    context.observer.host_step(host.name, "examine")
    if not _jump(host):
        found.extend(_network(host, context))
        if not all(check.ok for check in found):
            return tuple(found)
    started = time.monotonic()
    try:
        executor = context.open(host)
    except FwfixError as error:
        found.append(_failed("logon", error))
        return tuple(found)
    found.append(Check(check="logon", ok=True, message=f"logged on in {_ms(started)} ms"))
    try:
        found.extend(_inside(host, context, executor, protections=protections, vantages=vantages))
    finally:
        executor.close()
    return tuple(found)


def _network(host: Host, context: RunContext) -> Iterator[Check]:
    """Look the address up and knock at the port; nothing is sent."""
    port = _port(host)
    try:
        answers = socket.getaddrinfo(host.address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        said = error.strerror or str(error)
        yield Check(
            check="address",
            ok=False,
            message=f"{host.address} cannot be looked up: {said}",
            next="correct `address` in the inventory",
        )
        return
    addresses = sorted({str(answer[4][0]) for answer in answers})
    yield Check(check="address", ok=True, message=f"{host.address} is {', '.join(addresses)}")
    started = time.monotonic()
    try:
        with socket.create_connection((host.address, port), timeout=context.connect_timeout.total_seconds()):
            pass
    except OSError as error:
        yield Check(
            check="port",
            ok=False,
            message=f"port {port}/tcp does not answer: {error.strerror or error}",
            next="is it the right address and port, and does a firewall stand between?",
        )
        return
    yield Check(check="port", ok=True, message=f"port {port}/tcp answers in {_ms(started)} ms")


def _inside(
    host: Host,
    context: RunContext,
    executor: Executor,
    *,
    protections: tuple[Protection, ...],
    vantages: Mapping[str, tuple[Address, ...]],
) -> Iterator[Check]:
    driver = context.driver(host)
    services = tuple(protection.service for protection in protections)
    started = time.monotonic()
    try:
        result = executor.run(driver.observe(services), deadline=time.monotonic() + SCRIPT_SECONDS)
        observation = driver.read_observation(result)
    except PrivilegeError as error:
        yield _failed("privilege", error)
        return
    except FwfixError as error:
        yield _failed("observe", error)
        return
    yield Check(check="privilege", ok=True, message="scripts run as the administrator")
    yield Check(
        check="observe",
        ok=True,
        message=f"it is {observation.hostname}, machine {observation.identity[:12]}; {_ms(started)} ms",
    )
    yield from _records(observation)
    try:
        draft = driver.draft(
            Desired(host=host, run_id=context.run_id, protections=protections, observation=observation)
        )
    except FwfixError as error:
        yield _failed("firewall", error)
        return
    yield Check(check="firewall", ok=True, message=f"rules would go into {draft.backend}")
    standing = in_force(observation.records)
    common = find_hazards(
        Circumstances(
            host=host,
            observation=observation,
            protections=protections,
            probe_addresses=draft.probe_addresses,
            protected=draft.protected,
            in_force=standing.run_id if standing else "",
            vantages=vantages,
        )
    )
    for hazard in sorted({*draft.hazards, *common}):
        stops = hazard.severity is Severity.STOP
        accept = f"mend it, or accept it: --accept {hazard.code}@{host.name}" if stops else ""
        yield Check(check=f"hazard:{hazard.code}", ok=not stops, message=hazard.message, next=accept)


def _records(observation: Observation) -> Iterator[Check]:
    pending = [
        record
        for record in observation.records
        if record.state in (RecordState.ARMING, RecordState.ARMED, RecordState.REVERTING)
    ]
    standing = in_force(observation.records)
    if pending:
        ids = ", ".join(f"{record.run_id} ({record.state})" for record in pending)
        yield Check(
            check="records",
            ok=False,
            message=f"a run is under way here: {ids}",
            next="wait for it, or: fwfix runs recover",
        )
    elif any(record.foreign for record in observation.records):
        yield Check(
            check="records",
            ok=True,
            message="records of another machine are here (a clone?); they are never acted on",
        )
    else:
        said = f"run {standing.run_id} is in force" if standing else "nothing of fwfix is in force"
        yield Check(check="records", ok=True, message=said)


def _failed(check: str, error: FwfixError) -> Check:
    return Check(check=check, ok=False, message=error.message, next=error.next)


def _jump(host: Host) -> str | None:
    return host.ssh.jump if host.platform is Platform.LINUX else host.winrm.jump


def _port(host: Host) -> int:
    if host.platform is Platform.LINUX:
        return host.ssh.port or _PORTS[host.platform, ""]
    with suppress(KeyError):
        return host.winrm.port or _PORTS[host.platform, host.winrm.scheme]
    return _PORTS[Platform.WINDOWS, "https"]


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
