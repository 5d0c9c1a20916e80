"""Kerberos tickets: fetched before a deadline, and bound to the TLS channel from the first message on."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from winrm import transport

from fwfix.executors.winrm_errors import KDC_SILENT, TicketError

if transport.HAVE_KERBEROS:
    import kerberos
    from winrm.vendor.requests_kerberos import kerberos_

_SERVICE = "HTTP"


def fetch_ticket(url: str, user: str | None, *, deadline: float) -> None:
    """Have the ticket for a server in the cache of tickets, so that no later step asks a KDC.

    The library asks a silent KDC for half a minute and cannot be interrupted: a thread waits in our place.

    Raises:
        TicketError: there is none.
    """
    if not transport.HAVE_KERBEROS:
        return  # pywinrm says so itself
    asked: Future[None] = Future()
    server = urlsplit(url).hostname or ""
    thread = threading.Thread(target=_fetch, args=(asked, server, user), name="kerberos-ticket", daemon=True)
    thread.start()
    try:
        asked.result(max(0.0, deadline - monotonic()))
    except TimeoutError:
        raise TicketError("no KDC answered in time", minor=KDC_SILENT) from None


def bind_to_channel(session: requests.Session, certificate: bytes) -> None:
    """Have the first message say which certificate we see; without this only one after a refusal does."""
    auth: Any = session.auth
    hash_of: Callable[[bytes], bytes | None] = kerberos_._get_certificate_hash  # noqa: SLF001 - as it would
    digest = hash_of(certificate)
    if digest is not None and not auth.cbt_binding_tried:
        auth.cbt_struct = kerberos.channelBindings(application_data=b"tls-server-end-point:" + digest)
        auth.cbt_binding_tried = True


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
