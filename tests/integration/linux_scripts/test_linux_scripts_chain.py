"""Arm, apply, confirm and roll back on a host, under every shell and back end."""

import re
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import Lab, Listener, legacy_missing
from fwfix.model.policy import Action, Protocol

if TYPE_CHECKING:
    from conftest import MakeHost, OnHost

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
BASE = "/var/lib/fwfix"
APPLETS = "awk sed mv cat grep sort tr date sleep chmod mkdir rm sync ls ln id head"


def use_shell(one: "OnHost", shell: str) -> None:
    """Make /bin/sh of the host this shell; with busybox its small tools too."""
    if shell == "busybox":
        one.sh(f"for name in {APPLETS} sh; do /bin/busybox ln -sf /bin/busybox /usr/bin/$name; done")
    else:
        one.sh(f"ln -sf {shell} /usr/bin/sh")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_run_blocks_then_lasts_then_leaves_no_trace(lab_of_one: tuple[Lab, "OnHost"], shell: str) -> None:
    lab, one = lab_of_one
    use_shell(one, shell)
    before = one.rules()
    scripts = one.scripts(FIRST, one.protect(log=True))
    armed = one.arm(scripts, 60)
    assert armed["state"] == "armed"
    assert 0 < armed["deadline"] - armed["uptime"] <= 60
    assert one.rules() == before
    applied = one.apply(scripts, lab.outside.address, lab.outside.address6)
    assert "block" in applied["after4"]
    assert "probe" in applied["after6"]
    assert lab.outside.connect(one.host.address, 9100) == "filtered"
    assert lab.outside.connect(one.host.address6, 9100) == "filtered"
    assert "[0:0]" not in next(
        line for line in one.sh("iptables-save -c").splitlines() if ":probe-1" in line or ":probe" in line
    )
    confirmed = one.confirm(scripts)
    assert confirmed["persistent"] is True
    assert confirmed["notes"] == []
    assert one.state() == "confirmed"
    assert "probe" not in one.rules()
    answer = one.rollback()
    assert answer["ok"], answer
    assert (answer["edited"], answer["notes"], answer["state"]) == ([], [], "reverted")
    assert one.rules() == before
    assert lab.outside.connect(one.host.address, 9100) == "open"
    assert one.sh(f"ls {BASE}").split() == ["runs"]
    assert one.code("ls /etc/init.d/fwfix /etc/rc?.d/*fwfix 2>/dev/null")[1] == ""


def test_listed_rules_are_word_for_word_those_of_the_plan(one: "OnHost") -> None:
    scripts = one.scripts(
        FIRST,
        one.protect(allowed=("10.99.0.1/32", "fd99::1/128", "10.0.0.0/8")),
        one.protect(8610, 8612, protocol=Protocol.UDP, action=Action.REJECT, log=True),
        one.protect(8610, 8611, action=Action.REJECT, allowed=("::/0",)),
    )
    one.arm(scripts)
    answer = one.apply(scripts)
    for name, after in (("rules.v4", answer["after4"]), ("rules.v6", answer["after6"])):
        wanted = [line for line in scripts[name].text.splitlines() if line.startswith(("-A", "-I"))]
        assert sorted(line.replace("-I INPUT 1", "-A INPUT") for line in wanted) == sorted(after.splitlines())
    assert one.rollback()["ok"]


def test_the_legacy_back_end_works_alike(make_host: "MakeHost") -> None:
    if reason := legacy_missing():
        pytest.skip(reason)
    one = make_host(firewall="iptables-legacy")
    before = one.rules()
    scripts = one.scripts()
    one.install(scripts)
    assert f"FWFIX-{FIRST}" in one.sh("iptables-legacy-save")
    assert f"FWFIX-{FIRST}" not in one.host.ruleset()
    # B14: the same binary undoes it, whatever `iptables` means by then.
    one.sh("cd /usr/sbin; ln -sf iptables-nft iptables; ln -sf ip6tables-nft ip6tables")
    assert one.rollback()["ok"]
    one.sh("cd /usr/sbin; ln -sf iptables-legacy iptables; ln -sf ip6tables-legacy ip6tables")
    assert one.rules() == before


def test_the_nft_back_end_covers_both_families_in_its_own_table(lab_of_one: tuple[Lab, "OnHost"]) -> None:
    lab, one = lab_of_one
    before = one.host.ruleset()
    scripts = one.scripts(
        FIRST, one.protect(), one.protect(8611, protocol=Protocol.UDP, action=Action.REJECT), backend="nft"
    )
    one.arm(scripts)
    assert one.host.ruleset() == before
    answer = one.apply(scripts, lab.outside.address, lab.outside.address6)
    assert answer["after_nft"].count("probe") == 4
    assert lab.outside.connect(one.host.address, 9100) == "filtered"
    assert lab.outside.connect(one.host.address6, 9100) == "filtered"
    probed = [line for line in one.host.ruleset().splitlines() if ":probe-" in line and "9100" in line]
    assert len(probed) == 2
    assert not [line for line in probed if "packets 0" in line]
    one.confirm(scripts)
    table = one.sh("nft list table inet fwfix")
    assert "probe" not in table
    table = re.sub(r"counter packets \d+ bytes \d+", "counter", table)
    wanted = [line for line in scripts["rules.nft"].text.splitlines() if "comment" in line]
    assert [line for line in table.splitlines() if "comment" in line] == wanted
    assert one.rollback()["ok"]
    assert "fwfix" not in one.host.ruleset()


def test_a_host_without_iptables_gets_a_table_of_its_own(make_host: "MakeHost") -> None:
    one = make_host(firewall="nftables", nft_only=True, listeners=(Listener(),))
    before = one.host.ruleset()
    scripts = one.scripts(backend="nft")
    one.install(scripts)
    assert "FWFIX" in one.host.ruleset()
    one.host.reboot()
    assert "FWFIX" in one.host.ruleset()
    assert one.rollback()["ok"]
    assert one.host.ruleset() == before


def test_a_run_is_one_shot(one: "OnHost") -> None:
    scripts = one.scripts()
    one.install(scripts)
    again = one.run(scripts["arm"], "60", "ops", "jump01", "-")
    assert (again["ok"], again["code"]) == (False, "record-exists")
    assert one.rollback()["ok"]
    assert one.run(scripts["arm"], "60", "-", "-", "-")["code"] == "record-exists"


def test_apply_and_confirm_need_an_armed_run(one: "OnHost") -> None:
    scripts = one.scripts()
    before = one.rules()
    assert one.run(scripts["apply"], "-", "-")["code"] == "no-record"
    assert one.run(scripts["confirm"])["code"] == "no-record"
    one.arm(scripts)
    assert one.run(scripts["confirm"])["code"] == "read-back-differs"
    assert one.rollback()["ok"]
    assert one.run(scripts["apply"], "-", "-")["code"] == "not-armed"
    assert one.run(scripts["confirm"])["code"] == "lost-race"
    assert one.rules() == before


def test_rollback_twice_and_without_a_record(one: "OnHost") -> None:
    assert one.rollback()["code"] == "no-record"
    assert one.run(one.scripts()["rollback"], "../../etc")["code"] == "usage"
    one.install(one.scripts())
    assert one.rollback()["state"] == "reverted"
    assert one.rollback()["ok"]


def test_an_administrator_undoes_it_by_hand(one: "OnHost") -> None:
    before = one.rules()
    one.install(one.scripts())
    code, said = one.code(f"sh {BASE}/runs/{FIRST}/rollback.sh")
    assert (code, said.splitlines()[-1].split()) == (0, ["reverted", "reverted"])
    assert one.rules() == before
