"""Rules of ours on a real host: recognised when they stand, and when somebody touched them."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec
from fwfix.model.plan import ChangeOp, PlannedOutcome
from fwfix.model.policy import Family

if TYPE_CHECKING:
    from conftest import Driven, MakeDriven

pytestmark = pytest.mark.lab

FIRST, SECOND = "20261121T220003Z-4f2a", "20261121T230000Z-00ff"
CHAIN = f"FWFIX-{FIRST}"


@pytest.mark.parametrize("firewall", ["iptables-nft", "nftables", "none"])
def test_a_confirmed_run_is_all_that_is_wanted(make_driven: "MakeDriven", firewall: str) -> None:
    driven = make_driven(HostSpec(name="gw", firewall=firewall))  # type: ignore[arg-type]
    plan = driven.plan()
    assert plan.waves == (("gw",),)
    assert plan.template_digest.startswith("sha256:")
    assert plan.hosts[0].backend == ("nft" if firewall == "nftables" else "iptables")
    host = driven.put_in_force(plan)
    again = driven.plan(run_id=SECOND).hosts[0]
    assert again.outcome is PlannedOutcome.NOOP
    assert again.changes == ()
    for judged in (host, again):
        judgement = driven.driver.judge(judged, FIRST, driven.look())
        assert judgement.problems == ()
        assert {counter.family for counter in judgement.counters} == set(Family)


def test_another_policy_replaces_the_run_in_force(driven: "Driven") -> None:
    driven.put_in_force(driven.plan())
    wanted = (driven.protect(), driven.protect(515))
    (host,) = driven.plan(*wanted, run_id=SECOND).hosts
    assert host.outcome is PlannedOutcome.CHANGE
    assert host.supersedes == FIRST
    gone = [change.text for change in host.changes if change.op is ChangeOp.REMOVE]
    assert sum(f"{FIRST}:jump" in text for text in gone) == 2
    listed = driven.host.iptables_save() + driven.host.ip6tables_save()
    assert all(text in listed for text in gone)
    driven.put_in_force(driven.plan(*wanted, run_id=SECOND))
    listed = driven.host.iptables_save() + driven.host.ip6tables_save()
    come = [change.text for change in host.changes if change.op is ChangeOp.ADD and change.text[:2] == "-A"]
    assert all(text in listed for text in come)
    assert FIRST not in listed


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("iptables -I INPUT 1 -p tcp --dport 9000:9200 -j ACCEPT", "in front of ours stands an IPv4 rule"),
        ("ip6tables -I INPUT 1 -s fd00::/8 -j ACCEPT", "in front of ours stands an IPv6 rule"),
        ("iptables -N X; iptables -A X -j ACCEPT; iptables -I INPUT 1 -p tcp -j X", "in front of ours"),
        ("iptables -P INPUT ACCEPT; iptables -I INPUT 1 -j RETURN", "in front of ours"),
        ("iptables -F INPUT", "the jump from INPUT to"),
        (f"ip6tables -F {CHAIN}", "lacks -A"),
        (f"iptables -I {CHAIN} 1 -s 10.9.9.9 -j RETURN", "has a rule that is not ours"),
        (f"ip6tables -D INPUT 1; ip6tables -F {CHAIN}; ip6tables -X {CHAIN}", "is missing in IPv6"),
        ("rm -f /etc/rc*.d/S*fwfix", "would not survive a reboot"),
    ],
)
def test_what_somebody_did_to_our_rules_is_seen(driven: "Driven", command: str, problem: str) -> None:
    driven.put_in_force(driven.plan())
    driven.sh(command)
    draft = driven.draft(run_id=SECOND)
    assert not draft.in_place
    assert any(problem in each for each in draft.problems), draft.problems


@pytest.mark.parametrize(
    "command",
    [
        "iptables -I INPUT 1 -i lo -j ACCEPT",
        "iptables -I INPUT 1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "iptables -I INPUT 1 -p tcp --dport 22 -j ACCEPT",
        "iptables -I INPUT 1 -p udp -j ACCEPT",
        "iptables -I INPUT 1 -s 10.99.99.7 -j ACCEPT",
        "iptables -N f2b; iptables -A f2b -s 10.1.1.1 -j REJECT; iptables -I INPUT 1 -j f2b",
        "iptables -I INPUT 1 -j LOG",
        "iptables -I INPUT 1 -p tcp --dport 9100 -j DROP",
        "iptables -A INPUT -p tcp --dport 9100 -j ACCEPT",
    ],
)
def test_what_cannot_let_such_a_packet_in_is_no_problem(driven: "Driven", command: str) -> None:
    driven.put_in_force(driven.plan())
    driven.sh(command)
    assert driven.draft(run_id=SECOND).problems == ()


def test_a_flushed_table_of_ours_is_seen(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="gw", firewall="nftables"))
    driven.put_in_force(driven.plan())
    driven.sh("nft delete table inet fwfix")
    assert any("is missing in table inet fwfix" in each for each in driven.draft().problems)


def test_the_fingerprint_outlives_the_hour_but_not_a_new_owner(driven: "Driven") -> None:
    first = driven.draft().fingerprint
    driven.sh("iptables -N f2b; iptables -A f2b -s 10.1.1.1 -j REJECT; iptables -I INPUT 1 -j f2b")
    assert driven.draft().fingerprint == first
    driven.sh("iptables -t nat -A PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101")
    assert driven.draft().fingerprint != first


def test_the_fingerprint_covers_our_own_state(driven: "Driven") -> None:
    before = driven.draft(run_id=SECOND).fingerprint
    driven.put_in_force(driven.plan())
    standing = driven.draft(run_id=SECOND).fingerprint
    assert standing != before
    driven.sh(f"iptables -A {CHAIN} -j RETURN")
    assert driven.draft(run_id=SECOND).fingerprint != standing
