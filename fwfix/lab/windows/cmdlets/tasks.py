"""Register-, Get-, Start-, Stop-, Unregister-ScheduledTask and Get-ScheduledTaskInfo."""

from datetime import datetime

from fwfix.lab.windows.cmdlets import types
from fwfix.lab.windows.cmdlets.base import Scene, StandIn, has_wildcard, matches, not_found
from fwfix.lab.windows.cmdlets.types import named
from fwfix.lab.windows.model.task_xml import parse_task
from fwfix.lab.windows.model.tasks import Task
from fwfix.lab.windows.powershell import Array, Invocation, NotInDialect, PSObject, cim_instance
from fwfix.lab.windows.powershell.times import DateTime, from_python
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import enumerate_value


def _object(task: Task) -> PSObject:
    definition, settings = task.definition, task.definition.settings
    action = cim_instance(
        "MSFT_TaskExecAction",
        [("Execute", definition.command), ("Arguments", definition.arguments or None)],
    )
    triggers = [
        cim_instance(
            "MSFT_TaskBootTrigger" if trigger.boot else "MSFT_TaskTimeTrigger",
            [
                ("Enabled", trigger.enabled),
                ("StartBoundary", _boundary(trigger.start)),
                ("EndBoundary", _boundary(trigger.end)),
            ],
        )
        for trigger in definition.triggers
    ]
    rules: list[tuple[str, object]] = [
        ("Enabled", settings.enabled),
        ("StartWhenAvailable", settings.start_when_available),
        ("DisallowStartIfOnBatteries", settings.not_on_battery),
        ("StopIfGoingOnBatteries", settings.stop_on_battery),
    ]
    pairs: list[tuple[str, object]] = [
        ("TaskName", task.name),
        ("TaskPath", task.path),
        ("URI", task.path + task.name),
        ("State", named(types.TASK_STATE, task.state)),
        ("Description", definition.description or None),
        ("Author", definition.author or None),
        ("Actions", Array([action], "Microsoft.Management.Infrastructure.CimInstance")),
        ("Triggers", Array(triggers, "Microsoft.Management.Infrastructure.CimInstance")),
        ("Settings", cim_instance("MSFT_TaskSettings3", rules)),
        ("Principal", cim_instance("MSFT_TaskPrincipal2", [("UserId", "SYSTEM")])),
    ]
    return cim_instance("MSFT_ScheduledTask", pairs, data=task)


def _boundary(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(call: Invocation) -> str:
    text = call.text("TaskPath", "\\")
    return "\\" + (text.strip("\\") + "\\" if text.strip("\\") else "")


def _register(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    if not call.has("Xml"):
        raise NotInDialect("Register-ScheduledTask without -Xml")
    if call.has("User") and call.text("User").lower() not in ("system", "nt authority\\system", "s-1-5-18"):
        raise NotInDialect("Register-ScheduledTask for another user than SYSTEM")
    text = to_python(call.text("Xml"))
    task = scene.host.scheduler.register(
        call.text("TaskName"), _path(call), parse_task(text), text, force=call.flag("Force")
    )
    call.write(_object(task))


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
        call.write(_object(task))


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


def _unregister(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    for task in _selected(scene, call):
        if call.confirmed():
            scene.host.scheduler.unregister(task)


_WHICH = ("TaskName", "TaskPath", "InputObject")
STAND_INS = (
    StandIn(
        name="Register-ScheduledTask", body=_register, obeys=("TaskName", "TaskPath", "Xml", "User", "Force")
    ),
    StandIn(name="Get-ScheduledTask", body=_get, obeys=("TaskName", "TaskPath")),
    StandIn(name="Get-ScheduledTaskInfo", body=_info, obeys=_WHICH),
    StandIn(name="Start-ScheduledTask", body=_start, obeys=_WHICH),
    StandIn(name="Stop-ScheduledTask", body=_stop, obeys=_WHICH),
    StandIn(name="Unregister-ScheduledTask", body=_unregister, obeys=_WHICH, confirm_impact="High"),
)
