"""The main job on one real Windows host. Nothing here reboots it, and no management port is touched."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.executors.recording import answers_of

if TYPE_CHECKING:
    from conftest import Windows

BELOW = ("settings", "address", "port", "encryption", "service", "logon", "shell", "language", "elevation")


def test_doctor_finds_every_step_well_and_records_without_a_secret(windows: "Windows") -> None:
    recording = windows.folder / "recording.json"
    ended = windows.run("doctor", "win", "--record", str(recording))
    status = {each["check"]: each["status"] for each in ended.host["checks"]}
    assert {step: status[step] for step in BELOW} == dict.fromkeys(BELOW, "ok"), ended.host["checks"]
    assert {status[step] for step in ("powershell", "windows", "services", "profiles")} == {"ok"}
    assert windows.traces_in(recording) == 0
    assert ("win", "observe") in answers_of(json.loads(recording.read_text(encoding="utf-8")))
    if "RECORD" in windows.settings:
        shutil.copyfile(recording, Path(windows.settings["RECORD"]))


def test_a_plan_changes_nothing(windows: "Windows") -> None:
    windows.expect("open")
    ended = windows.run("plan", "--detailed-exitcode", *windows.accepts)
    assert (ended.code, ended.host["outcome"]) == (6, "change"), ended
    windows.expect("open")


def test_apply_verify_and_rollback(windows: "Windows") -> None:
    windows.expect("open")
    applied = windows.run("apply", "--yes", *windows.accepts)
    assert (applied.code, applied.host["outcome"]) == (0, "applied"), applied
    windows.expect("filtered")
    assert windows.state() == "confirmed"
    verified = windows.run("verify")
    assert (verified.code, verified.host["outcome"]) == (0, "ok"), verified
    again = windows.run("apply", "--yes", *windows.accepts)
    assert (again.code, again.host["outcome"]) == (0, "noop"), again
    undone = windows.run("rollback", "--yes", "-l", "win")
    assert (undone.code, undone.host["outcome"]) == (0, "rolled_back"), undone
    windows.expect("open")
    assert windows.state() in {"reverted", None}


def test_a_host_whose_controller_was_killed_before_its_rules_restores_itself(windows: "Windows") -> None:
    restores_itself(windows, "apply")


def test_a_host_whose_controller_was_killed_behind_its_rules_restores_itself(windows: "Windows") -> None:
    restores_itself(windows, "verify")


def restores_itself(windows: "Windows", step: str) -> None:
    windows.kill_at(step, "--confirm-within", "90s")
    # The host is left alone until it has done it by itself.
    windows.wait_for(lambda: windows.state() in {"reverted", None}, "the timer of the host", patience=240)
    windows.expect("open")
    recovered = windows.run("runs", "recover", hosts=False)
    assert recovered.code in {0, 3}, recovered
    assert windows.state() in {"reverted", None}


def test_where_nothing_can_prove_a_block_nothing_is_applied_unless_accepted(windows: "Windows") -> None:
    if windows.proof != "structure":
        pytest.skip("packets from here prove it")
    ended = windows.run("apply", "--yes", "--accept", "not-a-printing-port")
    assert ended.host["outcome"] in {"skipped", "reverted"}, ended
    assert windows.state() in {"reverted", None}
