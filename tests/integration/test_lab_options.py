"""Every option of a throw-away host does what it says."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fwfix.errors import LabError
from fwfix.lab.linux import HostSpec, Lab, LabHost, Listener, legacy_missing
from fwfix.lab.linux.spec import Firewall, Sudo

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def ssh(
    host: LabHost, command: str, *options: str, user: str | None = None
) -> subprocess.CompletedProcess[str]:
    common = ("StrictHostKeyChecking=no", "BatchMode=yes", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    argv = ["ssh", "-F", "none", "-i", str(host.identity_file)]
    argv += [word for option in common for word in ("-o", option)]
    argv += [*options, f"{user or host.user}@{host.address}", command]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )


def test_sudo_without_password_refused_or_restricted(make_lab: MakeLab) -> None:
    kinds: tuple[Sudo, ...] = ("nopasswd", "refused", "restricted")
    lab = make_lab([HostSpec(name=kind, sudo=kind) for kind in kinds])
    worked = {kind: ssh(lab[kind], "sudo -n id -un").stdout for kind in kinds}
    assert worked == {"nopasswd": "root\n", "refused": "", "restricted": ""}
    assert "site: p910nd" in ssh(lab["restricted"], "sudo -n /usr/sbin/iptables-save").stdout


def test_root_logs_on_only_where_asked_for(make_lab: MakeLab) -> None:
    lab = make_lab(
        [HostSpec(name="yes", root_logon=True), HostSpec(name="no"), HostSpec(name="self", user="root")]
    )
    assert ssh(lab["yes"], "id -un", user="root").stdout == "root\n"
    assert ssh(lab["no"], "id -un", user="root").returncode == 255
    assert ssh(lab["self"], "id -un").stdout == "root\n"


def test_shell_noise_and_path_are_as_asked_for(make_lab: MakeLab) -> None:
    lab = make_lab(
        [
            HostSpec(name="noisy", noisy=True),
            HostSpec(name="plain", shell="/bin/sh", path_without_sbin=True, root_logon=True),
            HostSpec(name="closed", shell="/usr/sbin/nologin"),
        ]
    )
    assert ssh(lab["noisy"], "echo asked").stdout.startswith("*** noisy: authorised use only")
    plain = ssh(lab["plain"], 'echo "$0"; cat /proc/$$/comm; echo $PATH')
    assert plain.stdout == "sh\nsh\n/usr/local/bin:/usr/bin:/bin\n"
    assert "sbin" not in ssh(lab["plain"], "echo $PATH", user="root").stdout
    assert ssh(lab["closed"], "echo asked").returncode == 1


@pytest.mark.parametrize("firewall", ["iptables-nft", "iptables-legacy"])
def test_iptables_speaks_the_back_end_that_was_asked_for(make_lab: MakeLab, firewall: Firewall) -> None:
    if firewall == "iptables-legacy" and (reason := legacy_missing()):
        pytest.skip(reason)
    host = make_lab([HostSpec(name="one", firewall=firewall)]).hosts[0]
    legacy = firewall == "iptables-legacy"
    assert ("legacy" in host.run(["iptables", "--version"]).stdout) == legacy
    assert ("site: p910nd" in host.run(["iptables-legacy-save"]).stdout) == legacy
    assert ("tcp dport 9100" in host.ruleset()) == (not legacy)
    assert "site: p910nd" in host.iptables_save()
    assert "site: p910nd" in host.ip6tables_save()
    assert ssh(host, "id -un").stdout == "ops\n"


def test_nftables_hosts_have_a_ruleset_of_their_own_and_perhaps_no_iptables(make_lab: MakeLab) -> None:
    lab = make_lab(
        [
            HostSpec(name="both", firewall="nftables"),
            HostSpec(name="only", firewall="nftables", nft_only=True),
            HostSpec(name="four", ip6tables=False),
            HostSpec(name="none", firewall="none"),
        ]
    )
    assert "table inet site" in lab["both"].ruleset()
    assert lab["both"].run(["iptables", "--version"]).returncode == 0
    for tool in ("iptables", "ip6tables-restore", "iptables-legacy", "xtables-nft-multi"):
        assert lab["only"].run(["sh", "-c", f"command -v {tool}"]).returncode != 0
    assert lab["four"].run(["sh", "-c", "command -v ip6tables-save"]).returncode != 0
    assert lab["four"].iptables_save()
    assert lab["none"].ruleset() == ""
    assert {lab.outside.connect(host.address6, 9100) for host in lab.hosts} == {"open"}


def test_rules_are_those_that_the_caller_gave(make_lab: MakeLab) -> None:
    given = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 9100 -j REJECT\nCOMMIT\n"
    host = make_lab(
        [HostSpec(name="one", rules=given, rules6="*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")]
    ).hosts[0]
    assert [line for line in host.iptables_save().splitlines() if line.startswith("-A")] == [
        "-A INPUT -p tcp -m tcp --dport 9100 -j REJECT --reject-with icmp-port-unreachable"
    ]
    assert "-A" not in host.ip6tables_save()


def test_broken_rules_fail_the_build_with_the_tools_words_and_leave_nothing(make_lab: MakeLab) -> None:
    with pytest.raises(LabError, match=r"one: .*line 2 failed|one: .*iptables-restore"):
        make_lab([HostSpec(name="one", rules="*filter\n-A NOWHERE -j ACCEPT\nCOMMIT\n")])


def test_listeners_have_the_ports_protocols_and_names_that_were_asked_for(make_lab: MakeLab) -> None:
    discover = bytes.fromhex("424a4e50010100000001000000000000")
    listeners = (Listener(process="node_exporter"), Listener(port=8611, protocol="udp", process="bjnpd"))
    lab = make_lab([HostSpec(name="some", listeners=listeners), HostSpec(name="none", listeners=())])
    some = lab["some"]
    assert '"node_exporter"' in some.run(["ss", "-Hltnp", "sport", "=", ":9100"]).stdout
    for address, family in ((some.address, socket.AF_INET), (some.address6, socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"", (address, 8611))
            client.sendto(discover, (address, 8611))
            assert client.recv(100)[:6] == b"BJNP\x81\x01"
    assert some.listener_bytes(8611, "udp") == discover * 2
    assert lab["none"].run(["ss", "-Hltn", "sport", "=", ":9100"]).stdout == ""


def test_a_dead_host_drops_everything_and_a_hanging_one_says_nothing(make_lab: MakeLab) -> None:
    lab = make_lab([HostSpec(name="dead", dead=True), HostSpec(name="hang", hang=True)])
    for address in (lab["dead"].address, lab["dead"].address6):
        assert lab.outside.connect(address, 22, 0.3) == "filtered"
    with socket.create_connection((lab["hang"].address, 22), 5) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_small_var_can_be_filled_and_outlives_a_reboot(make_lab: MakeLab) -> None:
    host = make_lab([HostSpec(name="one", var_size="1m")]).hosts[0]
    full = host.run(["sh", "-c", "head -c 3000000 /dev/zero > /var/lib/big"])
    assert "No space left" in full.stderr
    assert ssh(host, "id -un").stdout == "ops\n"
    host.reboot()
    assert "100%" in host.run(["df", "/var"]).stdout


def test_a_host_without_ipv6_and_with_a_second_ssh_port(make_lab: MakeLab) -> None:
    lab = make_lab([HostSpec(name="one", ipv6=False, ssh_ports=(22, 2222))])
    host = lab.hosts[0]
    assert host.run(["ip", "-6", "addr"]).stdout == ""
    assert lab.outside.connect(host.address6, 22, 1) != "open"
    assert ssh(host, "id -un", "-p", "2222").stdout == "ops\n"
    assert f"[{host.address}]:2222 ssh-ed25519 " in host.known_hosts


def test_a_host_behind_another_is_reached_through_that_one_only(make_lab: MakeLab) -> None:
    lab = make_lab([HostSpec(name="jump"), HostSpec(name="inner", behind="jump")])
    jump, inner = lab["jump"], lab["inner"]
    for address in (inner.address, inner.address6):
        assert lab.outside.connect(address, 22, 0.3) in ("filtered", "unreachable")
        with pytest.raises(OSError, match=r"timed out|No route to host"):
            socket.create_connection((address, 22), 0.3)
    proxy = f"ProxyCommand=ssh -F none -i {jump.identity_file} -o BatchMode=yes -o StrictHostKeyChecking=no "
    proxy += f"-o UserKnownHostsFile=/dev/null -W %h:%p ops@{jump.address}"
    assert ssh(inner, "hostname", "-o", proxy).stdout == "inner\n"


def test_a_reboot_ends_everything_and_keeps_the_files(make_lab: MakeLab) -> None:
    spec = HostSpec(name="one", boot=("echo booted >> /var/lib/boots",))
    lab = make_lab([spec, HostSpec(name="two")])
    host, pid = lab["one"], lab["one"].pid
    host.run(["sh", "-c", "touch /run/gone /tmp/gone /var/lib/kept /etc/kept; sleep 600 >/dev/null 2>&1 &"])
    host.run(["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT"])
    host.run(["nft", "add table inet fwfix"])
    machine = host.run(["cat", "/etc/machine-id"]).stdout
    host.reboot(boot=["touch /run/extra"])
    assert host.pid != pid
    assert not Path(f"/proc/{pid}").exists()
    assert host.run(["pgrep", "sleep"]).stdout == ""
    assert host.run(["sh", "-c", "ls /run/gone /tmp/gone"]).stdout == ""
    assert host.run(["sh", "-c", "ls /run/extra /var/lib/kept /etc/kept"]).returncode == 0
    assert host.run(["cat", "/var/lib/boots", "/etc/machine-id"]).stdout == f"booted\nbooted\n{machine}"
    assert "--dport 7 " not in host.iptables_save()
    assert "site: p910nd" in host.iptables_save()
    assert "fwfix" not in host.ruleset()
    for address in (host.address, host.address6):
        assert lab.outside.connect(address, 9100) == "open"
    assert ssh(host, "hostname").stdout == "one\n"
    netns = subprocess.run(
        ["ip", "netns", "exec", host.netns, "ip", "addr"], capture_output=True, text=True, check=True
    )
    assert host.address6 in netns.stdout


def test_a_host_whose_power_failed_boots_again(make_lab: MakeLab) -> None:
    host = make_lab([HostSpec(name="one")]).hosts[0]
    assert ssh(host, "id -un").stdout == "ops\n"
    os.kill(host.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{host.pid}/root/etc").exists():
        assert time.monotonic() < deadline
    host.reboot()
    assert ssh(host, "id -un").stdout == "ops\n"


@pytest.mark.parametrize(
    "specs",
    [
        [HostSpec(name="../etc")],
        [HostSpec(name="same"), HostSpec(name="same")],
        [HostSpec(name="outside")],
        [HostSpec(name="one", behind="nobody")],
    ],
)
def test_impossible_names_are_refused_before_anything_is_made(specs: list[HostSpec], tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"name|No host"):
        Lab(tmp_path / "lab").build(specs)
    assert not (tmp_path / "lab").exists()


def test_further_files_are_written(make_lab: MakeLab) -> None:
    host = make_lab([HostSpec(name="one", files={"/etc/iptables/rules.v4": "# site\n"})]).hosts[0]
    assert host.run(["cat", "/etc/iptables/rules.v4"]).stdout == "# site\n"
