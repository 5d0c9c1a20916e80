"""Where the twin listens, and how it ends."""

import contextlib
import http.client
import resource
import socket
import ssl
import threading
from pathlib import Path

import pytest

from fwfix.errors import LabError
from fwfix.lab.windows.wsman import (
    Account,
    CertificateWish,
    Listener,
    WsmanConfig,
    WsmanServer,
    write_self_signed,
)

ACCOUNTS = [Account(name="me", password="pw")]


def status(address: str, port: int, **tls: ssl.SSLContext) -> int:
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind(address, port, timeout=10, **tls)
    try:
        connection.request("POST", "/wsman")
        return connection.getresponse().status
    finally:
        connection.close()


def test_one_server_listens_on_both_families_with_and_without_tls_and_on_a_given_socket(
    tmp_path: Path,
) -> None:
    identity = write_self_signed(tmp_path, "server", CertificateWish(names=("127.0.0.1", "::1")))
    trusting = ssl.create_default_context(cafile=str(identity.certificate))
    given = socket.create_server(("127.0.0.1", 0))
    with WsmanServer(accounts=ACCOUNTS) as server:
        bound = server.serve(
            [
                Listener(),
                Listener(address="::1"),
                Listener(address="::1", tls=identity),
                Listener(bound=given),
            ]
        )
        assert [address for address, _ in bound] == ["127.0.0.1", "::1", "::1", "127.0.0.1"]
        assert bound[3][1] == given.getsockname()[1]
        for address, port in (bound[0], bound[1], bound[3]):
            assert status(address, port) == 401
        assert status(*bound[2], context=trusting) == 401
        assert server.crashes == []


def test_what_is_no_tls_is_dropped_by_the_tls_listener_which_goes_on(tmp_path: Path) -> None:
    identity = write_self_signed(tmp_path, "server", CertificateWish(names=("127.0.0.1",)))
    with WsmanServer(accounts=ACCOUNTS) as server:
        ((address, port),) = server.serve([Listener(tls=identity)])
        with socket.create_connection((address, port), timeout=10) as connection:
            connection.sendall(b"POST /wsman HTTP/1.1\r\n\r\n")
            # Closed with the request unread, which the client may see as a reset.
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass
        assert (
            status(address, port, context=ssl.create_default_context(cafile=str(identity.certificate))) == 401
        )
        assert server.crashes == []


def test_a_taken_address_is_an_error_and_leaves_nothing_listening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, WsmanServer(accounts=ACCOUNTS) as server:
        with pytest.raises(LabError, match="cannot listen"):
            server.serve([Listener(), Listener(port=taken.getsockname()[1])])
        assert not [each.name for each in threading.enumerate() if each.name.startswith("wsman-")]


def test_closing_ends_idle_connections_and_frees_the_port() -> None:
    server = WsmanServer(accounts=ACCOUNTS)
    ((address, port),) = server.serve([Listener()])
    with socket.create_connection((address, port), timeout=10) as idle:
        idle.sendall(b"POST /wsman HTTP/1.1\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 401")
        server.close()
        server.close()
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        status(address, port)
    with WsmanServer(accounts=ACCOUNTS) as again:
        assert again.serve([Listener(port=port)]) == (("127.0.0.1", port),)


def test_a_server_that_never_served_closes() -> None:
    WsmanServer(accounts=ACCOUNTS, config=WsmanConfig()).close()


def test_fifty_twins_need_one_thread_each_while_nobody_is_connected() -> None:
    before = threading.active_count()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    twins = [WsmanServer(accounts=ACCOUNTS) for _ in range(50)]
    try:
        ports = [twin.serve([Listener(), Listener(address="::1")])[0][1] for twin in twins]
        assert threading.active_count() - before <= 50
        assert [status("127.0.0.1", port) for port in ports] == [401] * 50
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 50 * 1024
    finally:
        for twin in twins:
            twin.close()
