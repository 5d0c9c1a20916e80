"""Run scripts over WinRM, with pywinrm's protocol."""

import ipaddress
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from fwfix.errors import ConnectError, DeadlineError, ScriptCutError
from fwfix.executors.accounts import Accounts
from fwfix.executors.ssh_watch import Watch
from fwfix.executors.winrm_endpoint import Endpoint, endpoint_of
from fwfix.executors.winrm_run import Errand
from fwfix.executors.winrm_session import Session, Shared
from fwfix.executors.winrm_stream import PrepareJump, Stream, Streams, Tunnel
from fwfix.executors.winrm_wire import Tap
from fwfix.model.host import Host, WinrmTransport
from fwfix.model.policy import Address
from fwfix.model.script import Invocation, Result

if TYPE_CHECKING:
    from fwfix.executors.ssh_connect import Resolve

_CUT_GRACE = 0.25
_CLOSE_SECONDS = 5.0
_TURN_SECONDS = 5.0


class WinrmConnector:
    """Opens WinRM connections; shares what is known about accounts and certificates, for one run."""

    def __init__(
        self,
        *,
        resolve: "Resolve",
        accounts: Accounts | None = None,
        tunnel: Tunnel | None = None,
        prepare_jump: PrepareJump | None = None,
    ) -> None:
        """Prepare for a run; nothing is contacted.

        Args:
            resolve: turns a secret reference of a host into the secret.
            accounts: shared with other connectors of the same run.
            tunnel: opens tunnels through jump hosts; without it no host may have one.
            prepare_jump: gets the secrets of a jump host before a deadline runs.
        """
        self._prepare_jump = prepare_jump
        self._accounts = accounts or Accounts()
        self._watch = Watch()
        self._shared = Shared(
            accounts=self._accounts,
            resolve=resolve,
            streams=Streams(watch=self._watch, tunnel=tunnel),
        )

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Get what people and programs know of a host and its jump host; no deadline runs meanwhile."""
        endpoint = endpoint_of(host)
        ref = endpoint.password
        if ref is not None and ref.takes_time:
            self._shared.resolve(ref, host, user=endpoint.user, purpose="password")
        if endpoint.jump and self._prepare_jump is not None:
            self._prepare_jump(endpoint.jump, deadline=deadline)

    def open(self, host: Host, *, deadline: float) -> "WinrmExecutor":
        """Log on to a host and open a shell on it.

        Raises:
            ConnectError: there is none; its subclasses say why.
        """
        endpoint = endpoint_of(host)
        if endpoint.password is not None and endpoint.transport is not WinrmTransport.KERBEROS:
            self._accounts.refuse_stopped(endpoint.account, endpoint.password, host.name)
        session = Session(endpoint, self._shared)
        try:
            with self._watch.guard(deadline + _CUT_GRACE, session.cut):
                session.open(deadline=deadline)
        except BaseException:
            session.close()
            raise
        return WinrmExecutor(session, endpoint, self._watch)

    def dial(self, endpoint: Endpoint, *, deadline: float) -> Stream:
        """Connect without a logon, and with TLS where the endpoint has it.

        Raises:
            ConnectError: there is no connection; its subclasses say why.
        """
        return self._shared.streams.open(endpoint, deadline=deadline)

    def listen(self, tap: Tap) -> None:
        """Let somebody hear every envelope of the connections opened from now on."""
        self._shared = replace(self._shared, tap=tap)

    def close(self) -> None:
        """End what is shared: the thread that keeps deadlines."""
        self._watch.close()


class WinrmExecutor:
    """One shell on one host; one script at a time."""

    def __init__(self, session: Session, endpoint: Endpoint, watch: Watch) -> None:
        self._session = session
        self._watch = watch
        self._turn = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._left_to_run = False
        self._peer = session.far_end if endpoint.is_direct else None

    @property
    def peer(self) -> Address | None:
        """The address that answered; None behind a jump host or a proxy."""
        if self._peer is None:
            return None
        address = ipaddress.ip_address(self._peer.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return address.ipv4_mapped
        return address

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Run a script and return its answer; see `Executor.run` for what it raises."""
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise DeadlineError(f"{self._session.where} is busy with another script.", next="Ask it again.")
        try:
            if self._closed:
                raise ConnectError(f"The connection to {self._session.where} is closed.", next="Open it.")
            with self._watch.guard(deadline + _CUT_GRACE, self._session.cut):
                return self._run(invocation, deadline)
        finally:
            if self._left_to_run:
                self._end()
            self._turn.release()

    def close(self) -> None:
        """Delete the shell, which ends whatever still runs in it, and close the connection.

        Whoever waits for an answer is sent away first: two threads on one connection would take each other's
        answers, and a descriptor that is closed while it is read may be another connection by then.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self._may_end():
            try:
                self._end()
            finally:
                self._turn.release()

    def _may_end(self) -> bool:
        """Take the turn; where somebody keeps it, he closes the connection when he gives it back."""
        if self._turn.acquire(blocking=False):
            return True
        self._session.give_up()
        if self._turn.acquire(timeout=_TURN_SECONDS):
            return True
        self._left_to_run = True
        return self._turn.acquire(blocking=False)

    def _end(self) -> None:
        with self._watch.guard(time.monotonic() + _CLOSE_SECONDS, self._session.cut):
            self._session.close()

    def _run(self, invocation: Invocation, deadline: float) -> Result:
        """Run a script; once more if it arrived twice in part, since nothing of it ran then."""
        errand = Errand(self._session, invocation, deadline=deadline)
        try:
            return errand.run()
        except ScriptCutError:
            if not errand.doubtful or time.monotonic() >= deadline:
                raise
        return Errand(self._session, invocation, deadline=deadline).run()
