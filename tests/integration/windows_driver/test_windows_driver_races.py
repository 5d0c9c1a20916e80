"""Confirm, apply and the timer of a Windows host at the same moment: the file decides."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fwfix.drivers.base import Answer, Judgement
from fwfix.lab.windows.model.rules import Rule
from fwfix.lab.windows.powershell import DESKTOP_5_1, Engine
from fwfix.model.observation import RecordState

if TYPE_CHECKING:
    from conftest import Windows, Wish

RUN, LATER = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"
RULE = f"fwfix-{RUN}-1"


def around_rename(
    windows: "Windows",
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Do something right before or after the rename that confirms."""
    files, real = windows.host.files, windows.host.files.move

    def move(source: str, target: str, *, overwrite: bool) -> None:
        confirms = target.endswith("state.confirmed")
        if confirms:
            before()
        real(source, target, overwrite=overwrite)
        if confirms:
            after()

    monkeypatch.setattr(files, "move", move)


def test_confirm_that_comes_after_the_timer_has_lost(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.unconfirmed()

    def timer_fires() -> None:
        windows.clock.ahead += 61
        windows.wait(lambda: windows.state() is RecordState.REVERTED)

    around_rename(windows, monkeypatch, before=timer_fires)
    answer = windows.confirm(plan)
    assert (answer.code, answer.state) == ("lost-race", RecordState.REVERTED)
    assert windows.ours() == []


def test_a_rename_that_came_too_late_is_taken_back(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.unconfirmed()

    def time_passes() -> None:
        windows.clock.ahead += 61

    around_rename(windows, monkeypatch, after=time_passes)
    answer = windows.confirm(plan)
    assert (answer.code, answer.state) == ("too-late", RecordState.REVERTED)
    assert windows.ours() == []
    assert windows.tasks() == []


def test_a_rename_that_fails_confirms_nothing_and_the_timer_reverts(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.unconfirmed()

    def disk_fails() -> None:
        raise OSError(5, "Input/output error")

    around_rename(windows, monkeypatch, before=disk_fails)
    answer = windows.confirm(plan)
    assert (answer.code, answer.state) == ("not-armed", RecordState.ARMED)
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_a_timer_that_fires_between_two_rules_leaves_neither(
    windows: "Windows", wish: "Wish", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.plan(wish(), wish(port=515))
    assert windows.arm(plan, seconds=60).ok
    real = windows.host.firewall.add
    made: list[str] = []

    def add(rule: Rule) -> Rule:
        made.append(rule.name)
        if len(made) > 1:
            windows.clock.ahead += 181
            windows.wait(lambda: windows.state() is RecordState.REVERTED)
        return real(rule)

    monkeypatch.setattr(windows.host.firewall, "add", add)
    answer = windows.apply(plan)
    assert len(made) == 2
    assert answer.code == "lost-race"
    assert windows.ours() == []


def test_a_later_run_that_is_not_confirmed_puts_the_older_one_back_in_force(
    windows: "Windows", wish: "Wish"
) -> None:
    windows.applied()
    standing = windows.rules()
    plan = windows.plan(wish("192.0.2.0/28"), run_id=LATER)
    assert windows.arm(plan, seconds=60).ok
    assert windows.apply(plan).ok
    assert "|Active=FALSE|" in windows.rules()[RULE]
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state(LATER) is RecordState.REVERTED)
    assert windows.rules() == standing
    assert windows.draft().in_place


def replaced(windows: "Windows", wish: "Wish", *others: Rule) -> Judgement:
    """Let a run replace another on a host with these rules of others; return how it is judged."""
    windows.host.firewall.remove(["raw-printing-in"])
    for rule in others:
        windows.host.firewall.add(rule)
    windows.applied()
    plan = windows.plan(wish("192.0.2.0/28"), run_id=LATER)
    assert windows.arm(plan).ok
    assert windows.judge(plan, LATER).inherited == frozenset()
    assert windows.apply(plan).ok
    judgement = windows.judge(plan, LATER)
    assert judgement.problems == ()
    return judgement


ALLOW = Rule(name="a", display_name="Raw printing", protocol=6, local_ports=("9100",))


def test_silence_after_a_replaced_run_is_inherited_where_only_our_rules_can_have_made_it(
    windows: "Windows", wish: "Wish"
) -> None:
    judgement = replaced(windows, wish, ALLOW)
    assert {port for _, _, port in judgement.inherited} == {9100}
    assert judgement.inherited == judgement.enforced


@pytest.mark.parametrize(
    "others",
    [
        (),  # the default of the profile drops it
        (ALLOW, replace(ALLOW, name="b", action="Block")),
        (ALLOW, replace(ALLOW, name="b", action="Block", local_ports=("9000-9200",))),
        (ALLOW, replace(ALLOW, name="b", action="Block", protocol=None, local_ports=())),
        (replace(ALLOW, remote_addresses=("198.51.100.1",)),),  # somebody, but perhaps not who probes
        (replace(ALLOW, profiles=("Domain",)),),  # a profile that is not in use
        (replace(ALLOW, program=r"C:\other.exe", local_ports=()),),
    ],
)
def test_silence_that_something_else_could_have_made_is_not_inherited(
    windows: "Windows", wish: "Wish", others: tuple[Rule, ...]
) -> None:
    assert replaced(windows, wish, *others).inherited == frozenset()


def test_a_block_of_another_program_does_not_spoil_the_proof(windows: "Windows", wish: "Wish") -> None:
    block = replace(ALLOW, name="b", action="Block", program=r"C:\other.exe", local_ports=())
    assert replaced(windows, wish, ALLOW, block).inherited


def test_the_older_run_is_enabled_before_the_newer_goes(windows: "Windows", wish: "Wish") -> None:
    windows.applied()
    windows.applied(wish("192.0.2.0/28"), run_id=LATER)
    holes: list[dict[str, str]] = []

    def look() -> None:
        if not any("|Active=TRUE|" in text for name, text in windows.rules().items() if "fwfix" in name):
            holes.append(windows.rules())

    windows.host.firewall.on_change(look)
    assert windows.rollback(LATER).ok
    assert holes == []


def test_a_lost_apply_is_undone_by_the_rollback(windows: "Windows", wish: "Wish") -> None:
    before = windows.rules()
    plan = windows.edit(
        windows.plan(wish(), wish(port=515)),
        "apply",
        "$there = Get-FwfixRules $localRules\n    $after",
        "exit 9\n    $after",
    )
    assert windows.arm(plan).ok
    windows.run(windows.driver.apply(plan, probe_sources=()))
    assert len(windows.ours()) == 2
    assert windows.rollback().ok
    assert windows.rules() == before


def test_powershell_2_gets_an_answer_that_says_what_is_wrong(windows: "Windows") -> None:
    text = windows.driver.observe(()).script.text
    text = text.replace("$PSVersionTable.PSVersion.Major -lt 3", "$true")
    said = Engine(edition=DESKTOP_5_1).run(text)
    assert b'"code":"unsupported-os"' in said.stdout


def kill_timer(windows: "Windows") -> None:
    """End the process that counts, as somebody with the task manager would."""
    scheduler = windows.host.scheduler
    task = next(task for task in scheduler.tasks() if task.path == "\\fwfix\\")
    scheduler.stop(task)
    windows.wait(lambda: not task.instances)


def test_a_timer_that_is_killed_after_its_trigger_was_ignored_reverts_within_a_minute(
    windows: "Windows",
) -> None:
    windows.unconfirmed(seconds=3600)
    # A step of the clock alone: the trigger fires and is ignored, the instance counts on.
    windows.clock.wrong += timedelta(hours=2)
    windows.host.scheduler.tick()
    assert len(windows.actions) == 1
    kill_timer(windows)
    assert windows.state() is RecordState.ARMED
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []
    windows.wait(lambda: windows.tasks() == [])


def test_a_timer_that_starts_again_after_confirm_touches_no_rule_and_goes(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.unconfirmed()
    # Confirm cannot remove the task: it is left behind with its trigger that repeats.
    with monkeypatch.context() as patch:
        patch.setattr(windows.host.scheduler, "unregister", lambda _task: None)
        assert windows.confirm(plan).ok
        kill_timer(windows)
    rules = windows.rules()
    windows.clock.ahead += 121
    windows.wait(lambda: windows.tasks() == [])
    assert windows.state() is RecordState.CONFIRMED
    assert windows.rules() == rules


def somebody_waits(windows: "Windows") -> bool:
    """Say whether a process waits for its turn to undo the run."""
    if windows.disk is not None:
        return any("\\undoing." in path.name for path in windows.disk.iterdir())
    return any(name.startswith("undoing.") for name in windows.host.files.names(windows.file("")[:-1]))


def undone_by_two(windows: "Windows", second: Callable[[], object]) -> None:
    """Let somebody else come to undo the run while the first is at it; see that he waits."""

    def others_wait() -> None:
        second()
        windows.wait(lambda: somebody_waits(windows))
        assert windows.called["Remove-NetFirewallRule"] == 1
        assert len(windows.ours()) == 1

    windows.before["Remove-NetFirewallRule"] = [others_wait]
    assert windows.rollback().ok
    windows.wait(lambda: windows.tasks() == [])
    assert windows.called["Remove-NetFirewallRule"] == 1
    assert (windows.state(), windows.ours()) == (RecordState.REVERTED, [])


def test_the_timer_waits_while_somebody_else_undoes_the_run(windows: "Windows") -> None:
    windows.unconfirmed()
    undone_by_two(windows, lambda: None)


def test_a_second_rollback_waits_for_the_first_and_finds_it_done(windows: "Windows") -> None:
    windows.applied()
    answers: list[Answer] = []
    other = threading.Thread(target=lambda: answers.append(windows.rollback()))
    undone_by_two(windows, other.start)
    other.join()
    assert [answer.ok for answer in answers] == [True]


@pytest.mark.parametrize("left_by", ["a process that is gone", "a process that hangs"])
def test_who_began_to_undo_and_never_ended_stops_nobody(windows: "Windows", left_by: str) -> None:
    windows.unconfirmed(seconds=60)
    pid = 1048 if left_by == "a process that hangs" else 99999
    mark = f"{pid} {windows.clock.monotonic() + 60:.2f}".encode()
    windows.host.files.write(windows.file("undoing"), mark, append=False)
    windows.clock.ahead += 61
    if left_by == "a process that hangs":
        windows.wait(lambda: somebody_waits(windows))
        windows.clock.ahead += 181
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_a_record_that_lost_its_state_is_undone_by_hand_all_the_same(windows: "Windows") -> None:
    windows.applied()
    windows.host.files.delete(windows.file("state.confirmed"))
    code, said = windows.by_hand(windows.file("rollback.ps1"))
    assert code == 1
    assert "the record cannot be written" in said
    assert windows.ours() == []
