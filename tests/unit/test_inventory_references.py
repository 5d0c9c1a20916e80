"""What an inventory points to on this machine, and the names in `allow_from`."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from fwfix.errors import InventoryError
from fwfix.loading.inventory import load_inventory
from fwfix.loading.limit import select_hosts
from fwfix.loading.references import check_references, find_problems
from fwfix.model.inventory import Inventory
from fwfix.resolve import resolve_names
from fwfix.secret_store import SecretStore

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


def load(tmp_path: Path, text: str) -> Inventory:
    path = tmp_path / "i.yaml"
    path.write_text(text)
    return load_inventory([path])


def problems(inventory: Inventory, limit: str | None = None, **environment: str) -> list[str]:
    store = SecretStore(environment=environment)
    return [str(problem) for problem in find_problems(inventory, select_hosts(inventory, limit), store)]


def linux(tmp_path: Path, ssh: str) -> Inventory:
    return load(tmp_path, f"hosts:\n  a:\n    platform: linux\n    ssh: {{{ssh}}}\n")


def test_a_whole_inventory_has_no_problem(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "ca.pem").write_text(CERTIFICATE)
    (tmp_path / "known").write_text("")
    pw = tmp_path / "pw"
    pw.write_text("x")
    pw.chmod(0o600)
    inventory = load(
        tmp_path,
        """
        policies: {p: {allow_from: ["host:b", "group:g", 10.0.0.1]}}
        groups: {g: }
        hosts:
          a:
            platform: linux
            policy: p
            ssh: {identity_file: key, known_hosts: known, passphrase: {env: PP}}
          b: {platform: windows, groups: [g], winrm: {ca_file: ca.pem, user: u, password: {file: pw}}}
        """,
    )
    assert problems(inventory, PP="x") == []
    check_references(inventory, tuple(inventory.hosts.values()), SecretStore(environment={"PP": "x"}))


def test_a_missing_secret_is_named_with_its_place(tmp_path: Path) -> None:
    inventory = linux(tmp_path, "password: {env: PW}")
    (problem,) = problems(inventory)
    assert problem.startswith(f"{tmp_path / 'i.yaml'}:4: host a: ")
    assert "PW is not set. Set it: export PW=" in problem
    with pytest.raises(InventoryError, match="PW"):
        check_references(inventory, tuple(inventory.hosts.values()), SecretStore(environment={}))


def test_a_secret_file_open_to_others_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    (tmp_path / "pw").chmod(0o644)
    (problem,) = problems(linux(tmp_path, "password: {file: pw}"))
    assert "(0644)" in problem
    assert f"chmod 600 {tmp_path / 'pw'}" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        ("", "holds no SSH key"),
        ("junk", "holds no SSH key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"),
        ("<folder>", "is not a file"),
    ],
)
def test_an_unreadable_key_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    key = tmp_path / "key"
    if content == "<folder>":
        key.mkdir()
    elif content is not None:
        key.write_text(content)
    (problem,) = problems(linux(tmp_path, "identity_file: key"))
    assert problem.startswith(f"{tmp_path / 'i.yaml'}:4: host a: identity_file: {key}")
    assert words in problem


@pytest.mark.parametrize("content", [KEY, "ssh-ed25519 AAAA comment", "sk-ssh-ed25519@openssh.com AAAA"])
def test_private_keys_and_the_public_half_of_an_agents_key_are_accepted(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    assert problems(linux(tmp_path, "identity_file: key")) == []


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_file_of_winrm_that_is_not_pem_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / "f").write_text("junk")
    inventory = load(tmp_path, f"hosts: {{w: {{platform: windows, winrm: {{{key}: f}}}}}}")
    (problem,) = problems(inventory)
    assert f"{key}: {tmp_path / 'f'} holds no" in problem


def test_only_what_the_chosen_hosts_need_is_checked(tmp_path: Path) -> None:
    inventory = load(
        tmp_path,
        """
        defaults: {ssh: {password: {env: A}, become_password: {env: B}}, winrm: {user: u, password: {env: C}}}
        hosts:
          a: {platform: linux, ssh: {jump: j}}
          w: {platform: windows}
          v: {platform: windows, winrm: {jump: j}}
          j: {platform: linux, ssh: {password: {env: D}}}
        """,
    )
    assert [word for p in problems(inventory, "a") for word in p.split() if word in set("ABCD")] == ["A", "D"]
    assert [word for p in problems(inventory, "w") for word in p.split() if word in set("ABCD")] == ["C"]
    assert [word for p in problems(inventory, "v") for word in p.split() if word in set("ABCD")] == ["C", "D"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("host:prt-srv-1", "unknown host 'prt-srv-1'; did you mean 'prt-srv-01'"),
        ("group:print", "unknown group 'print'"),
        ("group:empty", "no host is in this group"),
    ],
)
def test_an_allowed_name_that_does_not_exist_is_named(tmp_path: Path, entry: str, words: str) -> None:
    text = f"""\
groups: {{empty: }}
policies:
  p:
    allow_from: ["{entry}"]
hosts: {{prt-srv-01: {{platform: linux, policy: p}}}}
"""
    inventory = load(tmp_path, text)
    (problem,) = problems(inventory)
    assert problem.startswith(f"{tmp_path / 'i.yaml'}:4: ")
    assert words in problem
    with pytest.raises(InventoryError, match=r"i\.yaml:4: ") as caught:
        resolve_names(inventory, tuple(inventory.hosts.values()))
    assert entry in str(caught.value)


def test_hosts_and_groups_resolve_to_the_addresses_of_the_inventory(tmp_path: Path) -> None:
    inventory = load(
        tmp_path,
        """
        policies: {p: {allow_from: ["host:s1", "group:servers", 10.0.0.1]}, q: {allow_from: ["host:a"]}}
        groups: {servers: }
        hosts:
          a: {address: 10.1.0.1, platform: linux, policy: p}
          s1: {address: 10.0.7.10, platform: linux, groups: [servers], probe_addresses: ["fd00:7::10"]}
          s2: {address: 10.0.7.11, platform: linux, groups: [servers]}
        """,
    )
    found = resolve_names(inventory, (inventory.hosts["a"],))
    assert found == {
        "host:s1": (ip_network("10.0.7.10/32"), ip_network("fd00:7::10/128")),
        "group:servers": (ip_network("10.0.7.10/31"), ip_network("fd00:7::10/128")),
    }


@pytest.mark.parametrize(
    ("entry", "address", "words"),
    [
        ("dns:nothing.invalid", "10.0.0.1", "nothing.invalid"),
        ("host:s", "nothing.invalid", "nothing.invalid"),
        ("dns:localhost", "10.0.0.1", "loopback"),
        ("host:s", "127.0.0.1", "loopback"),
    ],
)
def test_a_name_that_leads_to_no_usable_address_is_an_error_naming_the_entry(
    tmp_path: Path, entry: str, address: str, words: str
) -> None:
    text = f"""\
policies: {{p: {{allow_from: ["{entry}"]}}}}
hosts:
  a: {{platform: linux, policy: p}}
  s: {{address: {address}, platform: linux}}
"""
    inventory = load(tmp_path, text)
    with pytest.raises(InventoryError) as caught:
        resolve_names(inventory, (inventory.hosts["a"],))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'i.yaml'}:1: ")
    assert entry in message
    assert words in message
