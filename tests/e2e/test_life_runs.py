"""Several runs on one host, and plans that were saved."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab


def _allow(site: "Site", *sources: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["policies"]["block-raw-printing"]["allow_from"].extend(sources)

    site.fwfix.rewrite(change)


def test_a_second_policy_supersedes_the_first_and_each_is_rolled_back_newest_first(site: "Site") -> None:
    before = site.rules()
    first = site.fwfix.apply().run_id
    with_first = site.rules()
    _allow(site, "192.0.2.7")
    second = site.fwfix.apply().run_id
    with_second = site.rules()
    assert first not in with_second
    assert "192.0.2.7" in with_second
    assert site.states() == {first: "confirmed", second: "confirmed"}
    (entry,) = site.fwfix.run("status", code=0).document["hosts"]
    assert (entry["run_id"], entry["superseded"]) == (second, [first])
    assert site.fwfix.rollback(second).outcome() == "rolled_back"
    assert site.rules() == with_first
    assert site.is_blocked()
    assert site.fwfix.rollback(first).outcome() == "rolled_back"
    assert site.rules() == before
    assert site.is_open()


def test_the_old_run_is_not_rolled_back_before_the_newer_one(site: "Site") -> None:
    first = site.fwfix.apply().run_id
    _allow(site, "192.0.2.7")
    second = site.fwfix.apply().run_id
    rules = site.rules()
    refused = site.fwfix.rollback(first, code=3)
    assert (refused.outcome(), refused.reason()) == ("failed", "superseded")
    reason = refused.host()["reason"]
    assert second in reason["message"] + reason["next"]
    assert site.rules() == rules
    assert site.states() == {first: "confirmed", second: "confirmed"}
    done = site.host.run(["sh", f"/var/lib/fwfix/runs/{first}/rollback.sh"])
    assert done.returncode == 3
    assert second in done.stdout
    assert site.rules() == rules


def test_a_second_run_that_is_reverted_leaves_the_first_in_force(site: "Site") -> None:
    first = site.fwfix.apply().run_id
    with_first = site.rules()
    _allow(site, "192.0.2.7")
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.host.kill_sshd()
    ended = started.end()
    assert (ended.code, ended.outcome()) == (3, "reverted")
    assert site.rules() == with_first
    assert site.is_blocked()
    site.host.start_sshd()
    (entry,) = site.fwfix.run("status", code=0).document["hosts"]
    assert (entry["run_id"], entry["state"]) == (first, "confirmed")
    assert site.fwfix.run("plan", code=0).outcome() == "change"
    assert site.fwfix.rollback(first).outcome() == "rolled_back"
    assert site.is_open()


def test_an_administrator_can_undo_a_run_by_hand(site: "Site") -> None:
    before = site.rules()
    run = site.fwfix.apply().run_id
    site.sh(f"sh /var/lib/fwfix/runs/{run}/rollback.sh")
    assert site.rules() == before
    assert site.is_open()
    assert site.states() == {run: "reverted"}
    assert site.fwfix.rollback(run).outcome() == "noop"
    assert site.fwfix.run("verify", code=6).outcome() == "drift"


def test_a_saved_plan_is_applied_once_and_only_as_it_is(site: "Site") -> None:
    path = site.fwfix.inventory.with_name("plan.json")
    planned = site.fwfix.run("plan", "-o", str(path), code=0)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved["schema"] == "fwfix.plan/1"
    assert saved["run_id"] == planned.run_id
    assert site.host.password not in path.read_text(encoding="utf-8")
    for widening in ("--accept=unproven", "--max-fail=3", "--confirm-within=9s"):
        refused = site.fwfix.apply(str(path), widening, code=2)
        assert refused.document["error"]["code"] == "usage"
    assert site.states() == {}
    other, third = site.second_controller(), site.second_controller()
    site.fwfix.inventory.unlink()
    ended = site.fwfix.apply(str(path))
    assert (ended.outcome(), ended.run_id) == ("applied", planned.run_id)
    assert ended.document["plan_digest"].startswith("sha256:")
    assert site.is_blocked()
    rules = site.rules()
    again = site.fwfix.apply(str(path), code=None)
    assert again.code != 0
    assert site.rules() == rules
    assert site.states() == {planned.run_id: "confirmed"}
    refused = other.apply(str(path), code=5)
    assert (refused.outcome(), refused.reason()) == ("skipped", "record-exists")
    other.rollback(planned.run_id)
    before = site.rules()
    refused = third.apply(str(path), code=5)
    assert (refused.outcome(), refused.reason()) == ("skipped", "record-exists")
    assert site.rules() == before


def test_a_saved_plan_is_stale_where_packets_are_decided_on_before_our_rules_and_nowhere_else(
    make_site: "MakeSite",
) -> None:
    site = make_site(HostSpec(name="gw"), HostSpec(name="other"))
    path = site.fwfix.inventory.with_name("plan.json")
    site.fwfix.run("plan", "-o", str(path), code=0)
    site.sh("iptables -t nat -A PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101")
    site.sh("iptables -A INPUT -p tcp --dport 80 -j ACCEPT", site.lab["other"])
    before = site.rules()
    ended = site.fwfix.apply(str(path), code=3)
    assert (ended.outcome("gw"), ended.reason("gw")) == ("skipped", "stale-plan")
    assert ended.outcome("other") == "applied"
    assert site.rules() == before
    assert site.states() == {}


def test_a_plan_of_which_every_host_is_stale_is_refused_as_a_whole(site: "Site") -> None:
    path = site.fwfix.inventory.with_name("plan.json")
    site.fwfix.run("plan", "-o", str(path), code=0)
    site.fwfix.apply()
    assert site.fwfix.apply(str(path), code=5).reason() == "stale-plan"


def test_a_run_that_was_applied_and_rolled_back_can_be_applied_again(site: "Site") -> None:
    before = site.rules()
    runs = []
    for _ in range(2):
        runs.append(site.fwfix.apply().run_id)
        assert site.is_blocked()
        site.fwfix.rollback()
        assert site.rules() == before
    assert site.states() == dict.fromkeys(runs, "reverted")


def test_the_journal_shows_every_step_of_a_run(site: "Site") -> None:
    applied = site.fwfix.apply()
    site.fwfix.rollback(applied.run_id)
    listed = site.fwfix.run("runs", "list", code=0).document
    assert listed["schema"] == "fwfix.runs/1"
    assert len(listed["runs"]) == 2
    shown = site.fwfix.run("runs", "show", applied.run_id, code=0).document
    assert shown["run_id"] == applied.run_id
    assert shown["events"]
    site.fwfix.run("runs", "check", code=0)
