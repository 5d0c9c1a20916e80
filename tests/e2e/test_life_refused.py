"""What must not be started, or cannot be finished, changes nothing and says why."""

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import Ended, MakeSite, Site

pytestmark = pytest.mark.lab

RESTORES = "/usr/sbin/iptables-restore"


def _untouched(site: "Site", before: str) -> None:
    assert site.rules() == before
    assert site.states() == {}
    assert not site.exists("/var/lib/fwfix/lock")
    site.await_no_timer()


def _failed(ended: "Ended", *codes: str, code: int = 3) -> None:
    assert ended.code == code, ended
    assert ended.outcome() == "failed"
    assert ended.reason() in codes, ended.host()["reason"]
    assert ended.host()["reason"]["message"]


def _replace(site: "Site", path: str, script: str) -> None:
    site.sh(f"mv {path} {path}.away && printf '#!/bin/sh\\n{script}\\n' >{path} && chmod 755 {path}")


def test_a_wrong_sudo_password_is_tried_once_and_stops_the_account(make_site: "MakeSite") -> None:
    sudoers = "Defaults logfile=/var/log/sudo.log\nops ALL=(ALL:ALL) ALL"
    site = make_site(*(HostSpec(name=f"gw-{number}", sudoers=sudoers) for number in (1, 2, 3)))
    before = site.rules()
    wrong = site.fwfix.inventory.with_name("wrong.password")
    wrong.write_text("not-it", encoding="ascii")
    wrong.chmod(0o600)

    def change(content: dict[str, Any]) -> None:
        for host in content["hosts"].values():
            host["ssh"]["become_password"] = {"file": "wrong.password"}

    site.fwfix.rewrite(change)
    ended = site.fwfix.apply(code=3)
    reasons = [ended.reason(host.name) for host in site.lab.hosts]
    assert reasons.count("sudo-password-rejected") == 1
    assert set(reasons) == {"sudo-password-rejected", "account-stopped"}
    logs = "".join(site.sh("cat /var/log/sudo.log 2>/dev/null || :", host) for host in site.lab.hosts)
    assert re.findall(r"(\d+) incorrect password attempt", " ".join(logs.split())) == ["1"]
    _untouched(site, before)


@pytest.mark.parametrize(
    "spec",
    [HostSpec(name="gw", sudo="refused"), HostSpec(name="gw", sudo="restricted")],
    ids=["not-in-sudoers", "for-one-command-only"],
)
def test_an_account_that_may_not_become_root_fails_untouched(make_site: "MakeSite", spec: HostSpec) -> None:
    site = make_site(spec)
    before = site.rules()
    ended = site.fwfix.apply(code=3)
    assert ended.outcome() == "failed"
    assert ended.reason().startswith(("sudo", "privilege")), ended.reason()
    _untouched(site, before)


def test_a_wrong_ssh_password_is_tried_once(site: "Site") -> None:
    before = site.rules()
    wrong = site.fwfix.inventory.with_name("wrong.password")
    wrong.write_text("not-it", encoding="ascii")
    wrong.chmod(0o600)

    def change(content: dict[str, Any]) -> None:
        ssh = content["hosts"]["gw"]["ssh"]
        del ssh["identity_file"]
        ssh["password"] = {"file": "wrong.password"}

    site.fwfix.rewrite(change)
    ended = site.fwfix.apply(code=3)
    assert ended.outcome() == "failed"
    assert ended.reason() == "password-rejected"
    assert "not-it" not in ended.stdout + ended.stderr
    _untouched(site, before)


def test_an_unknown_host_key_and_a_changed_one_are_refused(site: "Site") -> None:
    before = site.rules()
    known = site.fwfix.inventory.with_name("known_hosts")
    content = known.read_text(encoding="ascii")
    known.write_text("", encoding="ascii")
    _failed(site.fwfix.apply(code=None), "host-key-unknown", "host-key")
    lines = [line.split() for line in content.splitlines()]
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    known.write_text("".join(f"{name} {kind} {other}\n" for name, kind, _ in lines), encoding="ascii")
    _failed(site.fwfix.apply(code=None), "host-key-changed", "host-key")
    _untouched(site, before)


def test_a_full_disk_fails_the_host_and_changes_nothing(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", var_size="1m"))
    before = site.rules()
    site.sh("dd if=/dev/zero of=/var/fill bs=4k 2>/dev/null || :")
    _failed(site.fwfix.apply(code=None), "no-space")
    _untouched(site, before)
    site.sh("rm /var/fill")
    assert site.fwfix.apply().outcome() == "applied"


def test_a_disk_that_fills_up_after_apply_still_reverts(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", var_size="1m"))
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "5s")
    site.await_path("/var/lib/fwfix/runs/*/after.v4")
    started.kill()
    site.sh("dd if=/dev/zero of=/var/fill bs=4k 2>/dev/null || :")
    site.wait_for(lambda: site.rules() == before, "the timer")
    assert site.is_open()
    site.await_state("reverted")


def test_a_disk_that_becomes_read_only_does_not_keep_the_rules_in_force(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", var_size="1m"))
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "30s")
    started.await_step("verify")
    site.sh("mount -o remount,ro /var")
    site.wait_for(lambda: site.rules() == before, "the revert")
    site.wait_for(lambda: sum(": revert" in line for line in started.lines) >= 2, "a second try")
    assert sum(": revert" in line for line in started.lines) < 10
    site.sh("mount -o remount,rw /var")
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert list(site.states().values()) == ["reverted"]


def test_a_host_whose_record_is_removed_is_reported_as_it_is_once_its_timer_has_undone_the_run(
    site: "Site",
) -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "8s")
    started.await_step("verify")
    site.sh("rm -rf /var/lib/fwfix/runs/*")
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert site.rules() == before
    assert site.is_open()


def test_a_timer_that_cannot_be_rehearsed_means_that_nothing_is_changed(site: "Site") -> None:
    before = site.rules()
    _replace(site, RESTORES, "exit 1")
    _failed(site.fwfix.apply(code=None), "switch-does-not-run")
    _untouched(site, before)
    site.sh(f"mv {RESTORES}.away {RESTORES}")
    assert site.fwfix.apply().outcome() == "applied"


def test_a_timer_that_is_killed_while_arming_means_that_nothing_is_changed(site: "Site") -> None:
    before = site.rules()
    _replace(site, "/usr/bin/setsid", "exit 0")
    _failed(site.fwfix.apply("--confirm-within", "5s", code=None), "switch-does-not-run")
    _untouched(site, before)


@pytest.mark.parametrize("tool", ["setsid", "flock", "awk"])
def test_a_missing_tool_fails_the_host_and_changes_nothing(site: "Site", tool: str) -> None:
    before = site.rules()
    site.sh(f"for dir in /usr/bin /bin /etc/alternatives; do rm -f $dir/{tool} 2>/dev/null || :; done")
    ended = site.fwfix.apply(code=3)
    assert ended.outcome() == "failed"
    assert tool in ended.host()["reason"]["message"]
    _untouched(site, before)


ACCEPT_ALL = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
SOMEWHERE_ELSE = """\
echo 1 >/proc/sys/net/ipv4/ip_forward
iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination {address}:9100
iptables -t nat -A POSTROUTING -j MASQUERADE
"""
REDIRECT = "iptables -t nat -A PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101"
NATIVE_REDIRECT = """\
nft add table ip site
nft 'add chain ip site pre { type nat hook prerouting priority -150; }'
nft 'add rule ip site pre tcp dport 9100 redirect to :9101'
"""


@pytest.mark.parametrize(
    "setup", [REDIRECT, NATIVE_REDIRECT, SOMEWHERE_ELSE], ids=["redirect", "native-redirect", "elsewhere"]
)
def test_a_port_that_is_translated_is_blocked_or_not_applied(make_site: "MakeSite", setup: str) -> None:
    """Our rules for 9100 would load, and never see a packet."""
    site = make_site(
        HostSpec(name="gw", listeners=(Listener(port=9101),), rules=ACCEPT_ALL, rules6=ACCEPT_ALL),
        HostSpec(name="behind"),
    )
    site.sh(setup.replace("{address}", site.lab["behind"].address))
    before, ruleset = site.rules(), _uncounted(site.host.ruleset())

    def is_blocked() -> bool:
        answers = site.ports()
        assert answers["controller4"] == answers["outside4"]
        return answers["controller4"] == "filtered"

    assert site.ports()["outside4"] == "open"
    ended = site.fwfix.apply("-l", "gw", code=None)
    stop = {each["code"] for each in ended.host()["hazards"] if each["severity"] == "stop"}
    if ended.outcome() == "skipped":
        assert ended.code == 5
        assert (site.rules(), _uncounted(site.host.ruleset())) == (before, ruleset)
        accept = (part for code in sorted(stop) for part in ("--accept", code))
        ended = site.fwfix.apply("-l", "gw", *accept, code=None)
    if ended.outcome() == "applied":
        assert is_blocked()
        site.fwfix.rollback()
    else:
        assert (ended.code, ended.outcome()) == (3, "reverted")
        assert ended.reason() == "still-open"
    assert (site.rules(), _uncounted(site.host.ruleset())) == (before, ruleset)
    assert not is_blocked()


def _uncounted(ruleset: str) -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", ruleset)


def test_a_redirect_that_somebody_puts_up_in_the_meantime_is_noticed(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", listeners=(Listener(), Listener(port=9101, process="proxy"))))
    before = site.rules()
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.sh(REDIRECT)
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (3, "reverted", "still-open")
    site.sh(REDIRECT.replace("-A", "-D"))
    assert site.rules() == before


def test_a_second_controller_is_refused_while_the_first_is_at_work(site: "Site") -> None:
    other = site.second_controller()
    first = site.fwfix.start("apply")
    first.await_step("verify")
    first.send(signal.SIGSTOP)
    rules, states = site.rules(), site.states()
    (mine,) = states
    second = other.apply(code=3)
    assert (second.outcome(), second.reason()) == ("failed", "locked")
    assert "fwfix status" in second.host()["reason"]["next"]
    assert mine in second.host()["reason"]["message"]
    assert (site.rules(), site.states()) == (rules, states)
    first.send(signal.SIGCONT)
    ended = first.end()
    assert (ended.code, ended.outcome()) == (0, "applied")
    assert site.states() == {mine: "confirmed"}
    assert other.apply().outcome() == "noop"


def test_two_controllers_that_start_together_make_one_run(site: "Site") -> None:
    other = site.second_controller()
    ended = [started.end() for started in (site.fwfix.start("apply"), other.start("apply"))]
    outcomes = sorted(each.outcome() for each in ended)
    assert "applied" in outcomes
    assert set(outcomes) <= {"applied", "failed", "noop"}
    assert outcomes != ["applied", "applied"] or list(site.states().values()).count("confirmed") == 2
    assert site.is_blocked()


def test_a_record_of_another_machine_is_never_acted_on(site: "Site") -> None:
    load = "[ ! -x /etc/init.d/fwfix ] || /etc/init.d/fwfix start"
    applied = site.fwfix.apply()
    record = site.sh(f"cd /var/lib/fwfix/runs/{applied.run_id} && ls && cat state.confirmed log")
    site.sh("echo 00112233445566778899aabbccddeeff >/etc/machine-id")
    site.host.reboot(boot=[load])
    assert site.is_open()
    rules = site.rules()
    refused = site.fwfix.rollback(applied.run_id, code=3)
    assert (refused.outcome(), refused.reason()) == ("failed", "foreign-record")
    assert site.rules() == rules
    assert site.sh(f"cd /var/lib/fwfix/runs/{applied.run_id} && ls && cat state.confirmed log") == record
    own = site.fwfix.apply()
    assert own.outcome() == "applied"
    assert site.is_blocked()
    assert site.fwfix.rollback(own.run_id).outcome() == "rolled_back"
    assert site.rules() == rules


def test_no_password_appears_anywhere(site: "Site", tmp_path: Path) -> None:
    ended = site.fwfix.apply()
    secret = site.host.password
    journal = b"".join(path.read_bytes() for path in site.fwfix.state_dir.rglob("*") if path.is_file())
    assert secret not in ended.stdout + ended.stderr
    assert secret.encode() not in journal
    assert site.sh(f"grep -rlF '{secret}' /var/lib/fwfix /tmp /var/log 2>/dev/null || :") == ""
