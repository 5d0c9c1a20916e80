"""Decide whether the one who answered is provably the host."""

import base64
import threading
import time
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import SSHCertificate, SSHCertificateType
from paramiko.message import Message

from fwfix.errors import HostKeyError
from fwfix.executors.known_hosts import KnownHosts, KnownKey, hashed, key_type_of
from fwfix.executors.ssh_target import Target
from fwfix.model.host import HostKeyPolicy
from fwfix.signing import fingerprint

_CERT = "-cert-v01@openssh.com"
_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class HostKeys:
    """What is known about host keys; every file is read once for the length of a run."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, ...], KnownHosts] = {}
        self._lock = threading.Lock()

    def algorithms(self, target: Target) -> tuple[str, ...]:
        """Return the host key algorithms to offer: those that we can check come first, as in ssh."""
        known = self._about(target)
        types = {key.key_type for key in known if not key.marker}
        plain = sorted(_ALGORITHMS, key=lambda name: _key_type(name) not in types)
        if not any(key.marker == "@cert-authority" for key in known):
            return tuple(plain)
        return (*(name + _CERT for name in _ALGORITHMS), *plain)

    def check(self, target: Target, blob: bytes) -> None:
        """Raise unless the key is the host's own.

        Raises:
            HostKeyError: it is unknown, another one, revoked, or its certificate does not hold.
        """
        known = self._about(target)
        self._refuse_revoked(target, known, blob)
        if key_type_of(blob).endswith(_CERT):
            self._check_certificate(target, known, blob)
            return
        plain = [key for key in known if not key.marker]
        if any(key.blob == blob for key in plain):
            return
        if plain:
            raise _changed(target, plain[0], blob)
        if target.host_key is HostKeyPolicy.STRICT:
            raise _unknown(target, blob)
        self._remember(target, blob)

    def _about(self, target: Target) -> tuple[KnownKey, ...]:
        files = (*target.user_known_hosts, *target.global_known_hosts)
        with self._lock:
            known = self._files.get(files)
            if known is None:
                known = self._files[files] = KnownHosts(files)
        found = known.about(target.lookup_name)
        if target.lookup_name == target.key_name:
            return found
        # As in ssh, a key that is known without the port serves where none is known with it.
        bare = known.about(target.key_name)
        if any(not key.marker for key in found):
            bare = tuple(key for key in bare if key.marker)
        return (*found, *bare)

    def _refuse_revoked(self, target: Target, known: tuple[KnownKey, ...], blob: bytes) -> None:
        for key in known:
            if key.marker == "@revoked" and key.blob == blob:
                raise HostKeyError(
                    f"The host key of {target.where} is revoked ({key.place}).",
                    next="Do not log on there; give the host a new key.",
                    code="host-key-revoked",
                )
        if target.revoked_keys is not None and blob in _revoked_list(target.revoked_keys):
            raise HostKeyError(
                f"The host key of {target.where} is revoked ({target.revoked_keys}).",
                next="Do not log on there; give the host a new key.",
                code="host-key-revoked",
            )

    def _check_certificate(self, target: Target, known: tuple[KnownKey, ...], blob: bytes) -> None:
        try:
            text = f"{key_type_of(blob)} {base64.b64encode(blob).decode()}"
            certificate = serialization.load_ssh_public_identity(text.encode())
            assert isinstance(certificate, SSHCertificate)
            certificate.verify_cert_signature()
            algorithm = _signature_algorithm(blob)
            authority = _blob_of(certificate.signature_key())
            own = _blob_of(certificate.public_key())
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            raise _bad_certificate(target, "it is broken") from error
        self._refuse_revoked(target, known, authority)
        self._refuse_revoked(target, known, own)
        if not any(key.marker == "@cert-authority" and key.blob == authority for key in known):
            raise _bad_certificate(target, f"nobody trusts the CA that signed it, {fingerprint(authority)}")
        if algorithm == "ssh-rsa":
            raise _bad_certificate(target, "it is signed with SHA-1")
        _check_contents(target, certificate)

    def _remember(self, target: Target, blob: bytes) -> None:
        name = target.lookup_name
        shown = hashed(name) if target.hash_known_hosts else name
        line = f"{shown} {key_type_of(blob)} {base64.b64encode(blob).decode()}\n"
        if not target.user_known_hosts:
            raise _unknown(target, blob)
        path = target.user_known_hosts[0]
        with self._lock:
            try:
                _append(path, line)
            except OSError as error:
                raise HostKeyError(
                    f"The new host key of {target.where} cannot be written to {path}: {error.strerror}.",
                    next=f"Make {path} writable, or set known_hosts.",
                ) from error
            for stale in [key for key in self._files if path in key]:
                del self._files[stale]


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                line = "\n" + line
        stream.write(line.encode())


def _key_type(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-") else algorithm


def _blob_of(key: object) -> bytes:
    encoded = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return base64.b64decode(encoded.split()[1])


def _signature_algorithm(blob: bytes) -> str:
    """Return how a certificate is signed; its layout is in OpenSSH's PROTOCOL.certkeys."""
    fields = Message(blob)
    key_fields = 1 if "ed25519" in fields.get_text() else 2
    for _ in range(1 + key_fields):
        fields.get_string()
    fields.get_int64()
    fields.get_int()
    for _ in range(2):
        fields.get_string()
    for _ in range(2):
        fields.get_int64()
    for _ in range(4):
        fields.get_string()
    return Message(fields.get_string()).get_text()


def _check_contents(target: Target, certificate: SSHCertificate) -> None:
    now = time.time()
    principals = [principal.decode("utf-8", "replace").lower() for principal in certificate.valid_principals]
    if certificate.type is not SSHCertificateType.HOST:
        raise _bad_certificate(target, "it is for users, not for hosts")
    if not certificate.valid_after <= now < certificate.valid_before:
        raise _bad_certificate(target, "it is not valid now")
    if principals and target.key_name not in principals:
        raise _bad_certificate(target, f"it is for {', '.join(principals)}, not for {target.key_name}")
    if certificate.critical_options:
        raise _bad_certificate(target, "it asks for something that we do not know")


def _revoked_list(path: Path) -> frozenset[bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HostKeyError(
            f"RevokedHostKeys {path} cannot be read: {error.strerror}.", next="Correct ssh_config."
        ) from error
    if content.startswith(b"SSHKRL\n"):
        raise HostKeyError(
            f"RevokedHostKeys {path} is a KRL, which fwfix cannot read.",
            next="Give a list of public keys, or `@revoked` lines in known_hosts.",
        )
    blobs = set()
    for line in content.splitlines():
        words = line.split()
        if len(words) > 1 and not line.startswith(b"#"):
            blobs.add(base64.b64decode(words[1]))
    return frozenset(blobs)


def _unknown(target: Target, blob: bytes) -> HostKeyError:
    port = "" if target.port == 22 else f"-p {target.port} "  # noqa: PLR2004 - the port of ssh
    file = target.user_known_hosts[0] if target.user_known_hosts else "~/.ssh/known_hosts"
    if target.jumps or target.proxy_command or target.aliased:
        # ssh-keyscan goes straight to the host, and writes its key under the address.
        alias = f"-o HostKeyAlias={target.key_name} " if target.aliased else ""
        options = f"-o UserKnownHostsFile={file} {alias}{port}"
        advice = f"log on once with `ssh {options}{target.user}@{target.address}`"
    else:
        advice = f"run `ssh-keyscan {port}{target.address} >> {file}`"
    return HostKeyError(
        f"The host key of {target.where} is unknown: {key_type_of(blob)} {fingerprint(blob)}.",
        next=f"Compare it at the console, then {advice}; or set host_key: accept-new.",
        code="host-key-unknown",
    )


def _changed(target: Target, known: KnownKey, blob: bytes) -> HostKeyError:
    return HostKeyError(
        f"The host key of {target.where} is not the known one: it shows "
        f"{key_type_of(blob)} {fingerprint(blob)}, {known.place} says "
        f"{known.key_type} {fingerprint(known.blob)}.",
        next="Somebody else may be answering. If the host was set up anew, run "
        f"`ssh-keygen -R '{target.lookup_name}' -f {known.path}` and add its new key.",
        code="host-key-changed",
    )


def _bad_certificate(target: Target, why: str) -> HostKeyError:
    return HostKeyError(
        f"The host certificate of {target.where} does not hold: {why}.",
        next="Look at @cert-authority in known_hosts and at the certificate on the host.",
        code="host-certificate",
    )
