"""HTTP/1.1 on one socket: requests in, replies out, with limits and deadlines on both."""

import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate

from fwfix.errors import LabError

LONGEST_HEAD = 16384
_CHUNK = 65536
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_REASONS = {
    100: "Continue",
    200: "OK",
    400: "Bad Request",
    401: "",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    500: "",
    503: "Service Unavailable",
}


class GoneError(LabError):
    """The client is not there any more, or has been silent for too long."""

    code = "gone"


class BadRequestError(LabError):
    """The request cannot be read; answered with the status, then the connection is closed."""

    code = "bad-request"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """Return a header, empty if it is not there."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP reply.

    Attributes:
        close: the connection ends behind it.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False

    def pack(self) -> bytes:
        """Return the bytes to send."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, '')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Server: Microsoft-HTTPAPI/2.0", f"Date: {formatdate(usegmt=True)}"]
        lines += ["Connection: close"] if self.close else []
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Wire:
    """One connection.

    Args:
        connection: connected, TLS already on it.
        silence: seconds that the client may take for the next request, and again for its rest.
    """

    def __init__(self, connection: socket.socket, *, silence: float) -> None:
        self._socket = connection
        self._silence = silence
        self._buffer = bytearray()

    def receive(self, *, longest_body: int) -> Request:
        """Read one request.

        Raises:
            GoneError: no whole request came.
            BadRequestError: what came cannot be answered.
        """
        head = self._until(b"\r\n\r\n", deadline=self._deadline())
        method, target, headers = _parse_head(head)
        body = self._body(headers, longest_body)
        return Request(method=method, target=target, headers=headers, body=body)

    def send(self, data: bytes) -> None:
        """Send all of the bytes.

        Raises:
            GoneError: the client does not take them.
        """
        try:
            self._socket.settimeout(self._silence)
            self._socket.sendall(data)
        except OSError as error:
            raise GoneError("The client does not read.") from error

    def drain(self, *, seconds: float) -> None:
        """Swallow what the client still sends, so that it sees the last reply and not a reset."""
        deadline = time.monotonic() + seconds
        self._buffer.clear()
        with suppress(OSError, GoneError):
            self._socket.shutdown(socket.SHUT_WR)
            while True:
                self._more(deadline)
                self._buffer.clear()

    def _deadline(self) -> float:
        return time.monotonic() + self._silence

    def _body(self, headers: Mapping[str, str], longest: int) -> bytes:
        chunked = "transfer-encoding" in headers
        if chunked and (headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers):
            raise BadRequestError(400, "The end of the body is not certain.")
        if "content-length" not in headers and not chunked:
            return b""
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked:
            return self._chunked(longest)
        length = headers["content-length"]
        if not length.isdecimal() or len(length) > len(str(1 << 62)):
            raise BadRequestError(400, "Content-Length is no number.")
        if int(length) > longest:
            raise BadRequestError(413, f"{length} bytes are more than {longest}.")
        return self._exactly(int(length), deadline=self._deadline())

    def _chunked(self, longest: int) -> bytes:
        body = bytearray()
        deadline = self._deadline()
        while True:
            line = self._until(b"\r\n", deadline=deadline).partition(b";")[0].strip()
            if _CHUNK_SIZE.fullmatch(line) is None:
                raise BadRequestError(400, "The size of a chunk is no number.")
            size = int(line, 16)
            if len(body) + size > longest:
                raise BadRequestError(413, f"More than {longest} bytes.")
            if size == 0:
                while self._until(b"\r\n", deadline=deadline):
                    pass
                return bytes(body)
            body += self._exactly(size, deadline=deadline)
            self._until(b"\r\n", deadline=deadline)

    def _until(self, end: bytes, *, deadline: float) -> bytes:
        while (found := self._buffer.find(end)) < 0:
            if len(self._buffer) > LONGEST_HEAD:
                break
            self._more(deadline)
        if not 0 <= found <= LONGEST_HEAD:
            raise BadRequestError(400, "The header is too long.")
        return self._take(found, skip=len(end))

    def _exactly(self, size: int, *, deadline: float) -> bytes:
        while len(self._buffer) < size:
            self._more(deadline)
        return self._take(size)

    def _take(self, size: int, *, skip: int = 0) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[: size + skip]
        return taken

    def _more(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise GoneError("The client is silent.")
        try:
            self._socket.settimeout(remaining)
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise GoneError("The connection broke.") from error
        if not data:
            raise GoneError("The client closed the connection.")
        self._buffer += data


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[0].isalpha() or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - RFC 9112
        raise BadRequestError(400, "This is not HTTP/1.1.")
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(400, "A header has no name.")
        if name.lower() == "content-length" and headers.get("content-length", value.strip()) != value.strip():
            raise BadRequestError(400, "Two lengths.")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers
