"""What a service says before anybody logs on: to an empty WinRM request, to a bare connection, to TLS."""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

_LONGEST = 65_536
_LONGEST_BANNER = 4_096
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The head of an HTTP answer.

    Attributes:
        offered: the kinds of logon that it takes, in lower case.
        date: the host's clock.
    """

    status: int
    server: str = ""
    offered: frozenset[str] = frozenset()
    date: datetime | None = None


def greet(connected: socket.socket, name: str, *, deadline: float) -> Greeting | None:
    """Send an empty request without any logon; None where what answers is not HTTP.

    Raises:
        OSError: the connection broke, or nobody answered in time.
    """
    connected.settimeout(max(0.01, deadline - time.monotonic()))
    request = f"POST /wsman HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    connected.sendall(request.encode("idna" if not name.isascii() else "ascii"))
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST:
        part = connected.recv(_LONGEST)
        if not part:
            break
        head += part
        if not head.startswith(b"HTTP/"[: len(head)]):
            return None
    return _parse(head)


def banner(connected: socket.socket, *, deadline: float) -> str:
    """Return the first line of an SSH server; empty where none comes.

    Raises:
        OSError: the connection broke, or nobody said anything in time.
    """
    said = b""
    while len(said) < _LONGEST_BANNER:
        connected.settimeout(max(0.01, deadline - time.monotonic()))
        part = connected.recv(_LONGEST_BANNER)
        said += part
        for line in said.splitlines(keepends=True):
            if line.startswith(b"SSH-") and line.endswith(b"\n"):
                return line.strip().decode("ascii", "replace")
        if not part:
            break
    return ""


def certificate_of(connected: socket.socket, name: str, *, deadline: float) -> bytes | None:
    """Return the certificate that a service shows, trusted or not; None where it does not speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is only looked at; nothing is sent
    connected.settimeout(max(0.01, deadline - time.monotonic()))
    with suppress(OSError, ValueError), context.wrap_socket(connected, server_hostname=name) as wrapped:
        return wrapped.getpeercert(binary_form=True)
    return None


def _parse(head: bytes) -> Greeting | None:
    match = _STATUS.match(head)
    if match is None:
        return None
    headers = list(_headers(head))
    offered = frozenset(value.split()[0].lower() for key, value in headers if key == "www-authenticate")
    dates = [value for key, value in headers if key == "date"]
    return Greeting(
        status=int(match[1]),
        server=next((value for key, value in headers if key == "server"), ""),
        offered=offered,
        date=_instant(dates[0]) if dates else None,
    )


def _headers(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, colon, value = line.partition(":")
        for each in value.split(",") if key.lower() == "www-authenticate" else (value,):
            if colon and each.strip():
                yield key.strip().lower(), each.strip()


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
