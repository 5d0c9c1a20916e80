"""Map what pywinrm and everything below it raise to our errors, in one place (windows.md 1.5)."""

import errno
import http.client
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from xml.etree import ElementTree as ET
from xml.parsers import expat

import spnego.exceptions
from winrm.exceptions import (
    AuthenticationError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from fwfix.errors import (
    AuthError,
    ConnectError,
    DeadlineError,
    HostError,
    HostKeyError,
    LostError,
    UnreachableError,
)


class Stage(Enum):
    """What we were doing when it happened; decides whether the host's state is known."""

    CONNECT = "connect"  # no script can have been started
    RUN = "run"  # a script may have been started


class DroppedError(Exception):
    """The connection ended where another request was to follow; that request was not sent."""


class LogonRefusedError(Exception):
    """The server answered 401.

    Attributes:
        attempted: a password or ticket was really shown; otherwise we had none of the kinds it asks for.
        offered: the kinds of logon that it takes.
        by_ticket: what was shown is a Kerberos ticket.
    """

    def __init__(self, *, attempted: bool, offered: str, by_ticket: bool = False) -> None:
        super().__init__("401")
        self.attempted = attempted and (not by_ticket or "negotiate" in offered.lower())
        self.offered = offered
        self.by_ticket = by_ticket


class TicketError(Exception):
    """There is no Kerberos ticket for the server.

    Attributes:
        minor: the number that the Kerberos library gives to the reason; 0 if it gives none.
    """

    def __init__(self, words: str, *, minor: int) -> None:
        super().__init__(words)
        self.minor = minor


_SPNEGO = (
    spnego.exceptions.SpnegoError,
    spnego.exceptions.NativeError,
    spnego.exceptions.FeatureMissingError,
)

# `StopIteration` (an answer without ShellId), `AttributeError` (200 without a logon), `KeyError` (no
# Content-Type), `AssertionError` (wrong RelatesTo): pywinrm takes the shape of answers for granted.
FOREIGN: tuple[type[Exception], ...] = (
    DroppedError,
    LogonRefusedError,
    TicketError,
    http.client.HTTPException,
    *_SPNEGO,
    WinRMError,
    WinRMTransportError,
    WinRMOperationTimeoutError,
    ET.ParseError,
    expat.ExpatError,
    struct.error,
    OSError,
    EOFError,
    StopIteration,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

ACCESS_DENIED = 5
BAD_PARAMETER = 87
ABORTED = 995
NO_PROGRAM = 2147942402
NO_REGISTRY_KEY = 2147943418
BAD_HEADER = 2150858767
TIMED_OUT = 2150858793
GONE = 2150858843
TOO_MANY_SHELLS = 2150859173
TOO_MANY_OPERATIONS = 2150859174

# What a fault says when no script was started yet: kind, code, sentence, advice.
FAULTS: dict[int, tuple[type[ConnectError], str, str, str]] = {
    ACCESS_DENIED: (
        AuthError,
        "access-denied",
        "knows the account, but does not let it open a shell",
        "It must be an administrator; a local one needs LocalAccountTokenFilterPolicy=1 on the host.",
    ),
    BAD_PARAMETER: (ConnectError, "winrm-fault", "does not take a parameter of ours", "Is it WinRM 2.0?"),
    ABORTED: (UnreachableError, "unreachable", "ended the operation", "Run again."),
    NO_PROGRAM: (ConnectError, "winrm-fault", "does not find PowerShell", "Look at its system folder."),
    NO_REGISTRY_KEY: (
        ConnectError,
        "winrm-fault",
        "is closing the shell while the user's profile unloads",
        "Run again.",
    ),
    BAD_HEADER: (ConnectError, "winrm-fault", "does not read our messages", "Is it WinRM 2.0 or later?"),
    TIMED_OUT: (UnreachableError, "unreachable", "did not finish in time", "Look at its load."),
    GONE: (ConnectError, "shell-gone", "closed the shell", "Run again."),
    TOO_MANY_SHELLS: (
        ConnectError,
        "quota",
        "has no shell left for this account (MaxShellsPerUser)",
        "Close other sessions of the account, or wait until they time out.",
    ),
    TOO_MANY_OPERATIONS: (
        ConnectError,
        "quota",
        "allows this account no more operations (MaxConcurrentOperationsPerUser)",
        "Wait a few minutes, or raise the quota.",
    ),
}

_STATUS: dict[int, tuple[type[ConnectError], str, str, str]] = {
    400: (UnreachableError, "unreachable", "dropped the logon", "Run again."),
    403: (AuthError, "access-denied", "refuses the account", "Look at its WinRM listener and proxies."),
    404: (ConnectError, "not-winrm", "is a web server, but not WinRM", "Check port; WinRM uses 5985, 5986."),
    405: (ConnectError, "not-winrm", "is a web server, but not WinRM", "Check port; WinRM uses 5985, 5986."),
    407: (ConnectError, "proxy", "is behind a proxy that wants a logon", "Use jump, or another proxy."),
    413: (ConnectError, "winrm-fault", "takes only smaller messages", "Raise MaxEnvelopeSizekb on it."),
    500: (
        ConnectError,
        "winrm-fault",
        "refuses the message without a reason, as WinRM does for one that is not encrypted",
        "Use scheme https, or transport ntlm or kerberos.",
    ),
    502: (UnreachableError, "unreachable", "is behind a gateway that does not reach it", "Look at it."),
    503: (UnreachableError, "busy", "is too busy, or WinRM is not running", "Run again later."),
}

_SOCKET: dict[int, tuple[str, str]] = {
    errno.ECONNREFUSED: ("refused the connection", "Is WinRM enabled (`winrm quickconfig`), on that port?"),
    errno.EHOSTUNREACH: ("cannot be reached", "Is it switched on, and is there a route to it?"),
    errno.ENETUNREACH: ("cannot be reached from here", "There is no route to its network."),
    errno.ETIMEDOUT: ("does not answer", "Is it switched on, and does a firewall drop WinRM on the way?"),
    errno.EMFILE: ("was not tried: too many open files here", "Raise `ulimit -n`, or lower --forks."),
    errno.ENFILE: ("was not tried: too many open files here", "Lower --forks."),
}

# Minor codes of MIT Kerberos (krb5.h); other libraries share them.
KDC_SILENT = -1765328228
TICKETS: dict[int, tuple[type[ConnectError], str, str]] = {
    -1765328243: (AuthError, "kerberos-ticket", "Run kinit for that user; klist shows what there is."),
    -1765328352: (AuthError, "kerberos-ticket", "Run kinit again."),
    -1765328351: (AuthError, "kerberos-clock", "Set this machine's clock, then run kinit again."),
    -1765328347: (AuthError, "kerberos-clock", "Set this machine's clock: Kerberos allows 5 minutes."),
    -1765328377: (
        AuthError,
        "kerberos-name",
        "Set server_name to the name that the host has in the domain; its address is none.",
    ),
    -1765328230: (
        AuthError,
        "kerberos-realm",
        "Name the realm and its KDC in /etc/krb5.conf, or correct user (name@REALM).",
    ),
    -1765328160: (AuthError, "kerberos-realm", "Write user as name@REALM, or set default_realm."),
    KDC_SILENT: (
        UnreachableError,
        "kerberos-kdc",
        "Look at the KDC, at /etc/krb5.conf, and at the way there.",
    ),
}

# A server of the one keeps silent to who speaks the other, or hangs up.
_OTHER_SCHEME = "Is that port of the scheme (http: 5985, https: 5986)?"
# Reasons of a refused certificate, as OpenSSL numbers them (x509_vfy.h): another name, another address.
ANOTHER_NAME = (62, 64)

# By name: the classes can be imported only where the Kerberos extra is installed.
_KERBEROS = {"KerberosExchangeError", "MutualAuthenticationError"}
_TIMEOUTS = (TimeoutError, WinRMOperationTimeoutError)


@contextmanager
def foreign_errors(where: str, stage: Stage) -> Iterator[None]:
    """Turn every foreign exception into one of ours.

    Args:
        where: the host and port, for the message.
        stage: whether a script may have been started already.
    """
    try:
        yield
    except FOREIGN as error:
        raise translate(error, where=where, stage=stage) from error


def translate(error: Exception, *, where: str, stage: Stage) -> HostError:
    """Return our error for a foreign one."""
    if stage is Stage.CONNECT:
        return _before(error, where)
    if isinstance(error, _TIMEOUTS):
        return DeadlineError(f"{where} did not answer in time.", next="Ask it again.")
    return LostError(f"{where} gave no whole answer: {said(error)}.", next="Ask it again.")


def _before(error: Exception, where: str) -> ConnectError:
    if isinstance(error, WSManFaultError):
        return _from_fault(error, where)
    if isinstance(error, WinRMTransportError):
        return _from_status(error, where)
    if (
        isinstance(error, (LogonRefusedError, TicketError, AuthenticationError, *_SPNEGO))
        or type(error).__name__ in _KERBEROS
    ):
        return _from_logon(error, where)
    if isinstance(error, ssl.SSLError):
        return _from_tls(error, where)
    if isinstance(error, _TIMEOUTS):
        return UnreachableError(
            f"{where} did not answer in time.", next=f"Raise --connect-timeout if it is slow. {_OTHER_SCHEME}"
        )
    if isinstance(error, DroppedError | EOFError | http.client.HTTPException):
        return _closed(where)
    if isinstance(error, OSError):
        return _from_socket(error, where)
    if isinstance(error, WinRMError) and "kerberos" in str(error):
        return AuthError(
            f"{where}: {said(error)}.",
            next="Install it: pip install 'fwfix[kerberos]'.",
            code="kerberos-missing",
        )
    return ConnectError(
        f"{where} answers, but not as WinRM does ({type(error).__name__}: {said(error)}).",
        next="Check address and port.",
        code="not-winrm",
    )


def _from_fault(error: WSManFaultError, where: str) -> ConnectError:
    kind, code, what, advice = FAULTS.get(
        error.wsman_fault_code or 0,
        (ConnectError, "winrm-fault", f"refused: {_clean(error.reason)}", "Look into its WinRM event log."),
    )
    return kind(f"{where} {what}.", next=advice, code=code)


def _from_status(error: WinRMTransportError, where: str) -> ConnectError:
    kind, code, what, advice = _STATUS.get(
        error.code, (ConnectError, "not-winrm", f"answers with HTTP status {error.code}", "Check the port.")
    )
    return kind(f"{where} {what}.", next=advice, code=code)


def _from_logon(error: Exception, where: str) -> ConnectError:
    if isinstance(error, LogonRefusedError) and not error.attempted:
        offers = _clean(error.offered) or "nothing"
        return AuthError(
            f"{where} does not take this kind of logon; it offers: {offers}.",
            next="Set another transport, or enable this one in the host's WinRM service.",
            code="logon-not-offered",
        )
    if isinstance(error, TicketError) or type(error).__name__ in _KERBEROS:
        return _from_kerberos(error, where)
    if isinstance(error, LogonRefusedError) and error.by_ticket:
        return AuthError(
            f"{where} rejected the Kerberos ticket.",
            next="Compare its clock with ours, and its name with server_name. May the user log on to it?",
            code="ticket-rejected",
        )
    return AuthError(f"{where} rejected the account.", next="Check user, password and certificate.")


def _from_kerberos(error: Exception, where: str) -> ConnectError:
    minor = error.minor if isinstance(error, TicketError) else 0
    otherwise = "Run kinit; set server_name to the name that the host has in the domain."
    kind, code, advice = TICKETS.get(minor, (AuthError, "kerberos", otherwise))
    return kind(f"Kerberos failed for {where}: {said(error)}.", next=advice, code=code)


def _from_tls(error: Exception, where: str) -> ConnectError:
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = "Set ca_file or fingerprint, and server_name if it bears another name."
        if getattr(error, "verify_code", 0) in ANOTHER_NAME:
            advice = "Set server_name to a name that stands in the certificate, or fingerprint."
        return HostKeyError(
            f"The certificate of {where} is not trusted: {_clean(getattr(error, 'verify_message', ''))}.",
            next=advice,
            code="tls-untrusted",
        )
    return ConnectError(
        f"TLS with {where} failed: {said(error)}.",
        next="Is that port https, and does the host know TLS 1.2?",
        code="tls",
    )


def _from_socket(error: OSError, where: str) -> ConnectError:
    if isinstance(error, socket.gaierror):
        return UnreachableError(f"{where}: the name does not resolve.", next="Correct address, or the DNS.")
    if isinstance(error, ConnectionError) and error.errno != errno.ECONNREFUSED:
        return _closed(where)
    what, advice = _SOCKET.get(
        error.errno or 0, (f"cannot be reached: {said(error)}", "Look at the network.")
    )
    return UnreachableError(f"{where} {what}.", next=advice)


def _closed(where: str) -> UnreachableError:
    advice = f"Look into its event log, or run again. {_OTHER_SCHEME}"
    return UnreachableError(f"{where} closed the connection.", next=advice)


def said(error: Exception) -> str:
    """Return the words of an exception, fit for one line; its kind where it has none."""
    if isinstance(error, WSManFaultError):
        return _clean(f"fault {error.wsman_fault_code}: {error.reason}")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _clean(text) or type(error).__name__


def _clean(text: str | None) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text or "")
    return " ".join(printable.split()).rstrip(".")[:300]
