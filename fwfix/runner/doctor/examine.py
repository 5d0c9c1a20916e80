"""One host from its address to what would stop an apply; nothing on it is changed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fwfix.drivers.answers import parse_answer
from fwfix.drivers.base import Desired, Driver
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.windows_facts import WindowsFacts
from fwfix.errors import AnswerError, FwfixError, PrivilegeError
from fwfix.executors.base import Executor
from fwfix.hazards import Circumstances, find_hazards
from fwfix.model.draft import Draft
from fwfix.model.hazard import Hazard, Severity
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Observation, RecordState, in_force
from fwfix.model.policy import Address, Protection
from fwfix.model.script import Result
from fwfix.runner.context import SCRIPT_SECONDS, RunContext, read_observation
from fwfix.runner.doctor.below import Below
from fwfix.runner.doctor.linux_facts import linux_steps
from fwfix.runner.doctor.logon import logon_failed, rights_remedy
from fwfix.runner.doctor.network import milliseconds
from fwfix.runner.doctor.ssh_steps import look_below_ssh
from fwfix.runner.doctor.table import Check, Remedy, Table
from fwfix.runner.doctor.windows_facts import windows_steps
from fwfix.runner.doctor.winrm_steps import look_below_winrm

_PENDING = (RecordState.ARMING, RecordState.ARMED, RecordState.REVERTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One host, and what is wanted there."""

    host: Host
    context: RunContext
    protections: tuple[Protection, ...]
    vantages: Mapping[str, tuple[Address, ...]]

    @property
    def driver(self) -> Driver:
        """The driver of its platform."""
        return self.context.driver(self.host)


def examine(
    host: Host,
    context: RunContext,
    *,
    below: Below,
    protections: tuple[Protection, ...],
    vantages: Mapping[str, tuple[Address, ...]],
) -> tuple[Check, ...]:
    """Look at a host step by step; a step that fails ends what depends on it."""
    table = Table(host.platform)
    context.observer.host_step(host.name, "examine")
    look = look_below_winrm if host.platform is Platform.WINDOWS else look_below_ssh
    look(host, below, table, seconds=context.connect_timeout.total_seconds())
    if table.failed is None:
        _log_on(
            Subject(host=host, context=context, protections=protections, vantages=vantages),
            table,
        )
    return table.rows()


def _log_on(subject: Subject, table: Table) -> None:
    host, started = subject.host, time.monotonic()
    try:
        executor = subject.context.open(host)
    except FwfixError as error:
        logon_failed(table, host, error)
        return
    try:
        if host.platform is Platform.LINUX:
            table.ok("host-key", "it is the host that we know")
        else:
            table.ok("shell", "the account may open a shell")
        table.ok("logon", f"logged on in {milliseconds(started)} ms")
        observation = _observe(subject, executor, table)
    finally:
        executor.close()
    if observation is not None:
        _judge(subject, table, observation)


def _observe(subject: Subject, executor: Executor, table: Table) -> Observation | None:
    host, driver, started = subject.host, subject.driver, time.monotonic()
    services = tuple(protection.service for protection in subject.protections)
    result: Result | None = None
    try:
        result = executor.run(driver.observe(services), deadline=time.monotonic() + SCRIPT_SECONDS)
        observation = read_observation(driver, result, executor)
    except FwfixError as error:
        _script_failed(table, host, error, result)
        return None
    if host.platform is Platform.LINUX:
        table.ok("shell", "/bin/sh runs scripts")
        table.ok("sudo", "sudo gives root" if host.ssh.become.value == "sudo" else "not needed: it is root")
    else:
        table.ok("language", "FullLanguage")
        table.ok("elevation", "an administrator's token")
    said = f"it is {observation.hostname}; observed in {milliseconds(started)} ms"
    table.ok("script", said)
    return observation


def _script_failed(table: Table, host: Host, error: FwfixError, result: Result | None) -> None:
    """Find the step: before the script began, in what it was allowed, or in what it answered."""
    if host.platform is Platform.LINUX:
        _linux_script_failed(table, host, error, result)
    elif error.code == "constrained-language":
        text = "Get-AppLockerPolicy -Effective -Xml; citool -lp   # exempt the account in the policy found"
        table.fail("language", f"{error.message} {error.next}", Remedy(next=text, on=host.name))
    elif result is None:
        table.fail_with("script", error)
    else:
        table.ok("language", "FullLanguage")
        table.ok("script", "a script ran and answered")
        _refused(table, host, error, result)


def _linux_script_failed(table: Table, host: Host, error: FwfixError, result: Result | None) -> None:
    if not isinstance(error, PrivilegeError):
        table.fail_with("script", error)
    elif result is not None or "sudo" in error.code or "sudo" in error.message:
        table.ok("shell", "the account runs commands")
        user = host.ssh.user or "the account"
        table.fail("sudo", error.message, Remedy(next=f"sudo -l   # as {user}. {error.next}", on=host.name))
    else:
        table.fail("shell", error.message, Remedy(next=error.next, on=host.name))


def _refused(table: Table, host: Host, error: FwfixError, result: Result) -> None:
    """Read what a Windows host told beside its refusal."""
    try:
        document = parse_answer(result)
    except AnswerError:
        table.fail_with("script", error)
        return
    ps_version, os_version = document.text("ps_version"), document.text("os_version")
    if ps_version:
        table.ok("powershell", f"PowerShell {ps_version}")
        table.ok("windows", f"{document.text('os_name')}, {os_version}")
    if error.code == "unsupported-os":
        step = "windows" if ps_version else "powershell"
        table.fail(step, error.message, Remedy(next=f"leave {host.name} out: -l '!{host.name}'"))
    elif isinstance(error, PrivilegeError):
        table.fail("elevation", error.message, rights_remedy(host))
    else:
        table.fail_with("script", error)


def _judge(subject: Subject, table: Table, observation: Observation) -> None:
    host = subject.host
    if isinstance(observation.facts, WindowsFacts):
        windows_steps(table, host.name, observation.facts)
    elif isinstance(observation.facts, LinuxFacts):
        linux_steps(table, observation.facts)
    _records(table, observation)
    try:
        draft = subject.driver.draft(
            Desired(
                host=host,
                run_id=subject.context.run_id,
                protections=subject.protections,
                observation=observation,
            )
        )
    except FwfixError as error:
        table.fail("firewall", error.message, Remedy(next=error.next, on=host.name))
        return
    table.ok("firewall", f"rules would go into {draft.backend}")
    for hazard in sorted({*draft.hazards, *_common_hazards(subject, observation, draft)}):
        stops = hazard.severity is Severity.STOP
        accept = Remedy(next=f"mend it, or accept it: --accept {hazard.code}@{host.name}") if stops else None
        table.add_hazard(hazard.code, hazard.message, accept)


def _common_hazards(subject: Subject, observation: Observation, draft: Draft) -> tuple[Hazard, ...]:
    standing = in_force(observation.records)
    return tuple(
        find_hazards(
            Circumstances(
                host=subject.host,
                observation=observation,
                protections=subject.protections,
                probe_addresses=draft.probe_addresses,
                protected=draft.protected,
                in_force=standing.run_id if standing else "",
                vantages=subject.vantages,
            )
        )
    )


def _records(table: Table, observation: Observation) -> None:
    pending = [record for record in observation.records if record.state in _PENDING]
    standing = in_force(observation.records)
    if pending:
        ids = ", ".join(f"{record.run_id} ({record.state})" for record in pending)
        remedy = Remedy(next="fwfix runs recover   # or wait for it")
        table.fail("records", f"a run is under way here: {ids}", remedy)
    elif any(record.foreign for record in observation.records):
        table.ok("records", "records of another machine are here (a clone?); they are never acted on")
    else:
        said = f"run {standing.run_id} is in force" if standing else "nothing of fwfix is in force"
        table.ok("records", said)
