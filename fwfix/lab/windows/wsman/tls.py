"""TLS for port 5986: the server's certificate, the channel binding it gives, and client certificates."""

import datetime as dt
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fwfix.lab.windows.wsman.auth import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """A certificate with its key, both PEM files, and who may come with a certificate.

    Attributes:
        clients: PEM file with the certificates, or their authorities, that clients may show.
    """

    certificate: Path
    key: Path
    clients: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what the listener wraps its connections with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if self.clients is not None:
            context.load_verify_locations(self.clients)
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def binding(self) -> bytes:
        """Return the channel binding `tls-server-end-point` of RFC 5929."""
        certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return b"tls-server-end-point:" + certificate.fingerprint(_binding_hash(certificate))


def channel_of(connection: ssl.SSLSocket, binding: bytes) -> Channel:
    """Return what the gate wants to know about a connection."""
    shown = connection.getpeercert(binary_form=True)
    return Channel(binding=binding, client_certificate=hashlib.sha256(shown).hexdigest() if shown else "")


def _binding_hash(certificate: x509.Certificate) -> hashes.HashAlgorithm:
    try:
        used = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        used = None
    return hashes.SHA256() if used is None or used.name in ("md5", "sha1") else used


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateWish:
    """What a self-signed certificate should say.

    Attributes:
        names: DNS names and IP addresses; the first is the common name.
        valid_in: until it begins to be valid.
    """

    names: tuple[str, ...]
    valid_in: dt.timedelta = field(default=dt.timedelta(hours=-1))
    valid_for: dt.timedelta = field(default=dt.timedelta(days=365))


def write_self_signed(folder: Path, stem: str, wish: CertificateWish) -> TlsIdentity:
    """Make a key and a self-signed certificate, as `New-SelfSignedCertificate` gives a WinRM listener one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wish.names[0])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + wish.valid_in)
        .not_valid_after(now + wish.valid_for)
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in wish.names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    identity = TlsIdentity(certificate=folder / f"{stem}.crt", key=folder / f"{stem}.key")
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.touch(mode=0o600)
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return identity


def thumbprint(certificate: Path) -> str:
    """Return the SHA-256 of a PEM certificate in hexadecimal, as `Account.certificate` takes it."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
