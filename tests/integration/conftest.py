"""What several kinds of connections go through."""

import socket
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Return the address of a web proxy that opens tunnels, and what it was asked for."""
    asked: list[str] = []
    listening = socket.create_server(("127.0.0.1", 0))
    open_now: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            asked.append(head.split(b"\r\n")[0].decode())
            host, _, port = asked[-1].split()[1].rpartition(":")
            server = socket.create_connection((host, int(port)))
            open_now.extend((client, server))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)
    for each in open_now:
        each.close()
