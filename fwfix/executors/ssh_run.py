"""Send one script through a connection and read its framed answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko
from paramiko.buffered_pipe import BufferedPipe

from fwfix.errors import (
    ConnectError,
    DeadlineError,
    HostError,
    LostError,
    PrivilegeError,
    ScriptCutError,
    ScriptError,
    UnreachableError,
)
from fwfix.executors import sudo
from fwfix.executors.accounts import Accounts, Attempt
from fwfix.executors.frame import FrameReader, Parcel, Reached, pack
from fwfix.executors.ssh_connect import Resolve
from fwfix.executors.ssh_errors import Stage, foreign_errors
from fwfix.executors.ssh_transport import Link
from fwfix.executors.ssh_watch import Watch
from fwfix.model.host import Become, Host
from fwfix.model.script import Invocation, Result

_STDOUT_LIMIT = 32 * 1024 * 1024
_STDERR_KEPT = 64 * 1024
_READ_SIZE = 1 << 16
_WRITE_SIZE = 1 << 16
_STDERR_GRACE = 1.0
_CUT_GRACE = 0.25
_SHELL_MISSING = (126, 127)
# What a person is asked for.
SUDO_PASSWORD = "sudo password"  # noqa: S105 - its name


class Errand:
    """What runs scripts on one connection."""

    def __init__(
        self,
        link: Link,
        *,
        host: Host,
        user: str,
        patience: float,
        watch: Watch,
        accounts: Accounts,
        resolve: Resolve,
    ) -> None:
        """Take a connection that somebody else opened, and will close.

        Args:
            link: the connection.
            host: whose it is.
            user: as whom we are logged on.
            patience: seconds for sshd to open a session; whoever takes longer is gone.
            watch: cuts the connection where a deadline passes.
            accounts: what is known about passwords.
            resolve: reveals the sudo password.
        """
        self._link = link
        self._host = host
        self._user = user
        self._patience = patience
        self._watch = watch
        self._accounts = accounts
        self._resolve = resolve

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Run a script and return its answer; see `Executor.run`."""
        parcel = pack(invocation)
        with (
            self._sudo_attempt(deadline) as attempt,
            self._watch.guard(deadline + _CUT_GRACE, self._link.cut),
            self._channel(deadline) as channel,
        ):
            started = time.monotonic()
            answer = _Answer(channel, parcel.marker, began_matters=attempt is not None)
            self._send(channel, parcel, with_password=attempt is not None, deadline=deadline)
            with foreign_errors(self._host.name, Stage.RUN):
                answer.read(deadline=deadline, attempt=attempt)
            took_ms = round((time.monotonic() - started) * 1000)
            return self._conclude(answer, invocation, attempt=attempt, took_ms=took_ms, deadline=deadline)

    @contextmanager
    def _sudo_attempt(self, deadline: float) -> Iterator[Attempt | None]:
        ssh = self._host.ssh
        if ssh.become is not Become.SUDO or ssh.become_password is None:
            yield None
            return
        with self._accounts.attempt(
            self._user, ssh.become_password, self._host.name, deadline=deadline
        ) as attempt:
            yield attempt

    @contextmanager
    def _channel(self, deadline: float) -> Iterator[paramiko.Channel]:
        channel = self._open_session(min(deadline, time.monotonic() + self._patience))
        try:
            yield channel
        finally:
            with suppress(paramiko.SSHException, EOFError, OSError):
                channel.close()

    def _open_session(self, deadline: float) -> paramiko.Channel:
        """Open a session. Where that fails nothing has run, and a connection that is gone stays gone."""
        if not self._link.is_active():
            raise self._gone("is closed")
        try:
            return self._link.open_session(timeout=max(0.1, deadline - time.monotonic()))
        except paramiko.ChannelException as error:
            raise ConnectError(
                f"sshd on {self._host.name} opens no further session: {error.text}.",
                next="Look at MaxSessions in its sshd_config, and at its load.",
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            what = "broke" if not self._link.is_active() else "is dead: nothing came back over it"
            self._link.cut()
            raise self._gone(what) from error

    def _gone(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"The connection to {self._host.name} {what}; nothing was sent.",
            next="Look at the network and at the host, then run again.",
        )

    def _send(
        self, channel: paramiko.Channel, parcel: Parcel, *, with_password: bool, deadline: float
    ) -> None:
        """Send everything. Until the last byte is on its way nothing can run: the length would be wrong."""
        ssh = self._host.ssh
        password = None
        if with_password and ssh.become_password is not None:
            password = self._resolve(ssh.become_password, self._host, user=self._user, purpose=SUDO_PASSWORD)
        if ssh.become is Become.SUDO:
            command = sudo.through_sudo(parcel, become_user=ssh.become_user, with_password=with_password)
        else:
            command = sudo.direct(parcel)
        stdin = sudo.stdin_of(parcel, password)
        offset = 0
        try:
            self._start(channel, command)
            while offset < len(stdin):
                channel.settimeout(max(0.01, deadline - time.monotonic()))
                sent = channel.send(stdin[offset : offset + _WRITE_SIZE])
                if sent == 0:
                    return  # the other side has ended already; its answer says why
                offset += sent
            channel.shutdown_write()
        except (paramiko.SSHException, EOFError, OSError) as error:
            if channel.closed and self._link.is_active():
                return
            what = "in time " if time.monotonic() >= deadline else ""
            raise ScriptCutError(
                f"The script could not be sent {what}to {self._host.name}; nothing of it ran.",
                next="Look at the network and at the load of the host, then run again.",
            ) from error

    def _start(self, channel: paramiko.Channel, command: str) -> None:
        try:
            channel.exec_command(command)
        except paramiko.SSHException as error:
            if not self._link.is_active():
                raise
            raise PrivilegeError(
                f"sshd on {self._host.name} does not let {self._user} run commands.",
                next="Look for a restriction of the key or account (authorized_keys, Match in sshd_config).",
            ) from error

    def _conclude(
        self,
        answer: "_Answer",
        invocation: Invocation,
        *,
        attempt: Attempt | None,
        took_ms: int,
        deadline: float,
    ) -> Result:
        out, err = answer.out, answer.err
        if out.reached is Reached.ENDED and out.exit_code is not None and not out.overflowed:
            return Result(exit_code=out.exit_code, stdout=out.text, stderr=err.text, took_ms=took_ms)
        raise self._failure(answer, invocation.script.name, attempt=attempt, deadline=deadline)

    def _failure(
        self, answer: "_Answer", script: str, *, attempt: Attempt | None, deadline: float
    ) -> HostError:
        host, said = self._host.name, sudo.tail(answer.err.text)
        reached = answer.out.reached
        if answer.out.overflowed:
            return LostError(f"{host}: `{script}` printed too much to be an answer.", next="Ask again.")
        if reached is Reached.CUT:
            return ScriptCutError(
                f"`{script}` did not arrive whole on {host}, and did not run.", next="Run again."
            )
        if reached is Reached.NO_PRINTF:
            return PrivilegeError(
                f"/bin/sh on {host} has no printf of its own, so a sudo password would be visible to others.",
                next="Allow the account sudo with NOPASSWD, or log on as root.",
            )
        if reached is Reached.NOT_ADMINISTRATOR:
            return PrivilegeError(
                f"become_user {self._host.ssh.become_user} is not root (uid 0) on {host}; only root may "
                "change the firewall and write /var/lib/fwfix.",
                next="Remove become_user from the inventory, or name an account with uid 0.",
                code="not-administrator",
            )
        if reached is Reached.NO_TEMPORARY:
            return PrivilegeError(f"{host}: no temporary file can be made: {said}", next="Make room in /tmp.")
        if answer.exit_status is None or reached is Reached.BEGAN:
            if time.monotonic() >= deadline:
                return DeadlineError(f"{host} did not answer `{script}` in time.", next="Ask it again.")
            return LostError(f"{host}: `{script}` ended without its last line: {said}", next="Ask again.")
        if reached is Reached.USER_SHELL:
            return self._refused_by_sudo(answer, attempt)
        return self._refused_by_shell(answer)

    def _refused_by_sudo(self, answer: "_Answer", attempt: Attempt | None) -> PrivilegeError:
        stderr = answer.err.text
        if attempt is not None and sudo.was_rejected(stderr):
            attempt.rejected()
            return PrivilegeError(
                f"sudo on {self._host.name} rejected the password of {self._user}.",
                next="Correct become_password. The account is not used again in this run.",
                code="sudo-password-rejected",
            )
        return sudo.refusal(stderr, user=self._user)

    def _refused_by_shell(self, answer: "_Answer") -> HostError:
        host, said = self._host.name, sudo.tail(answer.out.text + "\n" + answer.err.text)
        if answer.exit_status in _SHELL_MISSING:
            return ScriptError(f"{host} could not run /bin/sh: {said}", next="Look at the host by hand.")
        return PrivilegeError(
            f"The login shell of {self._user} on {host} ran nothing: {said}",
            next="Give the account a shell that runs commands.",
        )


class _Inlet(BufferedPipe):  # type: ignore[type-arg] # generic in the stubs alone
    """One stream of an answer, which wakes its reader for what he waits for instead of for every packet."""

    def __init__(self, reader: threading.Event, sought: bytes) -> None:
        super().__init__()
        self._reader = reader
        self._sought = sought
        self._last = b""
        self._cut_off = False
        self._untold = 0

    def feed(self, data: bytes | str) -> None:
        """Take what the transport's thread has read."""
        super().feed(data)
        seen = self._last + (data if isinstance(data, bytes) else data.encode())
        self._last = seen[1 - len(self._sought) :]
        self._untold += len(data)
        at = seen.rfind(self._sought)
        found = at >= 0 or self._cut_off
        self._cut_off = found and b"\n" not in seen[max(at, 0) :]
        # Whoever reads nothing for long lets the window of the channel run out.
        if found or self._untold >= _READ_SIZE:
            self._untold = 0
            self._reader.set()

    def close(self) -> None:
        """Nothing more comes."""
        super().close()
        self._reader.set()


class _Answer:
    """What came back so far."""

    def __init__(self, channel: paramiko.Channel, marker: bytes, *, began_matters: bool) -> None:
        """Get ready before anything can come.

        Args:
            channel: nothing was started on it yet.
            marker: what frames the answer.
            began_matters: whoever reads is told of the beginning too, not only of the end.
        """
        self._channel = channel
        self._event = threading.Event()
        self.out = FrameReader(marker, keep=_STDOUT_LIMIT)
        self.err = FrameReader(marker, keep=_STDERR_KEPT)
        self.exit_status: int | None = None
        sought = marker + (b":" if began_matters else b":E")
        channel.in_buffer = _Inlet(self._event, sought)
        channel.in_stderr_buffer = _Inlet(self._event, sought)

    def read(self, *, deadline: float, attempt: Attempt | None) -> None:
        """Read until the end of the frame, the end of the command, or the deadline."""
        patience = deadline
        while True:
            self._event.clear()
            over = self._is_over()
            self._drain()
            if attempt is not None and self._began():
                self._tell(attempt)
                attempt = None
            if self._is_complete() or self.out.overflowed or over:
                break
            if self.out.reached is Reached.ENDED or self.out.reached is Reached.CUT:
                patience = min(patience, time.monotonic() + _STDERR_GRACE)
            remaining = patience - time.monotonic()
            if remaining <= 0 or not self._event.wait(remaining):
                break
        if self.out.reached is not Reached.ENDED:
            self._await_exit_status(deadline)

    def _drain(self) -> None:
        channel = self._channel
        while not self.out.overflowed and (channel.recv_ready() or channel.recv_stderr_ready()):
            if channel.recv_ready():
                self.out.feed(channel.recv(_READ_SIZE))
            if channel.recv_stderr_ready():
                self.err.feed(channel.recv_stderr(_READ_SIZE))

    def _is_over(self) -> bool:
        transport = self._channel.transport
        ended = bool(self._channel.eof_received) or self._channel.closed
        return ended or transport is None or not transport.is_active()

    def _is_complete(self) -> bool:
        return self.out.reached is Reached.ENDED and self.err.reached is Reached.ENDED

    def _began(self) -> bool:
        return self.out.reached is Reached.BEGAN or self.out.reached is Reached.ENDED

    def _tell(self, attempt: Attempt) -> None:
        """Tell others as soon as the script begins: sudo took the password, or did not ask for it."""
        if self.out.password_unused:
            attempt.leave()
        else:
            attempt.accepted()

    def _await_exit_status(self, deadline: float) -> None:
        channel = self._channel
        if not channel.eof_received and not channel.closed:
            return
        channel.status_event.wait(max(0.0, min(deadline - time.monotonic(), _STDERR_GRACE)))
        if channel.exit_status >= 0:
            self.exit_status = channel.exit_status
