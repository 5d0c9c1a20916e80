"""Every foreign exception becomes one of our errors, which says what to do."""

import errno
import inspect
import socket
import subprocess

import paramiko
import pytest
from paramiko import agent, buffered_pipe, packet, pkey, sftp, ssh_exception

from fwfix.errors import (
    AuthError,
    ConnectError,
    DeadlineError,
    FwfixError,
    HostKeyError,
    LostError,
    UnreachableError,
)
from fwfix.executors.ssh_errors import FOREIGN, Stage, foreign_errors, translate

# What paramiko raises and catches itself.
_INTERNAL = {"NeedRekeyException"}


def paramiko_exceptions() -> list[type[Exception]]:
    modules = (paramiko, ssh_exception, pkey, buffered_pipe, packet, agent, sftp)
    found = {
        item
        for module in modules
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, Exception)
        and item.__module__.startswith("paramiko")
        and item.__name__ not in _INTERNAL
    }
    return sorted(found, key=lambda item: item.__name__)


def made(kind: type[Exception]) -> Exception:
    arguments: dict[str, tuple[object, ...]] = {
        "BadAuthenticationType": ("bad", ["publickey"]),
        "PartialAuthentication": (["password"],),
        "ChannelException": (2, "Connect failed"),
        "ProxyCommandFailure": ("nc", "no"),
        "NoValidConnectionsError": ({("10.0.0.1", 22): ConnectionRefusedError(errno.ECONNREFUSED, "no")},),
        "UnknownKeyType": ("x", b"y"),
        "BadHostKeyException": ("host", paramiko.PKey(), paramiko.PKey()),
    }
    return kind(*arguments.get(kind.__name__, ("something",)))


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("kind", paramiko_exceptions(), ids=lambda kind: kind.__name__)
def test_no_exception_of_paramiko_is_left_unmapped(kind: type[Exception], stage: Stage) -> None:
    error = made(kind)
    with pytest.raises(FwfixError) as caught, foreign_errors("10.0.0.1:22", stage):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.next
    assert isinstance(caught.value, ConnectError if stage is Stage.CONNECT else LostError)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_socket_error_is_mapped_and_says_what_to_do(number: int) -> None:
    error = translate(OSError(number, "words"), where="10.0.0.1:22", stage=Stage.CONNECT)
    assert isinstance(error, UnreachableError)
    assert "10.0.0.1:22" in error.message
    assert error.next


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(-2, "x"),
        socket.herror(1, "x"),
        TimeoutError(),
        EOFError(),
        ConnectionResetError(104, "x"),
    ],
    ids=repr,
)
def test_what_sockets_raise_while_connecting_means_unreachable(error: Exception) -> None:
    assert isinstance(translate(error, where="a:22", stage=Stage.CONNECT), UnreachableError)


def test_a_timeout_while_a_script_may_run_is_a_deadline() -> None:
    assert isinstance(translate(TimeoutError(), where="a", stage=Stage.RUN), DeadlineError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (paramiko.AuthenticationException("no"), AuthError),
        (ssh_exception.MessageOrderError("no"), HostKeyError),
        (ssh_exception.IncompatiblePeer("no"), ConnectError),
        (subprocess.TimeoutExpired("x", 1), ConnectError),
    ],
    ids=repr,
)
def test_the_kind_of_failure_survives(error: Exception, expected: type[FwfixError]) -> None:
    assert type(translate(error, where="a:22", stage=Stage.CONNECT)) is expected


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(AuthError, match="mine"), foreign_errors("a", Stage.CONNECT):
        raise AuthError("mine")
    assert not issubclass(FwfixError, FOREIGN)
