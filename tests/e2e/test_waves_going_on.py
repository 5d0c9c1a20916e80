"""Waves with real hosts: what is seen between them, where they stop, and how a run goes on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import Ended, MakeSite, Site

pytestmark = pytest.mark.lab

# A host on which no timer can be rehearsed, and how it is mended.
SICK = "cd /usr/sbin && mv iptables-restore kept-restore && ln -s /bin/false iptables-restore"
WELL = "cd /usr/sbin && mv kept-restore iptables-restore"
UNREACHABLE = "iptables -I INPUT -p tcp --dport 22 -j DROP"
REACHABLE = "iptables -D INPUT -p tcp --dport 22 -j DROP"


def specs(count: int) -> list[HostSpec]:
    return [HostSpec(name=f"gw-{number}") for number in range(1, count + 1)]


def outcomes(ended: "Ended") -> list[str]:
    return [each["outcome"] for each in ended.document["hosts"]]


def events(site: "Site", run_id: str, kind: str) -> list[dict[str, Any]]:
    shown = site.fwfix.run("runs", "show", run_id).document
    return [each["body"] for each in shown["events"] if each["kind"] == kind]


def go_on(site: "Site", run_id: str, *arguments: str, code: int | None = 0) -> "Ended":
    """Go on without an inventory: the journal has all that is needed."""
    return site.fwfix.apply("--continue", run_id, *arguments, code=code)


def test_a_run_that_was_asked_to_stop_goes_on_under_its_own_id(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))
    stopped = site.fwfix.apply("--waves", "1,2,100%", "--stop-after", "1", code=3)
    assert outcomes(stopped) == ["applied", "skipped", "skipped"]
    assert stopped.host("gw-2")["reason"]["next"].endswith(f"--continue {stopped.run_id}")
    again = go_on(site, stopped.run_id, "--stop-after", "1", code=3)
    assert outcomes(again) == ["applied", "applied", "skipped"]
    # What a limit names may be done already: it is shown as it is, and nobody else is started.
    done = go_on(site, stopped.run_id, "-l", "gw-2")
    assert [each["name"] for each in done.document["hosts"]] == ["gw-2"]
    go_on(site, stopped.run_id, "-l", "nosuch", code=2)
    ended = go_on(site, stopped.run_id, "--ticket", "CHG-2")
    assert outcomes(ended) == ["applied"] * 3
    assert [each["ticket"] for each in events(site, ended.run_id, "ticket")] == ["CHG-2"]
    assert {each.run_id for each in (stopped, again, ended)} == {stopped.run_id}
    for host in site.lab.hosts:
        assert site.states(host) == {stopped.run_id: "confirmed"}
    assert outcomes(go_on(site, stopped.run_id)) == ["applied"] * 3  # nothing is left
    assert site.fwfix.run("runs", "check", code=0).document["ok"]
    undone = site.fwfix.rollback(stopped.run_id)
    assert undone.document["summary"]["rolled_back"] == 3


def test_a_host_that_was_rolled_back_since_is_not_called_applied_when_the_run_goes_on(
    make_site: "MakeSite",
) -> None:
    site = make_site(*specs(2))
    stopped = site.fwfix.apply("--waves", "1,100%", "--stop-after", "1", code=3)
    site.fwfix.rollback(stopped.run_id)
    again = go_on(site, stopped.run_id, code=3)
    assert outcomes(again) == ["reverted", "applied"]
    assert again.host("gw-1")["reason"]["code"] == "rolled-back"


def test_a_run_that_goes_on_stays_within_the_most_hosts_of_the_site(
    make_site: "MakeSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(*specs(2))
    plan, limits = str(tmp_path / "plan.json"), tmp_path / "site.yaml"
    site.fwfix.run("plan", "-o", plan, code=0)
    limits.write_text("max_hosts: 1\n")
    limits.chmod(0o644)
    monkeypatch.setenv("FWFIX_SITE", str(limits))
    first = site.fwfix.apply(plan, "-l", "gw-1")
    refused = site.fwfix.apply(plan, "-l", "gw-2", code=5)
    assert refused.document["reason"]["code"] == "too-many-hosts"
    assert site.states(site.lab["gw-2"]) == {}
    assert outcomes(first) == ["applied"]


def test_hosts_that_are_planned_when_a_run_goes_on_count_for_the_most_hosts_of_the_site(
    make_site: "MakeSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, limits = make_site(*specs(2)), tmp_path / "site.yaml"
    for host in site.lab.hosts:
        site.sh(UNREACHABLE, host)
    first = site.fwfix.apply("--connect-timeout", "4s", code=3)
    for host in site.lab.hosts:
        site.sh(REACHABLE, host)
    limits.write_text("max_hosts: 1\n")
    limits.chmod(0o644)
    monkeypatch.setenv("FWFIX_SITE", str(limits))
    refused = go_on(site, first.run_id, code=5)
    assert refused.document["reason"]["code"] == "too-many-hosts"
    assert [site.states(host) for host in site.lab.hosts] == [{}, {}]
    assert outcomes(go_on(site, first.run_id, "-l", "gw-1")) == ["applied"]


def test_a_plan_is_applied_once_to_a_host_and_later_to_those_that_a_limit_left_out(
    make_site: "MakeSite", tmp_path: Path
) -> None:
    site = make_site(*specs(3))
    plan = str(tmp_path / "plan.json")
    site.fwfix.run("plan", "-o", plan, code=0)
    first = site.fwfix.apply(plan, "-l", "gw-1")
    before = site.rules(site.lab["gw-1"])
    refused = site.fwfix.apply(plan, "-l", "gw-1", code=5)
    assert (refused.document["hosts"], refused.document["reason"]["code"]) == ([], "record-exists")
    assert site.rules(site.lab["gw-1"]) == before
    second = site.fwfix.apply(plan, "-l", "gw-1,gw-2")
    assert (second.run_id, outcomes(second)) == (first.run_id, ["applied"] * 2)
    rest = site.fwfix.apply(plan)
    assert (rest.run_id, outcomes(rest)) == (first.run_id, ["applied"] * 3)
    site.fwfix.apply(plan, code=5)
    undone = site.fwfix.rollback(first.run_id)
    assert undone.document["summary"]["rolled_back"] == 3
    site.fwfix.apply(plan, code=5)


def test_a_host_that_was_out_of_reach_is_planned_when_the_run_goes_on(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))
    away = site.lab["gw-2"]
    site.sh(UNREACHABLE, away)
    first = site.fwfix.apply("--connect-timeout", "4s", "--max-unreachable", "1", code=3)
    assert outcomes(first) == ["applied", "failed", "applied"]
    site.sh(REACHABLE, away)
    before = site.rules(away)
    ended = go_on(site, first.run_id)
    assert outcomes(ended) == ["applied"] * 3
    assert site.states(away) == {first.run_id: "confirmed"}
    assert site.is_blocked(away)
    # What was planned late is known to the journal like all the rest.
    undone = site.fwfix.rollback(first.run_id, "-l", "gw-2")
    assert undone.outcome() == "rolled_back"
    assert undone.host()["probes"]
    assert site.rules(away) == before


def test_a_run_that_goes_on_outside_its_window_contacts_nobody_not_even_those_it_has_to_plan(
    make_site: "MakeSite",
) -> None:
    site = make_site(*specs(2))
    freeze = site.fwfix.inventory.with_name("freeze.ics")
    freeze.write_text("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nEND:VCALENDAR\n")
    site.fwfix.rewrite(lambda content: content.update(blackouts=[freeze.name]))
    for host in site.lab.hosts:
        site.sh(UNREACHABLE, host)
    run = site.fwfix.apply("--connect-timeout", "4s", code=3).run_id
    closed = go_on(site, run, "--window", "2020-01-01T00:00Z/PT1H", code=5)
    assert closed.document["reason"]["code"] == "outside-window"
    freeze.unlink()
    assert "freeze.ics" in go_on(site, run, code=2).stderr
    assert "observe" not in closed.stderr
    assert site.fwfix.run("runs", "recover", code=0).document["hosts"] == []


def test_a_host_that_a_saved_plan_could_not_see_is_not_planned_later(
    make_site: "MakeSite", tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = make_site(*specs(2))
    plan = str(tmp_path_factory.mktemp("plan") / "plan.json")
    site.sh(UNREACHABLE, site.lab["gw-2"])
    site.fwfix.run("plan", "-o", plan, "--connect-timeout", "4s", "--max-unreachable", "1", code=3)
    site.sh(REACHABLE, site.lab["gw-2"])
    first = site.fwfix.apply(plan, code=3)
    assert outcomes(first) == ["applied", "failed"]
    assert outcomes(go_on(site, first.run_id, code=3)) == ["applied", "failed"]
    assert site.states(site.lab["gw-2"]) == {}


def test_who_was_turned_away_is_shown_between_waves_and_before_going_on(make_site: "MakeSite") -> None:
    site = make_site(*specs(2))
    stopped = site.fwfix.apply("--stop-after", "1", code=3)
    first = site.host
    for _ in range(2):
        assert site.lab.outside.connect(first.address, 9100, timeout=0.4) == "filtered"
    ended = go_on(site, stopped.run_id)
    (line,) = [line for line in ended.stderr.splitlines() if "turned away since" in line]
    assert "gw-1" in line
    assert "9100/tcp IPv4" in line
    (seen,) = events(site, stopped.run_id, "counters")
    assert seen["turned_away"]["gw-1"]["9100/tcp IPv4"] >= 2


def test_our_own_probes_are_nobody_who_was_turned_away(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))
    ended = site.fwfix.apply("--waves", "1,2,100%")
    assert [each["turned_away"] for each in events(site, ended.run_id, "counters")] == [{}, {}]
    waves = events(site, ended.run_id, "wave")
    assert [(each["number"], each["state"]) for each in waves] == [
        (number, state) for number in (1, 2, 3) for state in ("started", "ended")
    ]
    assert waves[1]["summary"] == {"applied": 1}


def test_a_run_that_is_stopped_undoes_what_it_had_applied_where_that_is_asked_for(
    make_site: "MakeSite",
) -> None:
    site = make_site(*specs(4))
    before = [site.rules(host) for host in site.lab.hosts]
    site.sh(SICK, site.lab["gw-3"])
    ended = site.fwfix.apply("--waves", "2,3,100%", "--rollback-on-stop", code=3)
    assert outcomes(ended) == ["reverted", "reverted", "failed", "skipped"]
    assert ended.reason("gw-1") == "wave-stopped"
    site.sh(WELL, site.lab["gw-3"])
    assert [site.rules(host) for host in site.lab.hosts] == before
    for name in ("gw-1", "gw-2"):
        assert site.states(site.lab[name]) == {ended.run_id: "reverted"}
        assert site.is_open(site.lab[name])
    (stop,) = events(site, ended.run_id, "stopped")
    assert "--max-fail" in stop["message"]
    assert "in force anywhere" in site.fwfix.rollback(code=None).stderr  # nothing is left to undo


def test_hosts_that_stand_in_for_each_other_are_never_changed_in_one_wave(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))

    def pair(content: dict[str, Any]) -> None:
        for name in ("gw-1", "gw-2"):
            content["hosts"][name]["labels"] = {"spread": "print-cluster"}

    site.fwfix.rewrite(pair)
    ended = site.fwfix.apply("--waves", "100%")
    assert outcomes(ended) == ["applied"] * 3
    waves = events(site, ended.run_id, "wave")
    assert [each["hosts"] for each in waves if each["state"] == "started"] == [2, 1]


def test_an_unfinished_run_is_recovered_before_it_goes_on(make_site: "MakeSite") -> None:
    site = make_site(*specs(2))
    started = site.fwfix.start("apply", "--waves", "1,100%")
    started.await_step("verify")
    started.kill()
    (run,) = site.fwfix.run("runs", "list").document["runs"]
    refused = go_on(site, run["run_id"], code=2)
    assert "runs recover" in refused.stderr
    site.fwfix.run("runs", "recover", code=None)
    ended = go_on(site, run["run_id"], code=3)
    assert outcomes(ended) == ["reverted", "applied"]


def test_a_failure_also_stops_the_hosts_of_its_own_wave_that_nobody_armed_yet(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))
    site.sh(SICK, site.lab["gw-1"])
    ended = site.fwfix.apply("--waves", "100%", "--forks", "1", code=3)
    assert outcomes(ended) == ["failed", "skipped", "skipped"]
    for name in ("gw-2", "gw-3"):
        assert ended.reason(name) == "wave-stopped"
        assert "arm" not in ended.steps(name)
        assert site.states(site.lab[name]) == {}
    site.sh(WELL, site.lab["gw-1"])
    later = go_on(site, ended.run_id, code=3)
    assert outcomes(later) == ["failed", "applied", "applied"]  # a host that failed is not tried again


def test_hosts_that_are_undone_although_a_limit_left_them_out_are_reported(make_site: "MakeSite") -> None:
    site = make_site(*specs(3))
    stopped = site.fwfix.apply("--waves", "1,100%", "--stop-after", "1", code=3)
    site.sh(SICK, site.lab["gw-3"])
    ended = go_on(site, stopped.run_id, "-l", "gw-3", "--rollback-on-stop", code=3)
    found = {each["name"]: each["outcome"] for each in ended.document["hosts"]}
    assert found == {"gw-1": "reverted", "gw-3": "failed"}
    assert site.is_open(site.lab["gw-1"])


def test_hosts_that_are_planned_when_a_run_goes_on_keep_to_the_waves_asked_for(
    make_site: "MakeSite",
) -> None:
    site = make_site(*specs(3))
    for host in site.lab.hosts:
        site.sh(UNREACHABLE, host)
    first = site.fwfix.apply("--connect-timeout", "4s", code=3)
    for host in site.lab.hosts:
        site.sh(REACHABLE, host)
    wrong = go_on(site, first.run_id, "--waves", "abc", code=2)
    assert "--waves abc" in wrong.stderr
    ended = go_on(site, first.run_id, "--waves", "1,2,3")
    assert outcomes(ended) == ["applied"] * 3
    waves = events(site, first.run_id, "wave")
    assert [each["hosts"] for each in waves if each["state"] == "started"] == [1, 1, 1]
