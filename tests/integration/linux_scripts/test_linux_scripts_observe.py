"""Observing tells everything and changes nothing."""

import json
import resource
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import LabHost
from fwfix.rendering.environment import Renderer
from fwfix.rendering.linux import observe_script

if TYPE_CHECKING:
    from conftest import MakeHost, OnHost

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"


def everything(one: "OnHost") -> str:
    """Return what observing could have changed: rules of every kind, tables, modules, files."""
    return one.sh(
        "nft list ruleset; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null; "
        "cat /proc/modules; find /var /etc /run -xdev | sort"
    )


@pytest.mark.parametrize("firewall", ["none", "iptables-nft", "iptables-legacy", "nftables"])
def test_it_changes_nothing_at_all(make_host: "MakeHost", firewall: str) -> None:
    one = make_host(firewall=firewall)
    path = one.write(observe_script(Renderer(())))
    before = everything(one)
    answer = one.sh(f"sh {path} 9100/tcp")
    assert everything(one) == before
    assert json.loads(answer)["ok"] is True


def test_it_tells_what_planning_needs(one: "OnHost") -> None:
    seen = one.observe("9100/tcp,8610-8614/udp")
    assert seen["machine_id"] == one.sh("cat /etc/machine-id").strip()
    assert (seen["hostname"], seen["uid"], seen["init"]) == ("one", 0, "sysv")
    assert seen["tools"]["iptables"] == "/usr/sbin/iptables"
    assert seen["tools"]["rc-update"] == ""
    assert "nf_tables" in seen["iptables_version"]
    assert "site: p910nd" in seen["save4"]
    assert "site: p910nd" in seen["save6"]
    assert (seen["save4_code"], seen["save6_code"], seen["nft_code"]) == (0, 0, 0)
    assert "chain INPUT" in seen["nft"]
    assert 'users:(("p910nd",pid=' in seen["ss"]
    assert list(seen["commands"])
    assert one.host.address in seen["addresses"]
    assert seen["forward4"] is False
    assert "p910nd" in seen["processes"].splitlines()
    assert (seen["records"], seen["lock"]) == ([], "")
    assert seen["boot_unit"] == {"present": False, "enabled": False}
    assert seen["proc_net"] == {}


def test_records_tell_their_state_and_who_made_them(one: "OnHost") -> None:
    scripts = one.scripts()
    armed = one.arm(scripts, 60)
    (record,) = one.observe()["records"]
    assert record["run_id"] == FIRST
    assert (record["state"], record["operator"], record["controller"]) == ("armed", "ops", "jump01")
    assert (record["ticket"], record["desired"], record["backend"]) == ("CHG-1", "sha256:0123", "iptables")
    assert float(record["deadline"]) == armed["deadline"]
    assert (record["timer"], record["at_work"], record["superseded_by"]) == (True, False, "")
    assert one.observe()["lock"].split()[0] == FIRST
    assert one.rollback()["ok"]
    (record,) = one.observe()["records"]
    assert record["state"] == "reverted"
    assert record["since"].endswith("Z")


def test_open_sessions_of_the_ports_are_told(one: "OnHost") -> None:
    one.sh("bash -c 'exec 3<>/dev/tcp/127.0.0.1/9100; sleep 20' >/dev/null 2>&1 &")
    one.wait_for(lambda: ":9100" in one.observe("9100/tcp")["sessions"], "the session")
    assert one.observe("515/tcp")["sessions"] == ""
    assert one.observe("-")["sessions"] == ""


def test_it_finds_the_connection_through_sudo(make_host: "MakeHost") -> None:
    one = make_host(sudo="nopasswd")
    path = one.write(observe_script(Renderer(())))
    one.sh(f"chmod 0755 {path}")
    done = over_ssh(one.host, f"sudo -n sh {path} 9100/tcp")
    words = json.loads(done)["ssh_connection"].split()
    assert (words[2], words[3]) == (one.host.address, "22")


def over_ssh(host: LabHost, command: str) -> str:
    options = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    options += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(host.identity_file)]
    argv = ["ssh", *options, f"{host.user}@{host.address}", command]
    return subprocess.run(
        argv, capture_output=True, text=True, check=True, timeout=30, stdin=subprocess.DEVNULL
    ).stdout


def test_missing_tools_give_empty_values(one: "OnHost") -> None:
    one.sh(
        "rm -f /usr/bin/ss /usr/sbin/ss /usr/bin/ip /usr/sbin/ip /sbin/ip /usr/sbin/nft /usr/sbin/ip6tables*"
    )
    seen = one.observe()
    assert (seen["ss"], seen["nft"], seen["addresses"], seen["save6"]) == ("", "", "", "")
    assert (seen["nft_code"], seen["save6_code"]) == (127, 127)
    assert seen["tools"]["nft"] == ""
    assert ":238C" in seen["proc_net"]["tcp"]
    assert "site: p910nd" in seen["save4"]


def test_a_shell_without_awk_says_so(one: "OnHost") -> None:
    one.sh("rm -f /usr/bin/awk")
    seen = one.observe()
    assert (seen["ok"], seen["code"]) == (False, "missing-tool")


@pytest.mark.parametrize("awk", ["mawk", "busybox awk"])
def test_any_bytes_in_a_rule_make_good_json(one: "OnHost", awk: str) -> None:
    if awk != "mawk":
        one.sh("ln -sf /bin/busybox /usr/bin/awk")
    comment = b'q " b \\ t \t n \n' + bytes(range(1, 32)) + b"\x7f caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x96\xa8 "
    comment += b"\x80 \xff \xc0\xaf \xed\xa0\x80 \xc3"
    one.sh("cat >/tmp/comment.hex", stdin=comment.hex())
    one.replace_tool("/usr/sbin/iptables-save", "exec perl -e 'print pack(\"H*\", `cat /tmp/comment.hex`)'")
    seen = one.observe()["save4"]
    expected = comment.decode("utf-8", "replace")
    assert expected.startswith(seen[:60])
    assert "café € 🖨 " in seen
    assert '"' in seen
    assert "\\" in seen
    assert "\x01\x02\x03" in seen
    assert "\ufffd" in seen.partition("🖨 ")[2]


def test_a_megabyte_of_rules_is_told_quickly_and_whole(one: "OnHost") -> None:
    rules = "".join(
        f"-A MANY -s 10.{n >> 8}.{n & 255}.0/24 -p tcp -m tcp --dport 1 "
        f'-m comment --comment "n {n}" -j DROP\n'
        for n in range(10000)
    )
    one.sh("iptables-restore -n", stdin=f"*filter\n:MANY - [0:0]\n{rules}COMMIT\n")
    path = one.write(observe_script(Renderer(())))
    alone, whole = [], []
    for _ in range(3):
        started = time.monotonic()
        one.sh("iptables-save -c >/dev/null; ip6tables-save -c >/dev/null; nft -a list ruleset >/dev/null")
        between = time.monotonic()
        answer = one.sh(f"sh {path} 9100/tcp")
        alone.append(between - started)
        whole.append(time.monotonic() - between)
    assert answer.count("--comment") >= 10000
    # What the tools need for listing so much is theirs; ours may cost little on top.
    assert min(whole) - min(alone) < 1.5


def test_an_ordinary_host_is_observed_in_a_moment(one: "OnHost") -> None:
    path = one.write(observe_script(Renderer(())))
    took, worked = [], []
    for _ in range(5):
        started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        one.sh(f"sh {path} 9100/tcp >/dev/null")
        took.append(time.monotonic() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        worked.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Entering the namespaces included. How long it waits for a processor is for others to say.
    assert min(worked) < 0.3
    assert min(took) < 3
