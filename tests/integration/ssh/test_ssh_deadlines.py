"""Deadlines hold whatever the other side does, and nothing is left behind."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest

from fwfix.errors import AuthError, ConnectError, FwfixError, LostError, ScriptCutError, UnreachableError
from fwfix.lab.linux import HostSpec, Lab
from fwfix.model.host import Host, Platform, SshSettings

if TYPE_CHECKING:
    from conftest import Behave, FakeServer, Rig, ServeSsh

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def says_nothing(_connection: socket.socket, _number: int) -> None:
    """Accept and never speak."""


def says_banner_only(connection: socket.socket, _number: int) -> None:
    connection.sendall(b"SSH-2.0-Fake\r\n")


def hangs_up(connection: socket.socket, _number: int) -> None:
    connection.close()


def drips(connection: socket.socket, _number: int) -> None:
    def drip() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x\r\n")
                time.sleep(0.05)

    threading.Thread(target=drip, daemon=True).start()


def is_no_ssh(connection: socket.socket, _number: int) -> None:
    connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 200)
    connection.close()


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (says_nothing, "does not say in time that it speaks SSH"),
        (drips, "does not say in time that it speaks SSH"),
        (says_banner_only, "did not finish the SSH handshake in time"),
        (hangs_up, "hangs up before it says"),
        (is_no_ssh, "127.0.0.1"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_a_server_that_misbehaves_ends_at_the_deadline(
    rig: "Rig", fake_server: "type[FakeServer]", behave: "Behave", message: str
) -> None:
    with fake_server(behave) as server:
        host = rig.fake(server.port)
        connector = rig.connector(host)
        started = time.monotonic()
        with pytest.raises(ConnectError, match=message) as caught:
            connector.open(host, deadline=rig.soon(0.6))
        assert time.monotonic() - started < 1.5
        assert caught.value.next
        connector.close()


def test_nobody_listening_is_known_at_once(rig: "Rig") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="refused the connection"):
        rig.open(rig.fake(port))
    assert time.monotonic() - started < 2


def test_a_name_that_does_not_exist_says_so(rig: "Rig") -> None:
    host = Host(name="x", address="does-not-exist.invalid", platform=Platform.LINUX)
    with pytest.raises(UnreachableError, match=r"does not resolve|did not answer in time"):
        rig.open(host, seconds=5)


class _AskingServer(paramiko.ServerInterface):
    """Takes the password as an answer to questions only, as PAM often does."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []

    def check_auth_none(self, _username: str) -> int:
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, _username: str) -> str:
        return "keyboard-interactive"

    def check_auth_interactive(self, _username: str, _methods: str) -> paramiko.server.InteractiveQuery:
        return paramiko.server.InteractiveQuery("PAM", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        self.answers.append(responses)
        return paramiko.AUTH_SUCCESSFUL if responses == ["right"] else paramiko.AUTH_FAILED


def test_a_dropped_connection_is_tried_again_within_the_deadline(rig: "Rig", ssh_server: "ServeSsh") -> None:
    with ssh_server(drop_first=3) as server:
        host = rig.fake(server.port)
        executor = rig.open(host)
        assert server.count == 4
        executor.close()


def test_a_password_may_be_asked_for_as_a_question_and_is_told_once(
    rig: "Rig", ssh_server: "ServeSsh"
) -> None:
    asking = _AskingServer()
    with ssh_server(interface=asking) as server:
        for word, expected in (("right", contextlib.nullcontext()), ("wrong", pytest.raises(AuthError))):
            host = rig.fake(server.port, password=rig.ref(word))
            with expected:
                rig.open(host).close()
    assert asking.answers == [["right"], ["wrong"]]


def test_a_server_that_takes_the_command_and_nothing_more_ends_at_the_deadline(
    rig: "Rig", ssh_server: "ServeSsh"
) -> None:
    with ssh_server() as server:
        executor = rig.open(rig.fake(server.port))
        started = time.monotonic()
        with pytest.raises(LostError):
            executor.run(rig.script("echo"), deadline=rig.soon(0.5))
        assert time.monotonic() - started < 1.5
        executor.close()


def test_a_server_that_never_answers_the_command_ends_at_the_deadline(
    rig: "Rig", ssh_server: "ServeSsh"
) -> None:
    with ssh_server(hangs_at="command") as server:
        executor = rig.open(rig.fake(server.port))
        started = time.monotonic()
        with pytest.raises(ScriptCutError):
            executor.run(rig.script("echo"), deadline=rig.soon(0.5))
        assert time.monotonic() - started < 1.5
        executor.close()


def test_a_script_that_cannot_be_sent_whole_is_known_not_to_have_run(
    rig: "Rig", ssh_server: "ServeSsh"
) -> None:
    with ssh_server() as server:
        executor = rig.open(rig.fake(server.port))
        started = time.monotonic()
        with pytest.raises(ScriptCutError):  # nobody reads, so the window is full after 2 MB
            executor.run(rig.script("#" * 6_000_000), deadline=rig.soon(1))
        assert time.monotonic() - started < 2.5
        executor.close()


def test_a_server_that_refuses_commands_says_so(rig: "Rig", ssh_server: "ServeSsh") -> None:
    with ssh_server(executes=False) as server:
        executor = rig.open(rig.fake(server.port))
        with pytest.raises(FwfixError, match="does not let ops run commands"):
            executor.run(rig.script("echo"), deadline=rig.soon(5))
        executor.close()


@pytest.mark.lab
def test_a_host_that_freezes_holds_nobody_beyond_the_deadline(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="frozen")])["frozen"]
    host = rig.host(lab_host)
    connector = rig.connector(host)
    executor = connector.open(host, deadline=rig.soon())
    executor.run(rig.script("echo"), deadline=rig.soon())
    lab_host.freeze()
    started = time.monotonic()
    with pytest.raises((LostError, ConnectError, ScriptCutError)):
        executor.run(rig.script("echo " + "x" * 3_000_000), deadline=rig.soon(0.7))
    with pytest.raises(UnreachableError):
        connector.open(host, deadline=rig.soon(0.7))
    executor.close()
    connector.close()
    assert time.monotonic() - started < 4
    lab_host.thaw()


@pytest.mark.lab
def test_a_network_that_is_cut_holds_nobody_beyond_the_deadline(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="jump"), HostSpec(name="end")])
    jump, end = rig.host(lab["jump"]), rig.host(lab["end"], jump="jump")
    connector = rig.connector(jump, end)
    executor = connector.open(end, deadline=rig.soon())
    lab["jump"].cut()
    started = time.monotonic()
    with pytest.raises((LostError, ConnectError, ScriptCutError)):
        executor.run(rig.script("echo " + "x" * 3_000_000), deadline=rig.soon(0.7))
    with pytest.raises(ConnectError):
        connector.open(end, deadline=rig.soon(0.7))
    executor.close()
    connector.close()
    assert time.monotonic() - started < 9
    lab["jump"].restore()


@pytest.mark.lab
def test_a_connection_that_died_is_known_within_the_connect_timeout(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="lost")])["lost"]
    host = rig.host(lab_host)
    executor = rig.open(host, seconds=2)
    executor.run(rig.script("echo"), deadline=rig.soon())
    lab_host.cut()
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(60))
    assert time.monotonic() - started < 4
    lab_host.restore()
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(60))
    assert time.monotonic() - started < 0.5
    executor.close()
    rig.open(host).close()


@pytest.mark.lab
def test_a_session_that_was_ended_on_the_host_is_known_at_once(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="ended")])["ended"]
    executor = rig.open(rig.host(lab_host))
    executor.run(rig.script("echo"), deadline=rig.soon())
    lab_host.run(["pkill", "-9", "-u", lab_host.user])
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(60))
    assert time.monotonic() - started < 2
    executor.close()


@pytest.mark.lab
def test_a_host_that_opens_no_session_says_what_to_look_at(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="none", sshd_config="MaxSessions 0")])["none"]
    executor = rig.open(rig.host(lab_host))
    with pytest.raises(ConnectError, match="MaxSessions"):
        executor.run(rig.script("echo"), deadline=rig.soon())
    executor.close()


@pytest.mark.lab
def test_an_address_that_answers_nothing_is_unreachable_at_the_deadline(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    lab = make_lab([HostSpec(name="dead", dead=True), HostSpec(name="hang", hang=True)])
    for name in ("dead", "hang"):
        host = Host(
            name=name,
            address=lab[name].address,
            platform=Platform.LINUX,
            ssh=SshSettings(known_hosts=Path("/dev/null")),
        )
        started = time.monotonic()
        with pytest.raises(UnreachableError):
            rig.open(host, seconds=0.6)
        assert time.monotonic() - started < 1.5
