"""The workflow for real Windows is sound as far as it can be told without running it."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "windows.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow["jobs"]["real"]["steps"]
    return found


def test_it_runs_on_two_versions_of_windows_with_a_limit(workflow: dict[Any, Any]) -> None:
    job = workflow["jobs"]["real"]
    assert set(job["strategy"]["matrix"]["os"]) == {"windows-2022", "windows-latest"}
    assert job["runs-on"] == "${{ matrix.os }}"
    assert job["timeout-minutes"] <= 60


def test_it_may_read_and_no_more_and_strangers_do_not_start_it(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"workflow_dispatch", "push"}


def test_every_step_says_its_shell(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        assert "uses" in step or step["shell"] in {"powershell", "wsl-bash {0}"}


def test_the_settings_of_the_tests_all_reach_them(steps: list[dict[str, Any]]) -> None:
    path = ROOT / "tests" / "windows_real" / "conftest.py"
    spec = importlib.util.spec_from_file_location("windows_real_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    text = WORKFLOW.read_text(encoding="utf-8")
    named = set(re.findall(r"FWFIX_WINDOWS_REAL_([A-Z]+)", text))
    assert set(module.NEEDED) <= named <= set(module.KNOWN)
    written = set(re.findall(r'GITHUB_ENV, "FWFIX_WINDOWS_REAL_([A-Z]+)=', text))
    passed = re.findall(r"FWFIX_WINDOWS_REAL_([A-Z]+)", steps[-2]["env"]["WSLENV"])
    assert written == set(passed)


def test_the_password_is_masked_before_it_is_written_anywhere(steps: list[dict[str, Any]]) -> None:
    script = next(step["run"] for step in steps if "New-LocalUser" in step.get("run", ""))
    assert script.index("::add-mask::$password") < script.index("GITHUB_ENV")
    assert script.index("::add-mask::$password") < script.index("New-LocalUser")


def test_its_powershell_parses(steps: list[dict[str, Any]]) -> None:
    import tree_sitter_powershell
    from tree_sitter import Language, Parser

    parser = Parser(Language(tree_sitter_powershell.language()))
    scripts = [step["run"] for step in steps if step.get("shell") == "powershell"]
    assert len(scripts) >= 3
    for script in scripts:
        tree = parser.parse(script.encode())
        assert not tree.root_node.has_error, script


def test_its_shell_parses(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        if step.get("shell") == "wsl-bash {0}":
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True, timeout=20)


def test_without_a_host_the_tests_skip_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/windows_real"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(lines) == 1, done.stdout
    assert "docs/windows-hosts.md" in lines[0]
