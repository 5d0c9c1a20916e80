"""How often a script asks the firewall: each such call takes a minute where there are many rules."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from fwfix.model.observation import RecordState
from fwfix.model.plan import HostPlan

if TYPE_CHECKING:
    from conftest import Windows, Wish

RUN, LATER = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"


def asked(windows: "Windows", act: Callable[[], object]) -> dict[str, int]:
    """Return which cmdlets on rules an act called, and how often."""
    windows.called = Counter()
    act()
    return {
        name: count for name, count in sorted(windows.called.items()) if name.endswith("-NetFirewallRule")
    }


def confirm_and_wait(windows: "Windows", plan: HostPlan) -> None:
    """Confirm, and wait until the timer has seen it: one that meets a rollback instead takes part in it."""
    (timer,) = (task for task in windows.host.scheduler.tasks() if task.path == "\\fwfix\\")
    assert windows.confirm(plan).ok
    windows.wait(lambda: timer.instances == [])


def test_no_step_asks_for_rules_by_name_more_than_once(windows: "Windows", wish: "Wish") -> None:
    first = (wish(), wish(port=9101), wish(port=9102))
    windows.applied(*first)
    plan = windows.plan(wish("10.0.5.0/24"), wish(port=515), run_id=LATER)
    assert asked(windows, windows.look) == {"Get-NetFirewallRule": 1}
    assert asked(windows, lambda: windows.arm(plan)) == {}
    made = asked(windows, lambda: windows.apply(plan))
    assert made == {"Disable-NetFirewallRule": 1, "New-NetFirewallRule": 2}
    assert asked(windows, lambda: confirm_and_wait(windows, plan)) == {}
    undone = asked(windows, lambda: windows.rollback(LATER))
    assert undone == {"Enable-NetFirewallRule": 1, "Remove-NetFirewallRule": 1}
    assert windows.judge(windows.plan(*first)).problems == ()


def test_what_is_not_there_is_not_asked_for(windows: "Windows") -> None:
    assert asked(windows, windows.look) == {}
    plan = windows.unconfirmed(seconds=300)
    confirm_and_wait(windows, plan)
    assert asked(windows, windows.rollback) == {"Remove-NetFirewallRule": 1}
    assert asked(windows, windows.rollback) == {}


def test_a_rule_that_goes_while_others_are_removed_keeps_nothing_from_going(
    windows: "Windows", wish: "Wish"
) -> None:
    windows.applied(wish(), wish(port=9101), wish(port=9102))
    gone = windows.ours()[0]

    def somebody_was_faster() -> None:
        windows.host.firewall.remove([gone])

    windows.before["Remove-NetFirewallRule"] = [somebody_was_faster]
    undone = asked(windows, windows.rollback)
    assert windows.ours() == []
    assert undone["Remove-NetFirewallRule"] <= 2
    assert windows.state() is RecordState.REVERTED
