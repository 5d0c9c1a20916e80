"""Which tool carries our rules: the default iptables, or nft where iptables cannot see the rules."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec, legacy_missing
from fwfix.model.plan import PlannedOutcome

if TYPE_CHECKING:
    from conftest import Driven, MakeDriven

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
# B15c: iptables-save ends well and shows nothing but a comment.
HIDDEN = """\
table ip filter {
  set friends { type ipv4_addr; elements = { 192.0.2.1 }; }
  chain INPUT {
    type filter hook input priority 0; policy accept;
    ip saddr @friends accept
    tcp dport { 22, 9100 } accept
  }
}
"""
FAIL2BAN = """\
table inet f2b-table {
  set addr-set-sshd { type ipv4_addr; }
  chain f2b-chain {
    type filter hook input priority filter - 1; policy accept;
    tcp dport 22 ip saddr @addr-set-sshd reject
  }
}
"""


def test_rules_that_iptables_cannot_show_call_for_nft(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="gw", firewall="nftables", nft_rules=HIDDEN))
    before = driven.host.ruleset()
    assert driven.plan().hosts[0].backend == "nft"
    driven.put_in_force(driven.plan())
    assert driven.plan().hosts[0].outcome is PlannedOutcome.NOOP
    assert driven.host.ruleset().replace(before.strip(), "").count("table") == 1


def test_without_iptables_there_is_nft(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="gw", firewall="nftables", nft_only=True))
    assert driven.plan().hosts[0].backend == "nft"


def test_an_iptables_that_cannot_list_its_rules_is_not_used(driven: "Driven") -> None:
    driven.sh("printf '#!/bin/sh\\nexit 1\\n' > /tmp/broken; chmod 755 /tmp/broken")
    driven.sh("path=$(command -v iptables-save); rm -f $path; cp /tmp/broken $path")
    assert driven.plan().hosts[0].backend == "nft"


def test_where_firewalld_runs_our_rules_have_a_table_of_their_own(driven: "Driven") -> None:
    driven.sh("cp /usr/bin/sleep /tmp/firewalld; setsid /tmp/firewalld 600 </dev/null >/dev/null 2>&1 &")
    assert driven.plan().hosts[0].backend == "nft"


def test_a_table_of_fail2ban_does_not_make_a_host_speak_nftables(driven: "Driven") -> None:
    driven.sh(f"nft -f - <<'END'\n{FAIL2BAN}\nEND")
    assert driven.plan().hosts[0].backend == "iptables"


@pytest.mark.skipif(legacy_missing() is not None, reason="no legacy iptables here")
def test_a_legacy_default_is_used_as_it_is(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="gw", firewall="iptables-legacy"))
    host = driven.put_in_force(driven.plan())
    assert host.backend == "iptables"
    assert driven.driver.judge(host, FIRST, driven.look()).problems == ()
    assert driven.plan().hosts[0].outcome is PlannedOutcome.NOOP


def test_a_host_with_neither_is_failed_with_what_is_missing(make_driven: "MakeDriven") -> None:
    driven = make_driven(HostSpec(name="gw", firewall="nftables", nft_only=True))
    driven.sh("rm -f $(command -v nft)")
    (host,) = driven.plan().hosts
    assert host.outcome is PlannedOutcome.FAILED
    assert host.reason is not None
    assert host.reason.code == "missing-tool"


def test_a_run_moves_to_the_other_back_end_when_the_host_does(driven: "Driven") -> None:
    driven.put_in_force(driven.plan())
    driven.sh("cp /usr/bin/sleep /tmp/firewalld; setsid /tmp/firewalld 600 </dev/null >/dev/null 2>&1 &")
    second = "20261121T230000Z-00ff"
    plan = driven.plan(run_id=second)
    assert plan.hosts[0].supersedes == FIRST
    driven.put_in_force(plan)
    assert "FWFIX" not in driven.host.iptables_save() + driven.host.ip6tables_save()
    assert driven.plan(run_id=second).hosts[0].outcome is PlannedOutcome.NOOP
