"""A real sysvinit and a real OpenRC as PID 1: our rules follow the site's, and all goes with the last run."""

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec
from fwfix.lab.linux.rules import site_rules

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

BOOT = Path(__file__).with_name("boot_init.sh")
FILES = Path(sys.prefix, "inits")  # made by scripts/other-inits
REBOOT = {"sysvinit": "reboot", "openrc": "openrc-shutdown -r now", "openrc-lsb": "reboot"}
LINKS = "find /etc/rc?.d /etc/runlevels -type l 2>/dev/null | sort"
TRACES = "find /etc /run -xdev -name '*fwfix*'; grep -rl fwfix /etc/init.d || :"


def files_of(init: str) -> str:
    """The files of an init system, packed; skip where they are missing."""
    packed = FILES / f"{init.partition('-')[0]}.tar.gz"
    if not packed.exists():
        reason = f"{packed} is missing: scripts/other-inits {FILES}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return base64.b64encode(packed.read_bytes()).decode()


@pytest.fixture(params=sorted(REBOOT))
def init(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site(init: str, make_site: "MakeSite") -> Iterator["Site"]:
    """One host that a real init has booted; its services, and nobody else, load the site's own rules."""
    rules = HostSpec(name="gw")
    made = make_site(
        HostSpec(
            name="gw",
            firewall="none",
            boot=(f"sh /opt/boot-init {init}",),
            files={
                "/opt/boot-init": BOOT.read_text(encoding="utf-8"),
                f"/opt/{init.partition('-')[0]}.tar.gz": files_of(init),
                "/etc/iptables/rules.v4": site_rules(rules, 4),
                "/etc/iptables/rules.v6": site_rules(rules, 6),
            },
        )
    )
    require_booted(made)
    yield made
    made.lab.close()


def inside(site: "Site", command: str) -> str:
    """Run a command line below the init."""
    return site.sh(f"nsenter -t $(cat /run/init.pid) -m -p -- sh -c '{command}' 2>&1").strip()


def require_booted(site: "Site") -> None:
    """The init runs, and has loaded the site's rules."""
    if not site.exists("/run/init.pid"):
        pytest.fail(site.sh("cat /run/boot.log /root/init.log || :"))
    assert "SITE-IN" in site.rules()


def reboot(site: "Site", init: str) -> None:
    """Shut down in order, then boot with an empty kernel."""
    pid = site.sh("cat /run/init.pid").strip()
    inside(site, f"{REBOOT[init]} || :")
    site.wait_for(lambda: site.host.run(["kill", "-0", pid]).returncode != 0, "the end of the init")
    site.host.reboot()
    require_booted(site)


def test_the_whole_life_of_a_host_below_another_init(site: "Site", init: str) -> None:
    before, links, traces = site.rules(), site.sh(LINKS), site.sh(TRACES)
    ended = site.fwfix.apply()
    assert ended.outcome() == "applied"
    assert {hazard["code"] for hazard in ended.host()["hazards"]} <= {"listener-unknown"}
    assert site.is_blocked()
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert (site.rules(), site.sh(LINKS), site.sh(TRACES)) == (before, links, traces)


def test_confirmed_rules_are_loaded_after_the_sites_own_at_every_boot(site: "Site", init: str) -> None:
    links, traces = site.sh(LINKS), site.sh(TRACES)
    site.fwfix.apply()
    for _ in range(2):
        reboot(site, init)
        assert site.is_blocked()
        assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert (site.sh(LINKS), site.sh(TRACES)) == (links, traces)
    reboot(site, init)
    assert site.is_open()
    assert "fwfix" not in site.host.ruleset().lower()


def test_our_rules_come_back_where_the_init_has_a_hook_and_are_missed_where_it_has_none(
    site: "Site", init: str
) -> None:
    site.fwfix.apply()
    for verb in ("restart", "reload"):
        inside(site, f"service iptables {verb}")
        assert "SITE-IN" in site.rules()
        if init != "openrc":
            assert site.is_open()
            assert site.fwfix.run("verify", code=6).outcome() == "drift"
            inside(site, "sh /var/lib/fwfix/boot.sh")
        assert site.is_blocked()
        assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.is_open()


def test_a_boot_while_a_run_is_armed_undoes_that_run_and_loads_the_confirmed_one(
    site: "Site", init: str
) -> None:
    first = site.fwfix.apply().run_id
    site.fwfix.leave_armed()
    assert "dport 515 " in site.rules()
    reboot(site, init)
    states = site.states()
    assert states.pop(first) == "confirmed"
    assert set(states.values()) == {"reverted"}
    assert site.is_blocked()
    assert "dport 515 " not in site.rules()
