"""Kerberos: tickets fetched before a deadline, and bound to the TLS channel from the first message on."""

import threading
from concurrent.futures import Future
from time import monotonic
from typing import Any

from winrm import transport
from winrm.exceptions import WinRMError

from fwfix.executors.winrm_errors import KDC_SILENT, TicketError
from fwfix.executors.winrm_http import Answer
from fwfix.executors.winrm_logon import Post, check_let_in, end_point

if transport.HAVE_KERBEROS:
    import kerberos
    from winrm.vendor.requests_kerberos import REQUIRED, HTTPKerberosAuth

_SERVICE = "HTTP"


class ByTicket:
    """A ticket, and the server's own proof that it could read it; pywinrm's encryption seals with it."""

    standing = ""

    def __init__(self, user: str, *, server: str, certificate: bytes | None, deadline: float) -> None:
        """Get the ticket.

        Args:
            user: whose ticket, as `name@REALM`; empty for the one that is there.
            server: the name that the server has in the domain.
            certificate: what the server shows inside TLS; the ticket is bound to it.
            deadline: for the KDC.

        Raises:
            TicketError: there is none.
        """
        if not transport.HAVE_KERBEROS:
            raise WinRMError("the logon is by kerberos, but pykerberos is not installed")
        fetch_ticket(server, user or None, deadline=deadline)
        self._server = server
        self._auth: Any = HTTPKerberosAuth(  # type: ignore[no-untyped-call]
            mutual_authentication=REQUIRED,
            service=_SERVICE,
            principal=user or None,
            sanitize_mutual_error_response=False,
        )
        if certificate is not None:
            self._auth.cbt_struct = kerberos.channelBindings(application_data=end_point(certificate))
        self.wrap_winrm, self.unwrap_winrm = self._auth.wrap_winrm, self._auth.unwrap_winrm

    def enter(self, post: Post, body: bytes) -> Answer:
        """Show the ticket, and check what the server shows."""
        answer = post(body, self._auth.generate_request_header(None, self._server, is_preemptive=True))
        check_let_in(answer, attempted=True, by_ticket=True)
        self._auth.handle_other(answer)
        return answer


def fetch_ticket(server: str, user: str | None, *, deadline: float) -> None:
    """Have the ticket for a server in the cache of tickets, so that no later step asks a KDC.

    The library asks a silent KDC for half a minute and cannot be interrupted: a thread waits in our place.

    Raises:
        TicketError: there is none.
    """
    asked: Future[None] = Future()
    thread = threading.Thread(target=_fetch, args=(asked, server, user), name="kerberos-ticket", daemon=True)
    thread.start()
    try:
        asked.result(max(0.0, deadline - monotonic()))
    except TimeoutError:
        raise TicketError("no KDC answered in time", minor=KDC_SILENT) from None


def _fetch(asked: Future[None], server: str, user: str | None) -> None:
    try:
        _, context = kerberos.authGSSClientInit(f"{_SERVICE}@{server}", principal=user)
        kerberos.authGSSClientStep(context, "")
    except kerberos.GSSError as error:
        asked.set_exception(_told(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits
        asked.set_exception(error)
    else:
        asked.set_result(None)


def _told(error: Exception) -> TicketError:
    """Return what the Kerberos library says, in words and as a number."""
    words, minor = error.args[-1] if isinstance(error.args[-1], tuple) else (str(error), 0)
    return TicketError(str(words), minor=int(minor))
