"""A certificate of a host is worth what its signature is worth."""

import base64
import subprocess
from pathlib import Path

import pytest

from fwfix.errors import HostKeyError
from fwfix.executors.hostkeys import HostKeys
from fwfix.executors.ssh_target import Target


def keygen(*arguments: object) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, timeout=20
    )


def blob_in(path: Path) -> bytes:
    return base64.b64decode(path.read_text().split()[1])


def make(directory: Path, *, ca: str, host: str, algorithm: str = "") -> tuple[bytes, Target]:
    """Return a certificate that an authority signed, and a target that trusts the authority."""
    keygen("-t", *ca.split(), "-N", "", "-f", directory / "ca")
    keygen("-t", *host.split(), "-N", "", "-f", directory / "host")
    options = ["-t", algorithm] if algorithm else []
    keygen(*options, "-s", directory / "ca", "-I", "x", "-h", "-n", "web1", directory / "host.pub")
    known = directory / "known_hosts"
    known.write_text(f"@cert-authority web* {(directory / 'ca.pub').read_text()}")
    target = Target(
        name="web1", address="web1", port=22, user="ops", key_name="web1", user_known_hosts=(known,)
    )
    return blob_in(directory / "host-cert.pub"), target


@pytest.mark.parametrize("ca", ["ed25519", "ecdsa -b 384", "rsa -b 2048"])
@pytest.mark.parametrize("host", ["ed25519", "ecdsa -b 256", "rsa -b 2048"])
def test_a_good_certificate_of_any_kind_holds(tmp_path: Path, ca: str, host: str) -> None:
    blob, target = make(tmp_path, ca=ca, host=host)
    keys = HostKeys()
    keys.check(target, blob)
    assert keys.algorithms(target)[0].endswith("-cert-v01@openssh.com")


def test_a_certificate_that_only_names_the_authority_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "evil").mkdir()
    _, target = make(tmp_path / "good", ca="ed25519", host="ed25519")
    blob, _ = make(tmp_path / "evil", ca="ed25519", host="ed25519")
    good, evil = (blob_in(tmp_path / name / "ca.pub") for name in ("good", "evil"))
    assert evil in blob
    with pytest.raises(HostKeyError, match="it is broken"):
        HostKeys().check(target, blob.replace(evil, good))
    with pytest.raises(HostKeyError, match="nobody trusts"):
        HostKeys().check(target, blob)


def test_a_certificate_signed_with_sha1_is_refused(tmp_path: Path) -> None:
    blob, target = make(tmp_path, ca="rsa -b 2048", host="ed25519", algorithm="ssh-rsa")
    with pytest.raises(HostKeyError, match="SHA-1"):
        HostKeys().check(target, blob)


@pytest.mark.parametrize("length", [0, 4, 40, 200])
def test_a_broken_certificate_is_refused_whatever_is_missing(tmp_path: Path, length: int) -> None:
    blob, target = make(tmp_path, ca="ed25519", host="ed25519")
    with pytest.raises(HostKeyError):
        HostKeys().check(target, blob[:length])


def test_a_user_certificate_is_none_of_a_host(tmp_path: Path) -> None:
    _, target = make(tmp_path, ca="ed25519", host="ed25519")
    keygen("-s", tmp_path / "ca", "-I", "x", "-n", "web1", tmp_path / "host.pub")
    with pytest.raises(HostKeyError, match="for users"):
        HostKeys().check(target, blob_in(tmp_path / "host-cert.pub"))


def test_keys_that_are_known_are_asked_for_first(tmp_path: Path) -> None:
    _, target = make(tmp_path, ca="ed25519", host="rsa -b 2048")
    known = tmp_path / "known_hosts"
    known.write_text(f"web1 {(tmp_path / 'host.pub').read_text()}")
    assert HostKeys().algorithms(target)[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert not any("cert" in name for name in HostKeys().algorithms(target))
