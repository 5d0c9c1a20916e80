"""How a process of the real engine is started, spoken to and ended.

What is started here is no PowerShell: a small Python program that stands where `pwsh` would and does the one
thing that a test is about. Whether pwsh itself understands the profile is for the tests that run on pwsh.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fwfix.lab.windows.cmdlets import TYPES, stand_ins
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.powershell import Host, NativeResult
from fwfix.lab.windows.pwsh import PwshError, PwshMissingError, RealEngine, find_pwsh

_HEAD = f"""#!{sys.executable}
import json, os, socket, subprocess, sys, time
arguments = sys.argv[1:]
def ask(**asked):
    with socket.create_connection(("127.0.0.1", int(os.environ["FWFIX_TWIN_PORT"]))) as connection:
        asked["token"] = os.environ["FWFIX_TWIN_TOKEN"]
        connection.sendall(json.dumps(asked).encode() + b"\\n")
        return [json.loads(line) for line in connection.makefile("rb")]
"""
_HELLO = "ask(hello='0')\n"
Maker = Callable[..., RealEngine]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Return a maker of engines whose pwsh does what a test says."""

    def engine(body: str, *, bare: bool = False, host: Host | None = None) -> RealEngine:
        program = tmp_path / "not-pwsh"
        program.write_text(_HEAD + body, encoding="utf-8")
        program.chmod(0o755)
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        commands = None if bare else stand_ins(WindowsHost())
        outside = host or Host(environment={})
        return RealEngine(pwsh=program, folder=folder, host=outside, commands=commands, types=TYPES)

    return engine


def test_output_errors_and_exit_code_come_back_byte_by_byte(make: Maker) -> None:
    engine = make("os.write(1, b'\\xff\\xfea\\r\\n'); os.write(2, b'\\x00b'); sys.exit(86)", bare=True)
    result = engine.run("x")
    assert (result.stdout, result.stderr, result.exit_code) == (b"\xff\xfea\r\n", b"\x00b", 86)


def test_the_script_is_a_file_without_a_mark_and_without_a_change(make: Maker) -> None:
    engine = make("os.write(1, open(arguments[arguments.index('-File') + 1], 'rb').read())", bare=True)
    assert engine.run("'Grüße 😀'\r\n").stdout == "'Grüße 😀'\r\n".encode()


def test_arguments_follow_the_file_and_input_is_passed_on(make: Maker) -> None:
    engine = make("print(arguments[-2:], flush=True); os.write(1, sys.stdin.buffer.read())", bare=True)
    assert engine.run("x", stdin=b"\xc3\xbc\n", args=("1", "a b")).stdout == b"['1', 'a b']\n\xc3\xbc\n"


def test_the_bare_engine_loads_no_profile(make: Maker) -> None:
    engine = make("print('-NoProfile' in arguments, '-NonInteractive' in arguments)", bare=True)
    assert engine.run("x").stdout == b"True True\n"


def test_the_profile_lies_where_pwsh_looks_for_it(make: Maker) -> None:
    engine = make(
        _HELLO + "path = os.path.join(os.environ['XDG_CONFIG_HOME'], 'powershell', 'profile.ps1')\n"
        "print('-NoProfile' in arguments, 'function global:New-NetFirewallRule {' in open(path).read())\n"
    )
    assert engine.run("x").stdout == b"False True\n"


def test_the_process_sees_the_environment_of_the_twin_and_not_that_of_the_caller(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "1")
    host = Host(environment={"ProgramData": r"C:\ProgramData"})
    engine = make(
        "print(os.environ.get('ProgramData'), os.environ.get('OF_THE_CALLER'))", bare=True, host=host
    )
    assert engine.run("x").stdout == b"C:\\ProgramData None\n"


def test_a_windows_path_is_one_flat_name_in_the_folder(make: Maker) -> None:
    engine = make("open(r'C:\\ProgramData\\x', 'w').close()", bare=True)
    engine.run("x")
    assert (engine.folder / r"C:\ProgramData\x").is_file()


def test_an_engine_that_did_not_load_the_proxies_is_an_error(make: Maker) -> None:
    with pytest.raises(PwshError, match="did not load"):
        make("").run("x")


def test_a_proxy_that_fails_is_an_error_and_no_answer_of_the_script(make: Maker) -> None:
    with pytest.raises(PwshError, match="the proxies failed"):
        make(_HELLO + "sys.stderr.write('fwfix: something'); sys.exit(126)").run("x")


def test_what_the_model_does_not_know_is_a_refusal_of_the_run(make: Maker) -> None:
    engine = make(_HELLO + "ask(cmdlet='Get-Service', set='Set0', given={}); sys.exit(125)")
    result = engine.run("x")
    assert result.exit_code == 125
    assert result.refusal is not None


def test_a_program_of_windows_is_the_models_with_its_output_and_exit_code(make: Maker) -> None:
    def whoami(arguments: list[str], stdin: bytes) -> NativeResult:
        return NativeResult(exit_code=7, stdout=f"{arguments}\r\n".encode() + stdin, stderr=b"\xffe")

    host = Host(environment={}, natives={"whoami": whoami})
    engine = make(
        _HELLO
        + "done = subprocess.run(['whoami.exe', '/groups', '*S-1 (OI)'], input=b'in', capture_output=True)\n"
        "os.write(1, done.stdout); os.write(2, done.stderr); sys.exit(done.returncode)\n",
        host=host,
    )
    result = engine.run("x")
    assert result.stdout == b"['/groups', '*S-1 (OI)']\r\nin"
    assert (result.stderr, result.exit_code) == (b"\xffe", 7)


_CHILD = (
    "child = subprocess.Popen(['sleep', '600'])\n"
    "open('child', 'w').write(str(child.pid))\nos.rename('child', 'started')\ntime.sleep(600)\n"
)


def gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has reaped yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def test_a_deadline_ends_the_process_and_what_it_started(make: Maker) -> None:
    engine = make(_CHILD, bare=True)
    result = engine.run("x", deadline=4)
    assert result.cancelled
    pid = int((engine.folder / "started").read_text())
    wait_for(lambda: gone(pid))


def test_a_run_can_be_cancelled_from_another_thread(make: Maker) -> None:
    engine = make(_CHILD, bare=True)
    results = []
    thread = threading.Thread(target=lambda: results.append(engine.run("x")))
    thread.start()
    wait_for((engine.folder / "started").exists)
    engine.cancel()
    thread.join(20)
    assert [result.cancelled for result in results] == [True]
    wait_for(lambda: gone(int((engine.folder / "started").read_text())))


def test_the_variable_goes_before_path(tmp_path: Path) -> None:
    for name in ("pwsh", "other"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    assert find_pwsh(environment) == tmp_path / "pwsh"
    assert find_pwsh({**environment, "FWFIX_PWSH": str(tmp_path / "other")}) == tmp_path / "other"
    assert find_pwsh({"PATH": str(tmp_path / "nowhere")}) is None


def test_a_variable_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PwshMissingError, match="FWFIX_PWSH"):
        find_pwsh({"PATH": "/usr/bin", "FWFIX_PWSH": str(tmp_path / "missing")})
