"""How the program ends where nothing of a fleet was at fault."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fwfix.loading.plan_file import dump_plan
from fwfix.model.plan import Plan

Run = Callable[..., tuple[int, str, str]]
FilesOfAtMost = Callable[[int], AbstractContextManager[None]]
EXAMPLES = Path(__file__).parents[2] / "inventories"


def fwfix(*arguments: str | Path, stdout: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fwfix", *map(str, arguments)]
    with Path(stdout or "/dev/null").open("w", encoding="utf-8") as output:
        return subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )


def test_output_on_a_full_disk_is_no_bug_of_ours() -> None:
    ended = fwfix("inventory", "schema", stdout="/dev/full")
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "bug" not in ended.stderr


def test_an_error_whose_document_nobody_can_read_is_still_that_error() -> None:
    ended = fwfix("plan", "-i", "missing.yaml", "--json", stdout="/dev/full")
    assert ended.returncode == 2
    assert "missing.yaml" in ended.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_somebody_closed_changes_no_exit_code(tmp_path: Path, closed: str) -> None:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    state = tmp_path / "state"
    for words, code in (("runs list --json", 0), ("apply none.json --json --yes", 2), ("apply", 2)):
        command = f'exec "$0" -m fwfix --state-dir {state} {words} {closed}'
        ended = subprocess.run(
            ["sh", "-c", command, sys.executable], capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == code
        assert "bug" not in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "option", ["--connect-timeout=0", "--connect-timeout=0s", "--expires=0", "--confirm-within=0"]
)
def test_no_time_at_all_is_a_usage_error(option: str) -> None:
    ended = fwfix("plan", "-i", EXAMPLES / "fleet", option)
    assert ended.returncode == 2
    assert option.split("=", maxsplit=1)[0] in ended.stderr


INVENTORY = """version: 1
policies: {p: {ports: [jetdirect]}}
hosts: {gw: {address: 127.0.0.1, platform: linux, policy: p}}
"""


def test_a_window_that_a_script_left_empty_is_not_a_run_without_one() -> None:
    ended = fwfix("apply", "-i", EXAMPLES / "fleet", "--yes", "--window", "")
    assert ended.returncode == 2
    assert "--window is empty" in ended.stderr


@pytest.fixture
def ended_as_json(tmp_path: Path) -> Run:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)

    def run(*arguments: str) -> tuple[int, str, str]:
        given = [argument.replace("INVENTORY", str(tmp_path / "inventory.yaml")) for argument in arguments]
        command = [sys.executable, "-m", "fwfix", "--state-dir", str(tmp_path / "state"), *given]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


CLOSED = ("apply", "-i", "INVENTORY", "--yes", "--ticket", "CHG-1", "--window", "2020-01-01T00:00Z/PT1H")


def test_a_run_that_is_refused_before_any_host_is_a_run_document_with_the_reason(
    ended_as_json: Run,
) -> None:
    code, stdout, stderr = ended_as_json(*CLOSED, "--json")
    document = json.loads(stdout)
    assert (code, document["exit_code"], document["schema"]) == (5, 5, "fwfix.run/1")
    assert (document["command"], document["run_id"], document["ticket"]) == ("apply", None, "CHG-1")
    assert (document["hosts"], set(document["summary"].values())) == ([], {0})
    assert document["reason"]["code"] == "outside-window"
    assert document["reason"]["message"] in stderr
    assert ended_as_json(*CLOSED)[:2] == (5, "")


@pytest.mark.parametrize(
    ("words", "arguments", "code"),
    [
        ("plan", ("-i", "missing.yaml"), "inventory"),
        ("runs show", ("20260101T000000Z-0000",), "usage"),
        ("approve", ("missing.json",), "plan-file"),
        ("maintenance", ("-i", "INVENTORY", "--at", "noon"), "usage"),
    ],
)
def test_an_error_is_a_document_where_one_was_promised(
    ended_as_json: Run, words: str, arguments: tuple[str, ...], code: str
) -> None:
    exit_code, stdout, stderr = ended_as_json(*words.split(), *arguments, "--json")
    document = json.loads(stdout)
    assert (exit_code, document["exit_code"], document["schema"]) == (2, 2, "fwfix.error/1")
    assert (document["command"], document["error"]["code"]) == (words, code)
    assert document["error"]["message"] in stderr
    assert ended_as_json(*words.split(), *arguments)[:2] == (2, "")


@pytest.mark.parametrize("place", ["/dev/null", "missing/plan.json"])
@pytest.mark.parametrize("command", [("plan", "-o"), ("doctor", "gw", "--record")])
def test_what_cannot_be_saved_is_found_before_any_host_is_contacted(
    ended_as_json: Run, command: tuple[str, ...], place: str
) -> None:
    code, _, stderr = ended_as_json(*command, place, "-i", "INVENTORY")
    assert code == 2
    assert f"{place}" in stderr
    assert "cannot be written" in stderr
    assert "observe" not in stderr
    assert not Path("/dev/null").is_file()


def test_a_plan_that_comes_through_a_pipe_is_approved_by_nobody(tmp_path: Path) -> None:
    plan = Plan(run_id="20261121T220003Z-4f2a", created_at=datetime.now(UTC), hosts=())
    command = [sys.executable, "-m", "fwfix", "approve", "/dev/stdin", "--key", str(tmp_path / "none")]
    ended = subprocess.run(command, input=dump_plan(plan), capture_output=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert b"beside which a signature could lie" in ended.stderr


def test_a_recording_that_cannot_be_written_at_the_end_is_the_one_document(
    ended_as_json: Run, tmp_path: Path, files_of_at_most: FilesOfAtMost
) -> None:
    record = str(tmp_path / "recording.json")
    with files_of_at_most(0):
        code, stdout, stderr = ended_as_json("doctor", "gw", "-i", "INVENTORY", "--json", "--record", record)
    assert (code, json.loads(stdout)["schema"]) == (2, "fwfix.error/1")
    assert "cannot be written" in stderr
    assert [each.name for each in tmp_path.iterdir() if "recording" in each.name] == []
