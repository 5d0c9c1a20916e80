"""Tasks and their parts as PowerShell shows them, and such objects as the XML of a definition."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from fwfix.lab.windows.cmdlets import types
from fwfix.lab.windows.cmdlets.types import named
from fwfix.lab.windows.model.task_xml import TaskSettings, Trigger
from fwfix.lab.windows.model.tasks import Task
from fwfix.lab.windows.powershell import Array, EnumValue, PSObject, cim_instance
from fwfix.lab.windows.powershell.values import Value, enumerate_value

_CIM = "Microsoft.Management.Infrastructure.CimInstance"
_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
# Element of a definition and property of MSFT_TaskSettings3.
_SETTINGS = (
    ("MultipleInstancesPolicy", "MultipleInstances"),
    ("DisallowStartIfOnBatteries", "DisallowStartIfOnBatteries"),
    ("StopIfGoingOnBatteries", "StopIfGoingOnBatteries"),
    ("AllowHardTerminate", "AllowHardTerminate"),
    ("StartWhenAvailable", "StartWhenAvailable"),
    ("RunOnlyIfNetworkAvailable", "RunOnlyIfNetworkAvailable"),
    ("Enabled", "Enabled"),
    ("Hidden", "Hidden"),
    ("RunOnlyIfIdle", "RunOnlyIfIdle"),
    ("WakeToRun", "WakeToRun"),
    ("ExecutionTimeLimit", "ExecutionTimeLimit"),
    ("Priority", "Priority"),
    ("DeleteExpiredTaskAfter", "DeleteExpiredTaskAfter"),
)
_TRIGGERS = {"MSFT_TaskTimeTrigger": "TimeTrigger", "MSFT_TaskBootTrigger": "BootTrigger"}


def instance(class_name: str, base: str, pairs: Iterable[tuple[str, Value]], data: object = None) -> PSObject:
    """Return an instance of a class that is derived from another."""
    made = cim_instance(class_name, pairs, data)
    made.type_names.insert(1, f"{_CIM}#{base}")
    made.settable = True
    return made


def action_object(command: str, arguments: str | None) -> PSObject:
    """Return MSFT_TaskExecAction."""
    pairs = [("Id", None), ("Arguments", arguments), ("Execute", command), ("WorkingDirectory", None)]
    return instance("MSFT_TaskExecAction", "MSFT_TaskAction", pairs)


def trigger_object(trigger: Trigger) -> PSObject:
    """Return MSFT_TaskTimeTrigger or MSFT_TaskBootTrigger."""
    every = None if trigger.every is None else duration_text(trigger.every)
    repetition = cim_instance(
        "MSFT_TaskRepetitionPattern", [("Duration", None), ("Interval", every), ("StopAtDurationEnd", False)]
    )
    pairs: list[tuple[str, Value]] = [
        ("Enabled", trigger.enabled),
        ("EndBoundary", boundary_text(trigger.end)),
        ("ExecutionTimeLimit", None),
        ("Id", None),
        ("Repetition", repetition),
        ("StartBoundary", boundary_text(trigger.start)),
    ]
    if trigger.boot:
        pairs.append(("Delay", duration_text(trigger.delay) if trigger.delay else None))
    class_name = "MSFT_TaskBootTrigger" if trigger.boot else "MSFT_TaskTimeTrigger"
    return instance(class_name, "MSFT_TaskTrigger", pairs)


def settings_object(
    settings: TaskSettings, *, hidden: bool = False, wake: bool = False, priority: int = 7
) -> PSObject:
    """Return MSFT_TaskSettings3."""
    expired = settings.delete_expired_after
    pairs: list[tuple[str, Value]] = [
        ("AllowDemandStart", True),
        ("AllowHardTerminate", True),
        ("DeleteExpiredTaskAfter", None if expired is None else duration_text(expired)),
        ("DisallowStartIfOnBatteries", settings.not_on_battery),
        ("Enabled", settings.enabled),
        ("ExecutionTimeLimit", duration_text(settings.time_limit or timedelta())),
        ("Hidden", hidden),
        ("MultipleInstances", named(types.MULTIPLE_INSTANCES, settings.instances)),
        ("Priority", priority),
        ("RunOnlyIfIdle", False),
        ("RunOnlyIfNetworkAvailable", False),
        ("StartWhenAvailable", settings.start_when_available),
        ("StopIfGoingOnBatteries", settings.stop_on_battery),
        ("WakeToRun", wake),
    ]
    return instance("MSFT_TaskSettings3", "MSFT_TaskSettings", pairs)


def principal_object(user: str, *, logon: str = "ServiceAccount", level: str = "Limited") -> PSObject:
    """Return MSFT_TaskPrincipal2."""
    pairs: list[tuple[str, Value]] = [
        ("UserId", user),
        ("LogonType", named(types.LOGON_TYPE, logon)),
        ("RunLevel", named(types.RUN_LEVEL, level)),
    ]
    return instance("MSFT_TaskPrincipal2", "MSFT_TaskPrincipal", pairs)


def task_object(task: Task) -> PSObject:
    """Return MSFT_ScheduledTask of a registered task."""
    made = definition_object(
        actions=[action_object(task.definition.command, task.definition.arguments or None)],
        triggers=[trigger_object(trigger) for trigger in task.definition.triggers],
        settings=settings_object(task.definition.settings),
        principal=principal_object("SYSTEM"),
        description=task.definition.description or None,
        data=task,
    )
    made.set("TaskName", task.name)
    made.set("TaskPath", task.path)
    made.set("URI", task.path + task.name)
    made.set("State", named(types.TASK_STATE, task.state))
    made.set("Author", task.definition.author or None)
    return made


def definition_object(
    *,
    actions: list[Value],
    triggers: list[Value],
    settings: Value,
    principal: Value,
    description: Value,
    data: object = None,
) -> PSObject:
    """Return MSFT_ScheduledTask of these parts."""
    pairs: list[tuple[str, Value]] = [
        ("State", None),
        ("Actions", Array(actions, _CIM)),
        ("Author", None),
        ("Description", description),
        ("Principal", principal),
        ("Settings", settings),
        ("TaskName", None),
        ("TaskPath", None),
        ("Triggers", Array(triggers, _CIM)),
        ("URI", None),
    ]
    made = cim_instance("MSFT_ScheduledTask", pairs, data)
    made.settable = True
    return made


def boundary_text(moment: datetime | None) -> str | None:
    """Return a time as a definition has it."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_text(time: timedelta) -> str:
    """Return a time span as XML Schema writes it."""
    hours, rest = divmod(time.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
    day = f"{time.days}D" if time.days else ""
    return "P" + day + (f"T{parts}" if parts else "") if day or parts else "PT0S"


def definition_text(task: PSObject) -> str:
    """Return the XML of a task whose parts are objects, as their properties stand now."""
    description = _element("Description", task.get("Description"))
    actions = "".join(_action(each) for each in _instances(task.get("Actions")))
    triggers = "".join(_trigger(each) for each in _instances(task.get("Triggers")))
    settings, principal = task.get("Settings"), task.get("Principal")
    inside = user = ""
    if isinstance(settings, PSObject):
        inside = "".join(_element(name, settings.get(of)) for name, of in _SETTINGS)
    if isinstance(principal, PSObject):
        user = _element("UserId", principal.get("UserId"))
    return (
        f'<Task version="1.2" xmlns="{_NAMESPACE}"><RegistrationInfo>{description}</RegistrationInfo>'
        f"<Triggers>{triggers}</Triggers><Principals><Principal>{user}</Principal></Principals>"
        f"<Settings>{inside}</Settings><Actions>{actions}</Actions></Task>"
    )


def _instances(value: Value) -> list[PSObject]:
    items = enumerate_value(value)
    found = [value] if items is None else list(items)
    return [each for each in found if isinstance(each, PSObject)]


def _action(action: PSObject) -> str:
    parts = (("Command", "Execute"), ("Arguments", "Arguments"), ("WorkingDirectory", "WorkingDirectory"))
    return f"<Exec>{''.join(_element(name, action.get(of)) for name, of in parts)}</Exec>"


def _trigger(trigger: PSObject) -> str:
    class_name = trigger.type_names[0].rpartition("#")[2]
    repetition = trigger.get("Repetition")
    pattern = ""
    if isinstance(repetition, PSObject) and repetition.get("Interval") is not None:
        inside = "".join(_element(name, repetition.get(name)) for name in ("Interval", "Duration"))
        pattern = f"<Repetition>{inside}</Repetition>"
    names = ("StartBoundary", "EndBoundary", "Enabled", "Delay", "ExecutionTimeLimit")
    parts = "".join(_element(name, trigger.get(name)) for name in names)
    element = _TRIGGERS[class_name]
    return f"<{element}>{pattern}{parts}</{element}>"


def _element(name: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"<{name}>{str(value).lower()}</{name}>"
    if isinstance(value, EnumValue):
        return f"<{name}>{value.kind.name_of(value.number) or value.number}</{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"
