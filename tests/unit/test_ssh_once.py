"""What every connection of a run needs is read once: a fleet shares its known_hosts and its keys."""

from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fwfix.errors import AuthError, HostKeyError
from fwfix.executors.hostkeys import HostKeys
from fwfix.executors.ssh_keys import Keyring
from fwfix.executors.ssh_target import Target

WEB1 = Target(name="web1", address="web1", port=22, user="ops", key_name="web1")


def new_key(path: Path) -> paramiko.PKey:
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    return paramiko.Ed25519Key.from_private_key_file(str(path))


def test_known_hosts_is_read_once_for_all_hosts_of_a_run(tmp_path: Path) -> None:
    known, key = tmp_path / "known_hosts", new_key(tmp_path / "host")
    known.write_text("".join(f"{name} ssh-ed25519 {key.get_base64()}\n" for name in ("web1", "web2")))
    web1 = replace(WEB1, user_known_hosts=(known,))
    keys = HostKeys()
    keys.check(web1, key.asbytes())
    known.unlink()
    keys.check(replace(web1, name="web2", address="web2", key_name="web2"), key.asbytes())
    with pytest.raises(HostKeyError):
        HostKeys().check(web1, key.asbytes())


def test_a_key_is_read_once_for_all_hosts_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    key = new_key(path)
    target = replace(WEB1, explicit_identities=(path,))
    keyring = Keyring()
    (first,) = keyring.keys_for(target, lambda: None)
    path.unlink()
    (second,) = keyring.keys_for(replace(target, name="web2", address="web2"), lambda: None)
    assert first is second
    assert first.asbytes() == key.asbytes()
    with pytest.raises(AuthError):
        list(Keyring().keys_for(target, lambda: None))
