"""Good inventories: what loads, how values resolve, and what the value holds."""

from collections.abc import Callable
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from fwfix.errors import InventoryError
from fwfix.loading.inventory import load_inventory
from fwfix.model.host import Become, HostKeyPolicy, Platform, WinrmTransport
from fwfix.model.inventory import Inventory
from fwfix.model.policy import PROFILES, Action, SourceKind
from fwfix.secrets import SecretKind, SecretRef

Load = Callable[[str], Inventory]
EXAMPLES = Path(__file__).parents[2] / "inventories"

EXAMPLE = """
version: 1
defaults:
  policy: block-raw-printing
  ssh: {user: ops, become: sudo, become_password: {env: SUDO_PASSWORD}}
maintenance_windows:
  berlin-night: {recurs: "Mon-Fri 22:00-02:00", timezone: Europe/Berlin}
policies:
  block-raw-printing:
    ports: [jetdirect]
    allow_from: [10.0.5.0/24, "fd00:5::/64", "10.0.6.1-10.0.6.9", "host:prt-srv-01",
      "group:print-servers", "dns:prt.corp.example"]
    action: drop
    log: false
groups:
  berlin: {window: berlin-night}
hosts:
  label-gw-01:
    address: 10.1.2.3
    platform: linux
    groups: [berlin]
    labels: {site: berlin, owner: logistics}
    ssh: {port: 22, identity_file: ~/.ssh/id_ed25519, jump: bastion-01}
  pos-win-07:
    address: 10.1.2.4
    platform: windows
    groups: [berlin]
    winrm: {transport: ntlm, scheme: https, user: 'CORP\\ops', password: {env: OPS_PASSWORD},
      ca_file: corp.pem, server_name: pos-win-07.corp.example}
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Inventory:
        path = tmp_path / "inventory.yaml"
        path.write_text(text)
        return load_inventory([path])

    return write_and_load


def test_the_example_of_the_contract_loads(load: Load, tmp_path: Path) -> None:
    inventory = load(EXAMPLE)
    linux, windows = inventory.hosts.values()
    assert (linux.name, linux.address, linux.platform) == ("label-gw-01", "10.1.2.3", Platform.LINUX)
    assert linux.groups == ("berlin",)
    assert linux.window == "berlin-night"
    assert linux.policies == ("block-raw-printing",)
    assert dict(linux.labels) == {"site": "berlin", "owner": "logistics"}
    assert linux.ssh.user == "ops"
    assert linux.ssh.port == 22
    assert linux.ssh.become is Become.SUDO
    assert linux.ssh.become_password == SecretRef(kind=SecretKind.ENV, argument="SUDO_PASSWORD")
    assert linux.ssh.host_key is HostKeyPolicy.STRICT
    assert linux.ssh.jump == "bastion-01"
    assert windows.winrm.user == "CORP\\ops"
    assert windows.winrm.transport is WinrmTransport.NTLM
    assert windows.winrm.ca_file == tmp_path / "corp.pem"
    assert inventory.windows["berlin-night"].timezone == "Europe/Berlin"
    policy = inventory.policies["block-raw-printing"]
    assert policy.services == PROFILES["jetdirect"]
    assert policy.action is Action.DROP
    kinds = [entry.kind for entry in policy.allow_from]
    assert kinds == [SourceKind.LITERAL] * 3 + [SourceKind.HOST, SourceKind.GROUP, SourceKind.DNS]
    assert policy.allow_from[0].networks == (IPv4Network("10.0.5.0/24"),)


def test_home_is_replaced_in_paths(load: Load, clean_environment: Path) -> None:
    host = load(EXAMPLE).hosts["label-gw-01"]
    assert host.ssh.identity_file == clean_environment / ".ssh/id_ed25519"


def test_a_host_wins_over_its_groups_and_they_over_the_defaults(load: Load) -> None:
    inventory = load(
        """
        defaults:
          {platform: linux, window: "daily 1:00+1h Etc/GMT+5", ssh: {user: d, port: 1},
           labels: {a: d, b: d, c: d, e: d}}
        groups:
          first: {window: "daily 1:00+1h Etc/GMT+7", ssh: {user: f, become_user: f}, labels: {a: f, b: f}}
          second:
            {window: "daily 1:00+1h Etc/GMT+8", ssh: {user: s, become_user: s, jump: s},
             labels: {a: s, b: s, c: s}}
        hosts:
          h: {groups: [first, second], ssh: {user: h}, labels: {a: h}}
          g: {groups: [second, first]}
        """
    )
    host, other = inventory.hosts.values()
    assert host.window == "daily 1:00+1h Etc/GMT+7"
    assert (host.ssh.user, host.ssh.become_user, host.ssh.jump, host.ssh.port) == ("h", "f", "s", 1)
    assert dict(host.labels) == {"a": "h", "b": "f", "c": "s", "e": "d"}
    assert other.ssh.user == "s"


def test_a_list_replaces_what_is_inherited(load: Load) -> None:
    inventory = load(
        """
        defaults: {platform: linux, policy: [p, q], allow_also: [10.0.0.1], probe_addresses: ["fd00::1"]}
        policies: {p: , q: {ports: [515/tcp]}, r: {ports: [631/tcp]}}
        hosts:
          a: {policy: r, allow_also: [], probe_addresses: ["fd00::2"]}
          b:
        """
    )
    a, b = inventory.hosts.values()
    assert a.policies == ("r",)
    assert a.allow_also == ()
    assert a.probe_addresses == (ip_address("fd00::2"),)
    assert b.policies == ("p", "q")
    assert b.address == "b"


def test_a_policy_without_ports_protects_raw_printing_only(load: Load) -> None:
    inventory = load("policies: {p: }\nhosts: {a: {platform: linux}}")
    assert inventory.policies["p"].services == PROFILES["jetdirect"]
    assert inventory.policies["p"].allow_from == ()


def test_unquoted_words_and_numbers_stay_what_was_written(load: Load) -> None:
    inventory = load(
        """
        hosts:
          no:
            platform: linux
            labels: {country: no, rack: 012, since: 2026-01-01, at: 22:00, hex: 0x1F, big: 1_000, yes: on}
        """
    )
    assert dict(inventory.hosts["no"].labels) == {
        "country": "no",
        "rack": "012",
        "since": "2026-01-01",
        "at": "22:00",
        "hex": "0x1F",
        "big": "1_000",
        "yes": "on",
    }


@pytest.mark.parametrize(("text", "value"), [("true", True), ("yes", True), ("on", True), ("no", False)])
def test_flags_read_the_words_of_yaml(load: Load, text: str, value: object) -> None:
    assert load(f"hosts: {{a: {{platform: linux, vantage: {text}}}}}").hosts["a"].vantage is value


def test_anchors_and_merge_keys_work(load: Load) -> None:
    inventory = load(
        """
        hosts:
          a: &base {platform: linux, window: "daily 1:00+1h Etc/GMT+1", ssh: &ssh {user: ops, port: 2222}}
          b: {<<: *base, window: "daily 1:00+1h Etc/GMT+2"}
          c: {platform: linux, ssh: {<<: *ssh, port: 22}}
        """
    )
    assert inventory.hosts["b"].window == "daily 1:00+1h Etc/GMT+2"
    assert inventory.hosts["b"].ssh.port == 2222
    assert (inventory.hosts["c"].ssh.user, inventory.hosts["c"].ssh.port) == ("ops", 22)


def test_jump_none_switches_an_inherited_jump_off(load: Load) -> None:
    inventory = load(
        """
        defaults: {platform: linux, ssh: {jump: bastion}}
        hosts: {bastion: {ssh: {jump: none}}, a: }
        """
    )
    assert inventory.hosts["bastion"].ssh.jump is None
    assert inventory.hosts["a"].ssh.jump == "bastion"


def test_several_files_and_folders_merge(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    (fleet / "sites").mkdir(parents=True)
    (fleet / "templates").mkdir()
    (fleet / "10-base.yaml").write_text(
        "defaults: {platform: linux, ssh: {user: ops, identity_file: keys/id}, policy: p}\npolicies: {p: }\n"
    )
    (fleet / "20-berlin.yml").write_text("groups: {berlin: {labels: {a: x}}}\nhosts: {b: {groups: [berlin]}}")
    (fleet / "notes.txt").write_text("not: [an inventory")
    (fleet / ".hidden.yaml").write_text("not: [an inventory")
    other = tmp_path / "other.yaml"
    other.write_text(
        "defaults: {ssh: {known_hosts: known}}\n"
        "groups: {berlin: {labels: {b: y}}}\n"
        "hosts: {c: {groups: [berlin]}}\n"
    )
    inventory = load_inventory([fleet, other, fleet / "10-base.yaml"])
    assert list(inventory.hosts) == ["b", "c"]
    assert inventory.groups["berlin"] == ("b", "c")
    assert dict(inventory.hosts["c"].labels) == {"a": "x", "b": "y"}
    assert inventory.hosts["c"].policies == ("p",)
    assert inventory.hosts["c"].ssh.identity_file == fleet / "keys/id"
    assert inventory.hosts["b"].ssh.known_hosts == tmp_path / "known"
    assert inventory.sources == (fleet / "10-base.yaml", fleet / "20-berlin.yml", other)
    assert inventory.template_dirs == (fleet / "templates",)


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("hosts: {a: {platform: linux}}", "hosts: {a: {platform: linux}}", "host 'a'"),
        ("policies: {p: }", "policies: {p: }", "policy 'p'"),
        ("maintenance_windows: {w: {recurs: x}}", "maintenance_windows: {w: {recurs: x}}", "window 'w'"),
        ("groups: {g: {window: x}}", "groups: {g: {window: x}}", "groups.g.window"),
        ("defaults: {ssh: {user: x}}", "defaults: {ssh: {user: x}}", "defaults.ssh.user"),
        ("approvals: {required: 1}", "approvals: {required: 1}", "approvals"),
    ],
)
def test_what_two_files_both_define_is_an_error_that_names_both(
    tmp_path: Path, first: str, second: str, what: str
) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"{first}\n")
    two.write_text(f"# a comment\n{second}\n")
    with pytest.raises(InventoryError) as caught:
        load_inventory([one, two])
    message = str(caught.value)
    assert message.startswith(f"{two}:2: ")
    assert f"{one}:1" in message
    assert what in message


def test_the_digest_is_of_the_content_and_not_of_the_spelling(load: Load) -> None:
    one = load(
        """
        policies: {p: {ports: [8610-8611/tcp], allow_from: [10.0.0.0/25, 10.0.0.128/25, "host:a"]}}
        defaults: {platform: linux, policy: p}
        hosts: {a: {address: 10.0.0.1}, b: {address: "FD00::1"}}
        """
    ).digest
    same = load(
        """
        # the same in other words
        policies:
          p:
            allow_from: ["host:a", "10.0.0.0-10.0.0.255"]
            ports: ["8611/tcp", "8610/tcp"]
        hosts:
          b: {address: "fd00:0::1", platform: linux, policy: [p]}
          a: {address: 10.0.0.1, platform: linux, policy: [p]}
        """
    ).digest
    other = load(
        """
        policies: {p: {ports: [8610-8611/tcp], allow_from: [10.0.0.0/24, "host:b"]}}
        defaults: {platform: linux, policy: p}
        hosts: {a: {address: 10.0.0.1}, b: {address: "FD00::1"}}
        """
    ).digest
    assert one == same
    assert one != other
    assert one.startswith("sha256:")
    assert len(one) == 71


def test_windows_blackouts_and_approvals_are_carried(load: Load, tmp_path: Path) -> None:
    inventory = load(
        """
        maintenance_windows: {n: {recurs: "Sat 10:00-12:00 UTC"}}
        blackouts: [2026-12-20T00:00:00Z/2027-01-02T00:00:00Z, holidays.ics]
        approvals: {required: 2, allowed_signers: signers, author_may_approve: true}
        hosts: {a: {platform: linux, window: "Mon-Fri 22:00-02:00 Europe/Berlin"}}
        """
    )
    assert inventory.windows["n"].recurs == "Sat 10:00-12:00 UTC"
    assert inventory.windows["n"].timezone is None
    assert inventory.blackouts == (
        "2026-12-20T00:00:00Z/2027-01-02T00:00:00Z",
        str(tmp_path / "holidays.ics"),
    )
    assert inventory.approvals.required == 2
    assert inventory.approvals.allowed_signers == tmp_path / "signers"
    assert inventory.approvals.author_may_approve is True
    assert inventory.hosts["a"].window == "Mon-Fri 22:00-02:00 Europe/Berlin"


def test_every_form_of_secret_reference_loads(load: Load, tmp_path: Path) -> None:
    inventory = load(
        """
        defaults: {platform: linux}
        hosts:
          a: {ssh: {password: {env: PW}, passphrase: prompt, become_password: {keyring: fwfix/ops}}}
          b: {ssh: {password: {file: secrets/pw}, passphrase: {command: [pass, "x/{host}"]}}}
          c: {ssh: {password: {command: [./get, "{user}@{address}"]}}}
        """
    )
    a, b, c = (host.ssh for host in inventory.hosts.values())
    assert a.password == SecretRef(kind=SecretKind.ENV, argument="PW")
    assert a.passphrase == SecretRef(kind=SecretKind.PROMPT)
    assert a.become_password == SecretRef(kind=SecretKind.KEYRING, argument="fwfix/ops")
    assert b.password == SecretRef(kind=SecretKind.FILE, argument=str(tmp_path / "secrets/pw"))
    assert b.passphrase == SecretRef(kind=SecretKind.COMMAND, argument="pass", command=("pass", "x/{host}"))
    assert b.passphrase.differs_by_host
    assert c.password is not None
    assert c.password.command == (str(tmp_path / "get"), "{user}@{address}")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_bytes(b"\xef\xbb\xbfhosts:\r\n  a:\r\n    platform: linux\r\n")
    assert list(load_inventory([path]).hosts) == ["a"]


def test_places_say_where_things_were_written(load: Load, tmp_path: Path) -> None:
    inventory = load(EXAMPLE)
    path = tmp_path / "inventory.yaml"
    assert inventory.places["hosts", "pos-win-07"] == f"{path}:24"
    ref = SecretRef(kind=SecretKind.ENV, argument="SUDO_PASSWORD")
    assert inventory.places[ref] == f"{path}:5"


@pytest.mark.parametrize("name", ["small.yaml", "fleet", "secrets.yaml"])
def test_the_examples_load(name: str) -> None:
    assert load_inventory([EXAMPLES / name]).hosts


def test_a_large_inventory_loads_in_seconds(tmp_path: Path) -> None:
    import time

    lines = ["defaults: {platform: linux, policy: p, ssh: {user: ops}}", "policies: {p: }", "hosts:"]
    lines += [
        f"  h{i}: {{address: 10.{i >> 8}.{i & 255}.1, labels: {{rack: r{i}}}, ssh: {{port: 22}}}}"
        for i in range(5000)
    ]
    path = tmp_path / "big.yaml"
    path.write_text("\n".join(lines))
    started = time.monotonic()
    assert len(load_inventory([path]).hosts) == 5000
    assert time.monotonic() - started < 15
