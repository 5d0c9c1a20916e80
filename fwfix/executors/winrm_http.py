"""HTTP on a connection where we are logged on: one request after another, and nothing else in between."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from io import BufferedReader
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from fwfix.executors.winrm_errors import DroppedError

FIRST_BAD_STATUS = 300
_FIRST_FINAL_STATUS = 200
_NO_CONTENT = 204
_LONGEST_LINE = 65_536
_MOST_HEADERS = 100
# MaxEnvelopeSizekb of a service is 500 unless somebody raises it.
_LONGEST_BODY = 64 * 1024 * 1024
# What each request says by itself, and what we could not read.
_NOT_TAKEN_OVER = frozenset({"content-length", "content-type", "accept-encoding"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, with the names that requests has for its parts."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    request: requests.PreparedRequest

    @property
    def ok(self) -> bool:
        """The server says that all went well."""
        return self.status_code < FIRST_BAD_STATUS


class Line:
    """Takes a connection over from requests, which takes longer for a request than all the rest together."""

    def __init__(self, connected: socket.socket, example: requests.PreparedRequest) -> None:
        """Prepare; nothing is sent.

        Args:
            connected: no request may be on its way on it.
            example: a request as requests would send it now.
        """
        self._socket = connected
        self._example = example
        self._in_step = True
        lines = [f"POST {example.path_url} HTTP/1.1", f"Host: {urlsplit(str(example.url)).netloc}"]
        lines += [
            f"{name}: {value}"
            for name, value in example.headers.items()
            if name.lower() not in _NOT_TAKEN_OVER
        ]
        self._head = "\r\n".join(lines)

    def post(self, body: bytes, *, kind: str, deadline: float) -> Answer:
        """Send a request and return its answer.

        Args:
            body: what is sent.
            kind: what `Content-Type` says of it.
            deadline: when the answer must be here.

        Raises:
            DroppedError: an earlier request was the last one; this one was not sent.
            TimeoutError: the deadline has passed.
            OSError: the connection is broken.
            http.client.HTTPException: the answer is no HTTP, or not whole.
        """
        if not self._in_step:
            raise DroppedError("the connection was closed")
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        # Whatever ends this early leaves half a request or an answer behind, which the next one would read.
        self._in_step = False
        self._socket.settimeout(remaining)
        head = f"{self._head}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        # Another thread may close the socket meanwhile; its descriptor lives as long as this reader.
        with self._socket.makefile("rb") as reader:
            self._socket.sendall(head.encode("latin-1") + body)
            status, headers = _read_head(reader)
            content = b"" if status == _NO_CONTENT else _read_body(reader, headers)
        self._in_step = _goes_on(headers)
        return Answer(status, headers, content, self._example)


def _read_head(reader: BufferedReader) -> tuple[int, Mapping[str, str]]:
    """Read a status and headers; those that only say that another one follows are passed over."""
    while True:
        line = _read_line(reader)
        if not line:
            raise RemoteDisconnected("the server hung up")
        version, _, rest = line.partition(b" ")
        status = rest[:3]
        if not version.startswith(b"HTTP/1.") or not status.isdigit():
            raise BadStatusLine(repr(line))
        headers = _read_headers(reader)
        if int(status) >= _FIRST_FINAL_STATUS:
            return int(status), headers


def _read_headers(reader: BufferedReader) -> Mapping[str, str]:
    found: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for _ in range(_MOST_HEADERS):
        line = _read_line(reader)
        if line in (b"\r\n", b"\n"):
            return found
        if not line.endswith(b"\n"):
            raise IncompleteRead(line)
        name, _, value = line.decode("latin-1").partition(":")
        before = found.get(name)
        found[name] = value.strip() if before is None else f"{before}, {value.strip()}"
    raise HTTPException("more headers than anybody sends")


def _read_body(reader: BufferedReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return _read_chunks(reader)
    if (length := headers.get("Content-Length")) is not None:
        return _read_exactly(reader, _size(length, base=10))
    rest = reader.read(_LONGEST_BODY + 1)
    _size(str(len(rest)), base=10)
    return rest


def _read_chunks(reader: BufferedReader) -> bytes:
    content = bytearray()
    while size := _size(_read_line(reader).partition(b";")[0].decode("latin-1"), base=16):
        content += _read_exactly(reader, size)
        _read_line(reader)
        _size(str(len(content)), base=10)
    while _read_line(reader) not in (b"\r\n", b"\n", b""):
        pass
    return bytes(content)


def _read_exactly(reader: BufferedReader, size: int) -> bytes:
    content = reader.read(size)
    if len(content) < size:
        raise IncompleteRead(content, size - len(content))
    return content


def _read_line(reader: BufferedReader) -> bytes:
    line = reader.readline(_LONGEST_LINE + 1)
    if len(line) > _LONGEST_LINE:
        raise LineTooLong("of an answer")
    return line


def _size(text: str, *, base: int) -> int:
    try:
        size = int(text.strip(), base)
    except ValueError:
        size = -1
    if not 0 <= size <= _LONGEST_BODY:
        raise HTTPException(f"a length that is none: {text!r}")
    return size


def _goes_on(headers: Mapping[str, str]) -> bool:
    """Tell whether another request may follow: nothing ended the connection, which some end the body with."""
    whole = "Content-Length" in headers or "Transfer-Encoding" in headers
    return whole and "close" not in headers.get("Connection", "").lower()
