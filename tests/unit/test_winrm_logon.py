"""NTLM under whatever name a server knows it, bound to the certificate that the server shows."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from http.client import HTTPMessage

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from winrm.exceptions import WinRMError

from fwfix.executors.winrm_errors import LogonRefusedError
from fwfix.executors.winrm_http import Answer
from fwfix.executors.winrm_logon import Named, Ntlm, end_point
from fwfix.secrets import Secret

# A challenge as a Windows host sends it (MS-NLMP 4.2.4.3).
CHALLENGE = base64.b64encode(
    bytes.fromhex(
        "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000"
        "06007017"
        "0000000f53006500720076006500720002000c0044006f006d00610069006e0001000c00530065007200760065007200"
        "00000000"
    )
).decode()


class Server:
    """Answers each request by its `Authorization`, and remembers what was said."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[bytes, str, int]] = []

    def __call__(self, body: bytes, authorization: str) -> Answer:
        name, _, token = authorization.partition(" ")
        kind = base64.b64decode(token)[8] if token else 0
        self.asked.append((body, name, kind))
        status, offered = self._answers.pop(0)
        headers = HTTPMessage()
        for each in filter(None, offered.split("|")):
            headers["WWW-Authenticate"] = each
        return Answer(status, headers, b"", "http://host:5985/wsman")


def ntlm() -> Ntlm:
    return Ntlm(r"CORP\ops", Secret("Pässw0rd!"), server="host", certificate=None)


@pytest.mark.parametrize(
    "offered", [f"Negotiate {CHALLENGE}", f"Kerberos|negotiate  {CHALLENGE}, Basic realm=x"]
)
def test_two_messages_are_enough_and_only_the_second_carries_something(offered: str) -> None:
    server = Server((401, offered), (200, ""))
    assert ntlm().enter(server, b"<open/>").ok
    assert server.asked == [(b"", "Negotiate", 1), (b"<open/>", "Negotiate", 3)]


def test_a_server_that_knows_ntlm_by_its_own_name_only_is_asked_by_that() -> None:
    server = Server((401, "Basic realm=x|NTLM"), (401, f"NTLM {CHALLENGE}"), (200, ""))
    assert ntlm().enter(server, b"").ok
    assert [each[1:] for each in server.asked] == [("Negotiate", 1), ("NTLM", 1), ("NTLM", 3)]


@pytest.mark.parametrize("offered", ["", "Basic realm=x", "Negotiate", "Kerberos|Negotiate"])
def test_a_server_that_does_not_take_it_has_seen_no_password(offered: str) -> None:
    server = Server((401, offered))
    with pytest.raises(LogonRefusedError) as caught:
        ntlm().enter(server, b"<open/>")
    assert not caught.value.attempted
    assert caught.value.offered == offered.replace("|", ", ")
    assert [kind for _, _, kind in server.asked] == [1]


def test_a_rejected_proof_is_an_attempt() -> None:
    with pytest.raises(LogonRefusedError) as caught:
        ntlm().enter(Server((401, f"Negotiate {CHALLENGE}"), (401, "Negotiate")), b"")
    assert caught.value.attempted


def test_a_server_that_lets_everybody_in_is_none_of_ours() -> None:
    server = Server((200, ""))
    with pytest.raises(WinRMError, match="no logon"):
        ntlm().enter(server, b"<open/>")
    assert server.asked == [(b"", "Negotiate", 1)]


def test_another_answer_than_a_challenge_comes_back_as_it_is() -> None:
    assert ntlm().enter(Server((503, "")), b"").status_code == 503


def test_a_password_in_clear_says_the_same_with_every_request() -> None:
    logon = Named.by_password("öps", Secret("a:b"))
    assert base64.b64decode(logon.standing.removeprefix("Basic ")).decode() == "öps:a:b"


@pytest.mark.parametrize(
    ("hashed", "digest"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (None, "sha256")]
)
def test_a_certificate_is_hashed_as_it_was_signed(hashed: hashes.HashAlgorithm | None, digest: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate() if hashed is None else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashed)  # type: ignore[arg-type] # a key and its hash, as they belong together
        .public_bytes(Encoding.DER)
    )
    assert end_point(certificate) == b"tls-server-end-point:" + hashlib.new(digest, certificate).digest()
