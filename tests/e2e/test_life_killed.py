"""The controller dies, sleeps or is interrupted: the host's own file decides, and fwfix says what it says."""

import signal
import time
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site, Started

pytestmark = pytest.mark.lab

RUNS = "/var/lib/fwfix/runs"
# What the controller says, or what the host shows, when the controller is killed.
MOMENTS = {
    "said-observe": ": observe",
    "said-baseline": ": baseline",
    "said-arm": ": arm",
    "said-apply": ": apply",
    "said-verify": ": verify",
    "said-confirm": ": confirm",
    "saw-arming": f"{RUNS}/*/state.arming",
    "saw-marker": f"{RUNS}/*/rehearsed",
    "saw-armed": f"{RUNS}/*/state.armed",
    "saw-ipv6": f"{RUNS}/*/after.v6",
    "saw-ipv4": f"{RUNS}/*/after.v4",
    "saw-boot": "/var/lib/fwfix/boot.sh",
    "saw-confirmed": f"{RUNS}/*/state.confirmed",
}
MAY_BE_CONFIRMED = {"said-confirm", "saw-boot", "saw-confirmed"}


def _await_moment(site: "Site", started: "Started", moment: str) -> None:
    text = MOMENTS[moment]
    if moment.startswith("said"):
        site.wait_for(lambda: any(line.endswith(text) for line in started.lines), moment)
    else:
        site.await_path(text, site.lab[moment])


@pytest.mark.timeout(400)
def test_a_controller_killed_at_any_moment_leaves_every_host_confirmed_or_as_it_was(
    make_site: "MakeSite",
) -> None:
    site = make_site(*(HostSpec(name=moment) for moment in MOMENTS))
    before = {host.name: site.rules(host) for host in site.lab.hosts}
    for moment in MOMENTS:
        started = site.fwfix.start("apply", "-l", moment, "--confirm-within", "12s")
        _await_moment(site, started, moment)
        started.kill()
        assert started.process.returncode == -signal.SIGKILL
    ended_well = {}
    for host in site.lab.hosts:
        site.wait_for(
            lambda host=host: set(site.states(host).values()) <= {"confirmed", "reverted"},
            f"the end of {host.name}",
        )
        site.await_no_timer(host)
        ended_well[host.name] = next(iter(site.states(host).values()), "")
        if ended_well[host.name] == "confirmed":
            assert host.name in MAY_BE_CONFIRMED
            assert site.is_blocked(host)
        else:
            assert site.rules(host) == before[host.name], host.name
            assert site.is_open(host), host.name
            assert not site.exists("/var/lib/fwfix/boot.sh", host), host.name
            assert not site.exists("/etc/init.d/fwfix", host), host.name
        assert not site.exists("/var/lib/fwfix/lock", host)
    assert ended_well["saw-confirmed"] == "confirmed"
    assert ended_well["saw-armed"] == ended_well["saw-ipv4"] == "reverted"
    # Where the kill comes after `arm` was sent, the host's own timer ends it.
    assert {ended_well["said-observe"], ended_well["said-baseline"]} <= {"", "reverted"}
    recovered = site.fwfix.run("runs", "recover", code=3)
    said = {entry["name"]: entry["outcome"] for entry in recovered.document["hosts"]}
    truth = {"confirmed": {"applied"}, "reverted": {"reverted"}, "": {"skipped", "failed"}}
    for name, outcome in said.items():
        assert outcome in truth[ended_well[name]], (name, outcome, ended_well[name])
    missed = {name for name, ended in ended_well.items() if ended} - set(said)
    # What was confirmed may have been written down before the controller died.
    assert missed <= MAY_BE_CONFIRMED
    for name in missed:
        (run_id,) = site.states(site.lab[name])
        assert site.fwfix.run("runs", "show", run_id, code=0).outcome(name) == "applied"
    assert site.fwfix.run("runs", "recover", code=0).document["hosts"] == []


def test_recover_reverts_at_once_what_a_killed_controller_left_armed(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "100s")
    site.await_path(f"{RUNS}/*/after.v4")
    started.kill()
    assert list(site.states().values()) == ["armed"]
    (entry,) = site.fwfix.run("status", code=0).document["hosts"]
    assert (entry["state"], entry["reverts_at"] is None) == ("armed", False)
    told = site.fwfix.run("runs", "recover", code=3)
    assert (told.outcome(), told.reason()) == ("reverted", "interrupted")
    assert "is unfinished" not in told.stderr  # it is being finished
    assert site.rules() == before
    assert site.is_open()
    site.await_no_timer()


def test_the_next_command_says_that_a_run_is_unfinished(site: "Site") -> None:
    assert "unfinished" not in site.fwfix.run("status", code=0).stderr
    assert not site.fwfix.state_dir.exists()  # what only looks makes no journal
    started = site.fwfix.start("apply")
    started.await_step("verify")
    started.kill()
    for command in ("status", "verify", "plan"):
        assert site.fwfix.run(command).stderr.count("is unfinished") == 1, command
    ended = site.fwfix.run("apply", code=3)
    assert "is unfinished" in ended.stderr
    assert ended.reason() in {"locked", "stale-plan"}
    site.fwfix.run("runs", "recover", code=3)
    assert "is unfinished" not in site.fwfix.apply().stderr


def test_a_frozen_controller_never_says_applied_when_the_timer_won(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "5s")
    started.await_step("verify")
    started.send(signal.SIGSTOP)
    site.await_state("reverted")
    assert site.rules() == before
    started.send(signal.SIGCONT)
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert ended.reason()
    assert site.is_open()


def test_a_controller_frozen_after_the_host_confirmed_says_applied(site: "Site") -> None:
    started = site.fwfix.start("apply", "--confirm-within", "5s")
    site.await_path(f"{RUNS}/*/state.confirmed")
    started.send(signal.SIGSTOP)
    time_is_up = time.monotonic() + 5.5
    site.wait_for(lambda: time.monotonic() > time_is_up, "the deadline")
    started.send(signal.SIGCONT)
    ended = started.end()
    assert (ended.code, ended.outcome()) == (0, "applied")
    assert list(site.states().values()) == ["confirmed"]
    assert site.is_blocked()


def test_a_host_that_sleeps_over_its_deadline_while_confirming_is_what_its_file_says(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "5s")
    started.await_step("confirm")
    site.host.freeze()
    time_is_up = time.monotonic() + 5.5
    site.wait_for(lambda: time.monotonic() > time_is_up, "the deadline")
    site.host.thaw()
    ended = started.end()
    (said,) = site.states().values()
    assert (said, ended.outcome(), ended.code) in {
        ("confirmed", "applied", 0),
        ("reverted", "reverted", 3),
    }
    assert (site.rules() == before) == (said == "reverted")
    site.await_no_timer()


def test_an_interrupted_run_brings_started_hosts_back_and_starts_no_other(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="first"), HostSpec(name="second"))
    before = site.rules(site.lab["first"])
    started = site.fwfix.start("apply", "--waves", "1,100%")
    started.await_step("verify", host="first")
    started.send(signal.SIGINT)
    ended = started.end()
    assert ended.code == ended.document["exit_code"] == 130
    assert (ended.outcome("first"), ended.outcome("second")) == ("reverted", "skipped")
    assert ended.reason("second") == "interrupted"
    assert site.rules(site.lab["first"]) == before
    assert list(site.states(site.lab["first"]).values()) == ["reverted"]
    assert site.states(site.lab["second"]) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_other_signals_interrupt_as_well(site: "Site", number: signal.Signals) -> None:
    started = site.fwfix.start("apply")
    started.await_step("arm")
    started.send(number)
    ended = started.end()
    assert ended.code == 130
    assert ended.outcome() in {"reverted", "failed", "skipped"}
    assert set(site.states().values()) <= {"reverted"}
    assert site.is_open()


def test_a_second_signal_leaves_at_once_and_says_when_hosts_restore_themselves(site: "Site") -> None:
    before = site.rules()
    started = site.fwfix.start("apply", "--confirm-within", "8s")
    started.await_step("verify")
    site.host.cut()
    started.send(signal.SIGINT)
    site.wait_for(lambda: started.has_said("again to leave at once"), "the first signal")
    began = time.monotonic()
    started.send(signal.SIGINT)
    ended = started.end()
    assert ended.code == 130
    assert time.monotonic() - began < 3
    assert "gw: restores itself at 2" in ended.stderr
    site.await_state("reverted")
    site.host.restore()
    assert site.rules() == before
    assert site.is_open()


def test_a_second_signal_names_a_host_that_was_being_armed_too(site: "Site") -> None:
    started = site.fwfix.start("apply", "--confirm-within", "8s")
    started.await_step("arm")
    site.host.cut()
    started.send(signal.SIGINT)
    site.wait_for(lambda: started.has_said("again to leave at once"), "the first signal")
    started.send(signal.SIGINT)
    ended = started.end()
    assert ended.code == 130
    assert "gw: restores itself at 2" in ended.stderr
