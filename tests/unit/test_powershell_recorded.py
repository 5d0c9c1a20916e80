"""Every recorded snippet comes out as the real engine did, or is refused; what is refused only gets less."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fwfix.lab.windows.powershell import Engine, Host
from fwfix.lab.windows.pwsh import RealEngine

_RECORDING = json.loads((Path(__file__).parent / "data" / "powershell_behaviour.json").read_text("utf-8"))
_RECORDED = _RECORDING["snippets"]
_RECORDED_ON = _RECORDING["engine"].split()[1].rstrip(",")
# Refused today. Take a name away once it runs; never add one.
_REFUSED: frozenset[str] = frozenset()


@pytest.mark.parametrize("snippet", _RECORDED, ids=lambda s: s["id"])
def test_a_recorded_snippet_runs_as_recorded_or_is_refused(
    snippet: dict[str, object], tmp_path: Path
) -> None:
    environment = {**os.environ, "TMPDIR_FW": str(tmp_path), "PATH": "/usr/bin:/bin"}
    result = Engine(host=Host(real_programs=True, environment=environment)).run(str(snippet["script"]))
    if snippet["id"] in _REFUSED:
        assert result.refusal is not None, "it runs now: take it off the list"
        return
    assert result.refusal is None, str(result.refusal)
    assert result.stdout.decode("utf-8") == snippet["stdout"]
    assert result.exit_code == snippet["exit_code"]
    assert (result.stderr == b"") is snippet["stderr_empty"]


@pytest.fixture(scope="session")
def recorded_engine(pwsh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real engine of the recorded version; another one may rightly answer otherwise."""
    bare = RealEngine(pwsh=pwsh, folder=tmp_path_factory.mktemp("version"), commands=None)
    asked = bare.run("[Console]::Out.Write([string]$PSVersionTable.PSVersion)")
    version = asked.stdout.decode()
    assert version, f"{pwsh} is no PowerShell: it says nothing, and {asked.stderr!r}"
    if version.split(".")[:2] != _RECORDED_ON.split(".")[:2]:
        pytest.skip(f"recorded on PowerShell {_RECORDED_ON}, and this pwsh is {version}")
    return pwsh


@pytest.mark.parametrize("snippet", _RECORDED, ids=lambda s: s["id"])
def test_a_recorded_snippet_is_what_the_real_engine_answers(
    snippet: dict[str, object], recorded_engine: Path, tmp_path: Path
) -> None:
    for name in ("empty", "here"):
        (tmp_path / name).mkdir()
    environment = {"TMPDIR_FW": str(tmp_path / "empty"), "PATH": "/usr/bin:/bin"}
    engine = RealEngine(
        pwsh=recorded_engine, folder=tmp_path / "here", host=Host(environment=environment), commands=None
    )
    result = engine.run(str(snippet["script"]))
    assert result.stdout.decode("utf-8") == snippet["stdout"]
    assert result.exit_code == snippet["exit_code"]
    assert (result.stderr == b"") is snippet["stderr_empty"]


def test_the_list_of_refused_snippets_names_only_recorded_ones() -> None:
    assert {s["id"] for s in _RECORDED} >= _REFUSED


def _main(script: Path) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "fwfix.lab.windows.powershell", str(script)]
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60)


def test_the_command_prints_and_exits_as_the_script_does(tmp_path: Path) -> None:
    script = tmp_path / "a.ps1"
    script.write_text("'Grüße'; exit 3", "utf-8")
    done = _main(script)
    assert (done.stdout, done.returncode) == ("Grüße\n".encode(), 3)


def test_the_command_exits_125_and_names_the_line_of_what_it_does_not_know(tmp_path: Path) -> None:
    script = tmp_path / "a.ps1"
    script.write_text("'a'\n'b'\nGet-WmiObject Win32_Process", "utf-8")
    done = _main(script)
    assert done.returncode == 125
    assert b"line 3" in done.stderr
    assert b"Get-WmiObject" in done.stderr
