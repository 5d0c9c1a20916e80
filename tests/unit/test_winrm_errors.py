"""Every exception below the WinRM executor becomes one of our errors, which says what to do."""

import errno
import http.client
import inspect
import socket
import ssl
import struct
from types import ModuleType
from xml.etree import ElementTree as ET
from xml.parsers import expat

import pytest
import spnego.exceptions
import winrm.exceptions
from spnego import NegotiateOptions

from fwfix.errors import AuthError, ConnectError, DeadlineError, FwfixError, HostKeyError, LostError
from fwfix.errors import UnreachableError as Unreachable
from fwfix.executors import winrm_errors
from fwfix.executors.winrm_errors import (
    FAULTS,
    FOREIGN,
    DroppedError,
    LogonRefusedError,
    Stage,
    TicketError,
    foreign_errors,
    translate,
)

# The codes of windows.md 1.5, one by one.
KNOWN_FAULTS = (
    5, 87, 995, 2147942402, 2147943418, 2150858767, 2150858793, 2150858843, 2150859173, 2150859174,
)  # fmt: skip
WHERE = "10.0.0.1:5985"


def exceptions_of(*modules: ModuleType) -> list[type[Exception]]:
    found = {
        item
        for module in modules
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, Exception)
        and not issubclass(item, Warning)
        and item is not Exception
        and not item.__name__.startswith("_")
    }
    return sorted(found, key=lambda item: (item.__module__, item.__name__))


LIBRARIES = exceptions_of(
    winrm.exceptions,
    spnego.exceptions,
    http.client,
    socket,
    ssl,
    expat,
)
SHAPES: list[Exception] = [
    StopIteration(),
    AttributeError("'NoneType' object has no attribute 'wrap'"),
    KeyError("Content-Type"),
    IndexError("list index out of range"),
    AssertionError(),
    ET.ParseError("syntax error"),
    struct.error("unpack requires a buffer of 4 bytes"),
    ValueError("badly formed hexadecimal UUID string"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    TypeError("cannot unpack"),
    NotImplementedError("WinRM encryption is not available"),
    RecursionError(),
    OverflowError(),
    EOFError(),
    MemoryError() if issubclass(MemoryError, FOREIGN) else RuntimeError("generator raised StopIteration"),
    winrm.exceptions.WinRMError("Encrypted length from server does not match"),
    DroppedError("closed"),
    LogonRefusedError(attempted=True, offered="Negotiate"),
    TicketError("no ticket", minor=0),
]


_WITH_ARGUMENTS: dict[type[Exception], tuple[object, ...]] = {
    http.client.IncompleteRead: (b"half", 5),
    spnego.exceptions.FeatureMissingError: (NegotiateOptions.negotiate_kerberos,),
}


def made(kind: type[Exception]) -> Exception:
    """Return an instance, whatever its constructor wants."""
    if kind is winrm.exceptions.WSManFaultError:
        return fault(1)
    if kind is winrm.exceptions.WinRMTransportError:
        return kind("http", 500, "")
    if kind in _WITH_ARGUMENTS:
        return kind(*_WITH_ARGUMENTS[kind])
    error = kind.__new__(kind)
    Exception.__init__(error, "something")
    return error


def fault(code: int) -> winrm.exceptions.WSManFaultError:
    return winrm.exceptions.WSManFaultError(500, "bad", "<xml/>", "the reason", wsman_fault_code=code)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("kind", LIBRARIES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_exception_of_any_library_is_left_unmapped(kind: type[Exception], stage: Stage) -> None:
    error = made(kind)
    with pytest.raises(FwfixError) as caught, foreign_errors(WHERE, stage):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.next
    assert WHERE in caught.value.message
    assert isinstance(caught.value, ConnectError if stage is Stage.CONNECT else LostError)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("error", SHAPES, ids=repr)
def test_what_pywinrm_leaks_from_odd_answers_is_mapped(error: Exception, stage: Stage) -> None:
    expected = ConnectError if stage is Stage.CONNECT else LostError
    with pytest.raises(expected), foreign_errors(WHERE, stage):
        raise error


def test_every_fault_of_the_map_is_there_with_advice_of_its_own() -> None:
    assert set(FAULTS) == set(KNOWN_FAULTS)
    for code in KNOWN_FAULTS:
        error = translate(fault(code), where=WHERE, stage=Stage.CONNECT)
        assert error.next
        assert "the reason" not in error.message


def test_an_unknown_fault_is_shown_with_its_reason() -> None:
    error = translate(fault(4711), where=WHERE, stage=Stage.CONNECT)
    assert (type(error), "the reason" in error.message) == (ConnectError, True)
    assert "4711" in translate(fault(4711), where=WHERE, stage=Stage.RUN).message


@pytest.mark.parametrize("status", [*range(300, 310), *range(400, 430), *range(500, 512)])
def test_every_http_status_is_a_connect_error_with_advice(status: int) -> None:
    error = winrm.exceptions.WinRMTransportError("http", status, "")
    mapped = translate(error, where=WHERE, stage=Stage.CONNECT)
    assert isinstance(mapped, ConnectError)
    assert mapped.next


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (TimeoutError(), Unreachable, "unreachable"),
        (http.client.RemoteDisconnected("gone"), Unreachable, "unreachable"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), Unreachable, "unreachable"),
        (socket.gaierror(-2, "x"), Unreachable, "unreachable"),
        (ssl.SSLError("x"), ConnectError, "tls"),
        (ssl.SSLCertVerificationError("x"), HostKeyError, "tls-untrusted"),
        (winrm.exceptions.InvalidCredentialsError("x"), AuthError, "auth"),
        (spnego.exceptions.BadMICError(), AuthError, "auth"),
        (LogonRefusedError(attempted=False, offered="Digest"), AuthError, "logon-not-offered"),
        (LogonRefusedError(attempted=True, offered="Basic", by_ticket=True), AuthError, "logon-not-offered"),
        (
            LogonRefusedError(attempted=True, offered="Negotiate", by_ticket=True),
            AuthError,
            "ticket-rejected",
        ),
        (TicketError("unheard of", minor=-1), AuthError, "kerberos"),
        (winrm.exceptions.WinRMTransportError("http", 503, ""), Unreachable, "busy"),
        (winrm.exceptions.WinRMTransportError("http", 404, ""), ConnectError, "not-winrm"),
        (fault(winrm_errors.ACCESS_DENIED), AuthError, "access-denied"),
        (fault(winrm_errors.TOO_MANY_SHELLS), ConnectError, "quota"),
        (fault(winrm_errors.TOO_MANY_OPERATIONS), ConnectError, "quota"),
        (StopIteration(), ConnectError, "not-winrm"),
    ],
    ids=repr,
)
def test_the_kind_of_failure_survives(error: Exception, kind: type[FwfixError], code: str) -> None:
    mapped = translate(error, where=WHERE, stage=Stage.CONNECT)
    assert (type(mapped), mapped.code) == (kind, code)


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), winrm.exceptions.WinRMOperationTimeoutError()],
    ids=repr,
)
def test_a_timeout_while_a_script_may_run_is_a_deadline(error: Exception) -> None:
    assert isinstance(translate(error, where=WHERE, stage=Stage.RUN), DeadlineError)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_socket_error_means_unreachable_and_says_what_to_do(number: int) -> None:
    error = translate(OSError(number, "words"), where=WHERE, stage=Stage.CONNECT)
    assert isinstance(error, Unreachable)
    assert error.next


def test_words_of_a_server_cannot_forge_lines() -> None:
    forged = winrm.exceptions.WSManFaultError(500, "", "", "a\r\n\x1b[31mhost: fine\u2028b")
    assert "\n" not in translate(forged, where=WHERE, stage=Stage.CONNECT).message
    assert "\x1b" not in translate(forged, where=WHERE, stage=Stage.CONNECT).message


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(AuthError, match="mine"), foreign_errors("a", Stage.CONNECT):
        raise AuthError("mine")
    assert not issubclass(FwfixError, FOREIGN)
