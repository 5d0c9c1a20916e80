"""Whoever answers must be provably the host."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import HostKeyError
from fwfix.lab.linux import HostSpec, Lab
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import HostKeyPolicy

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def keygen(*arguments: object) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, timeout=20
    )


def known(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "known"
    path.write_text(text)
    return path


@pytest.fixture
def other_key(tmp_path: Path) -> str:
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "other")
    return " ".join((tmp_path / "other.pub").read_text().split()[:2])


def test_an_unknown_host_is_refused_and_the_message_says_how_to_add_it(
    lab: Lab, rig: "Rig", tmp_path: Path
) -> None:
    lab_host = lab["demo-linux-1"]
    with pytest.raises(HostKeyError) as caught:
        rig.open(rig.host(lab_host, known_hosts=known(tmp_path, "")))
    assert caught.value.code == "host-key-unknown"
    assert f"ssh-keyscan {lab_host.address} >> {tmp_path}/known" in caught.value.next
    assert "SHA256:" in caught.value.message


def test_behind_an_alias_the_advice_adds_the_key_under_the_alias(
    lab: Lab, rig: "Rig", tmp_path: Path
) -> None:
    lab_host = lab["demo-linux-1"]
    rig.ssh_config.write_text("HostKeyAlias printer-gw\n")
    with pytest.raises(HostKeyError) as caught:
        rig.open(rig.host(lab_host, known_hosts=known(tmp_path, "")))
    assert "ssh-keyscan" not in caught.value.next
    assert f"-o UserKnownHostsFile={tmp_path}/known -o HostKeyAlias=printer-gw " in caught.value.next


def test_a_changed_key_is_refused_whatever_the_policy(
    lab: Lab, rig: "Rig", tmp_path: Path, other_key: str
) -> None:
    lab_host = lab["demo-linux-1"]
    path = known(tmp_path, f"{lab_host.address} {other_key}\n")
    for policy in HostKeyPolicy:
        with pytest.raises(HostKeyError) as caught:
            rig.open(rig.host(lab_host, known_hosts=path, host_key=policy))
        assert caught.value.code == "host-key-changed"
        assert f"{path}:1" in caught.value.message
    assert path.read_text().count("\n") == 1


def test_a_host_known_by_another_type_of_key_only_counts_as_changed(
    lab: Lab, rig: "Rig", tmp_path: Path
) -> None:
    keygen("-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "rsa")
    path = known(tmp_path, f"{lab['demo-linux-1'].address} {(tmp_path / 'rsa.pub').read_text()}")
    with pytest.raises(HostKeyError) as caught:
        rig.open(rig.host(lab["demo-linux-1"], known_hosts=path, host_key=HostKeyPolicy.ACCEPT_NEW))
    assert caught.value.code == "host-key-changed"


@pytest.mark.parametrize("hashed", [False, True])
def test_a_new_key_is_written_down_once_where_that_is_allowed(
    lab: Lab, rig: "Rig", tmp_path: Path, *, hashed: bool
) -> None:
    lab_host = lab["demo-linux-1"]
    rig.ssh_config.write_text(f"HashKnownHosts {'yes' if hashed else 'no'}\n")
    path = known(tmp_path, "other ssh-ed25519 AAAA")
    host = rig.host(lab_host, known_hosts=path, host_key=HostKeyPolicy.ACCEPT_NEW)
    connector = rig.connector(host)
    for _ in range(2):
        connector.open(host, deadline=rig.soon()).close()
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert (lab_host.address in lines[1]) is not hashed
    subprocess.run(["ssh-keygen", "-F", lab_host.address, "-f", path], check=True, capture_output=True)
    rig.open(rig.host(lab_host, known_hosts=path)).close()


@pytest.mark.parametrize("form", ["hashed", "pattern", "list", "negated", "case"])
def test_every_way_to_write_a_known_host_is_understood(
    lab: Lab, rig: "Rig", tmp_path: Path, form: str
) -> None:
    address, key = lab["demo-linux-1"].address, lab["demo-linux-1"].host_key
    prefix = address.rpartition(".")[0]
    text = {
        "hashed": f"{address} {key}\n",
        "pattern": f"{prefix}.* {key}\n",
        "list": f"first,{address},last {key} comment\n",
        "negated": f"!{address},{prefix}.* {key}\n",
        "case": f"{address.upper()} {key}\n",
    }[form]
    path = known(tmp_path, text)
    if form == "hashed":
        keygen("-H", "-f", path)
        assert address not in path.read_text()
    path.write_text("# comment\n\nnonsense\n" + path.read_text())
    host = rig.host(lab["demo-linux-1"], known_hosts=path)
    if form == "negated":
        with pytest.raises(HostKeyError):
            rig.open(host)
    else:
        rig.open(host).close()


def test_a_revoked_key_is_refused_even_if_it_is_known(lab: Lab, rig: "Rig", tmp_path: Path) -> None:
    lab_host = lab["demo-linux-1"]
    path = known(tmp_path, lab_host.known_hosts + f"@revoked * {lab_host.host_key}\n")
    with pytest.raises(HostKeyError) as caught:
        rig.open(rig.host(lab_host, known_hosts=path))
    assert caught.value.code == "host-key-revoked"


def test_a_key_in_the_list_of_revoked_keys_is_refused(lab: Lab, rig: "Rig", tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(lab["demo-linux-1"].host_key + "\n")
    rig.ssh_config.write_text(f"RevokedHostKeys {revoked}\n")
    with pytest.raises(HostKeyError) as caught:
        rig.open(rig.host(lab["demo-linux-1"]))
    assert caught.value.code == "host-key-revoked"


def test_another_port_is_another_host_unless_only_the_plain_name_is_known(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, other_key: str
) -> None:
    lab_host = make_lab([HostSpec(name="port", ssh_ports=(2222,))])["port"]
    name = f"[{lab_host.address}]:2222"
    plain = f"{lab_host.address} {lab_host.host_key}\n"
    rig.open(rig.host(lab_host, known_hosts=known(tmp_path, f"{name} {lab_host.host_key}\n"))).close()
    rig.open(rig.host(lab_host, known_hosts=known(tmp_path, plain))).close()
    with pytest.raises(HostKeyError, match="ssh-keyscan -p 2222"):
        rig.open(rig.host(lab_host, known_hosts=known(tmp_path, "")))
    with pytest.raises(HostKeyError):
        rig.open(rig.host(lab_host, known_hosts=known(tmp_path, f"{name} {other_key}\n" + plain)))


def test_an_ipv6_literal_is_a_host_like_any_other(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="six", ssh_ports=(2222,))])["six"]
    executor = rig.open(rig.host(lab_host, address=lab_host.address6))
    assert str(executor.peer) == lab_host.address6
    executor.close()


def sign_host_key(lab_host: LabHost, ca: Path, *options: str) -> None:
    public = ca.with_name("host.pub")
    public.write_text(lab_host.host_key + "\n")
    keygen("-s", ca, "-I", "host", "-h", *options, public)
    certificate = ca.with_name("host-cert.pub").read_text()
    lab_host.run(["tee", "/etc/ssh/host-cert.pub"], input=certificate)
    lab_host.kill_sshd()
    lab_host.start_sshd()


def test_a_host_certificate_holds_only_for_the_host_that_the_authority_named(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, other_key: str
) -> None:
    spec = HostSpec(name="ca", sshd_config="HostCertificate /etc/ssh/host-cert.pub")
    lab_host = make_lab([spec])["ca"]
    ca = tmp_path / "ca_key"
    keygen("-t", "ed25519", "-N", "", "-f", ca)
    authority = " ".join((tmp_path / "ca_key.pub").read_text().split()[:2])
    prefix = lab_host.address.rpartition(".")[0]
    path = known(tmp_path, f"@cert-authority {prefix}.* {authority}\n")
    host = rig.host(lab_host, known_hosts=path)

    sign_host_key(lab_host, ca, "-n", lab_host.address)
    rig.open(host).close()
    for options, why in (
        (("-n", "another.host"), "it is for another.host"),
        (("-n", lab_host.address, "-V", "20200101:20200102"), "not valid now"),
    ):
        sign_host_key(lab_host, ca, *options)
        with pytest.raises(HostKeyError, match=why):
            rig.open(host)

    sign_host_key(lab_host, ca, "-n", lab_host.address)
    path.write_text(f"@cert-authority * {other_key}\n")
    with pytest.raises(HostKeyError, match="nobody trusts the CA"):
        rig.open(host)
    path.write_text(f"@cert-authority * {authority}\n@revoked * {authority}\n")
    with pytest.raises(HostKeyError) as caught:
        rig.open(host)
    assert caught.value.code == "host-key-revoked"
