"""Another client of a lab's hosts: who connects from there is neither this machine nor a host."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fwfix.errors import LabError
from fwfix.lab.records import NETNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Another client: a namespace with an address in both families."""

    netns: str
    address: str
    address6: str

    def run(self, argv: Sequence[str], *, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace."""
        return subprocess.run(
            [*self._enter(), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def connect(self, address: str, port: int, timeout: float = 2) -> str:
        """Connect and close; say `open`, `closed`, `filtered`, `prohibited` or `unreachable`."""
        done = self.run(
            [sys.executable, "-I", "-S", "-c", _CONNECT, address, str(port), str(timeout)],
            timeout=timeout + 20,
        )
        if done.returncode != 0:
            raise LabError(f"The connection from outside could not be tried: {done.stderr.strip()}")
        return done.stdout.strip()

    @contextlib.contextmanager
    def session(self, address: str, port: int) -> Iterator[None]:
        """Hold a TCP connection open, as somebody who prints would."""
        argv = [*self._enter(), sys.executable, "-I", "-S", "-c", _SESSION, address, str(port)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            if process.stdout.readline() != "open\n":
                raise LabError(f"No session from outside to {address} port {port}.")
            yield
            process.stdin.close()

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net={NETNS / self.netns}", "--"]


_CONNECT = """
import errno, socket, sys
names = {errno.ECONNREFUSED: "closed", errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable",
         errno.EACCES: "prohibited", errno.EPERM: "prohibited"}
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
    print("open")
except TimeoutError:
    print("filtered")
except OSError as error:
    print(names.get(error.errno) or "unreachable")
"""
_SESSION = """
import socket, sys
held = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
print("open", flush=True)
sys.stdin.read()
"""
