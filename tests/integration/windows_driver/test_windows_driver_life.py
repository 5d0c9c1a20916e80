"""The life of a run on a Windows host: armed, applied, confirmed, undone."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fwfix.drivers.base import Stamp
from fwfix.lab.windows.model.errors import RefusalError
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.task_xml import Definition
from fwfix.lab.windows.model.tasks import Task
from fwfix.model.observation import RecordState

if TYPE_CHECKING:
    from conftest import Maker, Windows, Wish

RUN, LATER = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"
RULE = f"fwfix-{RUN}-1"
STAMP = Stamp(operator="ops", controller="jump01")


@pytest.mark.parametrize("version", ["3.0", "4.0", "5.1"])
def test_a_run_blocks_the_port_and_its_rollback_leaves_everything_as_it_was(
    make_windows: "Maker", version: str
) -> None:
    windows = make_windows(Knobs(ps_version=version))
    before = windows.rules()
    plan = windows.applied()
    assert windows.ours() == [RULE]
    assert windows.state() is RecordState.CONFIRMED
    assert windows.tasks() == []
    assert windows.judge(plan).problems == ()
    assert windows.draft().in_place
    answer = windows.rollback()
    assert answer.ok, answer
    assert windows.rules() == before
    assert windows.state() is RecordState.REVERTED


def test_the_last_task_takes_the_empty_folder_of_tasks_along(windows: "Windows") -> None:
    plan = windows.plan()
    assert windows.arm(plan).ok
    assert windows.host.scheduler.folders() == {"\\fwfix\\"}
    assert windows.apply(plan).ok
    assert windows.confirm(plan).ok
    assert windows.host.scheduler.folders() == frozenset()


def test_a_folder_of_tasks_with_another_task_in_it_stays_and_harms_nothing(windows: "Windows") -> None:
    plan = windows.plan()
    assert windows.arm(plan).ok
    (task,) = windows.host.scheduler.tasks()
    windows.host.scheduler.register("theirs", task.path, task.definition, task.text, force=False)
    assert windows.apply(plan).ok
    assert windows.confirm(plan).ok
    assert windows.tasks() == ["theirs"]
    assert windows.host.scheduler.folders() == {"\\fwfix\\"}


def test_a_folder_of_tasks_that_cannot_be_removed_keeps_nothing_from_being_undone(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise RefusalError(f"HRESULT 0x80070005 {path}", category="PermissionDenied")

    monkeypatch.setattr(windows.host.scheduler, "delete_folder", refuse)
    windows.applied()
    assert windows.rollback().ok
    assert windows.tasks() == []
    assert windows.host.scheduler.folders() == {"\\fwfix\\"}
    assert windows.state() is RecordState.REVERTED


def test_armed_means_that_the_task_itself_has_shown_that_it_runs(windows: "Windows") -> None:
    plan = windows.plan()
    answer = windows.arm(plan, seconds=300)
    assert answer.ok
    assert answer.state is RecordState.ARMED
    assert answer.remaining is not None
    assert 290 < answer.remaining.total_seconds() <= 300
    (task,) = windows.host.scheduler.tasks()
    assert (task.path, task.name, task.state) == ("\\fwfix\\", RUN, "Running")
    assert f'-File "{windows.file("rollback.ps1")}" timer' in windows.actions[0]
    assert windows.host.files.read(windows.file("rehearsed")).startswith(b"ready ")
    assert windows.ours() == []


def test_a_host_whose_policy_wants_signed_files_arms_with_a_command_in_clear(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    real = windows.host.registry.values
    policy = {"EnableScripts": 1, "ExecutionPolicy": "AllSigned"}
    monkeypatch.setattr(
        windows.host.registry,
        "values",
        lambda key: policy if key.lower().endswith(r"policies\microsoft\windows\powershell") else real(key),
    )
    assert windows.arm(windows.plan()).ok
    assert "-Command" in windows.actions[0]
    assert windows.file("rollback.ps1") in windows.actions[0]
    assert "-File" not in windows.actions[0]


def test_a_rollback_that_does_not_parse_is_found_before_anything_changes(windows: "Windows") -> None:
    plan = windows.edit(windows.plan(), "arm", "# --- the timer ---", "if ( {\n# --- the timer ---")
    answer = windows.arm(plan)
    assert (answer.ok, answer.code) == (False, "switch-does-not-run")
    assert windows.tasks() == []
    assert windows.state() is None
    assert windows.record() is None
    assert not windows.host.files.is_file(r"C:\ProgramData\fwfix\lock")


@pytest.mark.parametrize("kept", [None, timedelta(minutes=30)])
def test_a_timer_that_would_not_start_again_every_minute_is_found_before_anything_changes(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch, kept: timedelta | None
) -> None:
    scheduler = windows.host.scheduler
    register = scheduler.register

    def keep_another(name: str, path: str, definition: Definition, text: str, *, force: bool) -> Task:
        triggers = tuple(
            trigger if trigger.boot else replace(trigger, every=kept) for trigger in definition.triggers
        )
        return register(name, path, replace(definition, triggers=triggers), text, force=force)

    plan = windows.plan()
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "register", keep_another)
        answer = windows.arm(plan)
    assert (answer.ok, answer.code) == (False, "switch-does-not-run")
    assert "every minute" in answer.message
    assert windows.actions == []
    assert windows.tasks() == []
    assert windows.record() is None
    assert windows.arm(plan).ok


def test_nothing_is_armed_while_the_task_scheduler_is_stopped(windows: "Windows") -> None:
    plan = windows.plan()
    windows.host.set_service("Schedule", running=False)
    assert windows.arm(plan).code == "switch-does-not-run"
    assert not windows.host.files.is_folder(windows.file("")[:-1])


def test_an_unconfirmed_run_is_undone_at_its_deadline(windows: "Windows") -> None:
    before = windows.rules()
    windows.unconfirmed()
    assert windows.ours() == [RULE]
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    windows.wait(lambda: windows.tasks() == [])
    assert windows.rules() == before
    record = windows.record()
    assert record is not None
    assert record.state is RecordState.REVERTED
    assert windows.permissions.events == [f"run {RUN} was undone by timer"]


def test_a_step_of_the_clock_does_not_move_the_deadline(windows: "Windows") -> None:
    plan = windows.unconfirmed()
    windows.clock.wrong = timedelta(days=2)
    windows.host.scheduler.wake()
    assert windows.confirm(plan).ok
    assert windows.ours() == [RULE]


def test_a_boot_before_the_confirmation_undoes_the_run_whatever_the_clock_says(windows: "Windows") -> None:
    before = windows.rules()
    windows.unconfirmed(seconds=3600)
    windows.clock.wrong = timedelta(days=-30)
    windows.host.reboot()
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    windows.wait(lambda: windows.tasks() == [])
    assert windows.rules() == before


def test_a_confirmed_run_survives_a_boot(windows: "Windows") -> None:
    plan = windows.applied()
    windows.host.reboot()
    assert windows.ours() == [RULE]
    assert windows.judge(plan).problems == ()


def test_the_time_trigger_stands_behind_a_timer_that_was_killed(windows: "Windows") -> None:
    plan = windows.unconfirmed()
    (task,) = windows.host.scheduler.tasks()
    windows.host.scheduler.stop(task)
    windows.wait(lambda: task.state == "Ready")
    assert windows.confirm(plan).code == "not-armed"
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_a_timer_that_cannot_undo_goes_on_trying(windows: "Windows") -> None:
    windows.unconfirmed()
    windows.host.set_service("MpsSvc", running=False)
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTING)
    windows.host.set_service("MpsSvc", running=True)
    windows.clock.ahead += 11
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_a_boot_while_a_run_is_being_undone_finishes_it(windows: "Windows") -> None:
    before = windows.rules()
    windows.unconfirmed()
    windows.host.set_service("MpsSvc", running=False)
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTING)
    assert windows.ours() == [RULE]
    windows.host.set_service("MpsSvc", running=True)
    windows.host.reboot()
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    windows.wait(lambda: windows.tasks() == [])
    assert windows.rules() == before


def test_an_unconfirmed_run_whose_record_is_removed_is_undone_all_the_same(windows: "Windows") -> None:
    before = windows.rules()
    plan = windows.unconfirmed()
    assert not windows.driver.is_clear(plan, RUN, windows.look())
    windows.host.files.delete_folder(windows.file("")[:-1], recursive=True)
    windows.wait(lambda: windows.tasks() == [])
    assert windows.rules() == before
    assert windows.driver.is_clear(plan, RUN, windows.look())


def test_a_record_that_is_removed_while_rules_are_made_leaves_none(windows: "Windows") -> None:
    before = windows.rules()
    plan = windows.plan()
    assert windows.arm(plan, seconds=60).ok
    record = windows.file("")[:-1]
    windows.before["New-NetFirewallRule"] = [
        lambda: windows.host.files.delete_folder(record, recursive=True),
        lambda: windows.wait(lambda: windows.tasks() == []),
    ]
    assert not windows.apply(plan).ok
    assert windows.rules() == before


def test_nothing_is_confirmed_after_the_deadline(windows: "Windows") -> None:
    plan = windows.unconfirmed()
    windows.clock.ahead += 61
    assert windows.confirm(plan).code in {"too-late", "lost-race"}
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_apply_after_the_revert_makes_no_rule(windows: "Windows") -> None:
    plan = windows.plan()
    assert windows.arm(plan, seconds=60).ok
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.apply(plan).code == "lost-race"
    assert windows.ours() == []


def test_a_timer_that_finds_arming_at_its_end_removes_itself_and_the_record(windows: "Windows") -> None:
    plan = windows.edit(
        windows.plan(), "arm", "if ((Move-FwfixState $runId 'arming' 'armed')", "exit 7\nif ('x'"
    )
    windows.run(windows.driver.arm(plan, seconds=60, stamp=STAMP))
    assert windows.state() is RecordState.ARMING
    windows.clock.ahead += 61
    windows.wait(lambda: windows.tasks() == [])
    assert windows.record() is None
    assert not windows.host.files.is_file(r"C:\ProgramData\fwfix\lock")


def test_an_administrator_can_undo_a_run_by_hand(windows: "Windows") -> None:
    before = windows.rules()
    windows.applied()
    code, said = windows.by_hand(windows.file("rollback.ps1"))
    assert code == 0
    assert said.splitlines()[-1] == "reverted reverted"
    assert windows.rules() == before
    code, _ = windows.by_hand(windows.file("rollback.ps1"))
    assert code == 0


def test_a_rollback_after_a_lost_answer_may_be_sent_again(windows: "Windows") -> None:
    windows.applied()
    assert windows.rollback().state is RecordState.REVERTED
    again = windows.rollback()
    assert (again.ok, again.state) == (True, RecordState.REVERTED)


def test_a_rule_that_somebody_removed_is_no_failed_rollback(windows: "Windows") -> None:
    windows.applied()
    windows.host.firewall.remove([RULE])
    assert windows.rollback().state is RecordState.REVERTED


def test_rules_of_others_stay_byte_for_byte(windows: "Windows") -> None:
    before = windows.rules()
    windows.applied()
    assert {name: text for name, text in windows.rules().items() if name != RULE} == before


def test_a_host_that_has_a_record_of_the_run_refuses_it(windows: "Windows") -> None:
    plan = windows.applied()
    assert windows.arm(plan).code == "record-exists"
    assert windows.rollback().ok
    assert windows.arm(plan).code == "record-exists"


def test_a_full_disk_is_found_at_arm_and_leaves_nothing(windows: "Windows") -> None:
    plan = windows.plan()
    windows.host.files.full = True
    assert windows.arm(plan).code == "no-space"
    assert windows.tasks() == []
    assert windows.state() is None


def test_a_full_disk_does_not_stop_the_timer(windows: "Windows") -> None:
    windows.unconfirmed()
    windows.host.files.full = True
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_two_runs_do_not_work_on_a_host_at_once(windows: "Windows") -> None:
    first, second = windows.plan(), windows.plan(run_id=LATER)
    assert windows.arm(first).ok
    answer = windows.arm(second)
    assert (answer.code, answer.holder) == ("locked", RUN)
    assert windows.state(LATER) is None
    assert windows.rollback().ok
    assert windows.arm(second).ok


def test_a_run_left_behind_by_an_earlier_boot_is_finished_before_the_next_arms(windows: "Windows") -> None:
    windows.unconfirmed(seconds=3600)
    windows.host.scheduler.power_off()
    windows.host.facts.booted += timedelta(hours=1)
    assert windows.arm(windows.plan(run_id=LATER)).ok
    assert windows.state() is RecordState.REVERTED
    assert windows.ours() == []


def test_a_later_run_replaces_the_one_in_force_and_its_rollback_puts_it_back(
    windows: "Windows", wish: "Wish"
) -> None:
    windows.applied()
    standing = windows.rules()
    wider = (wish("192.0.2.0/28"),)
    draft = windows.draft(*wider, run_id=LATER)
    assert draft.supersedes == RUN
    windows.applied(*wider, run_id=LATER)
    assert windows.ours() == [RULE, f"fwfix-{LATER}-1"]
    assert "|Active=FALSE|" in windows.rules()[RULE]
    refused = windows.rollback()
    assert (refused.code, refused.holder) == ("superseded", LATER)
    code, said = windows.by_hand(windows.file("rollback.ps1"))
    assert code == 3
    assert f"undo that first: {windows.file('rollback.ps1', LATER)}" in said
    assert windows.rollback(LATER).ok
    assert windows.rules() == standing
    assert windows.rollback().ok
    assert windows.ours() == []
