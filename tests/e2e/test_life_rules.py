"""Whatever rules a site has, and whatever speaks them: ours go in front, and go again without a trace."""

import re
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fwfix.lab.linux import HostSpec, legacy_missing

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab


def _needs_legacy() -> None:
    if missing := legacy_missing():
        pytest.skip(f"this kernel has no iptables-legacy: {missing}")


@pytest.mark.parametrize("position", ["1", "3"])
def test_a_site_rule_that_accepts_the_port_does_not_open_it_once_ours_is_in_front(
    site: "Site", position: str
) -> None:
    for tool in ("iptables", "ip6tables"):
        site.sh(f"{tool} -I INPUT {position} -p tcp --dport 9100 -j ACCEPT")
    before = site.rules()
    site.fwfix.apply()
    assert site.is_blocked()
    site.fwfix.rollback()
    assert site.rules() == before
    assert site.is_open()


FAIL2BAN = """\
{tool} -N f2b-sshd
{tool} -A f2b-sshd -s {address} -j REJECT
{tool} -A f2b-sshd -j RETURN
{tool} -I INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
"""


@pytest.mark.parametrize("end", ["rollback", "revert"])
def test_chains_that_others_add_in_the_meantime_survive_as_they_are(site: "Site", end: str) -> None:
    ban = FAIL2BAN.format(tool="iptables", address="203.0.113.9")
    ban += FAIL2BAN.format(tool="ip6tables", address="2001:db8::9")
    site.sh(ban)
    wanted = site.rules()
    site.sh(
        "\n".join(
            f"{tool} -D INPUT 1; {tool} -F f2b-sshd; {tool} -X f2b-sshd" for tool in ("iptables", "ip6tables")
        )
    )
    started = site.fwfix.start("apply", "--confirm-within", "60s")
    if end == "revert":
        started.await_step("arm")
        started.send(signal.SIGSTOP)
        site.host.kill_sshd()
        started.send(signal.SIGCONT)
    site.await_path("/var/lib/fwfix/runs/*/after.v4")
    started.send(signal.SIGSTOP)
    site.sh(ban)
    assert set(site.states().values()) == {"armed"}
    started.send(signal.SIGCONT)
    ended = started.end()
    if end == "revert":
        assert ended.outcome() == "reverted"
    else:
        assert ended.outcome() == "applied"
        assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.rules() == wanted


def test_a_host_that_speaks_iptables_legacy(make_site: "MakeSite") -> None:
    _needs_legacy()
    site = make_site(HostSpec(name="gw", firewall="iptables-legacy"))
    before = site.rules()
    assert site.fwfix.apply().outcome() == "applied"
    assert site.is_blocked()
    assert "FWFIX" in site.sh("iptables-legacy-save")
    assert "FWFIX" not in site.sh("iptables-nft-save 2>/dev/null")
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    site.fwfix.rollback()
    assert site.rules() == before
    assert site.is_open()


HOLD_LOCK = "setsid flock /run/xtables.lock sleep 300 >/dev/null 2>&1 </dev/null &"
LET_GO = "kill -9 $(ps -eo pid,args | awk '/[s]leep 300/{print $1}')"


def test_a_held_xtables_lock_is_waited_for(make_site: "MakeSite") -> None:
    _needs_legacy()
    site = make_site(HostSpec(name="gw", firewall="iptables-legacy"))
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "60s")
    started.await_step("arm")
    site.sh(HOLD_LOCK)
    waiting = "ps -eo args | grep '[r]estore.* -w' || :"
    site.wait_for(lambda: site.sh(waiting) != "", "somebody who waits for the lock")
    assert "FWFIX" not in site.rules()
    site.sh(LET_GO)
    ended = started.end()
    assert (ended.code, ended.outcome()) == (0, "applied")
    site.fwfix.rollback()
    assert site.rules() == before


def test_an_xtables_lock_that_is_never_released_changes_nothing(make_site: "MakeSite") -> None:
    _needs_legacy()
    site = make_site(HostSpec(name="gw", firewall="iptables-legacy"))
    before = site.rules()
    site.sh(HOLD_LOCK)
    ended = site.fwfix.apply("--confirm-within", "8s", code=3)
    assert ended.outcome() in {"failed", "reverted"}
    site.sh(LET_GO)
    site.wait_for(lambda: set(site.states().values()) <= {"reverted"}, "the host's own end")
    assert site.rules() == before
    assert site.is_open()


@pytest.mark.parametrize(
    "spec",
    [HostSpec(name="gw", firewall="nftables", nft_only=True), HostSpec(name="gw", firewall="nftables")],
    ids=["no-iptables", "native-beside-iptables"],
)
def test_a_host_with_native_nftables_rules(make_site: "MakeSite", spec: HostSpec) -> None:
    site = make_site(spec)

    def ruleset() -> str:
        return re.sub(r"counter packets \d+ bytes \d+", "counter", site.host.ruleset())

    before = ruleset()
    assert site.fwfix.apply().outcome() == "applied"
    assert site.is_blocked()
    assert "table inet fwfix" in ruleset()
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert ruleset() == before
    assert site.is_open()


def test_a_host_without_any_rule(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", firewall="none"))
    before = site.rules()
    assert site.fwfix.apply().outcome() == "applied"
    assert site.is_blocked()
    site.fwfix.rollback()
    assert site.rules() == before
    assert site.is_open()


@pytest.mark.parametrize(
    "spec",
    [HostSpec(name="gw", ipv6=False), HostSpec(name="gw", ipv6=False, ip6tables=False)],
    ids=["with-ip6tables", "without-ip6tables"],
)
def test_a_host_that_speaks_ipv4_only(make_site: "MakeSite", spec: HostSpec) -> None:
    site = make_site(spec)
    before = site.rules()
    ended = site.fwfix.apply()
    assert ended.outcome() == "applied"
    assert {probe["family"] for probe in ended.host()["probes"]} == {"ipv4"}
    assert site.ports()["outside4"] == "filtered"
    site.fwfix.rollback()
    assert site.rules() == before
    assert site.ports()["outside4"] == "open"


def test_a_host_that_speaks_ipv6_and_cannot_filter_it_is_not_touched(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", ip6tables=False))
    before = site.rules()
    ended = site.fwfix.apply(code=5)
    assert (ended.outcome(), ended.reason()) == ("skipped", "hazard:family-unprotected")
    assert site.rules() == before
    assert site.states() == {}


def test_a_family_that_cannot_be_filtered_is_not_asked_for_once_that_is_accepted(
    make_site: "MakeSite",
) -> None:
    site = make_site(HostSpec(name="gw", ip6tables=False))
    before = site.rules()
    ended = site.fwfix.apply("--accept", "family-unprotected")
    assert ended.outcome() == "applied"
    assert site.ports() == {
        "controller4": "filtered",
        "outside4": "filtered",
        "controller6": "open",
        "outside6": "open",
    }
    after = {
        probe["family"]: (probe["result"], probe["expected"], "proof" in probe and probe["proof"] is not None)
        for probe in ended.host()["probes"]
        if probe["phase"] == "after"
    }
    assert after == {"ipv4": ("filtered", "blocked", True), "ipv6": ("open", None, False)}
    (hazard,) = (each for each in ended.host()["hazards"] if each["code"] == "family-unprotected")
    assert "IPv6" in hazard["message"]
    assert site.fwfix.run("verify", code=6).outcome() == "drift"  # it is not as the policy wants it
    site.fwfix.rollback()
    assert site.rules() == before
    assert set(site.ports().values()) == {"open"}


def test_reject_refuses_and_log_logs(site: "Site") -> None:
    def change(content: dict[str, object]) -> None:
        content["policies"]["block-raw-printing"] |= {"action": "reject", "log": True}  # type: ignore[index]

    before = site.rules()
    site.fwfix.rewrite(change)
    assert site.fwfix.apply().outcome() == "applied"
    assert set(site.ports().values()).isdisjoint({"open", "filtered"})
    site.fwfix.rollback()
    assert site.rules() == before


_TARGETS = st.sampled_from(
    [
        "-j ACCEPT",
        "-j DROP",
        "-j RETURN",
        "-j SITE",
        '-j LOG --log-prefix "it\'s \\"x\\" "',
        "-g SITE",
        "-j MARK --set-mark 7",
    ]
)
_MATCHES = st.sampled_from(
    [
        "-p tcp -m tcp --dport 80",
        "-p tcp -m multiport --dports 631,9101:9105",
        "-p udp -m udp --sport 53",
        "-i eth1",
        "! -i lo -p tcp -m tcp --dport 25",
        "-m conntrack --ctstate INVALID",
        "-m mark --mark 0x1/0xff",
        "-m limit --limit 3/sec --limit-burst 7",
        '-m comment --comment "with \\"quotes\\" and fwfix in it"',
        "-m addrtype --dst-type MULTICAST",
        "-p tcp -m tcp --tcp-flags SYN,ACK SYN",
        "-p icmp",
    ]
)
_RULES = st.lists(
    st.tuples(st.sampled_from(["INPUT", "FORWARD", "OUTPUT", "SITE", "OTHER"]), _MATCHES, _TARGETS),
    max_size=8,
)


def _filter_table(rules: list[tuple[str, str, str]], policy: str) -> str:
    lines = [
        "*filter",
        f":INPUT {policy} [0:0]",
        ":FORWARD ACCEPT [3:180]",
        ":OUTPUT ACCEPT [0:0]",
        ":SITE - [0:0]",
        ":OTHER - [0:0]",
        "-A INPUT -p tcp -m multiport --dports 22,9100 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    for chain, match, target in rules:
        # A jump of a chain to itself is a loop, and -j MARK is for the mangle table with some kernels.
        if chain == "SITE" and target.endswith("SITE"):
            continue
        if "MARK" in target and chain != "OTHER":
            continue
        # What leaves the host came in through no interface.
        if chain == "OUTPUT" and "-i " in match:
            continue
        lines.append(f"-A {chain} {match} {target}")
    return "\n".join((*lines, "COMMIT", ""))


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_apply_then_rollback_is_identity_whatever_the_site_has(make_site: "MakeSite", kind: str) -> None:
    if kind == "legacy":
        _needs_legacy()
    site = make_site(HostSpec(name="gw", firewall="iptables-legacy" if kind == "legacy" else "iptables-nft"))

    @settings(
        max_examples=3,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(rules=_RULES, policy=st.sampled_from(["ACCEPT", "DROP"]))
    def check(rules: list[tuple[str, str, str]], policy: str) -> None:
        text = _filter_table(rules, policy)
        site.sh("iptables-restore", stdin=text)
        site.sh("ip6tables-restore", stdin=text.replace("-p icmp", "-p ipv6-icmp"))
        before = site.rules()
        applied = site.fwfix.apply()
        assert applied.outcome() == "applied"
        assert site.rules() != before
        assert site.fwfix.rollback(applied.run_id).outcome() == "rolled_back"
        assert site.rules() == before

    check()
