"""A saved plan is applied when those who must have approved it have, and never changed afterwards."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab


@dataclass(frozen=True, slots=True)
class People:
    """Keys by name, and the list of signers."""

    folder: Path
    signers: Path

    def key(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Alice, Bob and Carol are listed; Mallory has a key."""
    lines = []
    for name in ("alice", "bob", "carol", "mallory"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        if name != "mallory":
            public = key.with_suffix(".pub").read_text().split()
            lines.append(f'{name}@corp.example namespaces="fwfix-plan" {public[0]} {public[1]}')
    signers = tmp_path / "allowed_signers"
    signers.write_text("\n".join(lines) + "\n")
    return People(tmp_path, signers)


def demand(site: "Site", people: People, required: int = 2, **more: object) -> None:
    def change(content: dict[str, Any]) -> None:
        content["approvals"] = {"required": required, "allowed_signers": str(people.signers), **more}

    site.fwfix.rewrite(change)


def approve(site: "Site", plan: Path, people: People, *names: str) -> None:
    for name in names:
        site.fwfix.run("approve", str(plan), "--key", people.key(name), code=0)


def save(site: "Site", folder: Path, *arguments: str) -> Path:
    plan = folder / "plan.json"
    site.fwfix.run("plan", "-o", str(plan), *arguments, code=0)
    return plan


def refused(site: "Site", plan: Path, *arguments: str) -> str:
    ended = site.fwfix.apply(str(plan), *arguments, code=5)
    assert site.states() == {}
    return ended.stderr


def test_two_distinct_people_must_have_approved_before_a_host_is_touched(
    site: "Site", people: People, tmp_path: Path
) -> None:
    demand(site, people)
    assert "fwfix plan -o" in site.fwfix.apply(code=5).stderr
    plan = save(site, tmp_path)
    assert "0 count" in refused(site, plan)
    approve(site, plan, people, "alice", "alice")
    assert "1 count" in refused(site, plan)
    # A flag only ever tightens what the inventory asks for.
    assert "1 count" in refused(site, plan, "--require-approvals", "1")
    approve(site, plan, people, "bob")
    assert "2 count" in refused(site, plan, "--require-approvals", "3")
    page = subprocess.run(
        site.fwfix.bare("plan", "show", str(plan), "--format", "md"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Impact",
        "## Test",
        "## Backout",
    ]
    assert "Signed by: alice@corp.example" in page
    ended = site.fwfix.apply(str(plan))
    assert ended.outcome() == "applied"
    shown = site.fwfix.run("runs", "show", ended.run_id).document
    approved = [each["body"] for each in shown["events"] if each["kind"] == "approved"]
    assert sorted(each["principals"] for each in approved) == [["alice@corp.example"], ["bob@corp.example"]]
    assert {each["plan_digest"] for each in approved} == {ended.document["plan_digest"]}


def test_a_changed_byte_a_foreign_signature_and_an_unknown_signer_are_refused(
    site: "Site", people: People, tmp_path: Path
) -> None:
    demand(site, people, required=1)
    plan = save(site, tmp_path)
    approve(site, plan, people, "mallory")
    assert "not listed" in refused(site, plan)
    (other_folder := tmp_path / "other").mkdir()
    other = save(site, other_folder)
    approve(site, other, people, "alice")
    (foreign,) = other_folder.glob("plan.json.*.sig")
    beside = plan.with_name(foreign.name)
    beside.write_bytes(foreign.read_bytes())
    assert "another plan" in refused(site, plan)
    beside.unlink()
    approve(site, plan, people, "bob")
    good = plan.read_bytes()
    for old, new in ((b'"required": 1', b'"required": 0'), (b'"schema"', b' "schema"'), (b"\n}\n", b"\n\n")):
        assert old in good
        plan.write_bytes(good.replace(old, new, 1))
        assert "changed after it was signed" in refused(site, plan)
    plan.write_bytes(good)
    assert site.fwfix.apply(str(plan)).outcome() == "applied"


def test_the_author_may_not_approve_unless_the_inventory_says_so(
    site: "Site", people: People, tmp_path: Path
) -> None:
    demand(site, people, required=1)
    plan = save(site, tmp_path, "--sign", people.key("alice"))
    assert "the author of a plan may not approve it" in refused(site, plan)
    demand(site, people, required=1, author_may_approve=True)
    (tmp_path / "own").mkdir()
    plan = save(site, tmp_path / "own", "--sign", people.key("alice"))
    assert site.fwfix.apply(str(plan)).outcome() == "applied"


def test_an_expired_plan_is_refused_although_it_was_approved(
    site: "Site", people: People, tmp_path: Path
) -> None:
    demand(site, people, required=1)
    plan = save(site, tmp_path)
    approve(site, plan, people, "bob")
    plan = save(site, tmp_path, "--expires", "1s")
    assert list(tmp_path.glob("plan.json.*.sig")) == []  # they signed what is no longer there
    expires = json.loads(plan.read_text())["expires_at"]
    site.wait_for(lambda: "expired" in site.fwfix.apply(str(plan), code=5).stderr, f"{expires}")
    assert site.fwfix.run("plan", "approve", str(plan), "--key", people.key("bob")).code == 5
    assert site.states() == {}


def test_an_approved_run_goes_on_with_the_approvals_of_the_journal(
    make_site: "MakeSite", people: People, tmp_path: Path
) -> None:
    site = make_site(HostSpec(name="gw-1"), HostSpec(name="gw-2"))
    demand(site, people, required=1)
    plan = save(site, tmp_path)
    approve(site, plan, people, "bob")
    stopped = site.fwfix.apply(str(plan), "--stop-after", "1", code=3)
    plan.unlink()
    site.fwfix.inventory.unlink()
    carol = tmp_path / "only_carol"
    carol.write_text(next(line for line in people.signers.read_text().splitlines() if "carol" in line))
    going_on = ("apply", "--continue", stopped.run_id, "--yes", "--json")
    lists = ("--allowed-signers", str(carol))
    assert subprocess.run(site.fwfix.bare(*going_on, *lists), check=False).returncode == 5
    assert site.states(site.lab["gw-2"]) == {}
    done = subprocess.run(site.fwfix.bare(*going_on), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [each["outcome"] for each in json.loads(done.stdout)["hosts"]] == ["applied", "applied"]
    assert site.states(site.lab["gw-2"]) == {stopped.run_id: "confirmed"}


def test_the_limits_of_the_site_hold_whatever_inventory_and_flags_say(
    make_site: "MakeSite", people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(HostSpec(name="gw-1"), HostSpec(name="gw-2"))
    file = tmp_path / "site.yaml"
    monkeypatch.setenv("FWFIX_SITE", str(file))

    def says(text: str) -> None:
        file.write_text(text)
        file.chmod(0o644)

    def is_refused(why: str, *arguments: str) -> None:
        assert why in site.fwfix.apply(*arguments, code=5).stderr
        assert site.states(site.lab["gw-1"]) == {}

    says("ticket_required: true\n")
    is_refused("needs a ticket")
    says("forbidden_ports: [9000-9200/tcp]\n")
    is_refused("forbidden", "--ticket", "CHG-1")
    says("max_hosts: 1\n")
    is_refused("at most 1")
    says(f"approvals: {{required: 1, allowed_signers: {people.signers}}}\n")
    is_refused("1 approval needed")
    says("blackouts: ['daily 00:00+24h UTC']\n")
    is_refused("blackout")
    is_refused("does not override the site", "--break-glass", "on fire")
    says("max_hosts: 2\nticket_required: yes\n")
    assert site.fwfix.apply("--ticket", "CHG-1").document["summary"]["applied"] == 2


def test_the_manifest_of_the_evidence_can_be_signed(site: "Site", people: People, tmp_path: Path) -> None:
    ended = site.fwfix.apply()
    bundle = tmp_path / "bundle"
    exported = site.fwfix.run(
        "runs", "export", ended.run_id, str(bundle), "--sign", people.key("alice"), code=0
    )
    signature = Path(exported.document["signature"])
    assert signature.parent == bundle
    verify = ["ssh-keygen", "-Y", "check-novalidate", "-n", "fwfix-evidence", "-s", str(signature)]
    manifest = (bundle / "manifest.json").read_bytes()
    assert subprocess.run(verify, input=manifest, check=False).returncode == 0
    assert subprocess.run(verify, input=manifest + b" ", check=False).returncode != 0
