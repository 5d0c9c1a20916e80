"""ssh_config decides what the inventory leaves open, and known_hosts is read as ssh reads it."""

import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fwfix.errors import ConnectError
from fwfix.executors.known_hosts import KnownHosts, hashed
from fwfix.executors.ssh_config import SshConfig, home
from fwfix.executors.ssh_dial import ProxyStream
from fwfix.executors.ssh_settings import target_of
from fwfix.executors.ssh_target import Target
from fwfix.model.host import SshSettings

Resolved = Callable[..., Target]


@pytest.fixture
def resolved(tmp_path: Path) -> Callable[..., Target]:
    """Return what a configuration text makes of an address."""

    def resolve(text: str, address: str = "web1", **ssh: object) -> Target:
        path = tmp_path / "config"
        path.write_text(text)
        settings = SshSettings(**ssh)  # type: ignore[arg-type]
        found = SshConfig(path).settings(
            address, user=settings.user, port=settings.port, deadline=time.monotonic() + 10
        )
        return target_of("host", address, settings, found)

    return resolve


def test_without_ssh_config_everything_is_as_ssh_itself_would_do(resolved: Resolved) -> None:
    target = resolved("")
    assert (target.address, target.port, target.lookup_name) == ("web1", 22, "web1")
    assert target.user
    assert target.user_known_hosts[0] == home() / ".ssh/known_hosts"
    assert home() / ".ssh/id_ed25519" in target.default_identities
    assert target.methods == ("publickey", "keyboard-interactive", "password")


def test_every_setting_that_says_where_and_as_whom_is_honoured(resolved: Resolved) -> None:
    target = resolved(
        "Host web*\nHostName %h.corp\nUser me\nPort 2200\nIdentityFile ~/.ssh/%r_key\nIdentitiesOnly yes\n"
        "CertificateFile /c\nIdentityAgent /agent\nUserKnownHostsFile /k1 /k2\nGlobalKnownHostsFile /g\n"
        "BindAddress 127.0.0.2\nAddressFamily inet6\nProxyJump a@b:1,c\nHashKnownHosts yes\n"
        "PasswordAuthentication no\nRevokedHostKeys /r\n"
    )
    assert (target.address, target.user, target.port) == ("web1.corp", "me", 2200)
    assert target.explicit_identities == (home() / ".ssh/me_key",)
    assert target.default_identities == ()
    assert target.identities_only
    assert target.certificates == (Path("/c"),)
    assert target.identity_agent == "/agent"
    assert target.user_known_hosts == (Path("/k1"), Path("/k2"))
    assert target.global_known_hosts == (Path("/g"),)
    assert (target.bind_address, target.family) == ("127.0.0.2", "inet6")
    assert target.jumps == ("a@b:1", "c")
    assert target.hash_known_hosts
    assert target.methods == ("publickey", "keyboard-interactive")
    assert target.revoked_keys == Path("/r")
    assert target.lookup_name == "[web1.corp]:2200"


def test_the_inventory_wins(resolved: Resolved) -> None:
    target = resolved(
        "User me\nPort 2200\nIdentityFile /theirs\nUserKnownHostsFile /theirs\nProxyJump theirs\n",
        user="ops",
        port=22,
        identity_file=Path("/ours"),
        known_hosts=Path("/ours"),
        jump="ours",
    )
    assert (target.user, target.port, target.jumps) == ("ops", 22, ("ours",))
    assert target.explicit_identities[0] == Path("/ours")
    assert target.user_known_hosts == (Path("/ours"),)


def test_a_proxy_command_has_its_tokens_replaced(resolved: Resolved) -> None:
    text = "HostName real\nHostKeyAlias alias\nProxyCommand nc -x %n %h %p %r %% %k %L\n"
    target = resolved(text, user="ops", port=2)
    local = socket.gethostname().partition(".")[0]
    assert target.proxy_command == f"nc -x web1 real 2 ops % alias {local}"
    assert target.lookup_name == "alias"
    assert resolved("ProxyCommand none\nProxyJump none\nIdentityAgent none\n").proxy_command == ""


def test_an_alias_is_free_to_lead_elsewhere_but_an_address_is_not(resolved: Resolved) -> None:
    assert resolved("HostName 10.0.0.9\n").address == "10.0.0.9"
    with pytest.raises(ConnectError, match=r"leads to 10\.0\.0\.9") as caught:
        resolved("HostName 10.0.0.9\n", "10.0.0.1")
    assert caught.value.code == "ssh-config"


def test_a_broken_configuration_is_an_error_that_quotes_ssh(resolved: Resolved) -> None:
    with pytest.raises(ConnectError, match=r"(?i)nonsense"):
        resolved("Nonsense yes\n")


def test_names_that_the_files_treat_alike_share_one_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "config").write_text("Host special\nPort 2\nHost *\nUser me\n")
    log = tmp_path / "bin"
    log.mkdir()
    real = shutil.which("ssh")
    (log / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexec {real} "$@"\n')
    (log / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{log}:/usr/bin:/bin")
    config = SshConfig(tmp_path / "config")
    monkeypatch.setattr(config, "_wrapped", False)
    answers = {
        name: config.settings(name, user=None, port=None, deadline=time.monotonic() + 10)
        for name in ("a", "b", "10.0.0.1", "special", "c")
    }
    assert len(asked.read_text().splitlines()) == 2
    assert answers["special"]["port"] == ("2",)
    assert "hostname" not in answers["b"]


def test_a_configuration_without_anything_for_us_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "config"
    path.write_text("# comment\nHost *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n")
    found = SshConfig(path).settings("x", user=None, port=None, deadline=0)
    assert found == {"hashknownhosts": ("yes",)}


def test_without_ssh_the_files_are_read_all_the_same(
    resolved: Resolved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = resolved("Host web1\nUser me\nPort 2200\nHostName real\nIdentityFile /k\n")
    assert (target.user, target.port, target.address) == ("me", 2200, "real")
    assert target.explicit_identities == (Path("/k"),)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPIfYPYXiOuECU3Og8IGRBTGzmLUOQ1sWPOcSQ5DpnKG"


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [
        ("host", "host", True),
        ("HOST", "host", True),
        ("host", "hos", False),
        ("a,host,b", "host", True),
        ("10.1.*", "10.1.2.3", True),
        ("10.1.?.3", "10.1.2.3", True),
        ("*,!10.1.2.3", "10.1.2.3", False),
        ("!10.1.2.3", "10.1.2.4", False),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("[*]:2222", "[host]:2222", True),
        ("[hos]:2222", "h", False),
        ("fd00::1", "fd00::1", True),
    ],
)
def test_a_line_of_known_hosts_matches_as_in_ssh(
    tmp_path: Path, names: str, asked: str, *, found: bool
) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"{names} {KEY}\n")
    assert bool(KnownHosts([path]).about(asked)) is found


def test_a_hashed_line_matches_its_name_only(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"{hashed('[host]:2')} {KEY}\n{hashed('other')} {KEY}\n|1|bad {KEY}\n|2|a|b {KEY}\n")
    known = KnownHosts([path, tmp_path / "missing"])
    assert [key.line for key in known.about("[host]:2")] == [1]
    assert known.about("host") == ()


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    lines = [
        "# x",
        "",
        "host ssh-ed25519",
        "host ssh-ed25519 !!!",
        f"@unknown host {KEY}",
        f"@revoked host {KEY}",
    ]
    path.write_text("\n".join(lines))
    assert [key.marker for key in KnownHosts([path]).about("host")] == ["@revoked"]


def test_a_proxy_command_is_ended_with_everything_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    stream = ProxyStream(f"sh -c 'sleep 60 & echo $! > {mark}; echo words >&2; echo up; wait'")
    assert stream.socket.recv(10) == b"up\n"
    stream.close()
    stream.close()
    assert stream.last_words == "words"
    status = Path(f"/proc/{mark.read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    with suppress(OSError):  # it is gone
        while ") Z " not in status.read_text():
            assert time.monotonic() < deadline


def test_a_slow_command_in_ssh_config_delays_neither_the_deadline_nor_other_names(tmp_path: Path) -> None:
    (tmp_path / "config").write_text('Match originalhost slow exec "sleep 20"\nUser other\n')
    config = SshConfig(tmp_path / "config")
    started = time.monotonic()

    def ask(name: str) -> float:
        with suppress(ConnectError):
            config.settings(name, user=None, port=None, deadline=time.monotonic() + 1.5)
        return time.monotonic() - started

    with ThreadPoolExecutor(3) as threads:
        slow, again, quick = threads.map(ask, ("slow", "slow", "quick"))
    assert quick < 1.4
    assert max(slow, again) < 4
