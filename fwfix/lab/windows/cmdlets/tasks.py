"""Register-, Get-, Start-, Stop-, Enable-, Disable-, Unregister-ScheduledTask, Get-ScheduledTaskInfo."""

from dataclasses import replace
from datetime import datetime

from fwfix.lab.windows.cmdlets import types
from fwfix.lab.windows.cmdlets.base import Body, Scene, StandIn, has_wildcard, matches, not_found
from fwfix.lab.windows.cmdlets.task_objects import definition_text, task_object
from fwfix.lab.windows.cmdlets.task_parts import task_of
from fwfix.lab.windows.model.task_xml import SYSTEM_SIDS, parse_task
from fwfix.lab.windows.model.tasks import Task
from fwfix.lab.windows.powershell import Invocation, NotInDialect, PSObject, cim_instance
from fwfix.lab.windows.powershell.times import DateTime, from_python
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import enumerate_value


def _path(call: Invocation) -> str:
    text = call.text("TaskPath", "\\")
    return "\\" + (text.strip("\\") + "\\" if text.strip("\\") else "")


def _register(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    if call.has("Xml"):
        if call.has("User") and call.text("User").lower() not in SYSTEM_SIDS:
            raise NotInDialect("Register-ScheduledTask for another user than SYSTEM")
        text = to_python(call.text("Xml"))
    else:
        given = call.get("InputObject")
        text = definition_text(given if isinstance(given, PSObject) else task_of(call))
    name = call.text("TaskName") or _name_in(call.get("InputObject"))
    scheduler = scene.host.scheduler
    task = scheduler.register(name, _path(call), parse_task(text), text, force=call.flag("Force"))
    call.write(task_object(task))


def _name_in(given: object) -> str:
    name = given.get("TaskName") if isinstance(given, PSObject) else None
    if not name:
        raise NotInDialect("Register-ScheduledTask without a name")
    return str(name)


def _selected(scene: Scene, call: Invocation) -> list[Task]:
    tasks = list(scene.host.scheduler.tasks())
    if call.has("InputObject"):
        value = call.get("InputObject")
        items = enumerate_value(value)
        given = [item.data for item in ([value] if items is None else items) if isinstance(item, PSObject)]
        found = [task for task in tasks if task in given]
        if len(found) != len(given):
            raise NotInDialect("a task object whose task is gone")
        return found
    names, paths = call.texts("TaskName"), call.texts("TaskPath")
    found = [
        task
        for task in tasks
        if (not names or any(matches(task.name, word) for word in names))
        and (not paths or any(matches(task.path, word) for word in paths))
    ]
    _report(call, found, names, paths)
    return found


def _report(call: Invocation, found: list[Task], names: list[str], paths: list[str]) -> None:
    """Report each exact name that was not found, and an exact path under which nothing is."""
    for word in names:
        if not has_wildcard(word) and not any(matches(task.name, word) for task in found):
            not_found(call, "TaskName", word)
    for word in paths:
        if not names and not has_wildcard(word) and not any(matches(task.path, word) for task in found):
            not_found(call, "TaskPath", word)


def _one(scene: Scene, call: Invocation) -> Task | None:
    """Return the task of a cmdlet that takes exactly one name; it says that no file is there."""
    if call.has("InputObject"):
        return _selected(scene, call)[0]
    path, name = _path(call), call.text("TaskName")
    for task in scene.host.scheduler.tasks():
        if task.name.lower() == name.lower() and task.path.lower() == path.lower():
            return task
    call.write_error(None, "HRESULT 0x80070002", category="ObjectNotFound", kind=types.CIM_EXCEPTION)
    return None


def _get(scene: Scene, call: Invocation) -> None:
    for task in _selected(scene, call):
        call.write(task_object(task))


def _info(scene: Scene, call: Invocation) -> None:
    task = _one(scene, call)
    if task is None:
        return
    pairs: list[tuple[str, object]] = [
        ("TaskName", task.name),
        ("TaskPath", task.path),
        ("LastRunTime", _local(task.last_run)),
        ("LastTaskResult", task.last_result),
        ("NextRunTime", _local(task.next_run)),
        ("NumberOfMissedRuns", task.missed),
    ]
    call.write(cim_instance("MSFT_TaskDynamicInfo", pairs, data=task))


def _local(moment: datetime | None) -> DateTime | None:
    return None if moment is None else DateTime(from_python(moment).ticks, "Local")


def _start(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    task = _one(scene, call)
    if task is not None:
        scene.host.scheduler.start(task)


def _stop(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    for task in _selected(scene, call):
        scene.host.scheduler.stop(task)


def _switch(*, enabled: bool) -> Body:
    def body(scene: Scene, call: Invocation) -> None:
        scene.check_administrator()
        task = _one(scene, call)
        if task is None:
            return
        settings = replace(task.definition.settings, enabled=enabled)
        task.definition = replace(task.definition, settings=settings)
        scene.host.scheduler.enable(task, enabled=enabled)
        call.write(task_object(task))

    return body


def _unregister(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    for task in _selected(scene, call):
        if call.confirmed():
            scene.host.scheduler.unregister(task)


_REGISTER = (
    "TaskName", "TaskPath", "Xml", "User", "Force", "Action", "Trigger", "Settings", "Principal",
    "RunLevel", "Description", "InputObject",
)  # fmt: skip
_WHICH = ("TaskName", "TaskPath", "InputObject")
STAND_INS = (
    StandIn(
        name="Register-ScheduledTask",
        body=_register,
        obeys=_REGISTER,
    ),
    StandIn(name="Get-ScheduledTask", body=_get, obeys=("TaskName", "TaskPath")),
    StandIn(name="Get-ScheduledTaskInfo", body=_info, obeys=_WHICH),
    StandIn(name="Start-ScheduledTask", body=_start, obeys=_WHICH),
    StandIn(name="Stop-ScheduledTask", body=_stop, obeys=_WHICH),
    StandIn(name="Enable-ScheduledTask", body=_switch(enabled=True), obeys=_WHICH),
    StandIn(name="Disable-ScheduledTask", body=_switch(enabled=False), obeys=_WHICH),
    StandIn(name="Unregister-ScheduledTask", body=_unregister, obeys=_WHICH, confirm_impact="High"),
)
