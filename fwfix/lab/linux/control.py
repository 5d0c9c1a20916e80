"""The builder's side of the supervisor: start it, ask it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fwfix.errors import LabError
from fwfix.lab.linux.guest import ENVIRONMENT, GuestPlan
from fwfix.lab.records import Record

_PACKAGES = Path(__file__).resolve().parents[3]
_CODE = "import sys; sys.path.append({!r}); from fwfix.lab.linux.supervisor import main; main()"
_PATIENCE = 120.0
_kept: list[subprocess.Popen[bytes]] = []  # a forgotten Popen of a living process is a warning


class Control:
    """A running supervisor.

    Attributes:
        pids: first process of every host, in this machine's PID namespace.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.pids: dict[str, int] = {}
        self._lifeline: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the supervisor; until `keep` it ends the lab when this process dies."""
        theirs, ours = os.pipe()
        private = self.record.private.resolve()
        argv = [sys.executable, "-I", "-S", "-c", _CODE.format(str(_PACKAGES))]
        argv += [str(private), *(str(handle) for handle in (theirs, *self.record.busy))]
        with (private / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs, *self.record.busy),
                start_new_session=True,
                cwd="/",
                env=ENVIRONMENT,
            )
        # It has made nothing yet: were we killed before the next line, it would simply end.
        self.record.add_process(self._process.pid)
        os.close(theirs)
        self._lifeline = ours
        self._await_socket(self._process)

    def _await_socket(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError), self._connect():
                return
            if process.poll() is not None or time.monotonic() > deadline:
                text = (self.record.private / "log").read_text(encoding="utf-8", errors="replace")
                raise LabError(f"The lab's supervisor did not start: {text.strip()[-2000:]}")
            time.sleep(0.005)

    def _connect(self) -> socket.socket:
        handle = os.open(self.record.private, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_PATIENCE)
            connection.connect(f"/proc/self/fd/{handle}/control")  # however long the directory's path is
        except OSError:
            connection.close()
            raise
        finally:
            os.close(handle)
        return connection

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        try:
            with self._connect() as connection, connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer: dict[str, Any] = json.loads(stream.readline())
        except (OSError, ValueError) as error:
            raise LabError(f"The lab's supervisor does not answer: {error}") from error
        if "error" in answer:
            raise LabError(f"The lab cannot do that: {answer['error']}")
        return answer

    def start(self, plans: Sequence[GuestPlan]) -> None:
        """Make the hosts' namespaces and files, booting nothing yet."""
        self.pids.update(self._ask({"do": "start", "plans": list(plans)})["pids"])

    def boot(self, names: Sequence[str]) -> None:
        """Boot hosts that were started."""
        self._ask({"do": "boot", "names": list(names)})

    def stop(self, names: Sequence[str]) -> None:
        """End every process of the hosts."""
        self._ask({"do": "stop", "names": list(names)})

    def keep(self) -> None:
        """Let the lab outlive this process."""
        self._ask({"do": "keep"})
        self.release()
        if self._process is not None:
            _kept.append(self._process)

    def release(self) -> None:
        """Let go of the lifeline, and of the supervisor's remains once it has ended."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._process is not None:
            self._process.poll()
