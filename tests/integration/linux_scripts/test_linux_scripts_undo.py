"""Undoing takes what is ours, by name, from what is there now, and nothing else."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import legacy_missing
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Protocol

if TYPE_CHECKING:
    from conftest import MakeHost, OnHost

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
BASE = "/var/lib/fwfix"
RUN = f"{BASE}/runs/{FIRST}"
CHAIN = f"FWFIX-{FIRST}"
JUMP = f'-m comment --comment "fwfix:{FIRST}:jump" -j {CHAIN}'
FAIL2BAN = (
    "iptables -N f2b-sshd; iptables -A f2b-sshd -s 192.0.2.7 -m comment --comment 'a \"b\" \\ c' -j REJECT; "
    "iptables -A f2b-sshd -j RETURN; iptables -I INPUT 1 -p tcp -m multiport --dports 22 -j f2b-sshd; "
    "iptables -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE"
)


def test_what_others_add_meanwhile_survives_byte_for_byte(one: "OnHost") -> None:
    one.install(one.scripts())
    ours = set(one.rules().splitlines())
    one.sh(FAIL2BAN)
    theirs = [line for line in one.rules().splitlines() if line not in ours]
    assert one.rollback()["ok"]
    left = one.rules().splitlines()
    assert [line for line in left if line in theirs] == theirs
    assert not [line for line in left if "FWFIX" in line or "fwfix" in line]


def test_a_jump_that_moved_or_doubled_goes_wherever_it_is(one: "OnHost") -> None:
    before = one.rules()
    one.install(one.scripts())
    one.sh(f"iptables -D INPUT {JUMP}; iptables -A INPUT {JUMP}; iptables -A INPUT {JUMP}")
    one.sh(f"iptables -I SITE-IN 1 {JUMP}; ip6tables -I INPUT 1 {JUMP}")
    answer = one.rollback()
    assert answer["ok"], answer
    assert one.rules() == before


def test_lines_of_others_in_our_chain_are_shown_and_go_with_it(one: "OnHost") -> None:
    before = one.rules()
    one.install(one.scripts())
    one.sh(f"iptables -I {CHAIN} 1 -s 192.0.2.9 -m comment --comment 'by \"hand\"' -j ACCEPT")
    answer = one.rollback()
    assert answer["ok"], answer
    assert answer["edited"] == [f'-A {CHAIN} -s 192.0.2.9/32 -m comment --comment "by \\"hand\\"" -j ACCEPT']
    assert one.rules() == before


def test_a_chain_that_somebody_else_uses_is_emptied_and_kept(one: "OnHost") -> None:
    one.install(one.scripts())
    one.sh(f"iptables -A SITE-IN -p tcp --dport 9101 -j {CHAIN}")
    answer = one.rollback()
    assert answer["ok"], answer
    assert any(CHAIN in note for note in answer["notes"])
    assert one.state() == "reverted"
    rules = one.rules()
    assert f":{CHAIN} -" in rules
    assert f"-A {CHAIN} " not in rules
    assert f"-A SITE-IN -p tcp -m tcp --dport 9101 -j {CHAIN}" in rules
    assert "-A INPUT" in rules
    assert "fwfix:" not in rules


@pytest.mark.parametrize(
    "flush", ["nft flush ruleset", "iptables -F; iptables -X; ip6tables -F; ip6tables -X"]
)
def test_rules_that_are_gone_already_are_success(one: "OnHost", flush: str) -> None:
    one.install(one.scripts())
    one.sh(flush)
    before = one.rules()
    assert one.rollback()["ok"]
    assert one.rules() == before


def test_only_half_of_it_there_is_undone_too(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts)
    one.replace_tool("/usr/sbin/iptables-restore", "case $* in *--help*) exit 0;; esac; echo no luck; exit 1")
    answer = one.run(scripts["apply"], "-", "-")
    assert (answer["ok"], answer["code"]) == (False, "load-failed")
    assert "no luck" in answer["message"]
    assert CHAIN in one.host.ip6tables_save()
    one.restore_tool("/usr/sbin/iptables-restore")
    assert one.rollback()["ok"]
    assert one.rules() == before


def test_policies_stay_as_they_are(one: "OnHost") -> None:
    assert ":INPUT DROP" in one.rules()
    one.install(one.scripts())
    assert one.rules().count(":INPUT DROP") == 2
    assert one.rollback()["ok"]
    assert one.rules().count(":INPUT DROP") == 2


def test_the_lock_of_xtables_is_waited_for(make_host: "MakeHost") -> None:
    if reason := legacy_missing():
        pytest.skip(reason)
    one = make_host(firewall="iptables-legacy")
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts)
    one.sh("flock /run/xtables.lock sleep 2 >/dev/null 2>&1 &")
    one.apply(scripts)
    one.confirm(scripts)
    one.sh("flock /run/xtables.lock sleep 2 >/dev/null 2>&1 &")
    assert one.rollback()["ok"]
    assert one.rules() == before


def test_a_cloned_record_is_refused(one: "OnHost") -> None:
    one.install(one.scripts())
    rules = one.rules()
    one.sh(
        "echo 0123456789abcdef0123456789abcdef >/etc/machine-id.new; mv /etc/machine-id.new /etc/machine-id"
    )
    assert one.rollback()["code"] == "foreign-record"
    assert one.code(f"sh {RUN}/rollback.sh")[0] == 3
    assert one.rules() == rules
    assert one.state() == "confirmed"
    # A record of another machine is in nobody's way, and is not loaded at boot.
    one.sh("iptables -F INPUT; ip6tables -F INPUT")
    one.sh("sh /var/lib/fwfix/boot.sh")
    assert f"-A INPUT {JUMP}" not in one.rules()
    one.arm(one.scripts("20261122T220003Z-00b1"))


def test_a_rollback_on_a_full_disk_works(make_host: "MakeHost") -> None:
    one = make_host(var_size="2m")
    before = one.rules()
    one.install(one.scripts())
    one.code("cat /dev/zero >/var/lib/filler 2>/dev/null")
    answer = one.rollback()
    assert answer["ok"], answer
    assert one.state() == "reverted"
    assert one.rules() == before


def test_a_rollback_on_a_read_only_disk_undoes_and_says_what_it_could_not(make_host: "MakeHost") -> None:
    one = make_host(var_size="2m")
    before = one.rules()
    one.install(one.scripts())
    one.sh("mount -o remount,ro /var")
    answer = one.rollback()
    assert (answer["ok"], answer["code"], answer["state"]) == (False, "revert-failed", "confirmed")
    assert "cannot be written" in answer["message"]
    assert one.rules() == before
    one.sh("mount -o remount,rw /var")
    assert one.rollback()["state"] == "reverted"


def test_published_ports_are_blocked_behind_docker_user(one: "OnHost") -> None:
    one.sh(
        "iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -I FORWARD 1 -j DOCKER-USER; "
        "iptables -t nat -A PREROUTING -p tcp --dport 9100 -j DNAT --to-destination 172.17.0.2:80"
    )
    before = one.rules()
    published = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.17.0.2:80", covered=True
    )
    scripts = one.scripts(FIRST, one.protect(), published=(published,))
    one.install(scripts)
    rules = one.rules()
    assert (
        f'-A DOCKER-USER -m comment --comment "fwfix:{FIRST}:jump" -j {CHAIN}D\n-A DOCKER-USER -j RETURN'
        in rules
    )
    blocking = [line for line in rules.splitlines() if line.startswith(f"-A {CHAIN}D") and "-j DROP" in line]
    assert len(blocking) == 1
    assert "--ctstate DNAT --ctorigdstport 9100 --ctdir ORIGINAL" in blocking[0]
    assert "D " not in one.host.ip6tables_save().split(CHAIN)[1][:2]
    assert one.rollback()["ok"]
    assert one.rules() == before


def test_rollback_does_not_stumble_over_a_docker_that_is_gone(one: "OnHost") -> None:
    one.sh("iptables -N DOCKER-USER; iptables -I FORWARD 1 -j DOCKER-USER")
    published = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.17.0.2:80", covered=True
    )
    one.install(one.scripts(FIRST, one.protect(), published=(published,)))
    one.sh("iptables -D FORWARD -j DOCKER-USER; iptables -F DOCKER-USER; iptables -X DOCKER-USER")
    assert one.rollback()["ok"]
    assert "FWFIX" not in one.rules()
