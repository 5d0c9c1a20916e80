"""What powershell.exe is asked to run."""

import base64

import pytest

from fwfix.lab.windows.cmd import (
    Collector,
    InputPipe,
    Interpreter,
    Invocation,
    Job,
    Machine,
    PowerShellCall,
    PowerShellProgram,
    ProcessTable,
    User,
    parse_powershell_arguments,
    standard_programs,
)
from fwfix.lab.windows.cmd.environment import default_environment
from fwfix.lab.windows.cmd.powershell import PowerShellArgumentError, Source


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


@pytest.mark.parametrize(
    ("arguments", "source", "script"),
    [
        (["-Command", "Write-Host", "hi"], Source.COMMAND, "Write-Host hi"),
        (["Write-Host", "hi"], Source.COMMAND, "Write-Host hi"),
        (["-c", "a; b"], Source.COMMAND, "a; b"),
        (["-EncodedCommand", encoded("é$x")], Source.COMMAND, "é$x"),
        (["-enc", encoded("x")], Source.COMMAND, "x"),
        (["-e", encoded("x")], Source.COMMAND, "x"),
        (["-EC", encoded("x")], Source.COMMAND, "x"),
        (["/nologo", "-NoP", "-NonI", "-ExecutionPolicy", "Bypass", "-c", "x"], Source.COMMAND, "x"),
        (["-"], Source.STDIN, ""),
        (["-Command", "-"], Source.STDIN, ""),
        ([], Source.STDIN, ""),
        (["-NoProfile", "-InputFormat", "None"], Source.STDIN, ""),
        (["-f", r"C:\x.ps1", "1"], Source.FILE, r"C:\x.ps1"),
    ],
)
def test_the_script_is_where_the_parameters_say(arguments: list[str], source: Source, script: str) -> None:
    found = parse_powershell_arguments(arguments)
    assert (found.source, found.script) == (source, script)


def test_the_other_parameters_are_kept_by_their_full_names() -> None:
    found = parse_powershell_arguments(["-nop", "-ep", "Bypass", "-File", "x.ps1", "-a", "b"])
    assert dict(found.options) == {"noprofile": "true", "executionpolicy": "Bypass"}
    assert found.arguments == ("-a", "b")


@pytest.mark.parametrize(
    "arguments", [["-enc", "!"], ["-enc"], ["-enc", "YQ=="], ["-File"], ["-Command"], ["-ep"]]
)
def test_arguments_that_cannot_be_read_are_refused(arguments: list[str]) -> None:
    if arguments == ["-enc"]:
        assert parse_powershell_arguments(arguments).script == ""
        return
    with pytest.raises(PowerShellArgumentError):
        parse_powershell_arguments(arguments)


class Engine:
    def run(self, wanted: PowerShellCall, call: Invocation, /) -> int:
        call.stdout.write(f"{wanted.script}|{call.stdin.read().decode()}".encode())
        return 42


def test_cmd_finds_powershell_by_name_and_hands_script_and_input_to_the_engine() -> None:
    user = User(name="a", domain="B", administrator=True)
    out, err = Collector(), Collector()
    machine = Machine()
    call = Invocation(
        name="cmd.exe",
        args=(),
        tail="",
        stdin=InputPipe(b"input", closed=True),
        stdout=out,
        stderr=err,
        environment=default_environment(machine, user),
        cwd="C:\\",
        codepage=437,
        machine=machine,
        user=user,
        job=Job(ProcessTable(limit=5)),
        programs=standard_programs().having({"powershell.exe": PowerShellProgram(Engine())}),
    )
    assert Interpreter(call).run(f"PowerShell -NoProfile -EncodedCommand {encoded('exit 42')}") == 42
    assert out.value == b"exit 42|input"
    assert Interpreter(call).run("powershell.exe -EncodedCommand nonsense!") == -196608
    assert b"not properly encoded" in err.value
