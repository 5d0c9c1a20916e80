"""`--wait`: a machine that slept, a window that closed meanwhile, and a plan that was applied already."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site, Started

pytestmark = pytest.mark.lab


def opening(took: timedelta, length: str) -> tuple[datetime, str]:
    """Return a window that opens when this machine, as busy as it is, has surely logged on before."""
    start = (datetime.now(UTC) + timedelta(seconds=5) + 4 * took).replace(microsecond=0)
    return start, f"{start:%Y-%m-%dT%H:%M:%SZ}/{length}"


def asleep(site: "Site", started: "Started", until: datetime) -> None:
    """Let the controller sleep from when it waits until some time."""
    site.wait_for(lambda: started.has_said("waiting for windows: the next opens at"), f"{started}")
    left = (until - datetime.now(UTC)).total_seconds()
    assert left > 0, started
    started.send(signal.SIGSTOP)
    site.wait_for(lambda: datetime.now(UTC) > until, "the end of the night", patience=left + 30)
    started.send(signal.SIGCONT)


def save(site: "Site", folder: Path) -> tuple[str, timedelta]:
    """Save a plan; tell how long that took."""
    plan, began = str(folder / "plan.json"), datetime.now(UTC)
    site.fwfix.run("plan", "-o", plan, code=0)
    return plan, datetime.now(UTC) - began


@pytest.mark.parametrize("saved", [True, False], ids=["saved plan", "planned now"])
def test_a_window_that_opened_while_the_controller_slept_is_used_at_once(
    site: "Site", tmp_path: Path, *, saved: bool
) -> None:
    plan, took = save(site, tmp_path)
    start, window = opening(took, "PT1H")
    started = site.fwfix.start("apply", *([plan] if saved else []), "--wait", "--window", window)
    asleep(site, started, start + timedelta(seconds=1))
    ended = started.end()
    assert (ended.code, ended.outcome()) == (0, "applied")
    (armed,) = [step["at"] for step in ended.host()["steps"] if step["step"] == "arm"]
    assert armed >= f"{start:%Y-%m-%dT%H:%M:%SZ}"
    assert site.is_blocked()


def test_a_window_that_closed_while_the_controller_slept_touches_no_host(
    site: "Site", tmp_path: Path
) -> None:
    plan, took = save(site, tmp_path)
    before = site.rules()
    # The host may need 180 s: two seconds after the opening it is too late.
    start, window = opening(took, "PT182S")
    started = site.fwfix.start("apply", plan, "--wait", "--window", window)
    asleep(site, started, start + timedelta(seconds=4))
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (5, "skipped", "window-too-short")
    assert (site.states(), site.rules()) == ({}, before)


def test_a_run_that_waits_is_nobody_elses_and_hosts_that_waited_name_the_interruption(
    site: "Site", tmp_path: Path
) -> None:
    plan, took = save(site, tmp_path)
    _, window = opening(took, "PT1H")
    started = site.fwfix.start("apply", plan, "--wait", "--window", window)
    site.wait_for(lambda: started.has_said("waiting for windows: the next opens at"), f"{started}")
    (run,) = site.fwfix.run("runs", "list").document["runs"]
    for arguments in (["--continue", run["run_id"]], [plan]):
        refused = site.fwfix.apply(*arguments, code=2)
        assert "another fwfix is at work" in refused.stderr
    started.send(signal.SIGINT)
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (130, "skipped", "interrupted")
    assert site.fwfix.apply("--continue", run["run_id"]).outcome() == "applied"


def test_a_plan_that_was_applied_is_refused_before_anybody_logs_on(site: "Site", tmp_path: Path) -> None:
    plan, took = save(site, tmp_path)
    applied = site.fwfix.apply(plan)
    _, window = opening(took, "PT1H")
    again = site.fwfix.apply(plan, "--wait", "--window", window, code=5)
    assert again.document["reason"]["code"] == "record-exists"
    assert applied.run_id in again.document["reason"]["message"]
    assert "observe" not in again.stderr


def test_a_host_that_lets_nobody_in_is_named_before_the_wait(site: "Site", tmp_path: Path) -> None:
    plan, took = save(site, tmp_path)
    site.host.kill_sshd()
    _, window = opening(took, "PT1H")
    started = site.fwfix.start("apply", plan, "--wait", "--window", window, "--connect-timeout", "2s")
    site.wait_for(lambda: started.has_said("cannot be reached yet: gw: "), f"{started}")
    started.send(signal.SIGINT)
    assert started.end().code == 130
    assert site.states() == {}


def test_a_host_that_lets_us_in_too_late_for_its_window_is_not_armed(site: "Site", tmp_path: Path) -> None:
    plan, _ = save(site, tmp_path)
    before = site.rules()
    # The host may need 180 s: it is in time when it is asked, and no longer when it answers.
    latest = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12)
    window = f"2026-01-01T00:00Z/{latest + timedelta(seconds=180):%Y-%m-%dT%H:%M:%SZ}"
    site.sh("pkill -STOP -x sshd")
    started = site.fwfix.start("apply", plan, "--window", window, "--connect-timeout", "300s")
    started.await_step("observe")
    site.wait_for(lambda: datetime.now(UTC) > latest, "the last moment to start")
    site.sh("pkill -CONT -x sshd")
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (5, "skipped", "window-too-short")
    assert ended.steps() == ["observe", "baseline"]
    assert (site.states(), site.rules()) == ({}, before)
