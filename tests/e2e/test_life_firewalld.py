"""A real firewalld, with its own D-Bus, on a throw-away host: our table and its rules do not meet."""

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

START = (
    "mkdir -p /run/dbus && rm -f /run/dbus/pid && dbus-daemon --system --fork",
    "setsid firewalld --nofork --nopid >/run/firewalld.log 2>&1 </dev/null &",
)
RUNNING = "firewall-cmd --state >/dev/null 2>&1"
BOOTED = f"for try in $(seq 200); do {RUNNING} && break; sleep 0.1; done"
LOAD_OURS = "[ ! -x /etc/init.d/fwfix ] || /etc/init.d/fwfix start"


@pytest.fixture
def site(make_site: "MakeSite") -> "Site":
    """One host whose firewall is firewalld, with 9100/tcp opened in its zone."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    missing = [
        tool for tool in ("firewalld", "firewall-cmd", "dbus-daemon") if not shutil.which(tool, path=path)
    ]
    if missing:
        reason = f"no {missing[0]} on this machine: scripts/debian-packages firewalld dbus"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    made = make_site(HostSpec(name="gw", firewall="none", boot=(*START, BOOTED, LOAD_OURS)))
    made.sh(RUNNING)
    made.sh("firewall-cmd --quiet --permanent --add-port=9100/tcp && firewall-cmd --quiet --reload")
    assert made.is_open()
    assert set(made.ports(port=9101).values()) != {"open"}
    return made


def rules(site: "Site") -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", site.host.ruleset())


def test_the_whole_life_of_a_host_with_firewalld(site: "Site") -> None:
    before = rules(site)
    planned = site.fwfix.run("plan", code=0)
    assert [hazard["code"] for hazard in planned.host()["hazards"] if hazard["severity"] == "stop"] == []
    assert rules(site) == before
    applied = site.fwfix.apply()
    assert applied.outcome() == "applied"
    assert site.is_blocked()
    assert "table inet fwfix" in rules(site)
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert rules(site) == before
    assert site.is_open()
    site.sh(RUNNING)


@pytest.mark.parametrize("reload", ["--reload", "--complete-reload"])
def test_our_rules_outlive_a_reload_and_are_still_known(site: "Site", reload: str) -> None:
    before = rules(site)
    run_id = site.fwfix.apply().run_id
    site.sh(f"firewall-cmd --quiet {reload}")
    assert site.is_blocked()
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.apply().outcome() == "noop"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.states() == {run_id: "reverted"}
    assert rules(site) == before
    assert site.is_open()


def test_a_reload_while_a_run_is_under_way_changes_nothing_about_its_end(site: "Site") -> None:
    started = site.fwfix.start("apply")
    started.await_step("verify")
    site.sh("firewall-cmd --quiet --reload")
    assert started.end().outcome() == "applied"
    assert site.is_blocked()


def test_who_is_allowed_by_us_is_still_up_to_firewalld(site: "Site") -> None:
    outside = site.lab.outside

    def change(content: dict[str, object]) -> None:
        policy = content["policies"]["block-raw-printing"]  # type: ignore[index]
        policy["allow_from"] = [f"{outside.address}/32", f"{outside.address6}/128"]

    site.fwfix.rewrite(change)
    site.fwfix.apply()
    assert outside.connect(site.host.address, 9100, timeout=0.4) == "open"
    assert site.ports()["controller4"] == "filtered"
    site.sh("firewall-cmd --quiet --permanent --remove-port=9100/tcp && firewall-cmd --quiet --reload")
    assert outside.connect(site.host.address, 9100, timeout=0.4) != "open"


def test_a_port_that_firewalld_sends_to_another_is_blocked_as_well(site: "Site") -> None:
    site.sh("firewall-cmd --quiet --permanent --remove-port=9100/tcp")
    site.sh("firewall-cmd --quiet --permanent --add-forward-port=port=9100:proto=tcp:toport=22")
    site.sh("firewall-cmd --quiet --reload")
    assert site.ports()["outside4"] == "open"
    applied = site.fwfix.apply(code=None)
    assert applied.outcome() == "applied", applied
    assert site.ports()["outside4"] == "filtered"
    site.fwfix.rollback()
    assert site.ports()["outside4"] == "open"


def test_confirmed_rules_are_there_after_a_boot_and_firewalld_too(site: "Site") -> None:
    site.fwfix.apply()
    site.host.reboot()
    site.sh(RUNNING)
    assert site.is_blocked()
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    site.fwfix.rollback()
    assert site.is_open()
