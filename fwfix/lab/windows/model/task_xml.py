"""Task definitions: the XML that Register-ScheduledTask takes, read strictly."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fwfix.lab.windows.model.errors import RefusalError, UnknownToModelError

_NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
# What IRepetitionPattern::put_Interval allows [D].
SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(minutes=1), timedelta(days=31)
SYSTEM_SIDS = ("s-1-5-18", "system", "nt authority\\system")
_MALFORMED, _MISSING, _BAD_VALUE = "0x8004131A", "0x80041319", "0x80041318"
_SETTINGS_WITHOUT_EFFECT = (
    "AllowHardTerminate", "AllowStartOnDemand", "RunOnlyIfNetworkAvailable", "RunOnlyIfIdle", "IdleSettings",
    "WakeToRun", "Priority", "Hidden", "UseUnifiedSchedulingEngine", "DisallowStartOnRemoteAppSession",
    "NetworkSettings",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a task starts.

    Attributes:
        boot: at boot; otherwise at `start`.
        delay: after the boot.
        every: it starts again and again from `start` on, until `end`; None for once.
    """

    boot: bool
    start: datetime | None = None
    end: datetime | None = None
    delay: timedelta = timedelta()
    every: timedelta | None = None
    enabled: bool = True

    def next_after(self, now: datetime) -> datetime | None:
        """Return when the clock starts it next; None where it never does."""
        if self.boot or not self.enabled or self.start is None:
            return None
        due = self.start
        if due <= now:
            if self.every is None:
                return None
            due += self.every * ((now - due) // self.every + 1)
        return due if self.end is None or due < self.end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """How a task starts and ends; the defaults are those of the schema, not those of any tool."""

    enabled: bool = True
    start_when_available: bool = False
    not_on_battery: bool = True
    stop_on_battery: bool = True
    instances: str = "IgnoreNew"
    time_limit: timedelta | None = timedelta(days=3)
    delete_expired_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A task without its name.

    Attributes:
        user: SID or name of the principal.
    """

    command: str
    arguments: str
    user: str
    triggers: tuple[Trigger, ...]
    settings: TaskSettings
    description: str = ""
    author: str = ""


def parse_task(text: str) -> Definition:
    """Read a definition.

    Raises:
        RefusalError: the service refuses it.
        UnknownToModelError: it uses something that the model does not have.
    """
    try:
        root = ET.fromstring(re.sub(r"^\ufeff?<\?xml[^>]*\?>", "", text.strip()))  # noqa: S314 - a test instrument
    except ET.ParseError:
        raise _refused(_MALFORMED) from None
    if root.tag != f"{_NAMESPACE}Task":
        raise UnknownToModelError("a task without its namespace")
    action = _action(root)
    triggers = tuple(_trigger(node) for node in _section(root, "Triggers"))
    settings = _settings(_section(root, "Settings"))
    if settings.delete_expired_after is not None and any(trigger.end is None for trigger in triggers):
        raise _refused(_MISSING)
    principals = _section(root, "Principals")
    return Definition(
        command=_text(action, "Command"),
        arguments=_text(action, "Arguments"),
        user=_user(principals),
        triggers=triggers,
        settings=settings,
        description=_text(root.find(f"{_NAMESPACE}RegistrationInfo"), "Description"),
        author=_text(root.find(f"{_NAMESPACE}RegistrationInfo"), "Author"),
    )


def _refused(code: str) -> RefusalError:
    return RefusalError(f"HRESULT {code}", category="NotSpecified")


def _section(root: ET.Element, name: str) -> list[ET.Element]:
    found = root.find(_NAMESPACE + name)
    return [] if found is None else list(found)


def _name(node: ET.Element) -> str:
    return node.tag.removeprefix(_NAMESPACE)


def _text(node: ET.Element | None, name: str, default: str = "") -> str:
    found = None if node is None else node.find(_NAMESPACE + name)
    return default if found is None else (found.text or "").strip()


def _action(root: ET.Element) -> ET.Element:
    actions = _section(root, "Actions")
    if not actions:
        raise _refused(_MISSING)
    if len(actions) != 1 or _name(actions[0]) != "Exec":
        raise UnknownToModelError("a task whose action is not one program")
    if not _text(actions[0], "Command"):
        raise _refused(_MISSING)
    if _text(actions[0], "WorkingDirectory"):
        raise UnknownToModelError("a task with a working directory")
    return actions[0]


def _user(principals: list[ET.Element]) -> str:
    if len(principals) != 1:
        raise UnknownToModelError("a task without exactly one principal")
    return _text(principals[0], "UserId") or _text(principals[0], "GroupId")


def _trigger(node: ET.Element) -> Trigger:
    kind = _name(node)
    if kind not in ("TimeTrigger", "BootTrigger"):
        raise UnknownToModelError(f"a {kind} of a task")
    for child in node:
        if _name(child) not in ("StartBoundary", "EndBoundary", "Enabled", "Delay", "Repetition"):
            raise UnknownToModelError(f"{_name(child)} of a trigger")
    start = _text(node, "StartBoundary")
    if kind == "TimeTrigger" and not start:
        raise _refused(_MISSING)
    end = _text(node, "EndBoundary")
    return Trigger(
        boot=kind == "BootTrigger",
        start=_time(start) if start else None,
        end=_time(end) if end else None,
        delay=_duration(_text(node, "Delay", "PT0S")),
        every=_every(node),
        enabled=_flag(_text(node, "Enabled", "true")),
    )


def _every(node: ET.Element) -> timedelta | None:
    """Read the repetition of a trigger: without a Duration it has no end [D]."""
    found = node.find(_NAMESPACE + "Repetition")
    if found is None:
        return None
    if _name(node) != "TimeTrigger":
        raise UnknownToModelError(f"a {_name(node)} that repeats")
    for child in found:
        if _name(child) not in ("Interval", "StopAtDurationEnd"):
            raise UnknownToModelError(f"{_name(child)} of a repetition")
    if not _text(found, "Interval"):
        raise _refused(_MISSING)
    # It stops nothing where there is no Duration, but must be a boolean.
    _flag(_text(found, "StopAtDurationEnd", "false"))
    every = _duration(_text(found, "Interval"))
    if not SHORTEST_INTERVAL <= every <= LONGEST_INTERVAL:
        raise _refused(_BAD_VALUE)
    return every


def _settings(nodes: list[ET.Element]) -> TaskSettings:
    found = {_name(node): (node.text or "").strip() for node in nodes}
    plain = TaskSettings()
    known = (
        "Enabled", "StartWhenAvailable", "DisallowStartIfOnBatteries", "StopIfGoingOnBatteries",
        "MultipleInstancesPolicy", "ExecutionTimeLimit", "DeleteExpiredTaskAfter", *_SETTINGS_WITHOUT_EFFECT,
    )  # fmt: skip
    if unknown := [name for name in found if name not in known]:
        raise UnknownToModelError(f"{unknown[0]} of a task")
    for name in ("RunOnlyIfNetworkAvailable", "RunOnlyIfIdle"):
        if _flag(found.get(name, "false")):
            raise UnknownToModelError(f"{name} of a task")
    instances = found.get("MultipleInstancesPolicy", plain.instances)
    if instances not in ("IgnoreNew", "Parallel", "Queue", "StopExisting"):
        raise _refused(_BAD_VALUE)
    if instances not in ("IgnoreNew", "Parallel"):
        raise UnknownToModelError(f"the instances policy {instances}")
    expired = found.get("DeleteExpiredTaskAfter")
    limit = _duration(found.get("ExecutionTimeLimit", "PT72H"))
    return TaskSettings(
        enabled=_flag(found.get("Enabled", "true")),
        start_when_available=_flag(found.get("StartWhenAvailable", "false")),
        not_on_battery=_flag(found.get("DisallowStartIfOnBatteries", "true")),
        stop_on_battery=_flag(found.get("StopIfGoingOnBatteries", "true")),
        instances=instances,
        time_limit=limit or None,
        delete_expired_after=None if expired is None else _duration(expired),
    )


def _flag(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise _refused(_BAD_VALUE)
    return text in ("true", "1")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or text in ("P", "PT"):
        raise _refused(_BAD_VALUE)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _time(text: str) -> datetime:
    """Read a boundary; one without a zone is the host's local time, which the twin has as UTC."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?", text):
        raise _refused(_BAD_VALUE)
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d", r"\1", text))
    except ValueError:
        raise _refused(_BAD_VALUE) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
