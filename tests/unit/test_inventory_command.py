"""`fwfix inventory check`, `list` and `schema`."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner, Result

from fwfix.cli.inventory import app
from fwfix.errors import InventoryError, UsageError

EXAMPLES = Path(__file__).parents[2] / "inventories"


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def test_list_prints_one_line_for_each_host_and_wraps_nothing() -> None:
    result = run("list", "-i", EXAMPLES / "fleet", COLUMNS="20")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert lines[0].split()[:3] == ["HOST", "ADDRESS", "PLATFORM"]
    row = next(line.split() for line in lines if line.startswith("label-gw-01"))
    assert row[1:4] == ["10.1.2.3", "linux", "berlin,canon"]
    assert row[-1] == "berlin-night"


def test_list_prints_one_json_document_with_resolved_values() -> None:
    result = run("list", "-i", EXAMPLES / "fleet", "-l", "label:site=berlin,!pos-*", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "fwfix.inventory/1"
    assert [host["name"] for host in document["hosts"]] == ["bastion-berlin", "prt-srv-01", "label-gw-01"]
    gateway = document["hosts"][-1]
    assert gateway["policies"] == ["block-raw-printing", "block-canon"]
    assert gateway["ports"] == ["8610-8614/tcp", "9100/tcp", "8610-8614/udp"]
    assert gateway["labels"] == {"site": "berlin", "owner": "logistics"}
    assert gateway["window"] == "berlin-night"


def test_several_inventories_can_be_given_and_named_in_the_environment(tmp_path: Path) -> None:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text("hosts: {a: {platform: linux}}")
    b.write_text("hosts: {b: {platform: linux}}")
    for result in (run("list", "-i", a, "--inventory", b), run("list", FWFIX_INVENTORY=f"{a}:{b}")):
        assert result.exit_code == 0
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["HOST", "a", "b"]


def test_check_says_how_much_there_is(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text("policies: {p: }\nhosts: {a: {platform: linux, policy: p}, b: {platform: linux}}")
    result = run("check", "-i", path)
    assert result.exit_code == 0
    assert "2 hosts" in result.stdout
    document = json.loads(run("check", "-i", path, "--json").stdout)
    assert (document["hosts"], document["policies"]) == (2, 1)
    assert document["files"] == [str(path)]


def test_check_names_every_secret_and_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text(
        "hosts:\n"
        "  a: {platform: linux, ssh: {password: {env: FWFIX_TEST_NOT_SET}}}\n"
        "  b: {platform: linux, ssh: {identity_file: no-key}}\n"
    )
    result = run("check", "-i", path)
    assert isinstance(result.exception, InventoryError)
    lines = str(result.exception).splitlines()
    assert len(lines) == 2
    assert f"{path}:3: host b: identity_file: {tmp_path / 'no-key'} is not there" in lines
    assert any(line.startswith(f"{path}:2: host a: ") and "FWFIX_TEST_NOT_SET" in line for line in lines)
    assert run("list", "-i", path).exit_code == 0


@pytest.mark.parametrize("command", ["check", "list"])
def test_a_mistake_is_one_error_of_the_tree(tmp_path: Path, command: str) -> None:
    path = tmp_path / "i.yaml"
    path.write_text("hosts: {a: {platform: linux}}")
    result = run(command, "-i", path, "-l", "b")
    assert isinstance(result.exception, UsageError)
    assert isinstance(run(command, FWFIX_INVENTORY="").exception, InventoryError)
    path.write_text("hosts: {a: {platfrm: linux}}")
    assert isinstance(run(command, "-i", path).exception, InventoryError)
    assert run(command, "-i", path).stdout == ""


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    document: dict[str, object] = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    jsonschema.Draft202012Validator.check_schema(document)
    return document


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_fit_the_schema(schema: dict[str, object], path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize(
    "text",
    [
        "hots: {}",
        "hosts: {a: {adress: x}}",
        "hosts: {a: {ssh: {port: 99999}}}",
        "hosts: {a: {ssh: {password: hunter2}}}",
        "hosts: {a: {ssh: {password: {plain: x}}}}",
        "hosts: {a: {platform: solaris}}",
        "hosts: {a b: }",
        "policies: {p: {ports: []}}",
        "policies: {p: {action: allow}}",
        "version: 2",
    ],
)
def test_what_the_loader_refuses_does_not_fit_the_schema(schema: dict[str, object], text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema)


def test_check_finds_a_calendar_that_cannot_be_read_before_the_night_of_the_change(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text("blackouts: [freeze.ICS]\nhosts: {a: {platform: linux}}\n")
    result = run("check", "-i", path)
    assert isinstance(result.exception, InventoryError)
    assert f"{tmp_path / 'freeze.ICS'}: cannot be read" in str(result.exception)
    assert run("list", "-i", path).exit_code == 0


def test_check_finds_a_missing_list_of_signers_before_the_night_of_the_change(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(
        "approvals: {required: 1, allowed_signers: signers}\n"
        "hosts: {a: {platform: linux, policy: [], ssh: {host_key: accept-new}}}\n"
    )
    assert "cannot be read" in str(run("check", "-i", path).exception)
    (tmp_path / "signers").touch()
    assert run("check", "-i", path).exit_code == 0
