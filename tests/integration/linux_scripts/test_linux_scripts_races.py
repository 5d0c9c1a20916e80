"""Two who want different things at the same moment: one wins, and the rules agree with the file."""

import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import OnHost

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

BASE = "/var/lib/fwfix"
WAIT = "while read -r now _ </proc/uptime; [ ${now%.*}${now#*.}"


def run_ids(count: int) -> list[str]:
    return [f"20261121T2200{number:02}Z-4f2a" for number in range(count)]


def await_end(one: "OnHost", run_id: str) -> str:
    one.wait_for(lambda: one.state(run_id) in {"confirmed", "reverted"}, f"the end of {run_id}")
    return one.state(run_id)


def check(one: "OnHost", run_id: str, before: str) -> str:
    """The rules say what the file says."""
    state = await_end(one, run_id)
    if state == "confirmed":
        rules = one.rules()
        assert rules.count(f"-j FWFIX-{run_id}") == 2
        assert "probe" not in rules
        assert one.rollback(run_id)["ok"]
    assert one.rules() == before
    return state


def test_confirm_against_the_timer_at_the_deadline(one: "OnHost") -> None:
    before = one.rules()
    outcomes = set()
    chance = random.Random(4)
    for number, run_id in enumerate(run_ids(8)):
        scripts = one.scripts(run_id)
        path = one.write(scripts["confirm"])
        armed = one.arm(scripts, 5 if number else 10)
        one.apply(scripts, "192.0.2.1")
        # Once well before the deadline, also on a busy machine; then from shortly before it to just after it.
        start = armed["deadline"] - (chance.uniform(-0.02, 0.35) if number else 6)
        one.sh(f"{WAIT} -lt {int(start * 100)} ]; do sleep 0.01; done; sh {path} >/tmp/confirm.out 2>&1")
        said = one.sh("cat /tmp/confirm.out")
        state = await_end(one, run_id)
        assert ('"ok":true' in said) == (state == "confirmed"), said
        outcomes.add(check(one, run_id, before))
    assert outcomes == {"confirmed", "reverted"}


def test_a_rename_that_was_told_too_late_is_taken_back(one: "OnHost") -> None:
    before = one.rules()
    (run_id,) = run_ids(1)
    scripts = one.scripts(run_id)
    one.arm(scripts, 5)
    one.apply(scripts)
    one.replace_tool(
        "/usr/bin/mv",
        '/usr/bin/mv.real "$@"; code=$?; case $* in *state.confirmed) sleep 6 ;; esac; exit $code',
    )
    answer = one.run(scripts["confirm"])
    assert (answer["ok"], answer["code"], answer["state"]) == (False, "too-late", "reverted")
    assert one.rules() == before


def test_a_confirm_that_cannot_rename_has_not_confirmed(one: "OnHost") -> None:
    before = one.rules()
    (run_id,) = run_ids(1)
    scripts = one.scripts(run_id)
    one.arm(scripts, 8)
    one.apply(scripts)
    one.replace_tool("/usr/bin/mv", 'case $* in *state.confirmed) exit 1 ;; esac; exec /usr/bin/mv.real "$@"')
    answer = one.run(scripts["confirm"])
    assert (answer["ok"], answer["code"], answer["state"]) == (False, "not-armed", "armed")
    assert check(one, run_id, before) == "reverted"


def test_confirm_against_a_rollback(one: "OnHost") -> None:
    before = one.rules()
    for number, run_id in enumerate(run_ids(8)):
        scripts = one.scripts(run_id)
        confirm, rollback = one.write(scripts["confirm"]), f"{BASE}/runs/{run_id}/rollback.sh"
        one.arm(scripts, 60)
        one.apply(scripts)
        first, second = (
            (f"sh {confirm}", f"sh {rollback}") if number % 2 else (f"sh {rollback}", f"sh {confirm}")
        )
        one.sh(f"{first} >/tmp/1 2>&1 & {second} >/tmp/2 2>&1; wait")
        # The rollback was asked for by a person: whoever came first, it is undone in the end.
        assert check(one, run_id, before) == "reverted"


def test_many_rollbacks_at_once_undo_it_once(one: "OnHost") -> None:
    before = one.rules()
    (run_id,) = run_ids(1)
    one.install(one.scripts(run_id))
    undo = f"sh {BASE}/runs/{run_id}/rollback.sh >/dev/null 2>&1"
    codes = one.sh(f"for n in 1 2 3 4 5 6; do ({undo}; echo $?) & done; wait").split()
    assert codes == ["0"] * 6
    assert check(one, run_id, before) == "reverted"
    log = one.sh(f"cat {BASE}/runs/{run_id}/log")
    assert log.count(" reverting ") == 1
    assert log.count(" reverted ") == 1


def test_apply_against_the_timer(one: "OnHost") -> None:
    before = one.rules()
    for number, run_id in enumerate(run_ids(5)):
        scripts = one.scripts(run_id)
        path = one.write(scripts["apply"])
        armed = one.arm(scripts, 5)
        start = int(armed["deadline"] * 100) - 3 * number
        one.sh(f"{WAIT} -lt {start} ]; do sleep 0.01; done; sh {path} - - >/dev/null 2>&1")
        assert check(one, run_id, before) == "reverted"


def test_a_hanging_apply_does_not_stop_the_timer(one: "OnHost") -> None:
    before = one.rules()
    (run_id,) = run_ids(1)
    scripts = one.scripts(run_id)
    one.arm(scripts, 5)
    path = one.write(scripts["apply"])
    # The second family hangs with the work lock held; the rules of the first must go all the same.
    one.replace_tool(
        "/usr/sbin/iptables-restore",
        "case $* in *--help*) exit 0;; esac; [ -e /tmp/hung ] || { : >/tmp/hung; sleep 25; }; "
        'exec /usr/sbin/iptables-restore.real "$@"',
    )
    one.sh(f"setsid sh {path} - - >/tmp/out 2>&1 &")
    one.wait_for(lambda: "FWFIX" in one.host.ip6tables_save(), "IPv6 to be applied")
    one.wait_for(lambda: "FWFIX" not in one.host.ip6tables_save(), "IPv6 to be undone", patience=20)
    assert one.state(run_id) == "reverting"
    one.await_state("reverted", run_id, patience=60)
    assert one.rules() == before
    assert '"ok":false' in one.sh("cat /tmp/out")
