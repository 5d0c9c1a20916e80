"""New-ScheduledTaskAction, -Trigger, -Principal, -SettingsSet, and New-ScheduledTask of them."""

from datetime import timedelta

from fwfix.lab.windows.cmdlets import task_objects
from fwfix.lab.windows.cmdlets.base import Scene, StandIn
from fwfix.lab.windows.model.task_xml import TaskSettings, Trigger
from fwfix.lab.windows.powershell import DateTime, Invocation, NotInDialect, PSObject, TimeSpan, to_python
from fwfix.lab.windows.powershell.values import Value, enumerate_value


def _action(_scene: Scene, call: Invocation) -> None:
    arguments = to_python(call.text("Argument")) if call.has("Argument") else None
    call.write(task_objects.action_object(to_python(call.text("Execute")), arguments))


def _trigger(scene: Scene, call: Invocation) -> None:
    if call.flag("AtStartup"):
        call.write(task_objects.trigger_object(Trigger(boot=True)))
        return
    if not call.flag("Once"):
        raise NotInDialect("a trigger that is neither -Once nor -AtStartup")
    every = _span(call, "RepetitionInterval")
    if every is not None and scene.version != "5.1":
        # The two of Server 2012 and 2012 R2 want a duration beside it, which the model does not have.
        raise NotInDialect("-RepetitionInterval in this version")
    at = call.get("At")
    assert isinstance(at, DateTime)
    # The twin's local time is UTC.
    call.write(task_objects.trigger_object(Trigger(boot=False, start=at.moment, every=every)))


def _span(call: Invocation, name: str) -> timedelta | None:
    value = call.get(name)
    return timedelta(microseconds=value.ticks // 10) if isinstance(value, TimeSpan) else None


def _settings(_scene: Scene, call: Invocation) -> None:
    limit = _span(call, "ExecutionTimeLimit")
    settings = TaskSettings(
        enabled=not call.flag("Disable"),
        start_when_available=call.flag("StartWhenAvailable"),
        not_on_battery=not call.flag("AllowStartIfOnBatteries"),
        stop_on_battery=not call.flag("DontStopIfGoingOnBatteries"),
        instances=call.enum_name("MultipleInstances", "IgnoreNew"),
        time_limit=limit if call.has("ExecutionTimeLimit") else timedelta(days=3),
        delete_expired_after=_span(call, "DeleteExpiredTaskAfter"),
    )
    made = task_objects.settings_object(
        settings,
        hidden=call.flag("Hidden"),
        wake=call.flag("WakeToRun"),
        priority=call.number("Priority", 7),
    )
    call.write(made)


def _principal(_scene: Scene, call: Invocation) -> None:
    made = task_objects.principal_object(
        to_python(call.text("UserId")),
        logon=call.enum_name("LogonType", "None"),
        level=call.enum_name("RunLevel", "Limited"),
    )
    call.write(made)


def task_of(call: Invocation) -> PSObject:
    """Return MSFT_ScheduledTask of what a call says; settings that it does not name are Windows' defaults."""
    principal = call.get("Principal")
    if call.has("User"):
        user, level = to_python(call.text("User")), call.enum_name("RunLevel", "Limited")
        principal = task_objects.principal_object(user, level=level)
    return task_objects.definition_object(
        actions=_list(call.get("Action")),
        triggers=_list(call.get("Trigger")),
        settings=call.get("Settings", task_objects.settings_object(TaskSettings())),
        principal=principal,
        description=to_python(call.text("Description")) if call.has("Description") else None,
    )


def _list(value: Value) -> list[Value]:
    items = enumerate_value(value)
    return ([] if value is None else [value]) if items is None else list(items)


def _task(_scene: Scene, call: Invocation) -> None:
    call.write(task_of(call))


_SETTINGS = (
    "AllowStartIfOnBatteries", "DontStopIfGoingOnBatteries", "StartWhenAvailable", "Hidden", "WakeToRun",
    "ExecutionTimeLimit", "DeleteExpiredTaskAfter", "MultipleInstances", "Priority", "Disable",
)  # fmt: skip
STAND_INS = (
    StandIn(name="New-ScheduledTaskAction", body=_action, obeys=("Execute", "Argument")),
    StandIn(
        name="New-ScheduledTaskTrigger",
        body=_trigger,
        obeys=("Once", "At", "AtStartup", "RepetitionInterval"),
    ),
    StandIn(name="New-ScheduledTaskPrincipal", body=_principal, obeys=("UserId", "LogonType", "RunLevel")),
    StandIn(name="New-ScheduledTaskSettingsSet", body=_settings, obeys=_SETTINGS),
    StandIn(
        name="New-ScheduledTask",
        body=_task,
        obeys=("Action", "Trigger", "Settings", "Principal", "Description"),
    ),
)
