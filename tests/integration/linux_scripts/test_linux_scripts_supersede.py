"""One run in force: what a later run replaces comes back exactly, and only in the right order."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import legacy_missing
from fwfix.model.policy import Protocol

if TYPE_CHECKING:
    from conftest import MakeHost, OnHost

pytestmark = pytest.mark.lab

FIRST, SECOND, THIRD = "20261121T220003Z-4f2a", "20261122T220003Z-00b1", "20261123T220003Z-beef"
BASE = "/var/lib/fwfix"


def ours(one: "OnHost") -> list[str]:
    text = one.rules()
    return [line for line in text.splitlines() if "FWFIX" in line or "fwfix" in line]


def test_the_later_run_replaces_and_its_rollback_puts_exactly_that_back(one: "OnHost") -> None:
    clean = one.rules()
    one.install(one.scripts(FIRST))
    first = one.rules()
    second = one.scripts(SECOND, one.protect(), one.protect(8611, protocol=Protocol.UDP))
    one.install(second)
    assert FIRST not in one.rules()
    assert one.rules().count(f"-j FWFIX-{SECOND}") == 2
    assert one.sh(f"cat {BASE}/runs/{FIRST}/superseded-by").strip() == SECOND
    rules = one.rules()
    refused = one.rollback(FIRST)
    assert (refused["ok"], refused["code"], refused["holder"]) == (False, "superseded", SECOND)
    code, said = one.code(f"sh {BASE}/runs/{FIRST}/rollback.sh")
    assert code == 3
    assert SECOND in said
    assert one.rules() == rules
    assert one.rollback(SECOND)["ok"]
    assert one.rules() == first
    assert one.state(FIRST) == "confirmed"
    assert one.rollback(FIRST)["ok"]
    assert one.rules() == clean
    assert one.sh(f"ls {BASE}").split() == ["runs"]


def test_legacy_runs_replace_each_other_and_come_back(make_host: "MakeHost") -> None:
    if reason := legacy_missing():
        pytest.skip(reason)
    one = make_host(firewall="iptables-legacy")
    clean = one.rules()
    one.install(one.scripts(FIRST))
    first = one.rules()
    second = one.scripts(SECOND, one.protect(8610, 8614))
    one.arm(second, 5)
    one.apply(second)
    assert FIRST not in one.rules()
    one.await_state("reverted", SECOND)
    assert one.rules() == first
    assert one.rollback(FIRST)["ok"]
    assert one.rules() == clean


def test_a_run_follows_when_the_host_changes_from_legacy_to_nft(make_host: "MakeHost") -> None:
    if reason := legacy_missing():
        pytest.skip(reason)
    one = make_host(firewall="iptables-legacy")
    one.install(one.scripts(FIRST))
    legacy = one.sh("iptables-legacy-save | grep FWFIX")
    one.sh(
        "cd /usr/sbin; for name in iptables ip6tables; do ln -sf $name-nft $name; "
        "ln -sf $name-nft-save $name-save; ln -sf $name-nft-restore $name-restore; done"
    )
    one.install(one.scripts(SECOND))
    assert "FWFIX" not in one.sh("iptables-legacy-save")
    assert SECOND in one.host.ruleset()
    assert one.rollback(SECOND)["ok"]
    assert one.sh("iptables-legacy-save | grep FWFIX") == legacy
    assert SECOND not in one.host.ruleset()
    assert one.rollback(FIRST)["ok"]
    assert "FWFIX" not in one.sh("iptables-legacy-save; ip6tables-legacy-save")


def test_no_packet_slips_through_while_runs_replace_each_other(one: "OnHost") -> None:
    # One transaction per family: who lists all the time never sees a table without a blocking rule.
    one.install(one.scripts(FIRST))
    one.sh(
        "(while [ ! -e /tmp/stop ]; do iptables-save | grep -c -- '--dport 9100.*-j DROP'; done >/tmp/seen;"
        " echo end >>/tmp/seen) >/dev/null 2>&1 &"
    )
    one.install(one.scripts(SECOND))
    assert one.rollback(SECOND)["ok"]
    one.sh("touch /tmp/stop")
    one.wait_for(lambda: "end" in one.sh("cat /tmp/seen"), "the watcher")
    seen = one.sh("cat /tmp/seen").split()
    assert len(seen) > 3
    assert set(seen) == {"1", "end"}


def test_the_timer_of_the_later_run_brings_the_first_back(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    first = one.rules()
    second = one.scripts(SECOND)
    one.arm(second, 5)
    assert one.rollback(FIRST)["code"] == "superseded"
    one.apply(second)
    one.await_state("reverted", SECOND, patience=15)
    assert one.rules() == first
    one.arm(one.scripts(THIRD), 60)
    assert one.sh(f"cat {BASE}/runs/{FIRST}/superseded-by").strip() == THIRD
    assert one.rollback(THIRD)["ok"]
    assert one.rules() == first


def test_an_edited_first_run_comes_back_as_it_stood(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    one.sh(f"iptables -I FWFIX-{FIRST} 2 -s 192.0.2.1 -m comment --comment 'by hand' -j RETURN")
    edited = one.rules()
    one.install(one.scripts(SECOND))
    assert one.rollback(SECOND)["ok"]
    assert one.rules() == edited


def test_a_chain_of_three_comes_off_at_once_where_timeout_lingers(one: "OnHost") -> None:
    # busybox: its timeout stays for up to a second after the program that it watched.
    clean = one.rules()
    one.sh("/bin/busybox ln -sf /bin/busybox /usr/bin/timeout")
    for run_id in (FIRST, SECOND, THIRD):
        one.install(one.scripts(run_id))
    script = f"for run in {THIRD} {SECOND} {FIRST}; do sh {BASE}/runs/$run/rollback.sh || exit; done"
    assert one.code(script) == (0, "reverted reverted \n" * 3)
    assert one.rules() == clean


def test_a_chain_of_three_comes_off_in_order(one: "OnHost") -> None:
    clean = one.rules()
    seen = []
    for run_id in (FIRST, SECOND, THIRD):
        one.install(one.scripts(run_id))
        seen.append(one.rules())
    assert one.rollback(SECOND)["holder"] == THIRD
    assert one.rollback(FIRST)["holder"] == SECOND
    assert one.rollback(THIRD)["ok"]
    assert one.rules() == seen[1]
    assert one.rollback(SECOND)["ok"]
    assert one.rules() == seen[0]
    assert one.rollback(FIRST)["ok"]
    assert one.rules() == clean


def test_the_first_run_comes_back_even_if_somebody_flushed_the_later_one(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    expected = ours(one)
    one.install(one.scripts(SECOND))
    one.sh("iptables -F INPUT; ip6tables -F INPUT")
    assert one.rollback(SECOND)["ok"]
    assert ours(one) == expected


@pytest.mark.parametrize("backends", [("iptables", "nft"), ("nft", "iptables"), ("nft", "nft")])
def test_runs_of_two_back_ends_replace_each_other(one: "OnHost", backends: tuple[str, str]) -> None:
    clean = one.rules()
    earlier, later = backends
    one.install(one.scripts(FIRST, backend="nft" if earlier == "nft" else "iptables"))
    first = one.rules(), "inet fwfix" in one.host.ruleset()
    one.install(one.scripts(SECOND, backend="nft" if later == "nft" else "iptables"))
    assert FIRST not in one.host.ruleset()
    assert SECOND in one.host.ruleset()
    assert one.rollback(SECOND)["ok"]
    assert (one.rules(), "inet fwfix" in one.host.ruleset()) == first
    assert FIRST in one.host.ruleset()
    assert SECOND not in one.host.ruleset()
    assert one.rollback(FIRST)["ok"]
    assert one.rules() == clean
    assert "inet fwfix" not in one.host.ruleset()


def test_a_chain_of_others_in_our_table_is_left_alone(one: "OnHost") -> None:
    one.install(one.scripts(backend="nft"))
    one.sh("nft add chain inet fwfix theirs; nft add rule inet fwfix theirs tcp dport 1 accept")
    one.sh(f"nft insert rule inet fwfix FWFIX-{FIRST} ip saddr 192.0.2.9 accept")
    answer = one.rollback()
    assert answer["ok"], answer
    assert len(answer["edited"]) == 1
    assert "192.0.2.9" in answer["edited"][0]
    table = one.sh("nft list table inet fwfix")
    assert "theirs" in table
    assert "FWFIX" not in table


def test_a_second_run_is_refused_while_the_first_is_armed(one: "OnHost") -> None:
    one.arm(one.scripts(FIRST), 60)
    answer = one.run(one.scripts(SECOND)["arm"], "60", "-", "-", "-")
    assert (answer["ok"], answer["code"], answer["holder"]) == (False, "locked", FIRST)
    assert one.state(SECOND) == ""
    assert one.sh(f"cat {BASE}/lock").split()[0] == FIRST
    assert one.rollback(FIRST)["ok"]
    assert one.run(one.scripts(SECOND)["arm"], "60", "-", "-", "-")["ok"]
    assert one.rollback(SECOND)["ok"]


def test_a_lock_left_over_a_finished_run_is_simply_taken(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    one.sh(f"echo {FIRST} 99999999 $(cat /proc/sys/kernel/random/boot_id) >{BASE}/lock")
    one.install(one.scripts(SECOND))
    assert one.state(FIRST) == "confirmed"
    assert one.rollback(SECOND)["ok"]


def test_a_run_past_its_deadline_is_reverted_before_another_takes_over(one: "OnHost") -> None:
    clean = one.rules()
    first = one.scripts(FIRST)
    armed = one.arm(first, 15)
    one.apply(first)
    one.sh(f"kill -9 {one.timer()}")
    answer = one.run(one.scripts(SECOND)["arm"], "60", "-", "-", "-")
    assert answer["code"] == "locked"
    one.wait_for(lambda: one.observe()["uptime"] > armed["deadline"], "the deadline")
    second = one.scripts(SECOND)
    one.arm(second)
    assert one.state(FIRST) == "reverted"
    assert one.rules() == clean
    assert one.rollback(SECOND)["ok"]


def test_a_run_of_an_earlier_boot_is_reverted_before_another_takes_over(one: "OnHost") -> None:
    first = one.scripts(FIRST)
    one.arm(first, 60)
    one.apply(first)
    one.sh(f"kill -9 {one.timer()}")
    one.sh(f"sed -i 's/^boot_id=.*/boot_id=an-earlier-one/' {BASE}/runs/{FIRST}/meta")
    one.arm(one.scripts(SECOND))
    assert one.state(FIRST) == "reverted"
    assert FIRST not in one.rules()


def test_a_lock_without_a_record_is_taken(one: "OnHost") -> None:
    one.sh(f"mkdir -p -m 0700 {BASE}; echo {FIRST} 99999999 x >{BASE}/lock")
    one.arm(one.scripts(SECOND))
    assert one.sh(f"cat {BASE}/lock").split()[0] == SECOND


def test_of_many_at_once_exactly_one_arms(one: "OnHost") -> None:
    runs = [f"20261121T22000{number}Z-4f2a" for number in range(5)]
    paths = [one.write(one.scripts(run_id)["arm"]) for run_id in runs]
    started = " ".join(f"sh {path} 60 - - - >{path}.out 2>&1 &" for path in paths)
    one.sh(f"{started} wait")
    said = [one.sh(f"cat {path}.out") for path in paths]
    assert sum('"ok":true' in each for each in said) == 1, said
    assert sum('"code":"locked"' in each for each in said) == 4, said
    assert [one.state(run_id) for run_id in runs].count("armed") == 1
