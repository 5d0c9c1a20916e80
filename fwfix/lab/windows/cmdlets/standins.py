"""All stand-ins of a host, for its PowerShell."""

from collections.abc import Callable

from fwfix.lab.windows.cmdlets import filters, firewall, profiles, system, task_parts, tasks
from fwfix.lab.windows.cmdlets.base import Scene
from fwfix.lab.windows.cmdlets.task_folders import PROG_ID, TaskService
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.powershell import Command
from fwfix.lab.windows.powershell.values import Value

ALL = (
    *firewall.STAND_INS,
    *filters.STAND_INS,
    *profiles.STAND_INS,
    *task_parts.STAND_INS,
    *tasks.STAND_INS,
    *system.STAND_INS,
)


def stand_ins(host: WindowsHost, *, administrator: bool = True) -> tuple[Command, ...]:
    """Return the cmdlets of a host's version, working on that host.

    Args:
        host: whose state they show and change.
        administrator: whether the process has an administrator's token.
    """
    scene = Scene(host=host, version=host.knobs.ps_version, administrator=administrator)
    commands = (stand_in.command(scene) for stand_in in ALL)
    return tuple(command for command in commands if command is not None)


def com_objects(host: WindowsHost, *, administrator: bool = True) -> dict[str, Callable[[], Value]]:
    """Return the makers of a host's COM objects."""
    return {PROG_ID: lambda: TaskService(host.scheduler, administrator)}
