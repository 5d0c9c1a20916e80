"""Whose signatures count, checked with the real ssh-keygen."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fwfix.approvals import Signature, examine, require, signature_files, signature_path, signatures_beside
from fwfix.cli.approve import write_signature
from fwfix.cli.plan import app
from fwfix.errors import PlanFileError, RefusedError, UsageError
from fwfix.loading.plan_file import save_plan
from fwfix.model.hazard import Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import ApprovalRule
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome
from fwfix.model.site import Demand
from fwfix.output.board import board_lines
from fwfix.signing import PLAN_NAMESPACE, fingerprint_of, sign

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")

FilesOfAtMost = Callable[[int], AbstractContextManager[None]]
CONTENT = b'{"schema": "fwfix.plan/1"}\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("alice", "alice2", "bob", "mallory"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    return folder


def listed(keys: Path, folder: Path, **names: str) -> Demand:
    """Demand two approvals of those who are listed: key by principals."""
    return lines(keys, folder, *((principals, key) for key, principals in names.items()))


def lines(keys: Path, folder: Path, *begun: tuple[str, str]) -> Demand:
    """Demand two approvals of those who are listed: the beginning of a line, and its key."""
    path = folder / "signers"
    publics = [(start, (keys / f"{key}.pub").read_text().split()[:2]) for start, key in begun]
    path.write_text("".join(f"{start} {' '.join(public)}\n" for start, public in publics))
    return Demand(required=2, signer_files=(path,))


def plan(**more: object) -> Plan:
    values: dict[str, object] = {"run_id": "20261121T220003Z-4f2a", "operator": "ops (sudo)", **more}
    return Plan(created_at=datetime(2026, 11, 21, tzinfo=UTC), hosts=(), **values)  # type: ignore[arg-type]


def signed(
    keys: Path, *names: str, content: bytes = CONTENT, namespace: str = PLAN_NAMESPACE
) -> list[Signature]:
    return [
        Signature(name=f"plan.{name}.sig", text=sign(content, keys / name, namespace=namespace).text)
        for name in names
    ]


def test_distinct_people_with_distinct_keys_count(keys: Path, tmp_path: Path) -> None:
    demand = listed(keys, tmp_path, alice="alice", alice2="alice", bob="bob@corp,bob")
    approvals = require(CONTENT, signed(keys, "alice", "bob"), plan(), demand)
    assert [each.principals for each in approvals] == [("alice",), ("bob@corp", "bob")]
    with pytest.raises(RefusedError, match="the same person or key has approved already"):
        require(CONTENT, signed(keys, "alice", "alice2"), plan(), demand)
    with pytest.raises(RefusedError, match="1 count"):
        require(CONTENT, signed(keys, "bob", "bob"), plan(), demand)


def test_somebody_who_is_not_listed_or_only_as_a_pattern_does_not_count(keys: Path, tmp_path: Path) -> None:
    demand = listed(keys, tmp_path, alice="alice", bob="*@corp.example")
    for other in ("mallory", "bob"):
        with pytest.raises(RefusedError, match="not listed") as refused:
            require(CONTENT, signed(keys, "alice", other), plan(), demand)
        assert refused.value.code == "missing-approval"


def test_every_list_of_signers_must_name_the_signer(keys: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    one = listed(keys, tmp_path, alice="alice", bob="bob")
    two = listed(keys, other, alice="alice")
    both = Demand(required=2, signer_files=(*one.signer_files, *two.signer_files))
    assert len(require(CONTENT, signed(keys, "alice", "bob"), plan(), one)) == 2
    with pytest.raises(RefusedError, match="not listed"):
        require(CONTENT, signed(keys, "alice", "bob"), plan(), both)


@pytest.mark.parametrize(
    ("content", "namespace"), [(CONTENT + b" ", PLAN_NAMESPACE), (CONTENT, "file"), (b"", PLAN_NAMESPACE)]
)
def test_a_signature_for_anything_else_is_refused(
    keys: Path, tmp_path: Path, content: bytes, namespace: str
) -> None:
    demand = listed(keys, tmp_path, alice="alice", bob="bob")
    wrong = signed(keys, "mallory", content=content, namespace=namespace)
    with pytest.raises(RefusedError) as refused:
        require(CONTENT, [*signed(keys, "alice", "bob"), *wrong], plan(), demand)
    assert refused.value.code == "bad-signature"


def test_the_author_is_known_by_key_by_name_and_by_account(keys: Path, tmp_path: Path) -> None:
    demand = listed(keys, tmp_path, alice="alice", alice2="alice", bob="ops@corp.example")
    author = plan(author_key=fingerprint_of(keys / "alice"))
    found = examine(CONTENT, signed(keys, "alice", "alice2", "bob"), author, demand)
    assert [each.problem for each in found] == ["the author of a plan may not approve it"] * 3
    allowed = Demand(required=2, signer_files=demand.signer_files, author_may_approve=True)
    assert len(require(CONTENT, signed(keys, "alice", "bob"), author, allowed)) == 2


def test_a_key_has_the_names_of_all_lines_that_list_it_where_they_let_it_approve(
    keys: Path, tmp_path: Path
) -> None:
    demand = lines(
        keys,
        tmp_path,
        ('git@corp namespaces="git"', "alice"),
        ('alice namespaces="fwfix-plan"', "alice"),
        ("svc", "bob"),
        ("bob", "bob"),
        ("bob", "alice2"),
    )
    approvals = require(CONTENT, signed(keys, "alice", "bob"), plan(), demand)
    assert [each.principals for each in approvals] == [("alice",), ("svc", "bob")]
    with pytest.raises(RefusedError, match="the same person or key has approved already"):
        require(CONTENT, signed(keys, "bob", "alice2"), plan(), demand)


@pytest.mark.parametrize("options", ["", ' valid-before="20200101"', ' namespaces="git"'])
@pytest.mark.parametrize("beside", [True, False])
def test_the_author_is_known_by_every_name_of_his_key_also_where_its_signature_is_gone(
    keys: Path, tmp_path: Path, options: str, *, beside: bool
) -> None:
    demand = lines(
        keys, tmp_path, (f"svc{options}", "alice"), (f'"alice,al"{options}', "alice"), ("alice", "alice2")
    )
    author = plan(author_key=fingerprint_of(keys / "alice"))
    signatures = signed(keys, *(["alice"] if beside else []), "alice2")
    *_, second = examine(CONTENT, signatures, author, demand)
    assert second.problem == "the author of a plan may not approve it"


@pytest.fixture
def agent(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that alone has Bob's private key."""
    started = subprocess.run(
        ["ssh-agent", "-s", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True
    )
    pid = int(started.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        subprocess.run(["ssh-add", "-q", str(keys / "bob")], check=True)
        yield
    finally:
        os.kill(pid, signal.SIGTERM)


@pytest.mark.usefixtures("agent")
def test_a_key_of_the_agent_signs_by_its_public_half_or_unnamed(keys: Path, tmp_path: Path) -> None:
    public = tmp_path / "bob.pub"
    public.write_bytes((keys / "bob.pub").read_bytes())
    for named in (public, None):
        made = sign(CONTENT, named, namespace=PLAN_NAMESPACE)
        assert made.key == fingerprint_of(keys / "bob")
        assert b"SSH SIGNATURE" in made.text


def test_what_cannot_sign_is_an_error_that_says_so(keys: Path, tmp_path: Path) -> None:
    for key in (tmp_path / "missing", None):
        with pytest.raises(UsageError, match="--key"):
            sign(CONTENT, key, namespace=PLAN_NAMESPACE)
    public = tmp_path / "alone.pub"
    public.write_bytes((keys / "alice.pub").read_bytes())
    with pytest.raises(UsageError, match="did not sign"):
        sign(CONTENT, public, namespace=PLAN_NAMESPACE)


def test_a_signature_lies_beside_its_plan_under_the_name_of_the_key(keys: Path, tmp_path: Path) -> None:
    made = sign(CONTENT, keys / "alice", namespace=PLAN_NAMESPACE)
    name = signature_path(tmp_path / "plan.json", made).name
    assert name.startswith("plan.json.SHA256-")
    assert name.endswith(".sig")
    assert not {":", "/", "+"} & set(name)


def test_a_disk_that_is_full_leaves_no_half_signature_that_would_refuse_the_plan(
    keys: Path, tmp_path: Path, files_of_at_most: FilesOfAtMost
) -> None:
    made = sign(CONTENT, keys / "alice", namespace=PLAN_NAMESPACE)
    with files_of_at_most(10), pytest.raises(PlanFileError, match="cannot be written"):
        write_signature(tmp_path / "plan.json", made)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_is_shown_says_that_one_person_counts_once(keys: Path, tmp_path: Path) -> None:
    demand = listed(keys, tmp_path, alice="alice", alice2="alice")
    rule = ApprovalRule(required=2, allowed_signers=demand.signer_files[0])
    path = tmp_path / "plan.json"
    save_plan(plan(approvals=(rule,)), path)
    for name in ("alice", "alice2"):
        signature = sign(path.read_bytes(), keys / name, namespace=PLAN_NAMESPACE)
        signature_path(path, signature).write_bytes(signature.text)
    (tmp_path / "plan.json.foreign.sig").write_bytes(b"")
    shown = CliRunner().invoke(app, ["show", str(path), "--format", "md"]).stdout
    assert shown.count("alice") == 2
    assert shown.count("the same person or key has approved already") == 1
    assert shown.count("nobody who counts") == 1


def test_the_page_for_the_board_says_impact_test_and_backout_and_cannot_be_formatted_by_a_host() -> None:
    host = Host(name="gw", address="10.0.0.1", platform=Platform.LINUX)
    hazard = Hazard(code="forwarding-gateway", message="a | b\x1b[2J <script>")
    each = HostPlan(
        host=host, outcome=PlannedOutcome.CHANGE, hazards=(hazard,), deadline=timedelta(seconds=120)
    )
    full = Plan(
        run_id="20261121T220003Z-4f2a",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        hosts=(each,),
        waves=(("gw",),),
        ticket="CHG-1",
    )
    lines = list(board_lines(full, digest="sha256:00", approvals=["alice"]))
    assert [line for line in lines if line.startswith("## ")] == ["## Impact", "## Test", "## Backout"]
    text = "\n".join(lines)
    assert "within 2m" in text
    assert "fwfix rollback 20261121T220003Z-4f2a" in text
    assert "\x1b" not in text
    assert "a \\| b" in text
    assert "<script>" not in text.replace("\\<script\\>", "")


def test_the_page_for_the_board_says_how_to_undo_by_hand_on_the_platforms_of_its_hosts() -> None:
    run_id = "20261121T220003Z-4f2a"

    def by_hand(*platforms: Platform) -> list[str]:
        hosts = tuple(
            HostPlan(host=Host(name=each, address="10.0.0.1", platform=each), outcome=PlannedOutcome.CHANGE)
            for each in platforms
        )
        plan = Plan(run_id=run_id, created_at=datetime(2026, 11, 21, tzinfo=UTC), hosts=hosts)
        return [line for line in board_lines(plan, digest="sha256:00") if "by hand" in line]

    (linux,) = by_hand(Platform.LINUX)
    (windows,) = by_hand(Platform.WINDOWS)
    assert f"`sh /var/lib/fwfix/runs/{run_id}/rollback.sh`" in linux
    assert f"-File C:\\ProgramData\\fwfix\\runs\\{run_id}\\rollback.ps1`" in windows
    assert by_hand(Platform.WINDOWS, Platform.LINUX) == [linux, windows]


def test_a_signature_of_a_file_whose_name_goes_on_after_the_plans_is_not_the_plans(tmp_path: Path) -> None:
    for name in ("plan.json", "plan.json.new", "plan.json.a.sig", "plan.json.new.b.sig", "plan.json.c.d.sig"):
        (tmp_path / name).write_bytes(b"x")
    found = signature_files(tmp_path / "plan.json")
    assert [each.name for each in found] == ["plan.json.a.sig", "plan.json.c.d.sig"]


def test_line_ends_of_a_signature_may_change_on_its_way_but_not_those_of_the_plan(
    keys: Path, tmp_path: Path
) -> None:
    demand = listed(keys, tmp_path, alice="alice", bob="bob")
    for each in signed(keys, "alice", "bob"):
        (tmp_path / each.name).write_bytes(each.text.replace(b"\n", b"\r\n"))
    found = signatures_beside(tmp_path / "plan")
    assert len(require(CONTENT, found, plan(), demand)) == 2
    with pytest.raises(RefusedError, match="does not sign this plan"):
        require(CONTENT.replace(b"\n", b"\r\n"), found, plan(), demand)


@pytest.mark.parametrize("name", ["plan.json.sig", "plan.json..sig", "plan.json. .sig"])
def test_a_signature_without_the_name_of_a_key_belongs_to_its_plan(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert [each.name for each in signature_files(tmp_path / "plan.json")] == [name]


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv")
def test_a_folder_that_cannot_be_listed_is_an_error_that_says_so(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    save_plan(plan(), folder / "plan.json")
    folder.chmod(0o300)
    command = [sys.executable, "-m", "fwfix", "plan", "show", str(folder / "plan.json")]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        folder.chmod(0o700)
    assert done.returncode == 2
    assert "cannot be searched for signatures" in done.stderr


def test_what_lies_beside_a_plan_and_cannot_be_a_signature_is_refused_unread(tmp_path: Path) -> None:
    beside = tmp_path / "plan.json.a.sig"
    os.mkfifo(beside)
    with pytest.raises(PlanFileError, match="not a signature"):
        signatures_beside(tmp_path / "plan.json")
    beside.unlink()
    with beside.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(PlanFileError, match="not a signature"):
        signatures_beside(tmp_path / "plan.json")
