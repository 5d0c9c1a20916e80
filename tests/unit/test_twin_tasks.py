"""The Task Scheduler of the twin, on a clock that the test moves."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from fwfix.lab.windows.model.clock import VirtualClock
from fwfix.lab.windows.model.errors import RefusalError, UnknownToModelError
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.task_xml import Definition, parse_task
from fwfix.lab.windows.model.tasks import Instance, Task

MINUTE = timedelta(minutes=1)
XML = """<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"><Triggers>{triggers}</Triggers>
<Principals><Principal><UserId>{user}</UserId></Principal></Principals><Settings>{settings}</Settings>
<Actions><Exec><Command>c.exe</Command></Exec></Actions></Task>"""
MAINS = (
    "<DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>"
    "<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>"
)
TIMER = "<TimeTrigger><StartBoundary>2026-11-21T22:05:00Z</StartBoundary>{end}</TimeTrigger>"
END = "<EndBoundary>2099-12-31T00:00:00Z</EndBoundary>"
BOOT = "<BootTrigger/>"
LATE = "<StartWhenAvailable>true</StartWhenAvailable>"


class Bench:
    """A host whose tasks end when the test says so."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.host = WindowsHost(clock=self.clock)
        self.host.run_action = self._run
        self.ran = 0
        self.go = threading.Event()
        self.go.set()

    def _run(self, _definition: Definition, instance: Instance) -> int:
        self.ran += 1
        while not (self.go.wait(0.01) or instance.stopped.is_set()):
            pass
        return 0

    def add(self, triggers: str, settings: str = "") -> Task:
        text = XML.format(triggers=triggers, settings=settings, user="S-1-5-18")
        return self.host.scheduler.register("t", "\\fwfix\\", parse_task(text), text, force=False)

    def advance(self, by: timedelta) -> None:
        self.clock.advance(by)
        self.host.scheduler.tick()

    def reboot(self, off_for: timedelta = timedelta()) -> None:
        self.host.reboot(off_for=off_for, let_pass=self.clock.advance)
        self.host.scheduler.tick()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.host.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_time_trigger_starts_its_task_at_its_time_and_once(bench: Bench) -> None:
    task = bench.add(TIMER.format(end=""))
    bench.advance(4 * MINUTE)
    assert bench.ran == 0
    assert task.next_run is not None
    bench.advance(MINUTE)
    until(lambda: task.last_result == 0)
    bench.advance(MINUTE)
    assert bench.ran == 1
    assert task.next_run is None


def test_a_boot_starts_a_task_with_a_boot_trigger(bench: Bench) -> None:
    task = bench.add(BOOT)
    bench.reboot()
    until(lambda: task.last_result == 0)
    assert bench.ran == 1


def test_a_boot_trigger_that_has_ended_does_nothing(bench: Bench) -> None:
    bench.add("<BootTrigger><EndBoundary>2026-11-21T22:30:00Z</EndBoundary></BootTrigger>")
    bench.reboot(31 * MINUTE)
    assert bench.ran == 0


@pytest.mark.parametrize(
    ("end", "settings", "ran"),
    [(END, LATE, 1), ("", LATE, 0), (END, "", 0)],
    ids=["both", "no end", "not asked"],
)
def test_a_missed_start_is_made_up_ten_minutes_after_boot_only_with_an_end_boundary(
    bench: Bench, end: str, settings: str, ran: int
) -> None:
    task = bench.add(TIMER.format(end=end), settings)
    bench.reboot(20 * MINUTE)
    bench.advance(9 * MINUTE)
    assert bench.ran == 0
    bench.advance(MINUTE)
    if ran:
        until(lambda: task.last_result == 0)
    assert bench.ran == ran
    assert task.missed == 1


def test_on_battery_a_task_starts_only_if_its_settings_allow_it(bench: Bench) -> None:
    bench.host.set_battery(on_battery=True)
    task = bench.add(TIMER.format(end=""))
    bench.advance(5 * MINUTE)
    assert (bench.ran, task.missed) == (0, 1)


def test_on_battery_a_task_that_may_starts(bench: Bench) -> None:
    bench.host.set_battery(on_battery=True)
    task = bench.add(TIMER.format(end=""), MAINS)
    bench.advance(5 * MINUTE)
    until(lambda: task.last_result == 0)


def test_going_on_battery_ends_a_task_unless_its_settings_say_otherwise(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(BOOT)
    bench.host.scheduler.start(task)
    bench.host.set_battery(on_battery=True)
    until(lambda: task.state == "Ready")


def test_the_default_time_limit_ends_an_instance_after_three_days(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(BOOT)
    bench.host.scheduler.start(task)
    until(lambda: bench.clock.sleepers == 1)
    bench.advance(timedelta(days=3))
    until(lambda: task.state == "Ready")


def test_no_time_limit_is_asked_for_with_nought(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(BOOT, "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>")
    bench.host.scheduler.start(task)
    bench.advance(timedelta(days=30))
    assert task.state == "Running"


def test_a_second_start_is_ignored_while_an_instance_runs(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(BOOT)
    bench.host.scheduler.start(task)
    until(lambda: bench.ran == 1)
    bench.host.scheduler.start(task)
    assert len(task.instances) == 1


def test_a_task_that_is_unregistered_while_it_runs_goes_on(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(BOOT)
    bench.host.scheduler.start(task)
    bench.host.scheduler.unregister(task)
    assert task.state == "Running"
    bench.go.set()
    until(lambda: task.last_result == 0)
    bench.reboot()
    assert bench.ran == 1


def test_a_reboot_ends_instances_and_keeps_tasks_rules_and_files(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(TIMER.format(end=""))
    bench.host.files.write(r"C:\ProgramData\x", b"1", append=False)
    bench.host.scheduler.start(task)
    bench.reboot()
    assert task.state == "Ready"
    assert bench.host.scheduler.tasks() == (task,)
    assert bench.host.files.read(r"c:\programdata\X") == b"1"


def test_a_step_of_the_clock_moves_a_time_trigger(bench: Bench) -> None:
    task = bench.add(TIMER.format(end=""))
    bench.clock.set(bench.clock.now() + 6 * MINUTE)
    bench.host.scheduler.tick()
    until(lambda: task.last_result == 0)


@pytest.mark.parametrize(
    ("triggers", "settings"),
    [
        (BOOT, "<DeleteExpiredTaskAfter>PT1H</DeleteExpiredTaskAfter>"),
        ("<TimeTrigger/>", ""),
        (BOOT, "<Enabled>yes</Enabled>"),
        (BOOT, "<ExecutionTimeLimit>10</ExecutionTimeLimit>"),
    ],
)
def test_a_definition_that_windows_refuses_is_refused(triggers: str, settings: str) -> None:
    with pytest.raises(RefusalError, match="0x800413"):
        parse_task(XML.format(triggers=triggers, settings=settings, user="S-1-5-18"))


@pytest.mark.parametrize(
    ("triggers", "settings"), [("<LogonTrigger/>", ""), (BOOT, "<RunOnlyIfIdle>true</RunOnlyIfIdle>")]
)
def test_a_definition_beyond_the_model_is_not_guessed_at(triggers: str, settings: str) -> None:
    with pytest.raises(UnknownToModelError):
        parse_task(XML.format(triggers=triggers, settings=settings, user="S-1-5-18"))


AGAIN = "<Repetition><Interval>PT1M</Interval></Repetition>"


def test_a_trigger_that_repeats_starts_its_task_again_and_again(bench: Bench) -> None:
    task = bench.add(TIMER.format(end=END + AGAIN))
    for minutes in range(1, 4):
        bench.advance(5 * MINUTE if minutes == 1 else MINUTE)
        until(lambda: task.last_result == 0 and not task.instances)
        assert bench.ran == minutes
    assert task.next_run == bench.clock.now() + MINUTE


def test_a_repetition_starts_nothing_beside_an_instance_and_again_once_that_died(bench: Bench) -> None:
    bench.go.clear()
    task = bench.add(TIMER.format(end=END + AGAIN))
    bench.host.scheduler.start(task)
    bench.advance(7 * MINUTE)
    until(lambda: bench.ran == 1)
    bench.host.scheduler.stop(task)
    until(lambda: not task.instances)
    assert bench.ran == 1
    bench.advance(MINUTE)
    until(lambda: bench.ran == 2)


def test_starts_that_a_step_of_the_clock_jumped_over_are_one(bench: Bench) -> None:
    task = bench.add(TIMER.format(end=END + AGAIN))
    bench.advance(60 * MINUTE)
    until(lambda: task.last_result == 0)
    assert bench.ran == 1


def test_a_repetition_ends_with_its_trigger(bench: Bench) -> None:
    task = bench.add(TIMER.format(end="<EndBoundary>2026-11-21T22:06:00Z</EndBoundary>" + AGAIN))
    bench.advance(5 * MINUTE)
    until(lambda: task.last_result == 0)
    assert task.next_run is None


def test_a_repetition_goes_on_after_the_host_was_off(bench: Bench) -> None:
    task = bench.add(TIMER.format(end=END + AGAIN))
    bench.reboot(20 * MINUTE)
    bench.advance(MINUTE)
    until(lambda: task.last_result == 0)


@pytest.mark.parametrize("interval", ["PT59S", "P32D", "1M", ""])
def test_an_interval_that_windows_refuses_is_refused(interval: str) -> None:
    again = f"<Repetition><Interval>{interval}</Interval></Repetition>"
    with pytest.raises(RefusalError, match="0x800413"):
        parse_task(XML.format(triggers=TIMER.format(end=again), settings="", user="S-1-5-18"))


def test_a_repetition_for_a_time_is_not_guessed_at() -> None:
    again = "<Repetition><Interval>PT1M</Interval><Duration>PT1H</Duration></Repetition>"
    with pytest.raises(UnknownToModelError):
        parse_task(XML.format(triggers=TIMER.format(end=again), settings="", user="S-1-5-18"))
