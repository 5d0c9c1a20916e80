"""The one process of a lab outside its hosts: their parent, and the keeper of their file systems.

It lives in a mount namespace of its own, in which the files of all hosts are: when it dies, the kernel ends
every host and forgets every mount. It needs nothing but the standard library: every host is a fork of it.

    python -I -S -c ... DIRECTORY LIFELINE BUSY
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from fwfix.lab import records, syscalls
from fwfix.lab.linux.filesystem import mount_var
from fwfix.lab.linux.guest import GuestPlan, run_guest

_AT_ONCE = 8  # hosts that boot at the same time


class _Stop(Exception):  # noqa: N818 - it is no error
    """The lab ends."""


class Supervisor:
    """Start, boot and stop hosts on request."""

    def __init__(self, directory: Path, lifeline: int, busy: int) -> None:
        self.directory = directory
        self.lifeline: int | None = lifeline
        self.busy: int | None = busy
        self.outer_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self.pids: dict[str, int] = {}
        self.channels: dict[str, socket.socket] = {}

    def prepare(self) -> socket.socket:
        """Make the mount namespace; return the socket that takes requests."""
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        # Copies of other labs' mounts here would keep their network namespaces alive.
        for name in os.listdir("/run/netns") if Path("/run/netns").is_dir() else ():  # noqa: PTH208
            with contextlib.suppress(OSError):
                syscalls.unmount(f"/run/netns/{name}")
        files = self.directory / "fs"
        files.mkdir(exist_ok=True)
        syscalls.mount("tmpfs", str(files), "tmpfs", options="mode=755")
        os.chdir(self.directory)  # a socket's path is limited to 107 characters, a directory's is not
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind("control")
        listening.listen(16)
        os.chdir("/")
        return listening

    def serve(self, listening: socket.socket) -> NoReturn:
        """Answer requests until told to stop."""
        while True:
            wanted: list[Any] = [listening] if self.lifeline is None else [listening, self.lifeline]
            ready, _, _ = select.select(wanted, [], [])
            if self.lifeline in ready and listening not in ready:
                self.end_abandoned()
            if listening in ready:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            request = json.loads(stream.readline() or b"{}")
            try:
                reply = self._obey(request)
            except (OSError, KeyError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(reply).encode() + b"\n")

    def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "start":
                return self.start(request["plans"])
            case "boot":
                return self.boot(request["names"])
            case "stop":
                self.stop(request["names"])
            case "keep":
                self.keep()
            case other:
                return {"error": f"unknown request {other!r}"}
        return {}

    def start(self, plans: list[GuestPlan]) -> dict[str, Any]:
        """Make the hosts' namespaces and files; return the pid of each one's first process."""
        self.settle()
        for plan in plans:
            mount_var(plan["filesystem"])
            self._fork(plan)
        for plan in plans:
            answer = self._hear(plan["name"])
            if "error" in answer:
                return {"error": f"{plan['name']}: {answer['error']}"}
        return {"pids": {plan["name"]: self.pids[plan["name"]] for plan in plans}}

    def _fork(self, plan: GuestPlan) -> None:
        ours, theirs = socket.socketpair()
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _close_all_but(theirs.fileno())
            run_guest(plan, theirs)
        # Without this the next fork would land in the namespace of this host.
        syscalls.enter_handle(self.own_pids, syscalls.CLONE_NEWPID)
        theirs.close()
        self.pids[plan["name"]] = pid
        self.channels[plan["name"]] = ours

    def _hear(self, name: str) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            piece = self.channels[name].recv(65536)
            if not piece:
                return {"error": "the host died while it was made"}
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def boot(self, names: list[str]) -> dict[str, Any]:
        """Boot the hosts, a few at a time."""
        waiting, booting = list(reversed(names)), dict[socket.socket, str]()
        while waiting or booting:
            while waiting and len(booting) < _AT_ONCE:
                name = waiting.pop()
                self.channels[name].sendall(b"b")
                booting[self.channels[name]] = name
            ready, _, _ = select.select(list(booting), [], [])
            for channel in ready:
                name = booting.pop(channel)
                answer = self._hear(name)
                if "error" in answer:
                    return {"error": f"{name}: {answer['error']}"}
        return {}

    def stop(self, names: list[str]) -> None:
        """End every process of the hosts; their files stay."""
        for name in names:
            os.kill(self.pids[name], signal.SIGKILL)
        for name in names:
            os.waitpid(self.pids.pop(name), 0)
            self.channels.pop(name).close()

    def settle(self) -> None:
        """Have `clean` wait for us no longer: from now on it knows our pid."""
        if self.busy is not None:
            os.close(self.busy)
            self.busy = None

    def keep(self) -> None:
        """Outlive the builder."""
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def end_abandoned(self) -> NoReturn:
        """Remove the lab, since its builder died."""
        self.stop(list(self.pids))
        syscalls.enter_handle(self.outer_mounts, syscalls.CLONE_NEWNS)
        records.clean_unless_others_do(self.directory.parent, self.settle)
        os._exit(0)


def _close_all_but(wanted: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are numbers
        if int(name) > 2 and int(name) != wanted:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):
                os.close(int(name))


def _stop(*_: object) -> NoReturn:
    raise _Stop


def main() -> None:
    """Run the supervisor until the lab ends."""
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # whatever the builder ignores, the hosts' programs shall not
    supervisor = Supervisor(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    listening = supervisor.prepare()
    signal.signal(signal.SIGTERM, _stop)
    gc.disable()
    gc.freeze()  # the hosts share this process's memory as long as nobody writes to it
    try:
        supervisor.serve(listening)
    except _Stop:
        supervisor.stop(list(supervisor.pids))
    except Exception:
        traceback.print_exc()
        raise
