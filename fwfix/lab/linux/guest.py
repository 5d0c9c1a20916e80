"""The first process of a host: builds it, boots it, then is its small init.

Forked from the supervisor; process 1 of its PID namespace, so that its death is the death of everything in
the host.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, NoReturn, TypedDict

from fwfix.lab import syscalls
from fwfix.lab.linux.filesystem import FileSystemPlan, make_root
from fwfix.lab.linux.listeners import fork_listener

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_NEW = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWNET
_BOOT_DEADLINE = 20.0


class GuestPlan(TypedDict):
    """Everything that the first process needs to know; travels as JSON."""

    name: str
    journals: str
    filesystem: FileSystemPlan
    ipv6: bool
    interfaces: list[tuple[str, str, str]]
    load: list[tuple[list[str], str]]
    listeners: list[tuple[int, str, str]]
    sshd: bool
    boot: list[str]


def run_guest(plan: GuestPlan, channel: socket.socket) -> NoReturn:
    """Be the host until the supervisor, or somebody in it with a SIGKILL from outside, ends it.

    Says `{"made": true}` on the channel once the namespaces and files are there, waits for a byte, boots, and
    says `{"booted": true}`, or `{"error": ...}` at either point.
    """
    try:
        _live(plan, channel)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        output = getattr(error, "stderr", "") or ""
        with contextlib.suppress(OSError):
            channel.sendall(json.dumps({"error": f"{error} {output}".strip()}).encode() + b"\n")
    finally:
        os._exit(1)


def _live(plan: GuestPlan, channel: socket.socket) -> None:
    syscalls.die_with_parent(signal.SIGKILL)
    syscalls.set_process_name("init")
    syscalls.drop_capabilities(syscalls.CAP_SYS_TIME, syscalls.CAP_SYS_RAWIO)  # the clock is the machine's
    syscalls.unshare(_NEW)
    syscalls.set_host_name(plan["name"])
    # Opened before the old root goes: the record of what was received lies outside the host.
    journals = [_open_journal(plan, port, protocol) for port, protocol, _ in plan["listeners"]]
    make_root(plan["filesystem"])
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    Path("/dev/log").chmod(0o666)
    channel.sendall(b'{"made": true}\n')
    if not channel.recv(1):
        return  # the supervisor is gone
    _boot(plan, journals)
    channel.sendall(b'{"booted": true}\n')
    _be_init(log, channel)


def _open_journal(plan: GuestPlan, port: int, protocol: str) -> int:
    path = Path(plan["journals"], f"{port}-{protocol}.jsonl")
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _boot(plan: GuestPlan, journals: list[int]) -> None:
    _configure_network(plan)
    for argv, text in plan["load"]:
        _call(argv, text)
    for (port, protocol, process), journal in zip(plan["listeners"], journals, strict=True):
        fork_listener(port, protocol, process, journal)
    if plan["sshd"]:
        start_sshd()
    for command in plan["boot"]:
        with Path("/run/boot.log").open("ab") as log:
            subprocess.run(
                ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )


def _call(argv: list[str], text: str = "") -> None:
    subprocess.run(argv, input=text, text=True, capture_output=True, check=True, timeout=_BOOT_DEADLINE)


def _configure_network(plan: GuestPlan) -> None:
    for name in ("all", "default"):
        settings = Path("/proc/sys/net/ipv6/conf", name)
        (settings / "accept_dad").write_text("0", encoding="ascii")
        (settings / "accept_ra").write_text("0", encoding="ascii")
        if not plan["ipv6"]:
            (settings / "disable_ipv6").write_text("1", encoding="ascii")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0", encoding="ascii")  # a new namespace inherits it
    lines = ["link set lo up"]
    for device, ipv4, ipv6 in plan["interfaces"]:
        lines.append(f"addr add {ipv4} dev {device}")
        if plan["ipv6"]:
            lines.append(f"addr add {ipv6} dev {device} nodad")
        lines.append(f"link set {device} up")
    _call(["ip", "-batch", "-"], "\n".join(lines) + "\n")


def start_sshd() -> None:
    """Start sshd and return when it listens."""
    pid_file = Path("/run/sshd.pid")
    pid_file.unlink(missing_ok=True)
    subprocess.run(
        ["/usr/sbin/sshd"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_BOOT_DEADLINE,
    )
    deadline = time.monotonic() + _BOOT_DEADLINE
    while not (pid_file.exists() and pid_file.read_text(encoding="ascii").strip()):  # written once it listens
        if time.monotonic() > deadline:
            raise RuntimeError("sshd did not start; see /var/log/syslog of the host")
        time.sleep(0.002)


def _be_init(log: socket.socket, channel: socket.socket) -> None:
    """Reap what is orphaned and write the system log, for ever."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    _reap()
    while True:
        wanted: list[Any] = [log, wake_read, channel]
        ready, _, _ = select.select(wanted, [], [])
        if log in ready:
            _write_log(log.recv(65536))
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _reap()
        if channel in ready and not channel.recv(1):
            return


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _write_log(message: bytes) -> None:
    _, _, text = message.partition(b">")
    # A full disk loses lines, as it does for any syslogd.
    with contextlib.suppress(OSError), Path("/var/log/syslog").open("ab") as file:
        file.write(text.rstrip(b"\n\0") + b"\n")
