"""Send one script through a session and read its framed answer, before a hard deadline."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from winrm.exceptions import WinRMOperationTimeoutError, WSManFaultError
from winrm.protocol import Protocol

from fwfix.errors import (
    DeadlineError,
    FwfixError,
    LostError,
    PrivilegeError,
    ScriptCutError,
)
from fwfix.executors import winrm_delivery as delivery
from fwfix.executors.clixml import plain_text
from fwfix.executors.winrm_errors import FOREIGN, Stage, foreign_errors, said
from fwfix.executors.winrm_session import OPERATION_SECONDS, Session
from fwfix.model.script import Invocation, Result

_OUTPUT_LIMIT = 64 * 1024 * 1024
_STDERR_KEPT = 64 * 1024
# The service refuses to do anything within less.
_SHORTEST_OPERATION = 0.5
# What is kept back of the time to end a script that overstays it, and the share that it may be at most.
_RESERVE_SECONDS = 2.0
_RESERVE_SHARE = 0.25
_SIGNAL_SECONDS = 5.0
_SENDS = 4
_QUOTED = 300

T = TypeVar("T")


class Errand:
    """One script on its way to a host and back."""

    def __init__(self, session: Session, invocation: Invocation, *, deadline: float) -> None:
        self._session = session
        self._name = invocation.script.name
        self._parcel = delivery.pack(invocation)
        self._started = time.monotonic()
        self._deadline = deadline
        reserve = min(_RESERVE_SECONDS, _RESERVE_SHARE * max(0.0, deadline - self._started))
        self._until = deadline - reserve
        self._command = ""
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._code: int | None = None
        self._complete = False
        self._output_may_be_missing = False
        self.doubtful = False

    def run(self) -> Result:
        """Run the script and return its answer; see `Executor.run`."""
        session = self._session
        session.reconnected = False
        with foreign_errors(session.where, Stage.CONNECT):
            self._command = session.use_shell(self._start, deadline=self._until)
        try:
            self._send()
            self._receive()
        finally:
            self._end()
        return self._conclude()

    def _start(self, protocol: Protocol, shell: str) -> str:
        parcel = self._parcel
        return str(
            protocol.run_command(shell, parcel.command, parcel.arguments, console_mode_stdin=False) or ""
        )

    def _send(self) -> None:
        """Send everything. Before the last chunk nothing can run: the checksum would be wrong."""
        chunks = self._parcel.chunks
        for number, chunk in enumerate(chunks, start=1):
            last = number == len(chunks)
            self._complete = self._complete or last
            try:
                self._send_chunk(chunk, last=last)
            except WSManFaultError:
                return  # the process has ended, or has had it already: its output says which
            except FOREIGN as error:
                if last:
                    with foreign_errors(self._session.where, Stage.RUN):
                        raise
                raise self._not_sent(said(error)) from error
            except FwfixError as error:  # no second connection
                if last:
                    raise self._lost(error.message) from error
                raise self._not_sent(error.message) from error
        self.doubtful = self.doubtful or self._session.reconnected

    def _send_chunk(self, chunk: bytes, *, last: bool) -> None:
        """Send a chunk; while the process starts, or does not read, it may have to wait."""
        for _ in range(_SENDS - 1):
            try:
                self._call(lambda protocol, shell: self._feed(protocol, shell, chunk, last=last))
            except WinRMOperationTimeoutError:
                self.doubtful = True
            else:
                return
        with suppress(WinRMOperationTimeoutError):
            self._call(lambda protocol, shell: self._feed(protocol, shell, chunk, last=last))

    def _feed(self, protocol: Protocol, shell: str, chunk: bytes, *, last: bool) -> None:
        protocol.send_command_input(shell, self._command, chunk, end=last)

    def _receive(self) -> None:
        """Collect the output until the process has ended."""
        before = self._session.reconnected
        try:
            while not self._receive_once():
                if time.monotonic() + _SHORTEST_OPERATION >= self._until:
                    raise TimeoutError
        except FOREIGN as error:
            if not self._complete:
                raise self._not_sent(said(error)) from error
            if time.monotonic() + _SHORTEST_OPERATION >= self._until:
                raise DeadlineError(
                    f"{self._session.where} did not answer in time.", next="Ask it again."
                ) from error
            with foreign_errors(self._session.where, Stage.RUN):
                raise
        except FwfixError as error:
            if isinstance(error, LostError):
                raise
            raise (self._lost if self._complete else self._not_sent)(error.message) from error
        # The answer to a Receive on the old connection may have held output that nobody gets again.
        self._output_may_be_missing = self._session.reconnected and not before

    def _receive_once(self) -> bool:
        try:
            out, err, code, done = self._call(
                lambda protocol, shell: protocol.get_command_output_raw(shell, self._command)
            )
        except WinRMOperationTimeoutError:
            return False
        self._stdout += out
        self._stderr = (self._stderr + err)[-_STDERR_KEPT:]
        if len(self._stdout) > _OUTPUT_LIMIT:
            raise LostError(f"{self._session.where}: {self._name} writes without end.", next="Look at it.")
        if done:
            self._code = int(code)
        return bool(done)

    def _call(self, work: Callable[[Protocol, str], T]) -> T:
        session = self._session
        left = max(_SHORTEST_OPERATION, self._until - time.monotonic())
        return session.call(
            lambda protocol: work(protocol, session.shell),
            deadline=self._deadline,
            operation=min(OPERATION_SECONDS, left),
        )

    def _end(self) -> None:
        """Give the command back to the service, which kills what is left of it."""
        with suppress(FwfixError, *FOREIGN):
            self._session.call(
                lambda protocol: protocol.cleanup_command(self._session.shell, self._command),
                deadline=min(self._deadline, time.monotonic() + _SIGNAL_SECONDS),
                operation=_SIGNAL_SECONDS,
                again=self._code is None,
            )

    def _conclude(self) -> Result:
        text, code = delivery.read(bytes(self._stdout), self._parcel.nonce), self._code
        stderr = plain_text(bytes(self._stderr))
        if text is not None and code is not None:
            took_ms = round((time.monotonic() - self._started) * 1000)
            return Result(exit_code=code, stdout=text, stderr=stderr, took_ms=took_ms)
        words = " ".join((stderr or self._stdout.decode("utf-8", "replace")).split())[-_QUOTED:] or "nothing"
        # The bootstrap says no word where it refuses; a script may end with the same code.
        silent = not self._output_may_be_missing and self._parcel.nonce.encode() not in self._stdout
        if not self._complete or silent:
            self._tell_refusal(code, words)
        raise self._lost(f"it ended with code {code} and without its answer, and said: {words}")

    def _tell_refusal(self, code: int | None, words: str) -> None:
        """Raise where nothing of the script ran."""
        if code == delivery.CUT:
            raise self._not_sent("it arrived cut")
        if code == delivery.NOT_FULL_LANGUAGE:
            raise PrivilegeError(
                f"PowerShell on {self._session.where} is locked down: not in FullLanguage mode.",
                next="Exempt the account from the AppLocker or App Control policy of the host.",
                code="constrained-language",
            )
        if not self._complete:
            raise self._not_sent(f"PowerShell ended with code {code} and said: {words}")

    def _not_sent(self, why: str) -> ScriptCutError:
        return ScriptCutError(
            f"{self._name} did not reach {self._session.where}: {why.rstrip('.')}. Nothing of it ran.",
            next="Look at the network and at the host, then run again.",
        )

    def _lost(self, why: str) -> LostError:
        return LostError(
            f"{self._session.where} gave no whole answer to {self._name}: {why.rstrip('.')}.",
            next="Ask it again.",
        )
