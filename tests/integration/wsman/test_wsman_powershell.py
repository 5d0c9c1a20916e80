"""powershell.exe of the twin, through pywinrm: delivery, natives, exit codes, kills."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.windows.cmd import PowerShellProgram, standard_programs
from fwfix.lab.windows.cmd.small_engine import SmallEngine
from fwfix.lab.windows.powershell.hosts import Host
from fwfix.lab.windows.wsman import Account, Listener, WsmanServer

if TYPE_CHECKING:
    from conftest import Connect, Runner, WaitFor

BOOTSTRAP = (
    "$ProgressPreference='SilentlyContinue';$ErrorActionPreference='Stop'\n"
    "$b=[Convert]::FromBase64String(($input|Out-String))\n"
    "if(([BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($b))-replace'-')"
    ".ToLowerInvariant()-ne'{digest}'){{exit 86}}\n"
    "& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString($b)))"
)


@pytest.fixture
def server() -> Iterator[WsmanServer]:
    programs = standard_programs().having({"powershell.exe": PowerShellProgram(SmallEngine(host=Host()))})
    with WsmanServer(
        accounts=[Account(name="Administrator", password="Pässw0rd!")], programs=programs
    ) as made:
        yield made
    assert made.crashes == []


@pytest.fixture
def client(server: WsmanServer, connect: "Connect") -> "Runner":
    address, port = server.serve([Listener()])[0]
    return connect(f"http://{address}:{port}/wsman")


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


def deliver(client: "Runner", script: str, *, sent: bytes | None = None) -> tuple[bytes, bytes, int]:
    """Send a script the way the product does: a checked bootstrap, the script on standard input."""
    raw = script.encode()
    start = BOOTSTRAP.format(digest=hashlib.sha256(raw).hexdigest())
    shell = client.open_shell(codepage=65001)
    running = client.run_command(
        shell,
        "powershell.exe",
        ["-NoProfile", "-NonInteractive", "-EncodedCommand", encoded(start)],
        console_mode_stdin=False,
    )
    data = base64.b64encode(raw if sent is None else sent) + b"\r\n"
    for at in range(0, len(data), 60_000):
        client.send_command_input(shell, running, data[at : at + 60_000], end=at + 60_000 >= len(data))
    result = client.get_command_output(shell, running)
    client.close_shell(shell, close_session=False)
    return result


@pytest.mark.parametrize("size", [2_000, 200_000])
def test_a_script_on_standard_input_arrives_whole_and_its_exit_code_comes_back(
    client: "Runner", size: int
) -> None:
    script = f"$x = '{'é✓' * (size // 2)}'\n[Console]::Out.WriteLine($x.Length)\nexit 7"
    out, err, code = deliver(client, script)
    assert (out.split(), err, code) == ([str(size).encode()], b"", 7)


def test_a_script_that_was_cut_on_its_way_does_not_run(client: "Runner") -> None:
    script = "[Console]::Out.WriteLine('ran')\n" * 50
    assert deliver(client, script, sent=script.encode()[:300])[::2] == (b"", 86)


def test_a_script_that_does_not_read_its_input_needs_none(client: "Runner") -> None:
    command = f"powershell -EncodedCommand {encoded('whoami.exe; exit $LASTEXITCODE')}"
    assert client.run(command) == (b"twin\\administrator\r\n", b"", 0)


def test_what_the_engine_does_not_know_is_refused_with_a_code_of_its_own(client: "Runner") -> None:
    out, err, code = client.run(f"powershell -EncodedCommand {encoded('workflow x {}')}")
    assert (out, code) == (b"", 125)
    assert b"not in the dialect" in err


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("nosuchthing", 1),
        ("nosuchthing; 'fine'", 0),
        ("Write-Error x -ErrorAction SilentlyContinue", 1),
        ("whoami.exe /nonsense", 1),
        ("throw 'x'", 1),
        ("exit 4", 4),
    ],
)
def test_a_command_exits_as_its_last_statement_did(client: "Runner", script: str, code: int) -> None:
    assert client.run(f"powershell -EncodedCommand {encoded(script)}")[2] == code


@pytest.mark.parametrize(
    ("script", "written"),
    [
        # As recorded on Windows: Write-Host ends with a line feed, the pipeline with CR LF.
        ("Write-Host hi", b"hi\n"),
        ("'hi'", b"hi\r\n"),
        ("(pwd).Path; (Get-Location).Path", b"C:\\Windows\r\nC:\\Windows\r\n"),
    ],
)
def test_output_is_that_of_windows_powershell(client: "Runner", script: str, written: bytes) -> None:
    shell = client.open_shell(working_directory="C:\\Windows")
    running = client.run_command(shell, f"powershell -Command {script}")
    assert client.get_command_output(shell, running) == (written, b"", 0)


@pytest.mark.parametrize(("codepage", "written"), [(65001, "é✓\n".encode()), (437, b"\x82?\n")])
def test_output_is_in_the_code_page_of_the_shell(client: "Runner", codepage: int, written: bytes) -> None:
    shell = client.open_shell(codepage=codepage)
    running = client.run_command(shell, "powershell", ["-EncodedCommand", encoded("Write-Host 'é✓'")])
    assert client.get_command_output(shell, running)[0] == written


def test_lines_typed_into_powershell_run(client: "Runner") -> None:
    shell = client.open_shell()
    running = client.run_command(shell, "powershell", ["-"])
    client.send_command_input(shell, running, b'Write-Host "output 1";', end=False)
    client.send_command_input(shell, running, b'Write-Host "output 2";', end=True)
    assert client.get_command_output(shell, running) == (b"output 1\noutput 2\n", b"", 0)
    running = client.run_command(shell, "powershell", ["-Command", "-"])
    client.send_command_input(shell, running, b"if ($true)\r\n{ 1 }\r\nforeach (\r\n", end=True)
    out, _, code = client.get_command_output(shell, running)
    assert (out, code) == (b"", 125)


def test_a_script_file_that_is_not_there_is_the_error_of_powershell(client: "Runner") -> None:
    out, err, code = client.run(r"powershell -File C:\nowhere.ps1")
    assert (out, code) == (b"", -196608)
    assert b"does not exist" in err


@pytest.mark.parametrize("script", ["while ($true) { $x = 1 }", "Start-Sleep -Seconds 600"])
def test_a_terminated_script_stops(
    client: "Runner", server: WsmanServer, wait_for: "WaitFor", script: str
) -> None:
    shell = client.open_shell()
    running = client.run_command(shell, "powershell", ["-EncodedCommand", encoded(script)])
    processes = server.shells.open[0].processes
    wait_for(lambda: "powershell.exe" in processes.running.values())
    client.cleanup_command(shell, running)
    wait_for(lambda: not processes.running)
    wait_for(lambda: not any(each.name.startswith("command-") for each in threading.enumerate()))
