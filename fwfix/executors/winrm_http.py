"""HTTP on a connection that is ours alone: one request after another, and nothing else in between."""

import re
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, HTTPMessage, HTTPResponse, IncompleteRead, LineTooLong
from urllib.parse import urlsplit

from fwfix.executors.winrm_errors import DroppedError

FIRST_BAD_STATUS = 300
# MaxEnvelopeSizekb of a service is 500 unless somebody raises it.
_LONGEST_BODY = 64 * 1024 * 1024
_LONGEST_LINE = 65_536
_MOST_HEADERS = 100
_FIRST_FINAL_STATUS = 200
_STATUS = re.compile(r"HTTP/1\.(\d) (\d{3})(?!\S)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, with the names that requests has for its parts: pywinrm reads one like the other."""

    status_code: int
    headers: HTTPMessage
    content: bytes
    url: str

    @property
    def ok(self) -> bool:
        """The server says that all went well."""
        return self.status_code < FIRST_BAD_STATUS

    @property
    def offered(self) -> str:
        """The kinds of logon that the server takes, and what it says to ours."""
        return ", ".join(self.headers.get_all("WWW-Authenticate", ()))

    @property
    def request(self) -> "Answer":
        """Where pywinrm looks for the URL."""
        return self


class Line:
    """One connection to one URL."""

    def __init__(self, connected: socket.socket, url: str) -> None:
        """Prepare; nothing is sent.

        Args:
            connected: no request may be on its way on it.
            url: what is asked, and in which name; where the connection leads is nobody's business here.
        """
        parts = urlsplit(url)
        self._socket = connected
        self._url = url
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: fwfix\r\n"
            "Accept-Encoding: identity\r\nConnection: Keep-Alive"
        )
        self._in_step = True

    def post(self, body: bytes, *, kind: str, deadline: float, authorization: str = "") -> Answer:
        """Send a request and return its answer.

        Args:
            body: what is sent.
            kind: what `Content-Type` says of it.
            deadline: when the answer must be here.
            authorization: what `Authorization` says; empty for no such header.

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
        who = f"\r\nAuthorization: {authorization}" if authorization else ""
        head = f"{self._head}{who}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        # In one piece, which http.client would send in two.
        self._socket.sendall(head.encode("latin-1") + body)
        with _Response(self._socket, method="POST") as response:
            response.begin()
            content = response.read()
        self._in_step = not response.will_close
        return Answer(response.status, response.headers, content, self._url)


class _Response(HTTPResponse):
    """http.client's, which would read headers as those of an e-mail: that takes longer than all the rest."""

    def begin(self) -> None:
        """Read status and headers; those that only say that others follow are passed over."""
        self.status = 0
        while self.status < _FIRST_FINAL_STATUS:
            line = self._line()
            found = _STATUS.match(line)
            if found is None:
                raise BadStatusLine(repr(line))
            self.version, self.status = int(found[1]), int(found[2])
            self.headers = self._headers()
        self.chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        self.chunk_left, self.length = None, None if self.chunked else self._length()
        connection = self.headers.get("Connection", "").lower()
        self.will_close = "close" in connection or (self.version == 0 and "keep-alive" not in connection)

    def _length(self) -> int:
        if self.status == HTTPStatus.NO_CONTENT:
            return 0
        said = self.headers.get("Content-Length", "")
        if not said.isdecimal():
            # What ends with the connection alone may be cut.
            raise IncompleteRead(b"")
        if int(said) > _LONGEST_BODY:
            raise HTTPException("an answer longer than anybody sends")
        return int(said)

    def _headers(self) -> HTTPMessage:
        found = HTTPMessage()
        for _ in range(_MOST_HEADERS):
            name, _, value = self._line().partition(":")
            if not name:
                return found
            found[name] = value.strip()
        raise HTTPException("more headers than anybody sends")

    def _line(self) -> str:
        line = self.fp.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise LineTooLong("of an answer")
        if not line.endswith(b"\n"):
            raise IncompleteRead(line)
        return line.decode("latin-1").rstrip("\r\n")
