"""HTTP after the logon: whole answers, exact errors, and never the answer to another request."""

import socket
import time
from collections.abc import Iterator
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong

import pytest

from fwfix.executors.winrm_errors import DroppedError
from fwfix.executors.winrm_http import Answer, Line


class Ends:
    """A connection: our end as a line, and the other one, which has written its answers in advance."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.ours = ours
        self.line = Line(ours, "http://[fd00::1]:5985/wsman")

    def post(self, *answers: bytes, body: bytes = b"<in/>", seconds: float = 5) -> Answer:
        for each in answers:
            self.theirs.sendall(each)
        return self.line.post(
            body, kind="text/x", authorization="Basic x", deadline=time.monotonic() + seconds
        )


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.ours.close()
    made.theirs.close()


def test_a_request_is_whole_and_says_who_we_are(ends: Ends) -> None:
    ends.post(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", body=b"\x00sealed")
    head, _, body = ends.theirs.recv(65536).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "POST /wsman HTTP/1.1"
    assert {"Host: [fd00::1]:5985", "Authorization: Basic x", "Content-Type: text/x"} <= set(headers)
    assert [each for each in headers if each.startswith("Content-Length")] == ["Content-Length: 7"]
    # We could not read what is packed.
    assert [each for each in headers if each.startswith("Accept-Encoding")] == ["Accept-Encoding: identity"]
    assert body == b"\x00sealed"


def test_a_request_goes_out_in_one_piece() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n")
        Line(ours, "http://host/wsman").post(b"<in/>", kind="text/x", deadline=time.monotonic() + 5)
        assert theirs.recv(65536).endswith(b"\r\n\r\n<in/>")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer",
        b"HTTP/1.1 200\r\ncontent-length:6\n\nanswer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nan\r\n4;x=y\r\nswer\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer",
    ],
)
def test_an_answer_is_read_to_its_end_and_no_further(ends: Ends, said: bytes) -> None:
    for _ in range(2):
        answer = ends.post(said)
        assert (answer.status_code, answer.content, answer.ok) == (200, b"answer", True)


def test_headers_are_found_in_any_spelling_and_those_that_come_twice_are_one(ends: Ends) -> None:
    answer = ends.post(
        b"HTTP/1.1 401 \r\nwww-authenticate: NTLM\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    )
    assert (answer.status_code, answer.ok) == (401, False)
    assert answer.offered == "NTLM, Basic"


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nanswer",
        b"HTTP/1.1 204 \r\nConnection: Close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nanswer",
    ],
)
def test_the_last_answer_of_a_server_lets_no_request_follow(ends: Ends, said: bytes) -> None:
    ends.post(said)
    ends.theirs.recv(65536)
    with pytest.raises(DroppedError):
        ends.post()
    ends.theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends.theirs.recv(1)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", IncompleteRead),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadStatusLine),
        (b"HTTP/1.1 two hundred\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 200 " + b"x" * 65536, LineTooLong),
        (b"HTTP/1.1 200 \r\n" + b"X: y\r\n" * 101, HTTPException),
        (b"HTTP/1.1 200 \r\nContent-Len", IncompleteRead),
        (b"HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\nanswer", IncompleteRead),
        (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n9\r\nanswer", IncompleteRead),
        (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n", HTTPException),
        (b"HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n", IncompleteRead),
        (b"HTTP/1.1 200 \r\n\r\nall the rest, or not", IncompleteRead),
        (b"HTTP/1.1 200 \r\nContent-Length: 6_0\r\n\r\nanswer", IncompleteRead),
        (b"HTTP/1.1 200 \r\nContent-Length: 99999999999999\r\n\r\n", HTTPException),
    ],
)
def test_what_is_no_whole_answer_is_an_error_and_the_end(
    ends: Ends, said: bytes, error: type[Exception]
) -> None:
    ends.theirs.sendall(said)
    ends.theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        ends.post()
    with pytest.raises(DroppedError):
        ends.post()


def test_a_late_answer_is_never_taken_for_that_of_the_next_request(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        ends.post(seconds=0.05)
    with pytest.raises(DroppedError):
        ends.post(b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nlate")


def test_a_passed_deadline_sends_nothing(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        ends.post(seconds=-1)
    ends.theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends.theirs.recv(1)
