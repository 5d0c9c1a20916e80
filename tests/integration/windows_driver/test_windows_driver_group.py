"""A rule is ours by its name and its group: what somebody else made under a name of ours is left alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

from fwfix.lab.windows.model.rules import Rule
from fwfix.model.observation import RecordState

if TYPE_CHECKING:
    from conftest import Windows, Wish

RUN, LATER = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"
RULE = f"fwfix-{RUN}-1"
THEIRS = Rule(
    name=RULE, display_name="Theirs", group="Site", action="Block", protocol=6, local_ports=("9100",)
)


def take_over(windows: "Windows", theirs: Rule = THEIRS) -> str:
    """Put somebody's rule in the place of ours; return its text."""
    windows.host.firewall.remove([theirs.name])
    windows.host.firewall.add(theirs)
    return windows.rules()[theirs.name]


def test_a_rollback_leaves_it_and_says_so(windows: "Windows", wish: "Wish") -> None:
    windows.applied(wish(), wish(port=515))
    text = take_over(windows)
    answer = windows.rollback()
    assert answer.ok, answer
    assert windows.state() is RecordState.REVERTED
    assert windows.ours() == [RULE]
    assert windows.rules()[RULE] == text
    (note,) = answer.notes
    assert RULE in note
    assert "not touched" in note


def test_a_rollback_by_hand_says_it_to_the_administrator(windows: "Windows") -> None:
    windows.applied()
    text = take_over(windows)
    code, said = windows.by_hand(windows.file("rollback.ps1"))
    assert code == 0
    assert f"rule {RULE} is not in the group fwfix" in said
    assert windows.rules()[RULE] == text


def test_the_timer_leaves_it(windows: "Windows") -> None:
    windows.unconfirmed()
    text = take_over(windows)
    windows.clock.ahead += 61
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.rules()[RULE] == text


def test_a_group_that_differs_in_case_alone_is_another(windows: "Windows") -> None:
    windows.applied()
    text = take_over(windows, replace(THEIRS, group="FWFIX"))
    assert windows.rollback().ok
    assert windows.rules()[RULE] == text


def test_apply_does_not_take_it_for_its_own(windows: "Windows", wish: "Wish") -> None:
    plan = windows.plan(wish(), wish(port=515))
    text = take_over(windows)
    assert windows.arm(plan).ok
    answer = windows.apply(plan)
    assert (answer.ok, answer.code) == (False, "read-back-differs")
    assert "group" in answer.message
    assert windows.rollback().ok
    assert windows.ours() == [RULE]
    assert windows.rules()[RULE] == text


def test_verification_and_drift_tell_it_from_ours(windows: "Windows") -> None:
    plan = windows.applied()
    assert windows.judge(plan).problems == ()
    take_over(windows)
    judgement = windows.judge(plan)
    assert any("not in the group fwfix" in problem for problem in judgement.problems)
    assert not judgement.enforced
    draft = windows.draft()
    assert not draft.in_place
    assert any("Theirs" in each.message for each in draft.hazards if each.code == "other-rule-on-port")


def test_a_later_run_neither_disables_nor_enables_it(windows: "Windows", wish: "Wish") -> None:
    windows.applied(wish(), wish(port=515))
    text = take_over(windows)
    plan = windows.applied(wish("192.0.2.0/28"), wish(port=515), run_id=LATER)
    assert plan.supersedes == RUN
    assert windows.host.files.read(windows.file("replaced", LATER)).decode() == f"fwfix-{RUN}-2"
    assert windows.rules()[RULE] == text
    assert "|Active=FALSE|" in windows.rules()[f"fwfix-{RUN}-2"]
    assert windows.rollback(LATER).ok
    assert windows.rules()[RULE] == text
    assert "|Active=TRUE|" in windows.rules()[f"fwfix-{RUN}-2"]


def test_one_that_came_in_place_of_a_disabled_rule_is_not_enabled(windows: "Windows", wish: "Wish") -> None:
    windows.applied()
    windows.applied(wish("192.0.2.0/28"), run_id=LATER)
    text = take_over(windows, replace(THEIRS, enabled=False))
    answer = windows.rollback(LATER)
    assert answer.ok, answer
    assert windows.rules()[RULE] == text
    assert any(RULE in note for note in answer.notes)
