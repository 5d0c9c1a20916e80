"""A real systemd as PID 1: the timer is its service, and our boot unit follows the site's firewall."""

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

BOOT = Path(__file__).with_name("boot_systemd.sh")
SLOW_START = "ExecStartPost=/bin/sleep 1"
DROP_IN = "/run/systemd/control/fwfix.service.d"
ABLE = """\
[ -x /lib/systemd/systemd ] || { echo "no systemd is installed" >&2; exit 1; }
mount -t cgroup2 none /mnt && mkdir "/mnt/$1" && echo 0 >"/mnt/$1/cgroup.procs" && unshare --cgroup true
"""
REMOVE = 'mount -t cgroup2 none /mnt && find "/mnt/$1" -depth -type d -exec rmdir {} +'
# As the packages have them: nothing is there before it, and a reload loads the whole file again.
NFTABLES = """\
[Unit]
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/nftables.conf
ExecReload=/usr/sbin/nft -f /etc/nftables.conf
ExecStop=/usr/sbin/nft flush ruleset
"""
PERSISTENT = """\
[Unit]
Wants=network-pre.target systemd-modules-load.service local-fs.target
Before=network-pre.target shutdown.target
After=local-fs.target
Conflicts=shutdown.target
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "iptables-restore </etc/site.v4 && ip6tables-restore </etc/site.v6"
ExecReload=/bin/sh -c "iptables-restore </etc/site.v4 && ip6tables-restore </etc/site.v6"
ExecStop=/bin/sh -c "iptables -F && iptables -X && ip6tables -F && ip6tables -X"
"""
RULES = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m multiport --dports 22,9100 -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
COMMIT
"""
NFT_RULES = """\
table inet site {
  chain in {
    type filter hook input priority 0; policy accept;
    tcp dport { 22, 9100 } accept
  }
}
"""
SITES = {
    "netfilter-persistent": HostSpec(
        name="gw",
        rules=RULES.replace("ipv6-icmp", "icmp"),
        rules6=RULES,
        files={
            "/opt/site-units/netfilter-persistent.service": PERSISTENT,
            "/etc/site.v4": RULES.replace("ipv6-icmp", "icmp"),
            "/etc/site.v6": RULES,
        },
    ),
    "nftables": HostSpec(
        name="gw",
        firewall="nftables",
        nft_rules=NFT_RULES,
        files={
            "/opt/site-units/nftables.service": NFTABLES,
            "/etc/nftables.conf": f"flush ruleset\n{NFT_RULES}",
        },
    ),
}


def _apart(script: str, name: str) -> subprocess.CompletedProcess[str]:
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", name]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def cgroup(lab_possible: None) -> Iterator[str]:
    """A name for a part of the cgroup tree that is removed afterwards; skip where there can be none."""
    name = f"fwfix-test-{secrets.token_hex(4)}"
    able = _apart(ABLE, name)
    if able.returncode != 0:
        _apart(REMOVE, name)
        pytest.skip(f"systemd as PID 1 does not run on this machine: {able.stderr.strip()}")
    yield name
    _apart(REMOVE, name)


@pytest.fixture(params=sorted(SITES))
def site(request: pytest.FixtureRequest, cgroup: str, make_site: "MakeSite") -> Iterator["Site"]:
    """One host that systemd has booted, with a service for the site's own rules."""
    spec = SITES[request.param]
    files = {**spec.files, "/opt/boot-systemd": BOOT.read_text(encoding="utf-8")}
    made = make_site(replace(spec, files=files, boot=(f"sh /opt/boot-systemd {cgroup}",)))
    await_running(made)
    assert made.is_open()
    yield made
    made.lab.close()  # before its part of the cgroup tree


def inside(site: "Site", command: str) -> str:
    """Run a command line below systemd."""
    return site.sh(f"nsenter -t $(pgrep -o -x systemd) -m -p -C -- sh -c '{command}'").strip()


def systemctl(site: "Site", command: str) -> str:
    return inside(site, f"systemctl --no-pager --plain --no-legend {command} || :")


def await_running(site: "Site") -> None:
    """Wait until systemd has booted; nothing may have failed."""
    if site.host.run(["pgrep", "-x", "systemd"]).returncode != 0:
        pytest.fail(site.sh("cat /run/boot.log /run/systemd.log"))
    site.wait_for(lambda: systemctl(site, "is-system-running") == "running", "a boot without a failure")


def service(site: "Site") -> str:
    return "nftables" if site.host.spec.firewall == "nftables" else "netfilter-persistent"


def reboot(site: "Site") -> None:
    """Shut down in order, then boot with an empty kernel."""
    # Nobody waits for who asks: the shutdown ends that one too, like every process.
    site.sh("nsenter -t $(pgrep -o -x systemd) -m -p -C -- systemctl reboot </dev/null >/dev/null 2>&1 &")
    site.wait_for(lambda: site.host.run(["pgrep", "-x", "systemd"]).returncode != 0, "the end of systemd")
    site.host.reboot()
    await_running(site)


def test_the_whole_life_of_a_host_below_systemd(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply")
    started.await_step("apply")
    site.await_path("/var/lib/fwfix/runs/*/state.armed")
    (timer,) = systemctl(site, "list-units fwfix-*.service").splitlines()
    assert "running" in timer
    ended = started.end()
    assert ended.outcome() == "applied", ended
    # The lab's listener was there before systemd, and is not to be seen from below it.
    assert {hazard["code"] for hazard in ended.host()["hazards"]} <= {"listener-unknown"}
    assert site.is_blocked()
    assert systemctl(site, "is-enabled fwfix.service") == "enabled"
    assert systemctl(site, "is-active fwfix.service") == "active"
    site.wait_for(lambda: systemctl(site, "list-units --all fwfix-*") == "", "the end of the timer's unit")
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.rules() == before
    assert systemctl(site, "list-unit-files fwfix*") == ""
    assert systemctl(site, "list-units --all fwfix*") == ""
    assert systemctl(site, "is-system-running") == "running"


def test_the_timer_fires_below_systemd_when_controller_and_sshd_are_gone(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "8s")
    started.await_step("verify")
    started.kill()
    systemctl(site, "stop sshd.service")
    site.sh("pkill -9 -x sshd || :")
    site.await_state("reverted")
    assert site.rules() == before
    assert site.is_open()
    site.wait_for(lambda: systemctl(site, "list-units --all fwfix-*") == "", "the end of the timer's unit")
    systemctl(site, "start sshd.service")
    assert site.fwfix.run("runs", "recover", code=None).outcome() == "reverted"


def test_confirmed_rules_are_loaded_after_the_sites_own_at_every_boot(site: "Site") -> None:
    site.fwfix.apply()
    assert f"{service(site)}.service" in systemctl(site, "show -p After --value fwfix.service")
    for _ in range(2):
        reboot(site)
        assert site.is_blocked()
        assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    reboot(site)
    assert site.is_open()
    assert "fwfix" not in site.host.ruleset().lower()


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_our_rules_come_back_when_systemd_loads_the_sites_own_again(site: "Site", verb: str) -> None:
    # It has loaded our rules and is not yet active: the moment at which systemd drops a reload.
    inside(site, f'mkdir -p {DROP_IN} && printf "[Service]\\n{SLOW_START}\\n" >{DROP_IN}/slow.conf')
    site.fwfix.apply()
    systemctl(site, f"{verb} {service(site)}.service")
    site.wait_for(site.is_blocked, "our rules")
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.is_open()


def test_our_rules_come_back_however_often_they_are_loaded(site: "Site") -> None:
    site.fwfix.apply()
    for _ in range(7):
        inside(site, "systemctl restart fwfix.service")
    assert site.is_blocked()


def test_a_boot_while_a_run_is_armed_undoes_that_run_and_loads_the_confirmed_one(site: "Site") -> None:
    first = site.fwfix.apply().run_id
    site.fwfix.leave_armed()
    assert "dport 515 " in site.rules()
    reboot(site)
    states = site.states()
    assert states.pop(first) == "confirmed"
    assert set(states.values()) == {"reverted"}
    assert site.is_blocked()
    assert "dport 515 " not in site.rules()
