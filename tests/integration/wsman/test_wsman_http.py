"""Requests that are no HTTP, or no HTTP that WinRM takes."""

import contextlib
import datetime as dt
import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Client, NewSealed, Start


def drained(connection: socket.socket) -> bytes:
    """Return what still comes, and insist that the other end closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /wsman HTTP/1.1", 405),
        ("POST /other HTTP/1.1", 404),
        ("POST /wsman HTTP/1.1", 401),
        ("\x16\x03\x01\x02\x00", 400),
        ("POST /wsman HTTP/2", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: -1", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: ten", 400),
        ("POST /wsman HTTP/1.1\r\nno colon", 400),
        ("POST /wsman HTTP/1.1\r\nX: " + "x" * 20_000, 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5", 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1_0", 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0", 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: 104857600", 413),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6400000", 413),
    ],
)
def test_wrong_http_is_answered_with_the_status_that_it_deserves(
    start: "Start", request_line: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", start()), timeout=10) as connection:
        connection.sendall(request_line.encode("latin-1") + b"\r\n\r\n")
        answer = connection.recv(4096)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"Server: Microsoft-HTTPAPI/2.0" in answer
        if status in (400, 413):
            assert drained(connection) == b""


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ("Content-Length: 104857600", b""),
        ("Transfer-Encoding: chunked", b"100000\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n6400000", b""),
    ],
    ids=["length", "chunks", "one-chunk"],
)
def test_a_body_of_100_mb_is_refused_while_it_is_sent_and_not_kept(
    start: "Start", said: str, before: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", start()), timeout=20) as connection:
        connection.sendall(f"POST /wsman HTTP/1.1\r\n{said}\r\n\r\n".encode())
        for _ in range(100):
            connection.sendall(before + b"x" * 1048576 + (b"\r\n" if before else b""))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_clients_that_never_finish_keep_nobody_else_waiting(start: "Start") -> None:
    port = start()
    with contextlib.ExitStack() as slow:
        for _ in range(60):
            each = slow.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            each.sendall(b"POST /wsm")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"POST /wsman HTTP/1.1\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_body_in_chunks_is_a_body(client: "Client") -> None:
    client.http.request(
        "POST",
        "/wsman",
        iter([client.identify[:100], client.identify[100:]]),
        {"Content-Type": "application/soap+xml", "Authorization": client.basic},
    )
    answer = client.http.getresponse()
    assert (answer.status, b"IdentifyResponse" in answer.read()) == (200, True)


@pytest.mark.parametrize("part", ["POST /wsm", "POST /wsman HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf"])
def test_half_a_request_is_waited_for_and_then_dropped(start: "Start", part: str) -> None:
    with socket.create_connection(
        ("127.0.0.1", start(connection_timeout=dt.timedelta(milliseconds=200))), timeout=10
    ) as connection:
        connection.sendall(part.encode())
        began = time.monotonic()
        assert drained(connection) == b""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("part", ["", "POST /wsm", "POST /wsman HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf"])
def test_a_client_that_leaves_in_the_middle_is_forgotten(
    start: "Start", new_sealed: "NewSealed", part: str
) -> None:
    port = start()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(part.encode())
    whole = new_sealed(port)
    assert whole.log_on() == 200
