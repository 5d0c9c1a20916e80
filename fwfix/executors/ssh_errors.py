"""Map what paramiko and sockets raise to our errors, in one place."""

import errno
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import paramiko
from paramiko.buffered_pipe import PipeTimeout
from paramiko.pkey import UnknownKeyType
from paramiko.sftp import SFTPError
from paramiko.ssh_exception import (
    ConfigParseError,
    CouldNotCanonicalize,
    IncompatiblePeer,
    MessageOrderError,
    NoValidConnectionsError,
    PartialAuthentication,
    UnableToAuthenticate,
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

    CONNECT = "connect"  # nothing was sent to anybody's shell
    RUN = "run"  # a script may have been started


_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254

FOREIGN: tuple[type[Exception], ...] = (
    paramiko.SSHException,
    PipeTimeout,
    UnknownKeyType,
    SFTPError,
    EOFError,
    OSError,
    subprocess.SubprocessError,
    UnicodeError,
    ValueError,
)

_SOCKET_ADVICE = {
    errno.ECONNREFUSED: ("refused the connection", "Is sshd running there, and on that port?"),
    errno.EHOSTUNREACH: ("cannot be reached", "Is it switched on, and is there a route to it?"),
    errno.ENETUNREACH: ("cannot be reached from here", "There is no route to its network."),
    errno.ETIMEDOUT: ("does not answer", "Is it switched on, and does a firewall drop SSH on the way?"),
    errno.ECONNRESET: ("closed the connection", "Look into the log of its sshd."),
    errno.ECONNABORTED: ("closed the connection", "Look into the log of its sshd."),
    errno.EPIPE: ("closed the connection", "Look into the log of its sshd."),
    errno.EACCES: (
        "cannot be reached: this machine forbids it",
        "Look at the firewall rules of this machine.",
    ),
    errno.EPERM: (
        "cannot be reached: this machine forbids it",
        "Look at the firewall rules of this machine.",
    ),
    errno.EADDRNOTAVAIL: ("cannot be reached from the address in BindAddress", "Correct ssh_config."),
    errno.EMFILE: ("was not tried: too many open files here", "Raise `ulimit -n`, or lower --forks."),
    errno.ENFILE: ("was not tried: too many open files here", "Lower --forks."),
}


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
    if stage is Stage.RUN:
        if isinstance(error, (TimeoutError, PipeTimeout)):
            return DeadlineError(f"{where} did not answer in time.", next="Ask it again.")
        return LostError(f"The connection to {where} broke: {_said(error)}.", next="Ask it again.")
    if isinstance(error, NoValidConnectionsError):
        return translate(next(iter(error.errors.values())), where=where, stage=stage)
    if isinstance(error, paramiko.SSHException):
        return _from_paramiko(error, where)
    if isinstance(error, (TimeoutError, PipeTimeout)):
        return UnreachableError(
            f"{where} did not answer in time.", next="Raise --connect-timeout if it is slow."
        )
    if isinstance(error, OSError):
        return _from_socket(error, where)
    if isinstance(error, EOFError):
        return UnreachableError(f"{where} closed the connection.", next="Look into the log of its sshd.")
    return ConnectError(f"{where}: {_said(error)}.", next="Try `ssh` to the host by hand.")


def _from_paramiko(error: paramiko.SSHException, where: str) -> ConnectError:
    for kind, make in _BY_KIND:
        if isinstance(error, kind):
            return make(error, where)
    return ConnectError(f"The SSH handshake with {where} failed: {_said(error)}.", next="Is that port sshd?")


def _tampered(error: Exception, where: str) -> ConnectError:
    return HostKeyError(
        f"Somebody between here and {where} tampers with the connection: {_said(error)}.",
        next="Look for a proxy on the way.",
    )


def _changed_key(_error: Exception, where: str) -> ConnectError:
    return HostKeyError(
        f"{where} shows another host key than the known one.", next="Compare it at the console."
    )


def _no_algorithm(error: Exception, where: str) -> ConnectError:
    return ConnectError(
        f"{where} and this machine have no common SSH algorithm: {_said(error)}.",
        next="Update sshd on the host, or allow a current algorithm in its sshd_config.",
    )


def _encrypted(_error: Exception, where: str) -> ConnectError:
    return AuthError(f"The private key for {where} is encrypted.", next="Set passphrase, or use ssh-agent.")


def _other_kind(error: Exception, where: str) -> ConnectError:
    wanted = ", ".join(getattr(error, "allowed_types", ())) or "another kind"
    return AuthError(f"{where} wants another kind of logon: {wanted}.", next="Give it in the inventory.")


def _rejected(_error: Exception, where: str) -> ConnectError:
    return AuthError(f"{where} rejected the account.", next="Check user, key and password.")


def _not_forwarded(error: Exception, where: str) -> ConnectError:
    if getattr(error, "code", None) == _PROHIBITED:
        return UnreachableError(
            f"The jump host does not forward to {where}.",
            next="Allow it in its sshd_config (AllowTcpForwarding, PermitOpen).",
        )
    text = getattr(error, "text", "")
    return UnreachableError(f"The jump host did not reach {where}: {text}.", next="Try it from there.")


def _proxy_failed(error: Exception, _where: str) -> ConnectError:
    command = getattr(error, "command", "")
    said = getattr(error, "error", "") or "it ended without a word"
    return UnreachableError(f"ProxyCommand `{command}` failed: {said}.", next="Run it by hand.")


def _bad_config(error: Exception, where: str) -> ConnectError:
    return ConnectError(f"ssh_config for {where}: {_said(error)}.", next="Run `ssh -G` for it by hand.")


_BY_KIND: tuple[tuple[type[Exception], Callable[[Exception, str], ConnectError]], ...] = (
    (paramiko.BadHostKeyException, _changed_key),
    (IncompatiblePeer, _no_algorithm),
    (MessageOrderError, _tampered),
    (paramiko.PasswordRequiredException, _encrypted),
    (PartialAuthentication, _other_kind),
    (paramiko.BadAuthenticationType, _other_kind),
    (UnableToAuthenticate, _rejected),
    (paramiko.AuthenticationException, _rejected),
    (paramiko.ChannelException, _not_forwarded),
    (paramiko.ProxyCommandFailure, _proxy_failed),
    (ConfigParseError, _bad_config),
    (CouldNotCanonicalize, _bad_config),
)


def _from_socket(error: OSError, where: str) -> ConnectError:
    if isinstance(error, socket.gaierror):
        return UnreachableError(f"{where}: the name does not resolve.", next="Correct address, or the DNS.")
    if isinstance(error, ssl.SSLError):
        return ConnectError(f"{where}: {_said(error)}.")
    if error.errno in _SOCKET_ADVICE:
        what, advice = _SOCKET_ADVICE[error.errno]
        return UnreachableError(f"{where} {what}.", next=advice)
    return UnreachableError(
        f"{where} cannot be reached: {_said(error)}.", next="Try `ssh` to the host by hand."
    )


def _said(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    clean = "".join(char if char.isprintable() else " " for char in text).strip().rstrip(".")
    return clean[:300] or type(error).__name__
