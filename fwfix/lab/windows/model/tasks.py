"""The Task Scheduler: tasks, when they start, how their instances end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fwfix.lab.windows.model.clock import HostClock
from fwfix.lab.windows.model.errors import RefusalError, UnknownToModelError
from fwfix.lab.windows.model.task_xml import SYSTEM_SIDS, Definition, Trigger

# What a missed task waits for after the service has started [D].
MISSED_DELAY = timedelta(minutes=10)
NEVER_RAN, RUNNING, TERMINATED = 267011, 267009, 267014


class Instance:
    """A running action."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.ended = threading.Event()
        self.hooks: list[Callable[[], None]] = []

    def stop(self) -> None:
        """End it at once, with everything that it started."""
        self.stopped.set()
        for hook in list(self.hooks):
            hook()


# Runs an action to its end and returns the exit code.
RunAction = Callable[[Definition, Instance], int]


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    r"""A registered task.

    Attributes:
        path: folder with a backslash at both ends, such as `\fwfix\`.
        due: when each time trigger starts it next.
        missed: how often it should have started and could not.
    """

    name: str
    path: str
    definition: Definition
    text: str
    enabled: bool = True
    due: list[tuple[datetime, Trigger]] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    last_run: datetime | None = None
    last_result: int = NEVER_RAN
    missed: int = 0

    @property
    def state(self) -> str:
        """Disabled, Ready or Running, as Get-ScheduledTask says it."""
        if self.instances:
            return "Running"
        return "Ready" if self.enabled and self.definition.settings.enabled else "Disabled"

    @property
    def next_run(self) -> datetime | None:
        """When a time trigger starts it next."""
        return min((due for due, _ in self.due), default=None) if self.state != "Disabled" else None


class Scheduler:
    """The service with its tasks; tasks survive a reboot, instances do not.

    Args:
        run: runs an action; called in a thread of its own.
        on_battery: whether the host runs on battery, now.
        running: whether the service runs; every call asks.
    """

    def __init__(
        self,
        *,
        clock: HostClock,
        run: RunAction,
        on_battery: Callable[[], bool],
        running: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._run = run
        self._on_battery = on_battery
        self._running = running
        self._lock = threading.RLock()
        self._tasks: dict[tuple[str, str], Task] = {}
        self._folders: set[str] = set()
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._delayed: list[tuple[float, Task]] = []

    # -- what the cmdlets do

    def check_running(self) -> None:
        """Refuse while the service is down; what its cmdlets say then is not known."""
        if not self._running():
            raise UnknownToModelError("the Task Scheduler while its service is down")

    def tasks(self) -> tuple[Task, ...]:
        """Return all tasks."""
        self.check_running()
        with self._lock:
            return tuple(self._tasks.values())

    def register(self, name: str, path: str, definition: Definition, text: str, *, force: bool) -> Task:
        """Add a task.

        Raises:
            RefusalError: there is one of that name, or a name is not allowed.
        """
        self.check_running()
        if definition.user.lower() not in SYSTEM_SIDS:
            raise UnknownToModelError(f"a task of the account {definition.user!r}")
        if not name or any(character in name for character in '\\/:*?"<>|'):
            raise RefusalError("HRESULT 0x8007007b", category="InvalidArgument")
        key = (path.lower(), name.lower())
        with self._lock:
            if key in self._tasks and not force:
                raise RefusalError("HRESULT 0x800700b7", category="ResourceExists")
            task = Task(name=name, path=path, definition=definition, text=text)
            now = self._clock.now()
            # A time trigger in the past never fires; StartWhenAvailable is for starts that were missed.
            task.due = _due(definition, now)
            self._tasks[key] = task
            # The cmdlet makes the folder; nothing but DeleteFolder ever takes it away.
            self._folders.add(key[0])
        self.wake()
        return task

    def unregister(self, task: Task) -> None:
        """Remove a task; an instance that runs goes on to its end."""
        self.check_running()
        with self._lock:
            self._tasks.pop((task.path.lower(), task.name.lower()), None)

    def folders(self) -> frozenset[str]:
        """Return the folders below the root, in lower case, with a backslash at both ends."""
        with self._lock:
            return frozenset(self._folders - {"\\"})

    def delete_folder(self, path: str) -> None:
        """Delete a folder.

        Raises:
            RefusalError: it is not there, or tasks are in it.
        """
        self.check_running()
        with self._lock:
            if path.lower() not in self._folders:
                raise RefusalError("HRESULT 0x80070002", category="ObjectNotFound")
            if any(folder == path.lower() for folder, _ in self._tasks):
                raise RefusalError("HRESULT 0x80070091", category="InvalidOperation")
            self._folders.discard(path.lower())

    def start(self, task: Task) -> None:
        """Start a task by hand.

        Raises:
            RefusalError: it is disabled.
        """
        self.check_running()
        with self._lock:
            if task.state == "Disabled":
                raise RefusalError("HRESULT 0x80041326", category="InvalidOperation")
            self._begin(task)

    def stop(self, task: Task) -> None:
        """End the instances of a task."""
        self.check_running()
        for instance in list(task.instances):
            instance.stop()

    def enable(self, task: Task, *, enabled: bool) -> None:
        """Enable or disable a task."""
        self.check_running()
        task.enabled = enabled
        self.wake()

    # -- time

    def wake(self) -> None:
        """Look at the clock again; whoever moves it calls this."""
        self._wake.set()

    def follow(self) -> None:
        """Start tasks by the clock, in a thread of its own, until `close`."""
        self._thread = threading.Thread(target=self._follow, name="twin-scheduler", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._closed:
            self.tick()
            self._clock.wait(self._pause(), self._wake)

    def _pause(self) -> float | None:
        with self._lock:
            now = self._clock.now()
            waits = [(due - now).total_seconds() for task in self._tasks.values() for due, _ in task.due]
            waits += [at - self._clock.monotonic() for at, _ in self._delayed]
        # A second at most: somebody may set the host's clock.
        return max(0.0, min([*waits, 1.0]))

    def tick(self) -> None:
        """Start what is due now."""
        with self._lock:
            now, seconds = self._clock.now(), self._clock.monotonic()
            ready = [task for at, task in self._delayed if at <= seconds]
            self._delayed = [(at, task) for at, task in self._delayed if at > seconds]
            for task in ready:
                self._trigger(task)
            for task in list(self._tasks.values()):
                ready_triggers = [trigger for due, trigger in task.due if due <= now]
                if ready_triggers:
                    # However many starts a step of the clock jumped over, they are one.
                    task.due = _due(task.definition, now)
                for _ in ready_triggers:
                    self._trigger(task)
                self._expire(task, now)

    def _expire(self, task: Task, now: datetime) -> None:
        after = task.definition.settings.delete_expired_after
        ends = [trigger.end for trigger in task.definition.triggers]
        if after is not None and all(end is not None and end + after <= now for end in ends):
            self._tasks.pop((task.path.lower(), task.name.lower()), None)

    def _trigger(self, task: Task) -> None:
        if not self._running() or task.state == "Disabled":
            return
        if self._tasks.get((task.path.lower(), task.name.lower())) is not task:
            return
        if task.definition.settings.not_on_battery and self._on_battery():
            task.missed += 1
            return
        self._begin(task)

    def _begin(self, task: Task) -> None:
        if task.instances and task.definition.settings.instances == "IgnoreNew":
            return
        instance = Instance()
        task.instances.append(instance)
        task.last_run, task.last_result = self._clock.now(), RUNNING
        threading.Thread(
            target=self._perform, args=(task, instance), name=f"task-{task.name}", daemon=True
        ).start()

    def _perform(self, task: Task, instance: Instance) -> None:
        limit = task.definition.settings.time_limit
        if limit is not None:
            threading.Thread(target=self._limit, args=(instance, limit), daemon=True).start()
        code = TERMINATED
        try:
            code = self._run(task.definition, instance)
        finally:
            with self._lock:
                task.instances.remove(instance)
                task.last_result = TERMINATED if instance.stopped.is_set() else code
            instance.ended.set()

    def _limit(self, instance: Instance, limit: timedelta) -> None:
        self._clock.sleep(limit.total_seconds(), instance.ended.is_set)
        if not instance.ended.is_set():
            instance.stop()

    # -- the machine

    def battery(self) -> None:
        """Hear that the host went on battery: instances of tasks that must not run there end."""
        if not self._on_battery():
            return
        with self._lock:
            stopping = [
                instance
                for task in self._tasks.values()
                if task.definition.settings.stop_on_battery
                for instance in task.instances
            ]
        for instance in stopping:
            instance.stop()

    def power_off(self) -> None:
        """End every instance, as a reboot or a power failure does."""
        with self._lock:
            running = [instance for task in self._tasks.values() for instance in task.instances]
            self._delayed.clear()
        for instance in running:
            instance.stop()
        for instance in running:
            instance.ended.wait(10)

    def power_on(self, *, off_since: datetime) -> None:
        """Start with the host: boot triggers, and what was missed while it was off."""
        with self._lock:
            now, seconds = self._clock.now(), self._clock.monotonic()
            for task in self._tasks.values():
                self._after_boot(task, off_since, now, seconds)
        self.wake()

    def _after_boot(self, task: Task, off_since: datetime, now: datetime, seconds: float) -> None:
        settings = task.definition.settings
        for trigger in task.definition.triggers:
            ended = trigger.end is not None and trigger.end <= now
            if trigger.boot and trigger.enabled and not ended:
                self._delayed.append((seconds + trigger.delay.total_seconds(), task))
            missed = trigger.start is not None and off_since <= trigger.start <= now
            if trigger.boot or not missed or not trigger.enabled:
                continue
            task.missed += 1
            task.due = _due(task.definition, now)
            # Only a trigger with an end is started late [D], and only before that end.
            if settings.start_when_available and trigger.end is not None and not ended:
                self._delayed.append((seconds + MISSED_DELAY.total_seconds(), task))

    def close(self) -> None:
        """End everything."""
        self._closed = True
        self._wake.set()
        self.power_off()
        if self._thread is not None:
            self._thread.join(10)


def _due(definition: Definition, now: datetime) -> list[tuple[datetime, Trigger]]:
    found = [(trigger.next_after(now), trigger) for trigger in definition.triggers]
    return [(due, trigger) for due, trigger in found if due is not None]
