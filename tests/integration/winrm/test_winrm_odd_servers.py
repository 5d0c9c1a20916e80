"""Servers that are not WinRM, and people in the middle: always one of our errors, never an answer."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import ConnectError, FwfixError, LostError, ScriptCutError
from fwfix.lab.windows.wsman import Account
from fwfix.model.host import Host, Platform, WinrmSettings
from fwfix.secrets import SecretKind, SecretRef

if TYPE_CHECKING:
    from conftest import Rig

PASSWORD = SecretRef(kind=SecretKind.ENV, argument="P")
SOAP = "Content-Type: application/soap+xml;charset=UTF-8\r\n"
EMPTY = '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'


def answer(status: str, body: str = "", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


ODD = {
    "closes at once": b"",
    "speaks ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "speaks garbage": b"\x16\x03\x01\x00\xff" * 50,
    "lets everybody in": answer("200 OK"),
    "a page without logon": answer("200 OK", "<html>printer</html>", "Content-Type: text/html\r\n"),
    "an empty envelope": answer("200 OK", EMPTY, SOAP),
    "half a document": answer("200 OK", EMPTY[:50], SOAP),
    "wants no logon that we have": answer("401 Unauthorized", "", "WWW-Authenticate: Digest x\r\n"),
    "401 without a word": answer("401 Unauthorized"),
    "a challenge that is none": answer("401 No", "", "WWW-Authenticate: Negotiate AAAA\r\n"),
    "a challenge that is no base64": answer("401 No", "", "WWW-Authenticate: NTLM !!!\r\n"),
    "no challenge": answer("401 No", "", "WWW-Authenticate: NTLM\r\n"),
    "sends elsewhere": answer("302 Found", "", "Location: http://127.0.0.1:1/\r\n"),
    "forbidden": answer("403 Forbidden"),
    "not found": answer("404 Not Found", "no"),
    "wrong method": answer("405 Method Not Allowed"),
    "proxy logon": answer("407 Proxy", "", "Proxy-Authenticate: Basic\r\n"),
    "500 without soap": answer("500 Internal Server Error"),
    "502": answer("502 Bad Gateway"),
    "promises more than it sends": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nshort",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bad gzip": answer("200 OK", "nothing", "Content-Encoding: gzip\r\n"),
    "a header that never ends": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000,
    "an unknown status": answer("799 What"),
}


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serve every connection by a function, each in a thread of its own."""
    doors: list[socket.socket] = []
    threads: list[threading.Thread] = []
    live: list[socket.socket] = []

    def start(serve: Callable[[socket.socket], None]) -> int:
        door = socket.create_server(("127.0.0.1", 0))
        doors.append(door)

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    serve(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                live.append(connection)
                threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
                threads[-1].start()

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return int(door.getsockname()[1])

    yield start
    for each in (*doors, *live):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
    for thread in threads:
        thread.join(5)


def windows(port: int, **winrm: object) -> Host:
    settings = {"user": "ops", "password": PASSWORD, "scheme": "http", "port": port, **winrm}
    return Host(name="win-1", address="127.0.0.1", platform=Platform.WINDOWS, winrm=WinrmSettings(**settings))


def receive(connection: socket.socket) -> bytes:
    """Return one request, head and body; empty at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", ODD)
def test_no_server_however_odd_lets_anything_but_our_own_errors_out(
    rig: "Rig", listen: Callable[..., int], kind: str, scheme: str
) -> None:
    def serve(connection: socket.socket) -> None:
        first = connection.recv(1, socket.MSG_PEEK)
        if first == b"\x16":  # TLS
            connection.recv(65536)
            connection.sendall(ODD[kind])
            return
        while receive(connection) and ODD[kind]:
            connection.sendall(ODD[kind])

    with pytest.raises(ConnectError) as caught:
        rig.connector().open(windows(listen(serve), scheme=scheme), deadline=rig.later(3))
    assert caught.value.next
    assert caught.value.__cause__ is not None


def test_a_server_that_trickles_is_cut_at_the_deadline(rig: "Rig", listen: Callable[..., int]) -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b"x")

    started = time.monotonic()
    with pytest.raises(ConnectError):
        rig.connector().open(windows(listen(serve)), deadline=rig.later(1))
    assert time.monotonic() - started < 2
    done.set()


@pytest.mark.parametrize("at", ["Create", "Command", "Send", "Receive"])
def test_an_answer_in_clear_is_never_believed_where_messages_are_sealed(
    rig: "Rig", listen: Callable[..., int], at: str
) -> None:
    twin = rig.twin(accounts=[Account(name="ops", password="pw")])
    number = 3 + ["Create", "Command", "Send", "Receive"].index(at)
    forged = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><x Name="ShellId">1</x>'
        "<CommandId>1</CommandId></s:Body></s:Envelope>"
    )

    def serve(connection: socket.socket) -> None:
        with socket.create_connection((twin.address, twin.port)) as server:
            count = 0
            while request := receive(connection):
                count += 1
                if count >= number:
                    connection.sendall(answer("200 OK", forged, SOAP))
                    continue
                server.sendall(request)
                connection.sendall(receive(server))

    connector = rig.connector("pw")
    expected = {"Create": ConnectError, "Command": ConnectError, "Send": LostError, "Receive": LostError}

    def use() -> None:
        with contextlib.closing(connector.open(windows(listen(serve)), deadline=rig.later(5))) as executor:
            rig.run(executor, "'ok'", seconds=3)

    with pytest.raises((expected[at], ScriptCutError)) as caught:
        use()
    assert isinstance(caught.value, FwfixError)
    assert "seal" in str(caught.value)
