"""Messages from templates are the very messages of pywinrm, and their answers mean the same."""

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from winrm.exceptions import WinRMError
from winrm.protocol import Protocol

from fwfix.executors.winrm_protocol import TimedProtocol

SHELL = "1F2E3D4C-0000-4000-8000-00AA00BB00CC"
COMMAND = "77DF7BB6-B5A0-4777-ABD9-9823C0774074"
NASTY = "a & b <c> \"d\" 'e' {f} %g é€😀"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
UUID = re.compile("uuid:([0-9a-f-]{36})")


class Says:
    """Keeps the last message in place of sending it, and answers it."""

    answer = "<never/>"
    said = ""

    def send_message(self, message: str) -> bytes:
        self.said = message
        sent = UUID.search(message)
        assert sent
        return self.answer.replace("MESSAGE", sent[1].upper()).encode()


class Theirs(Says, Protocol):
    pass


class Ours(Says, TimedProtocol):
    operation_seconds = 20.0


def both() -> tuple[Theirs, Ours]:
    made = (kind("http://host:5985/wsman", "ntlm", "u", "p", proxy="") for kind in (Theirs, Ours))
    return next(made), next(made)  # type: ignore[return-value]


def plain(message: str) -> str:
    same = UUID.sub("uuid:X", message).replace("PT20.000S", "PT20S")
    return ET.canonicalize(same.partition("?>")[2])


def answer(body: str) -> str:
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{RSP}">'
        "<s:Header><a:RelatesTo>uuid:MESSAGE</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.open_shell(codepage=65001),
        lambda p: p.close_shell(SHELL, close_session=False),
        lambda p: p.run_command(SHELL, "x.exe", ("-a", b"-b", NASTY), console_mode_stdin=False),
        lambda p: p.run_command(SHELL, NASTY, skip_cmd_shell=True),
        lambda p: p.send_command_input(SHELL, COMMAND, b"\x00\xff" * 9, end=False),
        lambda p: p.send_command_input(SHELL, COMMAND, b"", end=True),
        lambda p: p.send_command_input(NASTY, NASTY, "dir\r\n", end=True),
        lambda p: p.get_command_output_raw(SHELL, COMMAND),
        lambda p: p.cleanup_command(SHELL, COMMAND),
    ],
)
def test_a_message_is_the_one_that_pywinrm_would_send(ask: Callable[[Protocol], object]) -> None:
    theirs, ours = both()
    for each in (theirs, ours, ours):
        each.answer = answer(
            '<w:Selector Name="ShellId">S</w:Selector><rsp:CommandId>C</rsp:CommandId>'
            f'<rsp:CommandState CommandId="C" State="{RSP}/CommandState/Running"/>'
        )
        ask(each)
    assert plain(ours.said) == plain(theirs.said)


def test_no_two_messages_have_the_same_id_and_each_has_its_own_time() -> None:
    _, ours = both()
    ours.answer = answer("")
    ours.cleanup_command(SHELL, COMMAND)
    first = ours.said
    ours.operation_seconds = 1.5
    ours.cleanup_command(SHELL, COMMAND)
    assert UUID.findall(first) != UUID.findall(ours.said)
    assert "PT20.000S" in first
    assert "PT1.500S" in ours.said


def stream(name: str, data: bytes) -> str:
    return f'<rsp:Stream Name="{name}" CommandId="C">{base64.b64encode(data).decode()}</rsp:Stream>'


@pytest.mark.parametrize(
    "body",
    [
        f'<rsp:CommandState CommandId="C" State="{RSP}/CommandState/Running"/>',
        stream("stdout", b"one")
        + stream("stderr", b"\xff")
        + stream("stdout", b" two")
        + '<rsp:Stream Name="stdout" CommandId="C" End="true"/>'
        + f'<rsp:CommandState CommandId="C" State="{RSP}/CommandState/Done">'
        + "<rsp:ExitCode>4294967295</rsp:ExitCode></rsp:CommandState>",
        f'<rsp:CommandState CommandId="C" State="{RSP}/CommandState/Done"><rsp:ExitCode/></rsp:CommandState>',
    ],
)
def test_output_is_read_as_pywinrm_reads_it(body: str) -> None:
    theirs, ours = both()
    theirs.answer = ours.answer = answer(f"<rsp:ReceiveResponse>{body}</rsp:ReceiveResponse>")
    assert ours.get_command_output_raw(SHELL, COMMAND) == theirs.get_command_output_raw(SHELL, COMMAND)


def test_the_ids_that_a_service_gives_out_are_found() -> None:
    _, ours = both()
    ours.answer = answer(
        '<w:SelectorSet><w:Selector Name="Other">no</w:Selector>'
        f'<w:Selector Name="ShellId">{SHELL}</w:Selector></w:SelectorSet>'
    )
    assert ours.open_shell(codepage=65001) == SHELL
    ours.answer = answer(
        f"<rsp:CommandResponse><rsp:CommandId>{COMMAND}</rsp:CommandId></rsp:CommandResponse>"
    )
    assert ours.run_command(SHELL, "x") == COMMAND


@pytest.mark.parametrize("ask", [lambda p: p.open_shell(codepage=1), lambda p: p.run_command(SHELL, "x")])
def test_an_answer_without_an_id_is_refused(ask: Callable[[Protocol], object]) -> None:
    _, ours = both()
    ours.answer = answer("<rsp:CommandResponse/>")
    with pytest.raises(WinRMError, match="names no"):
        ask(ours)


@pytest.mark.parametrize("other", ["00000000-0000-4000-8000-000000000000", ""])
def test_an_answer_to_another_request_is_refused(other: str) -> None:
    _, ours = both()
    ours.answer = answer(stream("stdout", b"old")).replace("MESSAGE", other)
    with pytest.raises(WinRMError, match="another request"):
        ours.get_command_output_raw(SHELL, COMMAND)
