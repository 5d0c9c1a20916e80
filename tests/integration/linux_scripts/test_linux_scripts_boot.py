"""What lasts over a reboot, and what a boot finishes."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import OnHost

pytestmark = pytest.mark.lab

FIRST, SECOND = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"
BASE = "/var/lib/fwfix"


def test_confirmed_rules_come_back_after_a_reboot(one: "OnHost") -> None:
    one.install(one.scripts())
    rules = one.rules()
    one.host.reboot()
    assert one.rules() == rules
    assert one.rollback()["ok"]
    clean = one.rules()
    one.host.reboot()
    assert one.rules() == clean
    assert "FWFIX" not in clean


def test_unconfirmed_rules_do_not_and_the_boot_says_so(one: "OnHost") -> None:
    clean = one.rules()
    one.install(one.scripts(FIRST))
    rules = one.rules()
    second = one.scripts(SECOND)
    one.arm(second)
    one.apply(second)
    one.host.reboot()
    assert one.state(SECOND) == "reverted"
    assert "boot" in one.sh(f"cat {BASE}/runs/{SECOND}/log")
    assert one.rules() == rules
    assert one.rollback(FIRST)["ok"]
    assert one.rules() == clean


def test_a_reboot_before_any_run_was_confirmed_is_written_down_at_the_next_contact(one: "OnHost") -> None:
    scripts = one.scripts(FIRST)
    one.arm(scripts)
    one.apply(scripts)
    one.host.reboot()
    assert "FWFIX" not in one.rules()
    assert one.observe()["records"][0]["timer"] is False
    assert one.rollback(FIRST)["ok"]
    assert one.state(FIRST) == "reverted"


def test_of_runs_that_replaced_each_other_the_last_is_loaded(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    one.install(one.scripts(SECOND))
    rules = one.rules()
    one.host.reboot()
    assert one.rules() == rules
    assert one.rollback(SECOND)["ok"]
    one.host.reboot()
    assert FIRST in one.rules()
    assert one.rollback(FIRST)["ok"]


def test_loading_again_changes_nothing_and_brings_the_jump_to_the_front(one: "OnHost") -> None:
    one.install(one.scripts())
    rules = one.rules()
    one.sh("/etc/init.d/fwfix start; /etc/init.d/fwfix reload")
    assert one.rules() == rules
    one.sh("iptables -I INPUT 1 -s 192.0.2.3 -j ACCEPT")
    one.sh("/etc/init.d/fwfix start")
    first = next(line for line in one.rules().splitlines() if line.startswith("-A INPUT"))
    assert f"fwfix:{FIRST}:jump" in first
    assert one.rules().count(f'-A INPUT -m comment --comment "fwfix:{FIRST}:jump"') == 2
    # A reload of the site's rules wipes everything; ours come back with the next start.
    one.sh("iptables -F; iptables -X; /etc/init.d/fwfix start")
    assert f"-j FWFIX-{FIRST}" in one.host.iptables_save()


def test_loading_leaves_an_armed_run_alone(one: "OnHost") -> None:
    one.install(one.scripts(FIRST))
    second = one.scripts(SECOND)
    one.arm(second)
    one.apply(second)
    rules = one.rules()
    one.sh("/etc/init.d/fwfix reload")
    assert one.rules() == rules
    assert one.state(SECOND) == "armed"
    one.confirm(second)


def test_no_init_system_means_not_persistent(one: "OnHost") -> None:
    one.sh("rm -rf /etc/rc?.d")
    scripts = one.scripts()
    one.arm(scripts)
    one.apply(scripts)
    answer = one.confirm(scripts)
    assert answer["persistent"] is False
    assert answer["notes"]
    assert one.code("ls /etc/init.d/fwfix /etc/systemd/system/fwfix.service /var/lib/fwfix/boot.sh")[1] == ""


def test_what_cannot_be_written_for_the_boot_is_not_confirmed(one: "OnHost") -> None:
    before = one.rules()
    scripts = one.scripts()
    one.arm(scripts)
    one.apply(scripts)
    one.sh("mount --bind /etc/init.d /etc/init.d && mount -o remount,ro,bind /etc/init.d")
    answer = one.run(scripts["confirm"])
    assert (answer["ok"], answer["code"], answer["state"]) == (False, "not-persistent", "armed")
    assert one.rollback()["ok"]
    assert one.rules() == before
    assert one.sh(f"ls {BASE}").split() == ["runs"]


def test_under_systemd_the_unit_is_enabled_and_goes_with_the_last_run(one: "OnHost") -> None:
    one.sh("mkdir -p /run/systemd/system")
    one.replace_tool(
        "/usr/bin/systemd-run",
        'while [ "${1#-}" != "$1" ]; do shift; done; setsid "$@" </dev/null >/dev/null 2>&1 &',
    )
    # systemctl enable and disable work on files alone; the rest needs a running systemd.
    one.replace_tool(
        "/usr/bin/systemctl",
        'echo "$@" >>/tmp/asked; export SYSTEMD_OFFLINE=1; '
        'case $1 in enable | disable) exec /usr/bin/systemctl.real "$@" ;; esac',
    )
    one.install(one.scripts(FIRST))
    unit = one.sh("cat /etc/systemd/system/fwfix.service")
    for service in ("iptables", "ip6tables", "netfilter-persistent", "nftables", "firewalld", "ufw"):
        assert unit.count(f"{service}.service") == 4
    assert "docker" not in unit
    assert one.observe()["boot_unit"] == {"present": True, "enabled": True}
    if one.code("command -v systemd-analyze")[0] == 0:
        assert one.code("systemd-analyze verify /etc/systemd/system/fwfix.service")[0] == 0
    asked = one.sh("cat /tmp/asked").splitlines()
    assert "daemon-reload" in asked
    assert "enable fwfix.service" in asked
    assert asked.index("start fwfix.service") < asked.index("reload fwfix.service")
    one.install(one.scripts(SECOND))
    assert one.rollback(SECOND)["ok"]
    assert one.observe()["boot_unit"] == {"present": True, "enabled": True}
    assert one.rollback(FIRST)["ok"]
    assert one.code("find /etc/systemd -name '*fwfix*'")[1] == ""
    assert one.observe()["boot_unit"] == {"present": False, "enabled": False}
