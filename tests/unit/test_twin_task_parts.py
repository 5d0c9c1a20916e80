"""Scheduled tasks that a script builds from parts, on a clock that the test moves."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from fwfix.lab.windows.cmdlets import TYPES, stand_ins
from fwfix.lab.windows.model.clock import VirtualClock
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.task_xml import Definition
from fwfix.lab.windows.model.tasks import Instance
from fwfix.lab.windows.powershell import EDITIONS, Engine, Host, RunResult

PARTS = """
$action = New-ScheduledTaskAction -Execute 'c.exe' -Argument '-a "b & c"'
$trigger = New-ScheduledTaskTrigger -Once -At ([DateTime]::UtcNow.AddMinutes(5))
$system = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
$settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
"""
REGISTER = (
    PARTS + "$t = Register-ScheduledTask -TaskName t -TaskPath '\\x\\' -Action $action -Trigger $trigger "
    "-Settings $settings -Principal $system"
)


class Bench:
    """A host that notes what its tasks run."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.clock = VirtualClock()
        self.host = WindowsHost(clock=self.clock, knobs=knobs)
        self.host.run_action = self._run
        self.ran: list[tuple[str, str]] = []
        self.done = threading.Event()

    def _run(self, definition: Definition, _instance: Instance) -> int:
        self.ran.append((definition.command, definition.arguments))
        self.done.set()
        return 0

    def run(self, script: str) -> RunResult:
        edition = EDITIONS[self.host.knobs.ps_version]
        outside = Host(clock=self.clock, files=self.host.files, registry=self.host.registry)
        return Engine(edition=edition, host=outside, commands=stand_ins(self.host), types=TYPES).run(script)

    def ask(self, script: str) -> str:
        result = self.run(script)
        assert result.refusal is None, result.refusal
        assert not result.stderr, result.stderr
        return result.stdout.decode().strip()

    def advance(self, minutes: int) -> None:
        # While an instance runs, another start is ignored.
        deadline = time.monotonic() + 5
        while any(task.instances for task in self.host.scheduler.tasks()) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.done.clear()
        self.clock.advance(timedelta(minutes=minutes))
        self.host.scheduler.tick()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.host.close()


def test_a_task_of_parts_runs_its_action_at_its_time(bench: Bench) -> None:
    assert bench.ask(f"{REGISTER}; $t.TaskPath + $t.TaskName + ' ' + [string]$t.State") == "\\x\\t Ready"
    bench.advance(4)
    assert not bench.ran
    bench.advance(1)
    assert bench.done.wait(5)
    assert bench.ran == [("c.exe", '-a "b & c"')]


def test_a_definition_is_registered_as_it_stands_after_its_properties_were_set(bench: Bench) -> None:
    made = (
        PARTS + "$made = New-ScheduledTask -Action $action -Trigger $trigger -Settings $settings "
        "-Principal $system -Description 'd'\n"
        "$made.Triggers[0].EndBoundary = '2099-12-31T00:00:00Z'\n"
        "$made.Settings.StartWhenAvailable = $true\n"
        "$null = Register-ScheduledTask -TaskName t -InputObject $made\n"
        "$read = Get-ScheduledTask -TaskName t\n"
        "$read.Description + ' ' + $read.Triggers[0].EndBoundary + ' ' + $read.Settings.StartWhenAvailable"
    )
    assert bench.ask(made) == "d 2099-12-31T00:00:00Z True"


def test_a_task_at_startup_runs_after_a_reboot(bench: Bench) -> None:
    script = REGISTER.replace("-Once -At ([DateTime]::UtcNow.AddMinutes(5))", "-AtStartup")
    bench.ask(script)
    bench.advance(60)
    assert not bench.ran
    bench.host.reboot()
    bench.host.scheduler.tick()
    assert bench.done.wait(5)


def test_a_repeated_task_runs_again(bench: Bench) -> None:
    minutes = "-RepetitionInterval (New-TimeSpan -Minutes 2)"
    bench.ask(REGISTER.replace("AddMinutes(5))", f"AddMinutes(5)) {minutes}"))
    for wait in (5, 2, 2):
        bench.advance(wait)
        assert bench.done.wait(5)


def test_the_default_settings_keep_a_task_from_starting_on_battery(bench: Bench) -> None:
    bench.ask(REGISTER.replace("-Settings $settings ", "").replace("-Principal $system", "-User SYSTEM"))
    bench.host.set_battery(on_battery=True)
    bench.advance(10)
    assert not bench.ran
    assert bench.ask("(Get-ScheduledTaskInfo -TaskName t -TaskPath '\\x\\').NumberOfMissedRuns") == "1"


def test_a_disabled_task_does_not_start_and_an_enabled_one_does(bench: Bench) -> None:
    of = "-TaskName t -TaskPath '\\x\\'"
    bench.ask(REGISTER)
    assert bench.ask(f"[string](Disable-ScheduledTask {of}).State") == "Disabled"
    refused = f"try {{ Start-ScheduledTask {of} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"
    assert bench.ask(refused) == "HRESULT 0x80041326,Start-ScheduledTask"
    assert bench.ask(f"[string](Enable-ScheduledTask {of}).State") == "Ready"
    bench.advance(5)
    assert bench.done.wait(5)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("$trigger.StartBoundary = 'soon'", "HRESULT 0x80041318,Register-ScheduledTask"),
        ("$trigger.StartBoundary = $null", "HRESULT 0x80041319,Register-ScheduledTask"),
        ("$settings.DeleteExpiredTaskAfter = 'PT1H'", "HRESULT 0x80041319,Register-ScheduledTask"),
        ("$settings.ExecutionTimeLimit = 'long'", "HRESULT 0x80041318,Register-ScheduledTask"),
    ],
)
def test_parts_that_windows_refuses_are_refused_when_they_are_registered(
    bench: Bench, change: str, wanted: str
) -> None:
    register = REGISTER.removeprefix(PARTS).removeprefix("$t = ")
    tried = f"try {{ $null = {register} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"
    assert bench.ask(f"{PARTS}{change}\n{tried}") == wanted


def test_a_second_task_of_a_name_needs_force(bench: Bench) -> None:
    register = REGISTER.removeprefix(PARTS).removeprefix("$t = ")
    again = f"try {{ $null = {register} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"
    assert bench.ask(f"{REGISTER}\n{again}") == "HRESULT 0x800700b7,Register-ScheduledTask"
    assert bench.ask(f"{PARTS}\n$null = {register} -Force") == ""


@pytest.mark.parametrize(
    "beyond",
    [
        "New-ScheduledTaskTrigger -Daily -At 3am",
        "New-ScheduledTaskTrigger -Once -At 2026-11-22T00:00:00 -RandomDelay (New-TimeSpan -Minutes 1)",
        "New-ScheduledTaskSettingsSet -RunOnlyIfIdle",
        f"{PARTS}Register-ScheduledTask -TaskName t -Action $action",
        f"{PARTS}Register-ScheduledTask -TaskName t -Action $action -User me",
    ],
)
def test_what_the_model_does_not_know_is_refused(bench: Bench, beyond: str) -> None:
    assert bench.run(beyond).refusal is not None


def test_a_repetition_without_a_duration_is_refused_where_it_is_not_known() -> None:
    bench = Bench(Knobs(ps_version="4.0"))
    at = "New-ScheduledTaskTrigger -Once -At 2026-11-22T00:00:00"
    assert bench.run(f"$null = {at}").refusal is None
    assert bench.run(f"{at} -RepetitionInterval (New-TimeSpan -Minutes 1)").refusal is not None
