"""Many hosts, some of them sick."""

import time
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

WELL = tuple(f"well-{number}" for number in range(1, 26))
SICK = ("dead-1", "dead-2", "dead-3", "hang-1", "hang-2")
PATIENCE = 4.0
# A host on which no timer can be rehearsed.
NO_RESTORE = "cd /usr/sbin && rm iptables-restore && ln -s /bin/false iptables-restore"


def _specs() -> list[HostSpec]:
    sick = [HostSpec(name=name, dead=name.startswith("dead"), hang=name.startswith("hang")) for name in SICK]
    return [*(HostSpec(name=name) for name in WELL[:12]), *sick, *(HostSpec(name=name) for name in WELL[12:])]


def test_dead_and_hanging_hosts_cost_their_own_time_and_nobody_elses(make_site: "MakeSite") -> None:
    site = make_site(*_specs())
    began = time.monotonic()
    site.fwfix.run("plan", "-l", "dead-1", "--connect-timeout", "4s", code=3)
    one = time.monotonic() - began
    began = time.monotonic()
    planned = site.fwfix.run("plan", "-l", ",".join(SICK), "--connect-timeout", "4s", code=3)
    assert time.monotonic() - began < one + PATIENCE  # one after another they would take 16 s more
    assert {planned.outcome(name) for name in SICK} == {"failed"}
    ended = site.fwfix.run(
        "apply", "--connect-timeout", "4s", "--max-unreachable", "5", "--waves", "100%", code=3, timeout=100
    )
    assert {name: ended.outcome(name) for name in WELL} == dict.fromkeys(WELL, "applied")
    for name in SICK:
        assert ended.outcome(name) == "failed"
        assert "arm" not in ended.steps(name)
        assert ended.host(name)["reason"]["next"]
    assert ended.document["summary"]["applied"] == len(WELL)
    assert [entry["name"] for entry in ended.document["hosts"]] == [spec.name for spec in _specs()]
    assert all(site.states(site.lab[name]) == {ended.run_id: "confirmed"} for name in WELL)
    refused = site.fwfix.rollback(code=2)
    assert f"fwfix rollback {ended.run_id}" in refused.stderr
    undone = site.fwfix.run("rollback", ended.run_id, code=0, timeout=100)
    assert undone.document["summary"]["rolled_back"] == len(WELL)
    assert all(site.is_open(site.lab[name]) for name in WELL[::8])


def test_more_silent_hosts_than_allowed_stop_the_run_before_any_host_is_started(
    make_site: "MakeSite",
) -> None:
    site = make_site(HostSpec(name="dead", dead=True), HostSpec(name="well-1"), HostSpec(name="well-2"))
    ended = site.fwfix.apply("--connect-timeout", "4s", "--max-unreachable", "0", code=3)
    assert ended.outcome("dead") == "failed"
    for name in ("well-1", "well-2"):
        assert (ended.outcome(name), ended.reason(name)) == ("skipped", "wave-stopped")
        assert site.states(site.lab[name]) == {}


def test_a_host_that_fails_stops_the_waves_behind_it_and_what_is_applied_stays(make_site: "MakeSite") -> None:
    site = make_site(*(HostSpec(name=f"gw-{number}") for number in range(1, 5)))
    sick = site.lab["gw-2"]
    site.sh(NO_RESTORE, sick)
    ended = site.fwfix.apply("--waves", "1,2,100%", code=3)
    assert [ended.outcome(host.name) for host in site.lab.hosts] == [
        "applied",
        "failed",
        "skipped",
        "skipped",
    ]
    assert ended.reason("gw-3") == "wave-stopped"
    assert site.is_blocked(site.lab["gw-1"])
    assert site.states(site.lab["gw-3"]) == {}


def test_one_failure_is_tolerated_where_that_is_allowed(make_site: "MakeSite") -> None:
    site = make_site(*(HostSpec(name=f"gw-{number}") for number in range(1, 4)))
    site.sh(NO_RESTORE, site.lab["gw-1"])
    ended = site.fwfix.apply("--waves", "1,100%", "--max-fail", "1", code=3)
    assert [ended.outcome(host.name) for host in site.lab.hosts] == ["failed", "applied", "applied"]


def test_a_host_with_a_hazard_is_skipped_and_the_rest_go_on(make_site: "MakeSite") -> None:
    exporter = Listener(process="node_exporter")
    site = make_site(HostSpec(name="gw"), HostSpec(name="metrics", listeners=(exporter,)))
    ended = site.fwfix.apply(code=3)
    assert (ended.outcome("gw"), ended.outcome("metrics")) == ("applied", "skipped")
    assert ended.reason("metrics") == "hazard:listener-is-exporter"
    assert site.states(site.lab["metrics"]) == {}
    alone = site.fwfix.apply("-l", "metrics", code=5)
    assert alone.outcome() == "skipped"
    accepted = site.fwfix.apply("-l", "metrics", "--accept", "listener-is-exporter@metrics")
    assert accepted.outcome() == "applied"


def test_somebody_who_prints_right_now_keeps_a_host_out_of_the_run(site: "Site") -> None:
    with site.lab.outside.session(site.host.address, 9100):
        ended = site.fwfix.apply(code=5)
        assert ended.reason() == "hazard:session-would-be-cut"
        assert site.lab.outside.address in ended.host()["reason"]["message"]
    assert site.states() == {}


def test_a_controller_that_is_allowed_in_one_family_proves_the_block_in_the_other(site: "Site") -> None:
    def change(content: dict[str, Any]) -> None:
        lab = site.lab.network
        content["policies"]["block-raw-printing"]["allow_from"] = [str(lab.address), lab.strangers[1]]

    site.fwfix.rewrite(change)
    ended = site.fwfix.apply()
    assert ended.outcome() == "applied"
    assert "controller-is-allowed" in {hazard["code"] for hazard in ended.host()["hazards"]}
    proofs = {probe["family"]: probe.get("proof", "") for probe in ended.host()["probes"]}
    assert "counter" in proofs["ipv6"]
    assert site.ports()["outside4"] == site.ports()["controller6"] == "filtered"
    assert site.ports()["controller4"] == "open"


def test_a_port_that_nobody_can_probe_is_not_applied_without_saying_so(make_site: "MakeSite") -> None:
    """The controller is allowed, and no other vantage is lent: nothing can prove a block."""
    site = make_site()
    before = site.rules()

    def allow(content: dict[str, object]) -> None:
        content["policies"]["block-raw-printing"]["allow_from"] = [  # type: ignore[index]
            str(site.lab.network.ipv4),
            str(site.lab.network.ipv6),
        ]

    site.fwfix.rewrite(allow)
    ended = site.fwfix.apply(code=5)
    assert (ended.outcome(), ended.reason()) == ("skipped", "hazard:unproven")
    assert site.rules() == before
    accepted = site.fwfix.apply("--accept", "unproven")
    assert accepted.outcome() == "applied"
    assert all(probe.get("proof") in (None, "structure") for probe in accepted.host()["probes"])
    assert site.is_open()
