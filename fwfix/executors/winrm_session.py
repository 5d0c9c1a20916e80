"""A logon that outlives its connection: one shell, one more connection where the first is dropped."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, TypeVar

from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol

from fwfix.errors import AuthError, FwfixError
from fwfix.executors.accounts import Accounts, Attempt
from fwfix.executors.winrm_endpoint import Endpoint
from fwfix.executors.winrm_errors import (
    FOREIGN,
    GONE,
    NO_REGISTRY_KEY,
    TOO_MANY_OPERATIONS,
    DroppedError,
    LogonRefusedError,
    Stage,
    foreign_errors,
)
from fwfix.executors.winrm_stream import Stream, Streams
from fwfix.executors.winrm_wire import Tap, Wire
from fwfix.model.host import WinrmTransport
from fwfix.secrets import Secret

if TYPE_CHECKING:
    from fwfix.executors.ssh_connect import Resolve

OPERATION_SECONDS = 20.0
# MaxConcurrentOperationsPerUser is 15 on old hosts, and what a shell has used is given back with the shell.
COMMANDS_PER_SHELL = 15
SHELL_IS_GONE = frozenset({GONE, NO_REGISTRY_KEY, TOO_MANY_OPERATIONS})
_UTF8 = 65001
_BUSY = 503
_BAD_REQUEST = 400
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0
_CLOSE_SECONDS = 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all sessions of a run have in common."""

    accounts: Accounts
    resolve: "Resolve"
    streams: Streams
    tap: Tap | None = None


class Session:
    """One shell on one host."""

    def __init__(self, endpoint: Endpoint, shared: Shared) -> None:
        self._endpoint = endpoint
        self._shared = shared
        self._wire: Wire | None = None
        self._stream: Stream | None = None
        self._shell = ""
        self._commands = 0
        self._given_up = False
        self.reconnected = False

    @property
    def where(self) -> str:
        """The address and port, for people."""
        return self._endpoint.where

    @property
    def shell(self) -> str:
        """The id of the open shell."""
        return self._shell

    @property
    def far_end(self) -> str | None:
        """The address at the far end of the connection."""
        if self._stream is None:
            return None
        try:
            return str(self._stream.socket.getpeername()[0])
        except OSError:
            return None

    def open(self, *, deadline: float) -> None:
        """Log on and open a shell; a service that is starting up is asked again.

        Raises:
            ConnectError: its subclasses say why.
        """
        with foreign_errors(self.where, Stage.CONNECT):
            pause = _FIRST_PAUSE
            while True:
                try:
                    self._open_shell(deadline=deadline)
                except WinRMTransportError as error:
                    wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - to spread attempts, no secret
                    if error.code != _BUSY or time.monotonic() + wait >= deadline:
                        raise
                    time.sleep(wait)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                else:
                    return

    def call(
        self,
        work: Callable[[Protocol], T],
        *,
        deadline: float,
        operation: float = OPERATION_SECONDS,
        again: bool = True,
    ) -> T:
        """Do something with the protocol; on a dropped connection once more, on a new one.

        Raises what pywinrm raises.

        Args:
            work: must be safe to repeat, unless `again` is false.
            deadline: when the answer must be here.
            operation: seconds after which the service itself gives up.
            again: may be repeated.
        """
        if self._wire is None:
            return self._on_new_wire(work, deadline=deadline, operation=operation)
        try:
            return self._wire.run(work, deadline=deadline, operation=operation)
        except FOREIGN as error:
            if not _is_drop(error, settled=self._wire.settled):
                raise
            self._drop_wire()
            if not again or self.reconnected or self._given_up or time.monotonic() >= deadline:
                raise
        self.reconnected = True
        return self._on_new_wire(work, deadline=deadline, operation=operation)

    def use_shell(self, start: Callable[[Protocol, str], T], *, deadline: float) -> T:
        """Start a command in the shell; in a new one where that is gone or used up."""
        if self._commands >= COMMANDS_PER_SHELL:
            self._close_shell(deadline=deadline)
        fresh = not self._shell
        if fresh:
            self._open_shell(deadline=deadline)
        self._commands += 1
        try:
            return self.call(lambda protocol: start(protocol, self._shell), deadline=deadline)
        except WSManFaultError as error:
            if fresh or error.wsman_fault_code not in SHELL_IS_GONE:
                raise
        # What the old one has used up counts until it is deleted.
        self._close_shell(deadline=deadline)
        return self.use_shell(start, deadline=deadline)

    def cut(self) -> None:
        """Wake whoever waits for an answer, from any thread."""
        wire = self._wire
        if wire is not None:
            wire.cut()

    def give_up(self) -> None:
        """Send whoever waits for an answer away, from any thread; he gets no other connection either."""
        self._given_up = True
        self.cut()

    def close(self) -> None:
        """Delete the shell, which ends what runs in it, and close the connection; never raises."""
        self._given_up = False
        if self._shell:
            self.reconnected = False
            self._close_shell(deadline=time.monotonic() + _CLOSE_SECONDS)
        self._drop_wire()

    def _open_shell(self, *, deadline: float) -> None:
        self._shell = self.call(
            lambda protocol: protocol.open_shell(codepage=_UTF8), deadline=deadline, again=False
        )
        self._commands = 0

    def _close_shell(self, *, deadline: float) -> None:
        shell, self._shell = self._shell, ""
        with suppress(FwfixError, *FOREIGN):
            self.call(lambda protocol: protocol.close_shell(shell, close_session=False), deadline=deadline)

    def _on_new_wire(self, work: Callable[[Protocol], T], *, deadline: float, operation: float) -> T:
        """Connect, log on and do something."""
        self._refuse_given_up()
        endpoint = self._endpoint
        stream = self._shared.streams.open(endpoint, deadline=deadline)
        try:
            with self._logon(deadline) as (password, attempt):
                wire = Wire(endpoint, stream, password, tap=self._shared.tap)
                self._stream, self._wire = stream, wire
                self._refuse_given_up()
                try:
                    return wire.run(work, deadline=deadline, operation=operation)
                except LogonRefusedError as error:
                    self._tell_refusal(error, attempt)
                    raise
                finally:
                    if attempt is not None and wire.settled:
                        attempt.accepted()
        except BaseException:
            if self._wire is None or not self._wire.settled:
                self._drop_wire()
                stream.close()
            raise

    def _refuse_given_up(self) -> None:
        if self._given_up:
            raise DroppedError("it is being closed")

    @contextmanager
    def _logon(self, deadline: float) -> Iterator[tuple[Secret | None, Attempt | None]]:
        """Yield the password; where there is one, hosts take turns until it is known to be right."""
        endpoint = self._endpoint
        ref = endpoint.password
        if ref is None or endpoint.transport not in (WinrmTransport.NTLM, WinrmTransport.BASIC):
            yield None, None
            return
        with self._shared.accounts.attempt(
            endpoint.account, ref, endpoint.host.name, deadline=deadline
        ) as attempt:
            yield (
                self._shared.resolve(ref, endpoint.host, user=endpoint.user, purpose="password"),
                attempt,
            )

    def _tell_refusal(self, error: LogonRefusedError, attempt: Attempt | None) -> None:
        if attempt is None or not error.attempted:
            return
        attempt.rejected()
        raise AuthError(
            f"{self.where} rejected the password of {self._endpoint.user}.",
            next="Correct it. The account is not used again in this run.",
            code="password-rejected",
        ) from error

    def _drop_wire(self) -> None:
        wire, self._wire, self._stream = self._wire, None, None
        if wire is not None:
            wire.close()


def _is_drop(error: Exception, *, settled: bool) -> bool:
    """Tell whether the connection is the trouble, and another one might serve."""
    if isinstance(error, WinRMTransportError):
        return error.code == _BAD_REQUEST and settled
    if isinstance(error, LogonRefusedError):
        return settled
    if isinstance(error, WinRMOperationTimeoutError):
        return False
    return isinstance(error, (DroppedError, HTTPException, OSError, EOFError))
