"""Bad inventories: one message with file, line, value and choice; never a secret, never a traceback."""

from pathlib import Path

import pytest
import yaml

from fwfix.errors import InventoryError
from fwfix.loading import yaml_tree
from fwfix.loading.inventory import load_inventory

SECRET = "hunter2"


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "i.yaml"
    path.write_text(text)
    with pytest.raises(InventoryError) as caught:
        load_inventory([path])
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    return message.removeprefix(f"{path}:")


def host(settings: str) -> str:
    return f"hosts:\n  a:\n    platform: linux\n    {settings}\n"


def policy(settings: str) -> str:
    return f"defaults: {{platform: linux, policy: p}}\nhosts: {{a: }}\npolicies:\n  p:\n    {settings}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("hots: {}", 1, ["unknown key 'hots'", "did you mean 'hosts'", "policies"]),
        (host("adress: 10.0.0.1"), 4, ["unknown key 'adress'", "did you mean 'address'"]),
        (host("ssh: {usr: x}"), 4, ["hosts.a.ssh", "'usr'", "did you mean 'user'", "identity_file"]),
        ("defaults: {address: 10.0.0.1}", 1, ["defaults", "unknown key 'address'"]),
        ("groups:\n  g: {groups: [x]}", 2, ["groups.g", "unknown key 'groups'"]),
        (policy("port: [x]"), 5, ["policies.p", "unknown key 'port'", "did you mean 'ports'"]),
        ("hosts:\n  a: {platform: linux}\n  a: {platform: linux}", 3, ["'a' is defined twice", "i.yaml:2"]),
        ("version: 2", 1, ["'2'", "write 1"]),
        (host("ssh: {port: 99999}"), 4, ["hosts.a.ssh.port", "'99999'", "65535"]),
        (host("ssh: {port: 022}"), 4, ["'022'"]),
        (host("ssh: {port: 22:00}"), 4, ["'22:00'"]),
        (host("ssh: {port: }"), 4, ["hosts.a.ssh.port: is empty"]),
        (host("ssh: {host_key: accept}"), 4, ["'accept'", "did you mean accept-new", "strict"]),
        (host("winrm: {transport: nltm}"), 4, ["did you mean ntlm", "kerberos"]),
        (host("winrm: {fingerprint: abc}"), 4, ["64 hex digits"]),
        (host("vantage: maybe"), 4, ["'maybe'", "true nor false"]),
        (host("groups: berlin"), 4, ["takes a list: write [berlin]"]),
        ("groups: {berlin: }\n" + host("groups: [berln]"), 5, ["'berln'", "did you mean 'berlin'"]),
        ("groups: {berlin: }\n" + host("groups: [berlin, berlin]"), 5, ["berlin is listed twice"]),
        (host("policy: nope"), 4, ["unknown policy 'nope'"]),
        (host("policy: [p, p]"), 4, ["p is listed twice"]),
        (host("window: nightly"), 4, ["unknown window 'nightly'"]),
        (host("labels: {a b: c}"), 4, ["'a b'", "not a name"]),
        (host("labels: {a: }"), 4, ["hosts.a.labels.a: is empty"]),
        (host("probe_addresses: [prt.example]"), 4, ["'prt.example'"]),
        (host("probe_addresses: [127.0.0.1]"), 4, ["loopback"]),
        ("hosts: {a: }", 1, ["platform", "linux or windows"]),
        ("hosts: {a: {platform: Linux}}", 1, ["'Linux'", "did you mean linux"]),
        ("hosts: [a]", 1, ["hosts", "mapping"]),
        ("hosts: {all: {platform: linux}}", 1, ["every host"]),
        ("groups: {all: }", 1, ["every host"]),
        ("groups: {a: }\nhosts: {a: {platform: linux}}", 2, ["a group", "rename"]),
        ("maintenance_windows: {w: {timezone: UTC}}", 1, ["maintenance_windows.w", "'recurs' is missing"]),
        ("hello", 1, ["not an inventory"]),
        ("hosts:\n\ta: 1", 2, ["not valid YAML"]),
        ("a: 1\n---\nb: 2", 2, ["second document"]),
        ("hosts: !!python/object/apply:os.system [id]", 1, ["tag"]),
        ("hosts: &a\n  b: *a", 2, ["alias"]),
        ("hosts: " + "[" * 50_000, 1, ["nested deeper"]),
        ("? [a]\n: b", 1, ["plain text"]),
        ("hosts: \x1b[31m", 1, ["character"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_choice(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"{line}: ")
    for word in words:
        assert word in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "version: 1", "hosts:", "hosts: {}", "policies: {p: }"])
def test_an_inventory_without_hosts_is_an_error(tmp_path: Path, text: str) -> None:
    assert "no host is defined" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=id",
        "10.0.0.1\\n",
        "$(id)",
        "a b",
        "a'b",
        'a\\"b',
        "a\\0b",
        "a\\u202Eb",
        "a;id",
        "`id`",
        "10.0.0.1/24",
        "10.0.0.256",
        "010.0.0.1",
        "1.2.3",
        "ops@10.0.0.1",
        "10.0.0.1:22",
        "[fd00::1]",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "::",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "a..b",
        "-a.b",
        "a-.b",
        "müller.example",
        "a" * 64,
        "a." * 127 + "a",
        "a" * 10_000,
    ],
)
def test_what_is_not_the_address_of_a_host_is_refused(tmp_path: Path, address: str) -> None:
    message = refusal(tmp_path, f'hosts:\n  a:\n    platform: linux\n    address: "{address}"\n')
    assert message.startswith("4: hosts.a.address: ")
    assert len(message) < 300
    assert message.isprintable()


BREAK_OUTS = [
    "-oProxyCommand=id",
    "--help",
    "a b",
    "a'b",
    'a\\"b',
    "a\\nb",
    "a\\0b",
    "a$(id)",
    "a`id`",
    "a;b",
    "a|b",
    "a/../b",
    "a\\u202Eb",
    "a\\u200Fb",
    "é",
    "",
    ".",
    "a" * 1000,
]


@pytest.mark.parametrize("name", BREAK_OUTS)
@pytest.mark.parametrize(
    "text",
    [
        'hosts: {{"{}": {{platform: linux}}}}',
        'groups: {{"{}": }}',
        'policies: {{"{}": }}',
        'maintenance_windows: {{"{}": {{recurs: x}}}}',
        'hosts: {{a: {{platform: linux, ssh: {{user: "{}"}}}}}}',
        'hosts: {{a: {{platform: linux, ssh: {{become_user: "{}"}}}}}}',
        'hosts: {{a: {{platform: linux, winrm: {{user: "{}"}}}}}}',
        'hosts: {{a: {{platform: linux, ssh: {{jump: "{}"}}}}}}',
        'hosts: {{a: {{platform: linux, winrm: {{server_name: "{}"}}}}}}',
        'hosts: {{a: {{platform: linux, labels: {{"{}": x}}}}}}',
        'hosts: {{a: {{platform: linux, expect_hostname: "{}"}}}}',
    ],
    ids=lambda text: text[:60].replace("{", ""),
)
def test_nothing_can_break_out_of_a_name(tmp_path: Path, text: str, name: str) -> None:
    message = refusal(tmp_path, text.format(name))
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize(
    "path", ["-x", "a'b", 'a\\"b', "a\\nb", "a\\0b", "$(id)", "`id`", "a;b", "a\\u202Eb", ""]
)
@pytest.mark.parametrize("key", ["identity_file", "known_hosts"])
def test_nothing_can_break_out_of_a_path(tmp_path: Path, key: str, path: str) -> None:
    assert f"hosts.a.ssh.{key}: " in refusal(tmp_path, host(f'ssh: {{{key}: "{path}"}}'))


@pytest.mark.parametrize("label", ["a\\nb", "a\\0b", "a\\u202Eb", "a\\e[31m", " ", "a" * 10_000])
def test_a_label_is_one_line_that_can_be_printed(tmp_path: Path, label: str) -> None:
    assert "hosts.a.labels.x: " in refusal(tmp_path, host(f'labels: {{x: "{label}"}}'))


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f"'{SECRET}'",
        f"[{SECRET}]",
        f"{{{SECRET}}}",
        f"{{{SECRET}, {SECRET}}}",
        f"{{plain: {SECRET}}}",
        f"{{env: '{SECRET} x'}}",
        f"{{env: {SECRET}, file: {SECRET}}}",
        f'{{file: "{SECRET}\'"}}',
        f"{{keyring: {SECRET}}}",
        f"{{command: {SECRET}}}",
        f"{{command: [[{SECRET}]]}}",
        f"{{prompt: {SECRET}}}",
        f"*{SECRET}",
        f"!{SECRET} x",
        f"&{SECRET} x",
        f"@{SECRET}",
        f"%{SECRET}",
        f"{SECRET}: x",
        f'"{SECRET}\\q"',
        f'"{SECRET}',
        f"{{? [{SECRET}] : x}}",
        "",
    ],
)
@pytest.mark.parametrize("key", ["password", "passphrase", "become_password"])
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path, key: str, value: str) -> None:
    message = refusal(tmp_path, f"hosts:\n  a:\n    platform: linux\n    ssh:\n      {key}: {value}\n")
    assert SECRET not in message


def test_a_literal_password_is_answered_with_every_form_of_reference(tmp_path: Path) -> None:
    message = refusal(tmp_path, host(f"ssh: {{password: {SECRET}}}"))
    for form in (
        "literal",
        "{env: NAME}",
        "{file: PATH}",
        "{keyring: SERVICE/USER}",
        "{command: [",
        "prompt",
    ):
        assert form in message


def test_a_proxy_with_a_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, host(f"winrm: {{proxy: 'http://ops:{SECRET}@proxy:3128'}}"))
    assert SECRET not in message
    assert "proxy" in message


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ("[9100]", ["9100/tcp or 9100/udp"]),
        ("[tcp/9100]", ["write 9100/tcp"]),
        ("[9100/TCP]", ["write 9100/tcp"]),
        ("[9105-9100/tcp]", ["write 9100-9105/tcp"]),
        ("[jetdrect]", ["did you mean jetdirect", "bjnp"]),
        ("[0/tcp]", ["1 to 65535"]),
        ("[65536/tcp]", ["1 to 65535"]),
        ("[09100/tcp]", ["leading zero"]),
        ("[9100/sctp]", ["'9100/sctp'"]),
        ("['9100/tcp\\n']", ["not a port"]),
        ("[~]", ["empty"]),
        ("jetdirect", ["write [jetdirect]"]),
        ("[]", ["empty"]),
        ("[1-65535/udp]", ["22", "management"]),
        ("[22/tcp]", ["port 22", "SSH"]),
        ("[3389/tcp]", ["port 3389"]),
        ("[5980-5990/tcp]", ["port 5985"]),
    ],
)
def test_a_bad_port_is_answered_with_what_to_write(tmp_path: Path, ports: str, words: list[str]) -> None:
    message = refusal(tmp_path, policy(f"ports: {ports}"))
    assert message.startswith("5: ")
    for word in words:
        assert word in message


def test_a_policy_may_not_name_the_ssh_port_in_use(tmp_path: Path) -> None:
    text = "policies: {p: {ports: [9100/tcp]}}\nhosts:\n  a:\n    platform: linux\n    policy: p\n    "
    message = refusal(tmp_path, text + "ssh: {port: 9100}\n")
    assert message.startswith("6: host a is managed through port 9100, which policy p would block")


def test_a_policy_may_not_name_the_winrm_port_in_use(tmp_path: Path) -> None:
    text = (
        "policies: {p: {ports: [9100/tcp]}}\nhosts:\n  a: {platform: windows, policy: p, winrm: {port: 9100}}"
    )
    assert refusal(tmp_path, text).startswith("3: host a is managed through port 9100")


def test_more_ports_than_one_host_can_have_is_an_error(tmp_path: Path) -> None:
    assert "257 ports, more than 256" in refusal(tmp_path, policy("ports: [9100-9356/tcp]"))


@pytest.mark.parametrize(
    "second",
    [
        "{ports: [9101/tcp], allow_from: [10.0.0.2]}",
        "{ports: [9101/tcp], allow_from: [10.0.0.1], action: reject}",
        "{ports: [9101/tcp], allow_from: [10.0.0.1], log: true}",
        "{ports: [9101/tcp]}",
        '{ports: [9101/tcp], allow_from: [10.0.0.1, "host:a"]}',
    ],
)
def test_policies_that_want_different_things_for_one_port_are_an_error(tmp_path: Path, second: str) -> None:
    text = f"""\
policies:
  p: {{ports: [9100-9102/tcp], allow_from: [10.0.0.1]}}
  q: {second}
hosts:
  a: {{platform: linux, policy: [p, q]}}
"""
    assert refusal(tmp_path, text).startswith("5: host a: policies p and q both name 9101/tcp")


def test_policies_that_agree_or_name_different_ports_load(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text(
        """
        policies:
          p: {ports: [9100-9102/tcp], allow_from: [10.0.0.0/31]}
          q: {ports: [9101-9103/tcp], allow_from: [10.0.0.0, 10.0.0.1]}
          r: {ports: [9100/udp], action: reject}
        hosts: {a: {platform: linux, policy: [p, q, r]}}
        """
    )
    assert load_inventory([path]).hosts["a"].policies == ("p", "q", "r")


@pytest.mark.parametrize(
    ("hosts", "loop"),
    [
        ("{a: {ssh: {jump: a}}}", "a -> a"),
        ("{a: {ssh: {jump: b}}, b: {ssh: {jump: c}}, c: {ssh: {jump: a}}}", "a -> b -> c -> a"),
        ("{w: {platform: windows, winrm: {jump: b}}, b: {ssh: {jump: b}}}", "b -> b"),
    ],
)
def test_jump_hosts_that_go_round_in_a_circle_are_an_error(tmp_path: Path, hosts: str, loop: str) -> None:
    message = refusal(tmp_path, f"defaults: {{platform: linux}}\nhosts: {hosts}\n")
    assert loop in message
    assert "jump: none" in message


def test_a_jump_host_that_inherits_its_own_name_is_told_the_way_out(tmp_path: Path) -> None:
    text = "defaults:\n  platform: linux\n  ssh:\n    jump: bastion\nhosts: {bastion: , a: }\n"
    message = refusal(tmp_path, text)
    assert message.startswith("4: ")
    assert "`ssh: {jump: none}`" in message


def test_aliases_cannot_multiply_without_limit(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15)]
    assert "more than 1000000 values" in refusal(tmp_path, "\n".join(levels))


def test_the_first_of_several_mistakes_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    message = refusal(tmp_path, "hosts:\n  a: {platfrm: x}\n  b: {platform: x}\n  c: {x: y}\n")
    assert message.startswith("2: ")
    assert message.endswith("And 2 more in this file.")


@pytest.mark.parametrize("kind", ["missing", "empty folder", "not text", "unreadable", "no path"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.yaml"
    if kind == "empty folder":
        path = tmp_path / "folder"
        path.mkdir()
        (path / "x.txt").write_text("x")
    elif kind == "not text":
        path.write_bytes(b"hosts:\n  \xff\xfe: x\n")
    elif kind == "unreadable":
        path.symlink_to(path)
    elif kind == "no path":
        path = tmp_path / ("x" * 5000)
    with pytest.raises(InventoryError) as caught:
        load_inventory([path])
    assert str(path) in str(caught.value)
    if kind == "not text":
        assert caught.value.line == 2


def test_no_inventory_at_all_says_how_to_give_one() -> None:
    with pytest.raises(InventoryError, match="FWFIX_INVENTORY"):
        load_inventory([])


@pytest.mark.parametrize(
    "loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)], ids=["python", "libyaml"]
)
def test_the_parsers_own_messages_repeat_no_character_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: object
) -> None:
    monkeypatch.setattr(yaml_tree, "_LOADER", loader)
    message = refusal(tmp_path, "hosts:\n  a:\n    ssh:\n      password: @x\n")
    assert message.startswith("4: not valid YAML: ")
    assert "@" not in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("scheme: http, transport: basic", ["basic over http", "scheme https", "ntlm or kerberos"]),
        ("scheme: http, transport: certificate", ["certificate over http", "scheme https"]),
        ("scheme: http, fingerprint: " + "ab" * 32, ["fingerprint", "Use https"]),
        (r"transport: kerberos, user: 'CORP\ops'", ["Kerberos", "user@REALM"]),
        (r"user: '.\Administrator'", ["a local account is 'Administrator' alone"]),
        ("proxy: 'https://proxy:3128'", ["https proxy", "http proxy, or jump"]),
        ("proxy: 'http://proxy:3128', jump: bastion", ["proxy and jump", "one of them"]),
        ("transport: certificate", ["needs cert_file and key_file", "`cert_file: ops.pem` and `key_file: "]),
        ("transport: certificate, cert_file: c.pem", ["key_file", "Add `key_file: ops.key`"]),
        ("transport: basic", ["basic needs user and password", "`password: {env: OPS_PASSWORD}`"]),
        ("transport: basic, password: {env: PW}", ["Add `user: ops`"]),
        (r"user: 'CORP\ops'", ["ntlm needs user and password", "Add `password: {env: OPS_PASSWORD}`"]),
    ],
)
def test_settings_of_winrm_that_contradict_each_other_or_are_not_enough_are_an_error_at_load_time(
    tmp_path: Path, settings: str, words: list[str]
) -> None:
    text = f"hosts:\n  w:\n    platform: windows\n    winrm: {{{settings}}}\n"
    message = refusal(tmp_path, text)
    assert message.startswith("4:")
    assert all(word in message for word in words), message


def test_settings_of_winrm_that_a_host_inherits_are_judged_together(tmp_path: Path) -> None:
    text = (
        "defaults:\n  winrm: {transport: basic}\n"
        "hosts:\n  w:\n    platform: windows\n    winrm: {scheme: http}\n"
    )
    message = refusal(tmp_path, text)
    assert message.startswith("2:")
    assert "host w" in message


def test_what_a_transport_of_winrm_needs_may_come_from_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text(
        "defaults: {platform: windows, winrm: {transport: certificate}}\n"
        "groups: {g: {winrm: {cert_file: c.pem}}}\n"
        "hosts:\n"
        "  w: {groups: [g], winrm: {key_file: c.key}}\n"
        "  k: {winrm: {transport: kerberos}}\n"
        "  n: {winrm: {transport: ntlm}}\n"
    )
    assert load_inventory([path]).hosts


def test_settings_of_winrm_do_not_matter_to_a_linux_host(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_text("hosts:\n  a:\n    platform: linux\n    winrm: {scheme: http, transport: basic}\n")
    assert load_inventory([path]).hosts
