"""The COM object Schedule.Service, as far as it shows and deletes folders of tasks.

A method of a COM object without a result gives `$null`, which goes into the output like any other value.
"""

from dataclasses import dataclass

from fwfix.lab.windows.model.errors import RefusalError
from fwfix.lab.windows.model.tasks import Scheduler
from fwfix.lab.windows.powershell.core import Core
from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.members.tables import method
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import Instance, Value

PROG_ID = "schedule.service"
_SERVICE, _FOLDER = "System.__ComObject#ITaskService", "System.__ComObject#ITaskFolder"
_COM_EXCEPTION = "System.Runtime.InteropServices.COMException"


@dataclass(slots=True)
class TaskService(Instance):
    """`New-Object -ComObject Schedule.Service`."""

    scheduler: Scheduler
    administrator: bool
    connected: bool = False
    net_type = _SERVICE


@dataclass(frozen=True, slots=True)
class TaskFolder(Instance):
    """The root folder."""

    scheduler: Scheduler
    administrator: bool
    net_type = _FOLDER


@method(_SERVICE, "Connect")
def _connect(engine: Core, self: TaskService) -> Value:
    del engine
    self.scheduler.check_running()
    self.connected = True
    return None


@method(_SERVICE, "GetFolder", "string")
def _get_folder(engine: Core, self: TaskService, path: str) -> Value:
    del engine
    if not self.connected or path != "\\":
        raise NotInDialect("another folder of tasks than the root, or one without Connect")
    return TaskFolder(self.scheduler, self.administrator)


@method(_FOLDER, "DeleteFolder", "string", "int")
def _delete_folder(engine: Core, self: TaskFolder, name: str, flags: int) -> Value:
    del engine, flags
    if not self.administrator:
        raise NetError("System.UnauthorizedAccessException")
    try:
        self.scheduler.delete_folder(f"\\{name}\\")
    except RefusalError as error:
        raise NetError(_COM_EXCEPTION) from error
    return None
