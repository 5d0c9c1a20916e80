"""A throw-away host is a real one: sshd, sudo, firewall, listener, and everything else of its own."""

import contextlib
import platform
import subprocess
import time
from pathlib import Path

import pytest

from fwfix.lab.linux import Lab, LabHost

pytestmark = pytest.mark.lab


def ssh(
    host: LabHost, command: str, tmp_path: Path, *, user: str | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    known = tmp_path / "known_hosts"
    known.write_text(host.known_hosts)
    options = (
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        f"UserKnownHostsFile={known}",
        "ConnectTimeout=5",
    )
    argv = ["ssh", "-F", "none", "-i", str(host.identity_file), "-p", str(host.spec.ssh_ports[0])]
    argv += [word for option in options for word in ("-o", option)]
    argv += [f"{user or host.user}@{host.address}", command]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=20, check=False)


def test_ssh_logs_on_with_the_labs_key_and_the_recorded_host_key(lab: Lab, tmp_path: Path) -> None:
    for host in lab.hosts:
        done = ssh(host, "hostname; id -un", tmp_path)
        assert (done.stdout, done.stderr) == (f"{host.name}\nops\n", "")


def test_sudo_takes_the_password_and_refuses_another(lab: Lab, tmp_path: Path) -> None:
    host = lab.hosts[0]
    assert ssh(host, "sudo -k -S -p '' id -un", tmp_path, given=f"{host.password}\n").stdout == "root\n"
    refused = ssh(host, "sudo -k -S -p '' id -un", tmp_path, given="wrong\n")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert ssh(host, "sudo -k -n id -un", tmp_path).returncode != 0


def test_password_alone_logs_on(lab: Lab) -> None:
    import paramiko

    host = lab.hosts[0]
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            host.address, username=host.user, password=host.password, allow_agent=False, look_for_keys=False
        )
        assert client.exec_command("id -un")[1].read() == b"ops\n"


def test_the_listener_answers_from_here_and_from_outside_in_both_families(lab: Lab) -> None:
    import socket

    host = lab.hosts[1]
    for address in (host.address, host.address6):
        socket.create_connection((address, 9100), 5).close()
        assert lab.outside.connect(address, 9100) == "open"
    assert lab.outside.connect(host.address, 23) == "closed"
    assert lab.outside.connect(host.address, 9101, 0.2) == "filtered"


def test_the_listener_writes_down_what_it_is_sent(lab: Lab) -> None:
    import socket

    host = lab.hosts[1]
    before = host.listener_bytes(9100)
    assert lab.outside.connect(host.address6, 9100) == "open"
    assert host.listener_bytes(9100) == before
    with socket.create_connection((host.address, 9100), 5) as connection:
        connection.sendall(b"a page")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert host.listener_bytes(9100) == before + b"a page"
    assert host.listener_connections(9100)[-2:] == [lab.outside.address6, str(lab.network.address)]


def test_processes_have_the_names_that_an_administrator_would_see(lab: Lab) -> None:
    host = lab.hosts[0]
    assert '"p910nd"' in host.run(["ss", "-Hltnp", "sport", "=", ":9100"]).stdout
    assert host.run(["ps", "-o", "args=", "-p", "1"]).stdout.strip() == "init"


def test_every_host_has_its_own_rules_files_and_processes(lab: Lab) -> None:
    first, second, _ = lab.hosts
    first.run(["iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT"])
    first.run(["touch", "/etc/mine", "/var/lib/mine", "/root/mine", "/tmp/mine"])
    sleeper = first.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).stdout.strip()
    assert "--dport 7 " in first.iptables_save()
    assert "--dport 7 " not in second.iptables_save()
    for path in ("/etc/mine", "/var/lib/mine", "/root/mine", "/tmp/mine"):
        assert first.run(["test", "-e", path]).returncode == 0
        assert second.run(["test", "-e", path]).returncode == 1
        assert not Path(path).exists()
    assert second.run(["kill", "-0", sleeper]).returncode != 0
    machine_ids = {host.run(["cat", "/etc/machine-id"]).stdout for host in lab.hosts}
    assert len(machine_ids) == 3
    assert len({host.host_key for host in lab.hosts}) == 3
    first.run(["iptables", "-D", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT"])
    first.run(["kill", sleeper])


def test_the_site_has_rules_in_both_families(lab: Lab) -> None:
    host = lab.hosts[2]
    for text in (host.iptables_save(), host.ip6tables_save()):
        assert ":INPUT DROP" in text
        assert "--dport 22 " in text
        assert '"site: p910nd"' in text


def test_nothing_of_this_machines_private_files_is_visible(lab: Lab) -> None:
    host = lab.hosts[0]
    assert host.run(["sh", "-c", "ls /home /opt /srv"]).stdout.split() == ["/home:", "ops", "/opt:", "/srv:"]
    assert host.run(["ls", str(Path(__file__).parent)]).returncode != 0
    assert host.run(["sh", "-c", "cut -d: -f2 /etc/shadow | grep -c '[$]'"]).stdout == "1\n"


def test_orphans_are_reaped(lab: Lab) -> None:
    host = lab.hosts[0]
    orphan = host.run(["sh", "-c", "(true & echo $!)"]).stdout.strip()
    deadline = time.monotonic() + 5
    while host.run(["test", "-d", f"/proc/{orphan}"]).returncode == 0:
        assert time.monotonic() < deadline


def test_the_system_log_is_a_file_of_the_host(lab: Lab) -> None:
    host = lab.hosts[0]
    host.run(["logger", "-t", "fwfix", "a line for the log"])
    deadline = time.monotonic() + 5
    while "fwfix: a line for the log" not in host.run(["cat", "/var/log/syslog"]).stdout:
        assert time.monotonic() < deadline


def test_a_host_cannot_set_the_clock_of_the_machine(lab: Lab, tmp_path: Path) -> None:
    host = lab.hosts[0]
    done = ssh(host, "sudo -k -S -p '' date -s @$(date +%s)", tmp_path, given=f"{host.password}\n")
    assert "Operation not permitted" in done.stderr


def test_a_cut_host_is_silent_in_both_directions_until_restored(lab: Lab) -> None:
    host = lab.hosts[2]
    knock = ["timeout", "0.5", "bash", "-c", f"echo > /dev/tcp/{lab.outside.address}/9"]
    assert "refused" in host.run(knock).stderr
    host.cut()
    try:
        assert lab.outside.connect(host.address, 22, 0.3) in ("filtered", "unreachable")
        assert lab.outside.connect(host.address6, 22, 0.3) in ("filtered", "unreachable")
        assert "refused" not in host.run(knock).stderr
        assert "state UP" in host.run(["ip", "link", "show", "eth0"]).stdout
    finally:
        host.restore()
    deadline = time.monotonic() + 10
    while (
        lab.outside.connect(host.address, 22, 1) != "open"
        or lab.outside.connect(host.address6, 22, 1) != "open"
    ):
        assert time.monotonic() < deadline


def test_without_sshd_open_sessions_go_on_and_new_ones_are_refused(lab: Lab) -> None:
    import paramiko

    host = lab.hosts[2]
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            host.address, username=host.user, password=host.password, allow_agent=False, look_for_keys=False
        )
        host.kill_sshd()
        try:
            assert client.exec_command("id -un")[1].read() == b"ops\n"
            assert lab.outside.connect(host.address, 22) == "closed"
        finally:
            host.start_sshd()
    assert lab.outside.connect(host.address, 22) == "open"


def test_a_frozen_host_runs_nothing_until_thawed(lab: Lab) -> None:
    host = lab.hosts[2]
    pid = host.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).stdout.strip()
    host.freeze()
    assert host.run(["ps", "-o", "stat=", "-p", pid]).stdout.startswith("T")
    host.thaw()
    deadline = time.monotonic() + 5
    while not host.run(["ps", "-o", "stat=", "-p", pid]).stdout.startswith("S"):
        assert time.monotonic() < deadline
    host.run(["kill", pid])


def test_freezing_leaves_no_process_out_that_forks_meanwhile(lab: Lab) -> None:
    host = lab["demo-linux-3"]
    loop = "while [ -e /run/forking ]; do sh -c 'sh -c : & wait' & sh -c : ; wait; done"
    host.run(["sh", "-c", f'touch /run/forking; setsid sh -c "{loop}" >/dev/null 2>&1 &'])
    try:
        for _ in range(5):
            host.freeze()
            try:
                assert _awake(host) == []
            finally:
                host.thaw()
    finally:
        host.run(["rm", "-f", "/run/forking"])


def test_freezing_ends_where_a_process_waits_for_the_child_of_its_vfork(lab: Lab) -> None:
    host = lab["demo-linux-3"]
    clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    vfork = f"syscall({clone}, 0x4000 | 0x100 | 17, 0, 0, 0, 0) or sleep 600"
    host.run(["sh", "-c", f"perl -e '{vfork}' >/dev/null 2>&1 & echo $! >/run/waits"])
    deadline = time.monotonic() + 20
    while not host.run(["sh", "-c", "ps -o stat= -p $(cat /run/waits)"]).stdout.startswith("D"):
        assert time.monotonic() < deadline
    try:
        host.freeze()
        assert _awake(host) == []
    finally:
        host.thaw()
        host.run(["sh", "-c", "pkill -9 -P $(cat /run/waits); kill -9 $(cat /run/waits); rm /run/waits"])


def _awake(host: LabHost) -> list[str]:
    """Return the processes of a host, but for the first, that run."""
    space = Path(f"/proc/{host.pid}/ns/pid").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != host.pid:
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if (entry / "ns/pid").stat().st_ino == space and state not in "TDZX":
                    found.append(f"{entry.name} {state}")
    return found


def test_outside_holds_a_session_that_the_host_sees(lab: Lab) -> None:
    host = lab.hosts[0]
    with lab.outside.session(host.address, 9100):
        peers = host.run(["ss", "-Htn", "sport", "=", ":9100"]).stdout
        assert "ESTAB" in peers
        assert lab.outside.address in peers


def test_the_names_work_with_ip_netns_exec(lab: Lab) -> None:
    host = lab.hosts[0]
    for netns, address in ((host.netns, host.address6), (lab.outside.netns, lab.outside.address6)):
        done = subprocess.run(
            ["ip", "netns", "exec", netns, "ip", "-6", "addr"], capture_output=True, text=True, check=True
        )
        assert f"{address}/64" in done.stdout


def test_a_handshake_takes_well_under_a_second(lab: Lab) -> None:
    import paramiko

    host = lab.hosts[0]
    took = []
    for _ in range(3):
        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            start = time.monotonic()
            client.connect(
                host.address, username=host.user, key_filename=str(host.identity_file), allow_agent=False
            )
            took.append(time.monotonic() - start)
    assert min(took) < 0.5


def test_a_command_run_on_the_host_cannot_set_the_clock_either(lab: Lab) -> None:
    assert "Operation not permitted" in lab.hosts[0].run(["sh", "-c", "date -s @$(date +%s)"]).stderr
