"""The main job on one host: plan, apply, verify, status, rollback."""

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# sudo notes whom it has lectured, and when somebody gave a password.
FILES = (
    "find / -xdev -not -path '/proc/*' -not -path '/var/lib/sudo*' -not -path '/run/sudo*' -type f"
    " \\( -path '/var/*' -o -path '/etc/*' -o -path '/root/*' -o -path '/home/*' -o -path '/run/*'"
    " -o -path '/tmp/*' \\) -printf '%p %s %m %T@\\n' | grep -v '^/var/log/' | sort"
)


def test_plan_changes_nothing_on_the_host(site: "Site") -> None:
    site.fwfix.run("plan", code=0)  # whatever the first logon of an account leaves
    rules, ruleset, files = site.rules(), site.host.ruleset(), site.sh(FILES)
    ended = site.fwfix.run("plan", code=0)
    assert ended.outcome() == "change"
    assert ended.document["run_id"] is None
    assert site.rules() == rules
    assert _uncounted(site.host.ruleset()) == _uncounted(ruleset)
    assert site.sh(FILES) == files
    assert site.sh("ls -d /var/lib/fwfix 2>/dev/null || :") == ""
    assert site.is_open()


def _uncounted(ruleset: str) -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", ruleset)


def test_plan_says_with_its_exit_code_that_changes_are_pending_only_when_asked(site: "Site") -> None:
    site.fwfix.run("plan", "--detailed-exitcode", code=6)
    site.fwfix.apply()
    assert site.fwfix.run("plan", "--detailed-exitcode", code=0).outcome() == "noop"


def test_apply_blocks_the_port_in_both_families_and_sends_nothing_into_it(site: "Site") -> None:
    assert site.is_open()
    sent = site.host.listener_bytes()
    ended = site.fwfix.apply()
    assert ended.outcome() == "applied"
    assert site.is_blocked()
    assert site.host.listener_bytes() == sent == b""
    assert site.states() == {ended.run_id: "confirmed"}
    site.await_no_timer()
    assert ":probe" not in site.rules()
    after = [probe for probe in ended.host()["probes"] if probe["phase"] == "after"]
    assert {(probe["family"], probe["result"]) for probe in after} == {
        ("ipv4", "filtered"),
        ("ipv6", "filtered"),
    }
    assert all(re.fullmatch(r"counter \+[1-9]\d*", probe["proof"]) for probe in after)


def test_a_second_apply_finds_nothing_to_do_and_changes_nothing(site: "Site") -> None:
    first = site.fwfix.apply()
    rules, files = site.rules(), site.sh("find /var/lib/fwfix | sort")
    again = site.fwfix.apply()
    assert again.outcome() == "noop"
    assert again.document["summary"]["noop"] == 1
    assert (site.rules(), site.sh("find /var/lib/fwfix | sort")) == (rules, files)
    assert site.states() == {first.run_id: "confirmed"}


def test_rollback_puts_the_rules_back_exactly_and_opens_the_port_again(site: "Site") -> None:
    before = site.rules()
    applied = site.fwfix.apply()
    assert site.rules() != before
    undone = site.fwfix.rollback(applied.run_id)
    assert undone.outcome() == "rolled_back"
    assert undone.reason() == ""
    # One look is enough where the ports answer as before.
    assert undone.steps() == ["observe", "rollback"]
    assert {probe["result"] for probe in undone.host()["probes"]} == {"open"}
    assert site.rules() == before
    assert "fwfix" not in site.host.ruleset().lower()
    assert site.states() == {applied.run_id: "reverted"}
    assert site.is_open()
    assert (
        site.sh("ls /etc/init.d/fwfix /etc/systemd/system/fwfix.service /var/lib/fwfix/lock 2>/dev/null || :")
        == ""
    )
    assert site.fwfix.rollback(applied.run_id).outcome() == "noop"


def test_rollback_without_a_run_undoes_the_newest_in_force(site: "Site") -> None:
    before = site.rules()
    site.fwfix.apply()
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.rules() == before
    again = site.fwfix.rollback(code=0)  # nothing to do
    assert (again.document["hosts"], again.document["run_id"]) == ([], None)
    assert "no run in this journal is in force anywhere" in again.stderr


def test_rollback_of_a_host_without_a_run_undoes_the_newest_that_stands_on_it(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="one"), HostSpec(name="two"))
    first = site.fwfix.apply("-l", "one")
    second = site.fwfix.apply("-l", "two")
    undone = site.fwfix.rollback("-l", "one")
    assert (undone.run_id, undone.outcome("one")) == (first.run_id, "rolled_back")
    assert site.fwfix.rollback("-l", "two").run_id == second.run_id


def test_the_newest_run_is_the_one_that_was_applied_last_and_not_the_one_whose_plan_is_youngest(
    make_site: "MakeSite", tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = make_site(HostSpec(name="one"), HostSpec(name="two"))
    plan = str(tmp_path_factory.mktemp("plan") / "plan.json")
    site.fwfix.run("plan", "-l", "two", "-o", plan, code=0)
    site.fwfix.apply("-l", "one")
    last = site.fwfix.apply(plan)
    assert last.run_id in site.fwfix.run("runs", "list").stdout
    assert site.fwfix.rollback().run_id == last.run_id


def test_rollback_without_a_run_needs_a_journal_that_knows_of_one(site: "Site") -> None:
    site.fwfix.apply()
    ended = site.second_controller().rollback(code=2)
    assert "knows of no run" in ended.document["error"]["message"]
    assert "knows of no run" in ended.stderr


def test_rollback_of_a_run_that_nobody_knows_is_no_success(site: "Site") -> None:
    applied = site.fwfix.apply()
    elsewhere = site.second_controller()
    typo = "20261121T010101Z-abcd"
    wrong = elsewhere.rollback(typo, code=2)
    assert (
        f"neither the journal nor a host that was asked knows run {typo}"
        in wrong.document["error"]["message"]
    )
    assert site.states() == {applied.run_id: "confirmed"}
    assert elsewhere.rollback(applied.run_id).outcome() == "rolled_back"
    assert elsewhere.rollback(applied.run_id).outcome() == "noop"


def test_rollback_works_from_the_hosts_records_when_the_journal_is_gone(site: "Site") -> None:
    before = site.rules()
    applied = site.fwfix.apply()
    other = site.second_controller()
    assert other.run("status", code=0).document["hosts"][0]["run_id"] == applied.run_id
    assert other.rollback(applied.run_id).outcome() == "rolled_back"
    assert site.rules() == before
    assert site.is_open()


def test_rollback_needs_no_inventory(site: "Site") -> None:
    applied = site.fwfix.apply()
    site.fwfix.inventory.unlink()
    ended = _raw(site, "rollback", applied.run_id, "--yes", "--json")
    assert ended["exit_code"] == 0
    assert site.is_open()


def _raw(site: "Site", *arguments: str) -> dict[str, Any]:
    import subprocess

    done = subprocess.run(
        site.fwfix.bare(*arguments), capture_output=True, text=True, check=False, timeout=60
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_an_allowed_source_keeps_access_and_everybody_else_loses_it(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw"), HostSpec(name="print-server"))
    server, gateway = site.lab["print-server"], site.lab["gw"]

    def allow(content: dict[str, Any]) -> None:
        content["hosts"]["print-server"]["vantage"] = True
        content["policies"]["block-raw-printing"]["allow_from"] = [server.address, server.address6]

    site.fwfix.rewrite(allow)
    ended = site.fwfix.apply("-l", "gw")
    assert site.is_blocked(gateway)
    for address in (gateway.address, gateway.address6):
        code = f"import socket; socket.create_connection(('{address}', 9100), 3).close()"
        assert server.run(["python3", "-c", code]).returncode == 0
    probes = {
        (probe["from"], probe["family"]): probe
        for probe in ended.host()["probes"]
        if probe["phase"] == "after"
    }
    for family in ("ipv4", "ipv6"):
        asked = probes["print-server", family]
        assert (asked["result"], asked["expected"]) == ("open", "open")
        assert probes["controller", family]["expected"] == "blocked"


def test_a_vantage_that_must_be_blocked_is_proven_blocked(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw"), HostSpec(name="elsewhere"))

    def lend(content: dict[str, Any]) -> None:
        content["hosts"]["elsewhere"]["vantage"] = True

    site.fwfix.rewrite(lend)
    ended = site.fwfix.apply("-l", "gw")
    after = [probe for probe in ended.host()["probes"] if probe["phase"] == "after"]
    seen = {(probe["from"], probe["family"]): (probe["result"], probe["expected"]) for probe in after}
    assert seen == {
        (name, family): ("filtered", "blocked")
        for name in ("controller", "elsewhere")
        for family in ("ipv4", "ipv6")
    }
    assert all(probe["proof"].startswith("counter +") for probe in after)


def test_verify_finds_what_somebody_flushed(site: "Site") -> None:
    assert site.fwfix.run("verify", code=6).outcome() == "drift"
    site.fwfix.apply()
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    site.sh("iptables -D INPUT 1")
    drifted = site.fwfix.run("verify", code=6)
    assert drifted.outcome() == "drift"
    assert drifted.reason() == "drift"


def test_verify_finds_an_accept_that_was_put_in_front_of_ours(site: "Site") -> None:
    site.fwfix.apply()
    site.sh("iptables -I INPUT 1 -p tcp --dport 9100 -j ACCEPT")
    assert site.fwfix.run("verify", code=6).outcome() == "drift"


def test_status_tells_from_the_hosts_own_records(site: "Site") -> None:
    document = site.fwfix.run("status", code=0).document
    assert document["schema"] == "fwfix.status/1"
    nothing = {
        "name": "gw",
        "run_id": None,
        "state": None,
        "since": None,
        "operator": None,
        "reverts_at": None,
        "superseded": [],
    }
    assert document["hosts"] == [nothing]
    applied = site.fwfix.apply()
    (entry,) = site.fwfix.run("status", code=0).document["hosts"]
    assert set(entry) == set(nothing)
    assert (entry["run_id"], entry["state"], entry["reverts_at"]) == (applied.run_id, "confirmed", None)
    assert MOMENT.fullmatch(entry["since"])
    assert entry["operator"]


def test_the_document_has_exactly_the_keys_of_the_contract(site: "Site") -> None:
    run = {"schema", "command", "run_id", "started_at", "finished_at", "operator", "controller"}
    run |= {"fwfix_version", "ticket", "plan_digest", "exit_code", "summary", "hosts"}
    entry = {"name", "address", "platform", "labels", "outcome", "reason", "reverts_at", "hazards", "changes"}
    entry |= {"probes", "steps"}
    for command in ("plan", "apply", "verify", "rollback"):
        ended = site.fwfix.run(command, code=0)
        document = ended.document
        assert set(document) == run
        assert (document["schema"], document["command"]) == ("fwfix.run/1", command)
        assert document["exit_code"] == ended.code
        assert MOMENT.fullmatch(document["started_at"])
        assert MOMENT.fullmatch(document["finished_at"])
        host = ended.host()
        assert set(host) == entry
        assert sum(document["summary"].values()) == 1
        assert document["summary"][host["outcome"]] == 1
        if command in ("apply", "rollback"):
            assert RUN_ID.fullmatch(document["run_id"])
            assert all(set(step) == {"step", "ok", "at", "took_ms"} for step in host["steps"])


def test_apply_and_rollback_refuse_without_a_terminal_and_without_yes(site: "Site") -> None:
    import subprocess

    for command in (
        ["apply", "-i", str(site.fwfix.inventory)],
        ["rollback"],
        ["apply", "-i", "/nowhere.yaml"],
    ):
        done = subprocess.run(
            site.fwfix.bare(*command), capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "--yes" in done.stderr
    assert not site.fwfix.state_dir.exists()
    assert site.states() == {}


def test_a_deadline_below_the_worst_case_is_said_and_armed_exactly_as_given(site: "Site") -> None:
    planned = site.fwfix.run("plan", "--confirm-within", "7s", code=0)
    assert [(each["code"], each["severity"]) for each in planned.host()["hazards"]] == [
        ("deadline-short", "warn")
    ]
    ended = site.fwfix.apply("--confirm-within", "7s")
    assert "deadline-short" in [each["code"] for each in ended.host()["hazards"]]
    assert "\nseconds=7\n" in site.sh(f"cat /var/lib/fwfix/runs/{ended.run_id}/meta")
    for given in ("4s", "soon"):
        assert "hosts" not in site.fwfix.run("plan", "--confirm-within", given, code=2).document


def test_policies_of_the_chains_stay_as_they_are(site: "Site") -> None:
    def policies() -> list[str]:
        lines = site.host.iptables_save() + site.host.ip6tables_save()
        return [
            line.split("[")[0] for line in lines.splitlines() if re.match(r":(INPUT|FORWARD|OUTPUT) ", line)
        ]

    before = policies()
    assert before.count(":INPUT DROP ") == 2
    site.fwfix.apply()
    assert policies() == before
    site.fwfix.rollback()
    assert policies() == before
