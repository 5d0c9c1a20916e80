"""HTTP on a connection where we are logged on: one request after another, and nothing else in between."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from fwfix.executors.winrm_errors import DroppedError

FIRST_BAD_STATUS = 300
# MaxEnvelopeSizekb of a service is 500 unless somebody raises it.
_LONGEST_BODY = 64 * 1024 * 1024
# What each request says by itself, and what nobody would unpack.
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
        self._headers = {
            name: value for name, value in example.headers.items() if name.lower() not in _NOT_TAKEN_OVER
        }
        self._headers["Host"] = urlsplit(str(example.url)).netloc
        self._http = HTTPConnection("unused")
        self._http.auto_open = 0
        self._http.sock = connected
        self._in_step = True

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
        self._http.request("POST", self._example.path_url, body, {**self._headers, "Content-Type": kind})
        with self._http.getresponse() as response:
            content = _read(response)
        self._in_step = not response.will_close
        return Answer(response.status, _joined(response), content, self._example)


def _read(response: HTTPResponse) -> bytes:
    """Return a body that is whole: what ends with the connection alone may be cut."""
    if response.length is None and not response.chunked:
        raise IncompleteRead(b"")
    if (response.length or 0) > _LONGEST_BODY:
        raise HTTPException("an answer longer than anybody sends")
    return response.read()


def _joined(response: HTTPResponse) -> Mapping[str, str]:
    """Return headers in any spelling; one that comes twice is one."""
    found: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for name, value in response.getheaders():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
