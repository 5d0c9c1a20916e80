"""The way to the host is lost while a run is at work on it."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

RUNS = "/var/lib/fwfix/runs"
# The processes of sshd that serve somebody, the listening one left alone.
# Where one of them is gone its child may have ended by itself.
HANG_UP = (
    "for pid in $(ps -eo pid,args"
    " | sed -nE '/listener/d; /[s]shd: |[s]shd-session: /s/^ *([0-9]+) .*/\\1/p'); do"
    " kill -9 $pid && echo $pid || :; done"
)
# What the scripts use again and again takes long from the moment on at which somebody is to hang up.
SLOW = """
for name in awk sync mv; do
  mv /usr/bin/$name /usr/bin/$name.real
  cat >/usr/bin/$name <<end
#!/bin/sh
/usr/bin/$name.real "\\$@" || exit
if ls PATH && [ ! -e /run/hung-up ]; then sleep 1; fi >/dev/null 2>&1
end
  chmod 755 /usr/bin/$name
done
"""


def test_a_host_cut_off_after_apply_restores_itself_and_is_reported_reverted_once_it_answers(
    site: "Site",
) -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "5s", "--connect-timeout", "2s")
    started.await_step("verify")
    site.host.cut()
    site.await_state("reverted")
    assert site.rules() == before
    site.host.restore()
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert ended.host()["reverts_at"] is None
    assert site.is_open()


@pytest.mark.timeout(400)
def test_a_host_that_stays_silent_is_unknown_with_the_time_at_which_it_restores_itself(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "5s", "--connect-timeout", "2s")
    started.await_step("verify")
    site.host.cut()
    site.await_state("reverted")
    ended = started.end(timeout=100)
    assert (ended.code, ended.outcome()) == (4, "unknown")
    entry = ended.host()
    armed_at = next(step["at"] for step in entry["steps"] if step["step"] == "arm")
    assert armed_at < entry["reverts_at"] < ended.document["finished_at"]
    assert entry["reason"]["code"]
    site.host.restore()
    assert site.rules() == before
    site.wait_for(site.is_open, "the network")


def test_where_new_connections_are_refused_after_apply_the_old_one_reverts(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.host.kill_sshd()
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert ended.steps()[-3:] == ["verify", "revert", "check"]
    assert ended.reason() == "unreachable"
    assert list(site.states().values()) == ["reverted"]
    assert site.rules() == before
    assert site.is_open()
    site.host.start_sshd()


def test_sessions_that_died_cost_a_revert_no_more_than_one_new_connection(site: "Site") -> None:
    """The session of verify is killed and known to be gone at once; the first one falls silent for good."""
    before = site.rules().split()
    first = "/run/first-session"
    site.sh(
        "mv /usr/bin/ss /usr/bin/ss.real; cat >/usr/bin/ss; chmod 755 /usr/bin/ss",
        stdin=f"""#!/bin/sh
if [ ! -e {first} ]; then
  ss.real -Htn state established sport = :22 | sed 's/.*://' >{first}
elif [ -n "$(ls /var/lib/fwfix/runs/*/after.v4)" ] && mkdir /run/cut; then
  for port in $(cat {first}); do
    iptables -t raw -I PREROUTING -p tcp --sport $port --dport 22 -j DROP
    iptables -t raw -I OUTPUT -p tcp --sport 22 --dport $port -j DROP
  done
  {HANG_UP} >/dev/null
fi
exec ss.real "$@"
""",
    )
    ended = site.fwfix.apply("--connect-timeout", "12s", code=3)
    assert site.exists("/run/cut")
    assert (ended.outcome(), ended.steps()[-3:]) == ("reverted", ["verify", "revert", "check"])
    revert = ended.host()["steps"][-2]
    assert revert["ok"]
    assert revert["took_ms"] < 10_000
    for chain in ("PREROUTING", "OUTPUT"):
        site.sh(f"iptables -t raw -F {chain}")
    assert site.rules().split() == before


def test_a_firewall_that_forgets_ssh_with_our_rules_is_reverted(site: "Site") -> None:
    """Open sessions go on, new ones are dropped: the proof must be a new connection."""
    before = site.rules()
    started = site.fwfix.start("apply", "--connect-timeout", "2s")
    site.await_path(f"{RUNS}/*/state.armed")
    drop = "INPUT 1 -p tcp --dport 22 -m conntrack --ctstate NEW -j DROP"
    site.sh(f"iptables -I {drop}")
    ended = started.end()
    site.sh(f"iptables -D {drop.replace(' 1 ', ' ')}")
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert site.rules() == before


@pytest.mark.parametrize(
    "path",
    [f"{RUNS}/*/state.arming", f"{RUNS}/*/state.armed", f"{RUNS}/*/after.v6", "/var/lib/fwfix/boot.sh"],
    ids=["arming", "armed", "between-the-families", "confirming"],
)
def test_an_ssh_session_hung_up_in_the_middle_of_a_script_ends_in_a_known_state(
    site: "Site", path: str
) -> None:
    before = site.rules()
    site.sh(SLOW.replace("PATH", path))
    started = site.fwfix.start("apply", "--confirm-within", "10s")
    site.await_path(path)
    assert site.sh(f": >/run/hung-up; {HANG_UP}") != ""
    ended = started.end()
    site.wait_for(lambda: set(site.states().values()) <= {"confirmed", "reverted"}, "the host's own end")
    site.await_no_timer()
    said = next(iter(site.states().values()), None)
    if said == "confirmed":
        assert (ended.code, ended.outcome()) == (0, "applied")
        assert site.is_blocked()
    else:
        assert (ended.code, ended.outcome()) in {(3, "reverted"), (3, "failed")}
        assert site.rules() == before
        assert site.is_open()


def test_the_listener_that_dies_during_apply_is_no_success(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.sh("kill -9 $(ps -eo pid,comm | awk '$2 == \"p910nd\"{print $1}')")
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert ended.reason() == "listener-gone"
    assert site.rules() == before


def test_a_listener_on_a_port_that_the_policy_does_not_name_may_come_and_go(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw", listeners=(Listener(), Listener(port=9999, process="other"))))
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.sh("kill -9 $(ps -eo pid,comm | awk '$2 == \"other\"{print $1}')")
    ended = started.end()
    assert (ended.code, ended.outcome()) == (0, "applied")


def test_a_reboot_before_confirming_is_a_revert_and_after_it_the_rules_are_back(site: "Site") -> None:
    load = "[ ! -x /etc/init.d/fwfix ] || /etc/init.d/fwfix start"
    started = site.fwfix.start("apply")
    started.await_step("verify")
    site.host.reboot(boot=[load])
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert site.is_open()
    applied = site.fwfix.apply()
    site.host.reboot(boot=[load])
    assert site.is_blocked()
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.apply().outcome() == "noop"
    site.fwfix.rollback(applied.run_id)
    assert site.is_open()
