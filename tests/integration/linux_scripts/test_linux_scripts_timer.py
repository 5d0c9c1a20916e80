"""The dead-man's switch: it fires whatever happens, and only when it should."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import MakeHost, OnHost

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
BASE = "/var/lib/fwfix"
RUN = f"{BASE}/runs/{FIRST}"
RESTORE, RESTORE6 = "/usr/sbin/iptables-restore", "/usr/sbin/ip6tables-restore"


def uptime(one: "OnHost") -> float:
    return float(one.sh("cat /proc/uptime").split()[0])


def test_it_fires_at_the_deadline_and_not_before(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    armed = one.arm(scripts, 5)
    one.apply(scripts)
    assert one.rules() != before
    one.wait_for(lambda: one.state() != "armed", "the timer")
    assert armed["deadline"] <= uptime(one) < armed["deadline"] + 2
    one.await_state("reverted", patience=5)
    assert one.rules() == before
    one.wait_for(lambda: not one.alive(armed["pid"]), "the end of the timer")
    assert one.sh(f"ls {BASE}").split() == ["runs"]
    assert "timer" in one.sh(f"cat {RUN}/log")
    one.wait_for(lambda: "undone by timer" in one.sh("cat /var/log/syslog"), "a line in the system log")


def test_it_ends_by_itself_once_the_run_is_confirmed_or_undone(one: "OnHost") -> None:
    scripts = one.scripts()
    one.install(scripts)
    pid = one.timer()
    one.wait_for(lambda: not one.alive(pid), "the end of the timer", patience=5)
    assert one.state() == "confirmed"


def test_it_holds_no_file_of_its_callers_and_no_terminal(one: "OnHost") -> None:
    scripts = one.scripts()
    path = one.write(scripts["arm"])
    one.sh(f"exec 3</etc/passwd 7</etc/group; exec /bin/sh {path} 60 ops jump01 -")
    pid = one.timer()
    held = {line.split(" -> ")[1] for line in one.sh(f"ls -l /proc/{pid}/fd").splitlines() if " -> " in line}
    assert held <= {"/dev/null", f"{RUN}/rollback.sh"}
    assert one.sh(f"readlink /proc/{pid}/cwd").strip() == "/"
    assert one.sh(f"cat /proc/{pid}/stat").split()[5] == str(pid)  # its own session
    assert one.rollback()["ok"]


def test_killed_before_it_fires_it_cannot_be_confirmed_and_is_undone_by_hand(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts, 60)
    one.apply(scripts)
    one.sh(f"kill -9 {one.timer()}")
    one.wait_for(lambda: one.run(scripts["confirm"])["code"] == "not-armed", "the end of the timer")
    assert one.rollback()["ok"]
    assert one.rules() == before


def test_it_finishes_a_revert_that_died_half_way(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts, 60)
    one.apply(scripts)
    # What a rollback leaves that was killed right after its rename.
    one.sh(f"mv {RUN}/state.armed {RUN}/state.reverting")
    one.await_state("reverted", patience=6)
    assert one.rules() == before


def test_it_leaves_a_revert_alone_that_somebody_works_on(one: "OnHost") -> None:
    scripts = one.scripts()
    one.arm(scripts, 5)
    one.apply(scripts)
    one.sh(f"flock {RUN} sh -c 'mv {RUN}/state.armed {RUN}/state.reverting; sleep 3'")
    one.await_state("reverted", patience=15)


def test_a_revert_killed_in_the_middle_is_done_by_the_next(one: "OnHost") -> None:
    before = one.rules()
    one.install(one.scripts())
    # iptables-restore hangs, so that the rollback can be killed between the families.
    one.replace_tool(RESTORE, "case $* in *--help*) exit 0;; esac; echo $$ >/tmp/hung; exec sleep 1000")
    one.sh(f"setsid sh {RUN}/rollback.sh >/dev/null 2>&1 & echo $! >/tmp/pid")
    one.wait_for(lambda: "FWFIX" not in one.host.ip6tables_save(), "IPv6 to be undone")
    one.wait_for(lambda: one.code("test -s /tmp/hung")[0] == 0, "IPv4 to hang")
    assert one.state() == "reverting"
    assert "FWFIX" in one.host.iptables_save()
    one.sh("kill -9 $(cat /tmp/pid)")
    # What it had started works on: as long as that lives, the run is being worked on.
    assert one.observe()["records"][0]["at_work"] is True
    one.sh("kill -9 $(cat /tmp/hung)")
    one.restore_tool(RESTORE)
    assert one.rollback()["ok"]
    assert one.rules() == before
    assert one.state() == "reverted"


def test_it_retries_while_iptables_fails(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts, 5)
    one.apply(scripts)
    one.replace_tool(RESTORE6, "exit 4")
    one.await_state("reverting", patience=10)
    one.wait_for(lambda: "FWFIX" not in one.host.iptables_save(), "IPv4 to be undone all the same")
    one.wait_for(lambda: "not undone yet" in one.sh("cat /var/log/syslog"), "a line in the system log")
    one.restore_tool(RESTORE6)
    one.await_state("reverted", patience=25)
    assert one.rules() == before


def test_it_fires_on_a_disk_that_became_full(make_host: "MakeHost") -> None:
    one = make_host(var_size="2m")
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts, 5)
    one.apply(scripts)
    one.code("cat /dev/zero >/var/lib/filler 2>/dev/null")
    one.await_state("reverted", patience=15)
    assert one.rules() == before


def test_it_fires_on_a_disk_that_became_read_only_and_writes_it_down_later(make_host: "MakeHost") -> None:
    one = make_host(var_size="2m")
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts, 5)
    one.apply(scripts)
    one.sh("mount -o remount,ro /var")
    one.wait_for(lambda: one.rules() == before, "the rules to go")
    assert one.state() == "armed"
    one.sh("mount -o remount,rw /var")
    one.await_state("reverted", patience=15)
    assert one.rules() == before


def test_it_fires_without_its_record(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    armed = one.arm(scripts, 5)
    one.apply(scripts)
    one.sh(f"rm -rf {BASE}")
    one.wait_for(lambda: one.rules() == before, "the rules to go")
    one.wait_for(lambda: not one.alive(armed["pid"]), "the end of the timer")


def test_arm_that_dies_leaves_nothing_once_its_timer_ends(one: "OnHost") -> None:
    before = one.rules()
    # The arm script dies right after it has started the timer.
    text = one.scripts()["arm"].text.replace("# --- armed means rehearsed", "kill -9 $$\n# ---")
    one.sh("cat >/tmp/arm", stdin=text)
    assert one.code("sh /tmp/arm 5 ops jump01 -")[0] != 0
    assert one.state() == "arming"
    one.wait_for(
        lambda: one.sh(f"ls {BASE} {BASE}/runs").split() == [f"{BASE}:", "runs", f"{BASE}/runs:"], "clean-up"
    )
    assert one.rules() == before


def test_a_timer_that_cannot_rehearse_is_no_switch(one: "OnHost") -> None:
    before = one.rules()
    one.replace_tool(RESTORE, "echo broken; exit 2")
    answer = one.run(one.scripts()["arm"], "60", "ops", "jump01", "-")
    assert (answer["ok"], answer["code"]) == (False, "switch-does-not-run")
    assert "broken" in answer["message"]
    assert one.sh(f"ls {BASE} {BASE}/runs").split() == [f"{BASE}:", "runs", f"{BASE}/runs:"]
    assert one.rules() == before


def test_a_timer_that_never_starts_is_no_switch(one: "OnHost") -> None:
    one.replace_tool("/usr/bin/setsid", "exit 0")
    answer = one.run(one.scripts()["arm"], "5", "ops", "jump01", "-")
    assert (answer["ok"], answer["code"]) == (False, "switch-does-not-run")
    assert one.sh(f"ls {BASE} {BASE}/runs").split() == [f"{BASE}:", "runs", f"{BASE}/runs:"]


def test_arm_refuses_a_disk_without_room(make_host: "MakeHost") -> None:
    one = make_host(var_size="1m")
    for left in (0, 8, 16, 32, 48, 64, 300):
        one.code(
            f"rm -f /var/filler; cat /dev/zero >/var/filler 2>/dev/null; truncate -s -{left}k /var/filler"
        )
        answer = one.run(one.scripts()["arm"], "30", "ops", "jump01", "-")
        if answer["ok"]:
            assert one.rollback()["ok"]
            break
        assert answer["code"] in {"no-space", "switch-does-not-run"}, answer
        assert one.state() == ""
        assert one.code(f"cat {BASE}/lock 2>/dev/null")[1] == ""
    else:
        pytest.fail("300 KiB should have been enough")


def test_under_systemd_it_is_a_transient_service(one: "OnHost") -> None:
    one.sh("mkdir -p /run/systemd/system")
    one.replace_tool(
        "/usr/bin/systemd-run",
        'echo "$@" >/tmp/asked; while [ "${1#-}" != "$1" ]; do shift; done; '
        'setsid "$@" </dev/null >/dev/null 2>&1 &',
    )
    armed = one.arm(one.scripts())
    asked = one.sh("cat /tmp/asked")
    assert f"--unit=fwfix-{FIRST}" in asked
    assert f"/bin/sh {RUN}/rollback.sh timer " in asked
    assert float(asked.split()[-1]) == armed["deadline"]
    assert "--on-active" not in asked
    one.replace_tool("/usr/bin/systemd-run", "exit 1")
    assert one.rollback()["ok"]
    again = one.scripts("20261122T220003Z-00b1")
    assert one.run(again["arm"], "60", "-", "-", "-")["code"] == "switch-does-not-run"
