"""A host whose port stays open stops the waves: what was applied goes back, and nobody else is touched."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

# Somebody leads the port elsewhere behind our back: verify finds it open.
REDIRECT = "iptables -t nat -A PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101"
PROXIED = (Listener(), Listener(port=9101, process="proxy"))


def build(make_site: "MakeSite", count: int, *, open_one: str = "") -> "Site":
    names = [f"gw-{number}" for number in range(1, count + 1)]
    return make_site(
        *(HostSpec(name=name, listeners=PROXIED if name == open_one else (Listener(),)) for name in names)
    )


def save(site: "Site", folder: Path, *arguments: str) -> str:
    plan = str(folder / "plan.json")
    site.fwfix.run("plan", "-o", plan, *arguments, code=0)
    return plan


def outcomes(document: dict[str, Any]) -> list[str]:
    return [each["outcome"] for each in document["hosts"]]


def events(site: "Site", run_id: str, kind: str) -> list[dict[str, Any]]:
    shown = site.fwfix.run("runs", "show", run_id).document
    return [each["body"] for each in shown["events"] if each["kind"] == kind]


def test_a_host_that_fails_at_verify_takes_back_the_run_and_leaves_the_rest_alone(
    make_site: "MakeSite", tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = build(make_site, 5, open_one="gw-2")
    before = [site.rules(host) for host in site.lab.hosts]
    plan = save(site, tmp_path_factory.mktemp("plan"), "--waves", "1,4,100%")
    late = site.lab["gw-4"]
    site.sh("pkill -STOP -x sshd", late)
    started = site.fwfix.start("apply", plan, "--rollback-on-stop", "--connect-timeout", "300s")
    started.await_step("arm", host="gw-2")
    site.sh(REDIRECT, site.lab["gw-2"])
    # Its own wave is under way when it fails; who is let in only then must not be armed any more.
    stopped = "stopped: failed, reverted or unknown: 1 host; --max-fail"
    site.wait_for(lambda: started.has_said(stopped), f"{started}", patience=120)
    site.sh("pkill -CONT -x sshd", late)
    ended = started.end()
    assert (ended.code, outcomes(ended.document)) == (3, ["reverted"] * 3 + ["skipped"] * 2)
    assert [ended.reason(f"gw-{number}") for number in range(1, 6)] == [
        "wave-stopped",
        "still-open",
        "wave-stopped",
        "wave-stopped",
        "wave-stopped",
    ]
    assert "observe" in ended.steps("gw-4")
    assert "arm" not in ended.steps("gw-4")
    assert ended.steps("gw-5") == []
    site.sh(REDIRECT.replace("-A", "-D"), site.lab["gw-2"])
    assert [site.rules(host) for host in site.lab.hosts] == before
    assert all(site.is_open(host) for host in site.lab.hosts)
    reverted, untouched = {ended.run_id: "reverted"}, dict[str, str]()
    assert [site.states(host) for host in site.lab.hosts] == [reverted] * 3 + [untouched] * 2
    assert [each["state"] for each in events(site, ended.run_id, "wave")] == ["started", "ended"] * 2
    assert len(events(site, ended.run_id, "stopped")) == 1

    again = site.fwfix.apply("--continue", ended.run_id, code=3)
    assert outcomes(again.document) == ["reverted"] * 3 + ["applied"] * 2
    assert [site.is_blocked(host) for host in site.lab.hosts] == [False] * 3 + [True] * 2


def test_silent_hosts_stop_the_waves_and_what_is_applied_stays(
    make_site: "MakeSite", tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = build(make_site, 4)
    plan = save(site, tmp_path_factory.mktemp("plan"), "--waves", "1,3,100%", "--max-unreachable", "0")
    away = site.lab["gw-2"]
    away.kill_sshd()
    ended = site.fwfix.apply(plan, "--connect-timeout", "4s", code=3)
    assert (ended.outcome("gw-1"), ended.outcome("gw-2")) == ("applied", "failed")
    assert (ended.outcome("gw-4"), ended.reason("gw-4")) == ("skipped", "wave-stopped")
    (stop,) = events(site, ended.run_id, "stopped")
    assert "--max-unreachable allows 0" in stop["message"]
    assert site.is_blocked(site.lab["gw-1"])
    assert site.states(site.lab["gw-4"]) == {}
    away.start_sshd()
    assert outcomes(site.fwfix.apply("--continue", ended.run_id).document) == ["applied"] * 4


def test_who_is_turned_away_during_a_wave_is_shown_before_the_next(make_site: "MakeSite") -> None:
    site = build(make_site, 3)
    started = site.fwfix.start("apply", "--waves", "1,2,100%")
    started.await_step("arm", host="gw-2")
    for _ in range(2):
        assert site.lab.outside.connect(site.lab["gw-1"].address, 9100, timeout=0.4) == "filtered"
    ended = started.end()
    assert ended.code == 0
    said = [line for line in started.lines if "turned away since" in line or "wave 3 of 3" in line]
    assert "turned away since: nobody, on 1 host" in said[0]
    assert "turned away since: gw-1: " in said[1]
    assert "9100/tcp IPv4" in said[1]
    assert "wave 3 of 3: 1 host" in said[2]
