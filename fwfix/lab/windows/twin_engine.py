"""PowerShell on the twin: the small engine on the host model, for shells and for scheduled tasks."""

import re

from fwfix.lab.windows.cmd import (
    Collector,
    InputPipe,
    Invocation,
    Job,
    KilledError,
    Machine,
    PowerShellCall,
    PowerShellProgram,
    ProcessTable,
    ProgramTable,
    User,
    standard_programs,
)  # fmt: skip
from fwfix.lab.windows.cmd.environment import default_environment
from fwfix.lab.windows.cmd.programs import split_arguments
from fwfix.lab.windows.cmd.small_engine import SmallEngine
from fwfix.lab.windows.cmdlets import TYPES, com_objects, stand_ins
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.task_xml import Definition
from fwfix.lab.windows.model.tasks import TERMINATED, Instance
from fwfix.lab.windows.permissions import Permissions
from fwfix.lab.windows.powershell import EDITIONS, Host

_NOT_FOUND = 2147942402  # ERROR_FILE_NOT_FOUND as an HRESULT
_MANY = 1000
_SYSTEM = User(name="SYSTEM", domain="NT AUTHORITY", administrator=True)


class TwinPowerShell:
    """powershell.exe: what the stand-ins allow depends on who runs it."""

    def __init__(self, host: WindowsHost) -> None:
        self._host = host
        # One for all: who owns a folder does not depend on who asks.
        self._permissions = Permissions(host.files)
        self._engines: dict[tuple[bool, str, bool, str], SmallEngine] = {}

    def run(self, wanted: PowerShellCall, call: Invocation, /) -> int:
        """Run one script, as the knobs are now."""
        knobs, rights = self._host.knobs, call.user.administrator
        key = (rights, knobs.ps_version, knobs.constrained, knobs.execution_policy)
        engine = self._engines.get(key)
        if engine is None:
            engine = _engine(self._host, self._permissions, administrator=rights)
            self._engines[key] = engine
        return engine.run(wanted, call)


def _engine(host: WindowsHost, permissions: Permissions, *, administrator: bool) -> SmallEngine:
    knobs = host.knobs
    outside = Host(
        files=host.files,
        registry=host.registry,
        clock=host.clock,
        language_mode="ConstrainedLanguage" if knobs.constrained else "FullLanguage",
        execution_policy=knobs.execution_policy,
        com=com_objects(host, administrator=administrator),
        natives=dict(permissions.natives()),
        environment={},
        process=host.facts.script,
    )
    return SmallEngine(
        host=outside,
        edition=EDITIONS[knobs.ps_version],
        commands=(*stand_ins(host, administrator=administrator), permissions.get_acl()),
        types=TYPES,
    )


def programs_of(host: WindowsHost) -> ProgramTable:
    """Return the programs of a twin."""
    return standard_programs().having({"powershell.exe": PowerShellProgram(TwinPowerShell(host))})


class TaskActions:
    """Runs the actions of scheduled tasks as SYSTEM, outside of every shell.

    Attributes:
        last_output: standard output and error of the newest action, for whoever looks for its trouble.
    """

    def __init__(self, machine: Machine, programs: ProgramTable) -> None:
        self._machine = machine
        self._programs = programs
        self.last_output = b""

    def run(self, definition: Definition, instance: Instance) -> int:
        """Run one action to its end; its exit code, or why there is none."""
        environment = default_environment(self._machine, _SYSTEM)
        command = re.sub(r'^"(.*)"$', r"\1", environment.expand(definition.command))
        found = self._programs.at(command) or self._programs.find(command, environment)
        if found is None:
            return _NOT_FOUND
        processes = ProcessTable(limit=_MANY)
        job, output = Job(processes), Collector()
        instance.hooks.append(job.kill)
        if instance.stopped.is_set():
            return TERMINATED
        tail = environment.expand(definition.arguments)
        call = Invocation(
            name=command,
            args=split_arguments(tail),
            tail=tail,
            stdin=InputPipe(closed=True),
            stdout=output,
            stderr=output,
            environment=environment,
            cwd=r"C:\Windows\system32",
            codepage=437,
            machine=self._machine,
            user=_SYSTEM,
            job=job,
            programs=self._programs,
        )
        try:
            with processes.process(found[0].rpartition("\\")[2]):
                return found[1].start(call)
        except KilledError:
            return TERMINATED
        finally:
            self.last_output = output.value
