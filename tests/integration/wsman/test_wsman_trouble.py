"""Lost connections, hanging and slow hosts, and many twins at once."""

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
import requests
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMTransportError,
)

from fwfix.lab.windows.wsman import (
    Account,
    Mishap,
    Trouble,
)

if TYPE_CHECKING:
    from conftest import Connect, Serve


@pytest.mark.parametrize(
    ("mishap", "request_number"),
    [
        *(
            (mishap, number)
            for mishap in (Mishap.LOST, Mishap.UNANSWERED, Mishap.RESET)
            for number in range(1, 9)
        ),
        # The answers of the logon have no body that could be cut.
        *((Mishap.CUT, number) for number in range(4, 9)),
    ],
)
def test_a_connection_dropped_at_any_request_leaves_a_server_that_answers(
    serve: "Serve", connect: "Connect", mishap: Mishap, request_number: int
) -> None:
    server, endpoint = serve()
    server.trouble(Trouble(at={request_number: mishap}))
    with pytest.raises((requests.RequestException, WinRMTransportError)):
        connect(endpoint).run("hostname")
    server.trouble(Trouble())
    assert connect(endpoint).run("hostname")[0] == b"TWIN\r\n"


def test_output_can_come_twice(serve: "Serve", connect: "Connect") -> None:
    server, endpoint = serve()
    server.trouble(Trouble(on={"Receive": Mishap.REPEATED}))
    assert connect(endpoint).run("hostname")[0] == b"TWIN\r\n" * 2
    assert connect(endpoint).run("hostname")[0] == b"TWIN\r\n"


def test_a_body_sealed_for_a_dropped_connection_is_refused_and_the_shell_survives(
    serve: "Serve", connect: "Connect"
) -> None:
    server, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    server.trouble(Trouble(on={"Command": Mishap.LOST}))
    with pytest.raises(requests.ConnectionError):
        protocol.run_command(shell, "hostname")
    with pytest.raises(WinRMTransportError) as stale:
        protocol.run_command(shell, "hostname")
    assert stale.value.code == 400
    protocol.transport.close_session()
    protocol.transport.encryption = None
    running = protocol.run_command(shell, "hostname")
    assert protocol.get_command_output(shell, running)[0] == b"TWIN\r\n"


def test_a_hung_request_hangs_until_the_client_gives_up_and_a_slow_one_only_takes_long(
    serve: "Serve", connect: "Connect"
) -> None:
    server, endpoint = serve()
    server.trouble(Trouble(on={"Create": Mishap.HANG}))
    impatient = connect(endpoint, operation_timeout_sec=1, read_timeout_sec=2)
    with pytest.raises(requests.ReadTimeout):
        impatient.open_shell()
    assert server.shells.open == ()
    server.trouble(Trouble(delays={"Create": dt.timedelta(seconds=0.5)}))
    started = time.monotonic()
    connect(endpoint).open_shell()
    assert time.monotonic() - started >= 0.5


def test_many_twins_in_one_process_keep_their_accounts_and_shells_apart(
    serve: "Serve", connect: "Connect"
) -> None:
    twins = [serve(accounts=[Account(name="me", password=f"pw{each}")]) for each in range(20)]
    for number, (server, endpoint) in enumerate(twins):
        connect(endpoint, username="me", password=f"pw{number}").open_shell()
        with pytest.raises(InvalidCredentialsError):
            connect(endpoint, username="me", password=f"pw{number + 1}").open_shell()
        assert len(server.shells.open) == 1
