"""Security keys approve plans: a token made of software, in an agent, and everything else as it is."""

import base64
import hashlib
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from conftest import Ended, Site

pytestmark = pytest.mark.lab

APPLICATION = b"ssh:"
PRESENT, VERIFIED = 1, 4
LIST, LISTED, SIGN, SIGNED, FAILURE = 11, 12, 13, 14, 5


def string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def number(value: int) -> bytes:
    return string(value.to_bytes(value.bit_length() // 8 + 1))


class Ed25519:
    """The key of an `ed25519-sk`."""

    kind = b"sk-ssh-ed25519@openssh.com"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = string(self._key.public_key().public_bytes(*raw))

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)


class Ecdsa:
    """The key of an `ecdsa-sk`."""

    kind = b"sk-ecdsa-sha2-nistp256@openssh.com"

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        self.public = string(b"nistp256") + string(self._key.public_key().public_bytes(*point))

    def sign(self, content: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(content, ec.ECDSA(hashes.SHA256())))
        return number(r) + number(s)


class Token:
    """Signs as FIDO keys do (PROTOCOL.u2f): over the application, the flags, a counter and the data.

    Attributes:
        flags: what it says of its user: 1 touched, 4 gave a PIN.
    """

    def __init__(self, key: Ed25519 | Ecdsa) -> None:
        self.flags = PRESENT
        self._key = key
        self._counter = 41
        self.blob = string(key.kind) + key.public + string(APPLICATION)
        self.line = f"{key.kind.decode()} {base64.b64encode(self.blob).decode()}"

    def sign(self, data: bytes) -> bytes:
        self._counter += 1
        said = struct.pack(">BI", self.flags, self._counter)
        signed = self._key.sign(hashlib.sha256(APPLICATION).digest() + said + hashlib.sha256(data).digest())
        return string(self._key.kind) + string(signed) + said


class Agent:
    """An agent that holds one token."""

    def __init__(self, path: Path, token: Token) -> None:
        self._token = token
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._socket.accept()
            with client, client.makefile("rb") as asked:
                while len(head := asked.read(4)) == 4:
                    message = asked.read(int.from_bytes(head))
                    if not message:
                        return
                    client.sendall(string(self._answer(message)))

    def _answer(self, message: bytes) -> bytes:
        if message[0] == LIST:
            return struct.pack(">BI", LISTED, 1) + string(self._token.blob) + string(b"token")
        if message[0] == SIGN and message[1:].startswith(string(self._token.blob)):
            data = message[1 + len(string(self._token.blob)) :]
            return bytes([SIGNED]) + string(self._token.sign(data[4 : 4 + int.from_bytes(data[:4])]))
        return bytes([FAILURE])

    def close(self) -> None:
        """End the thread with a message of no length."""
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._socket.getsockname())
            last.sendall(string(b""))
            self._thread.join()
        self._socket.close()


@pytest.fixture(params=[Ed25519, Ecdsa], ids=["ed25519-sk", "ecdsa-sk"])
def token(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    """A token in an agent; `sk.pub` is its public half, and Alice is listed with it."""
    made = Token(request.param())
    (tmp_path / "sk.pub").write_text(f"{made.line} token\n")
    (tmp_path / "signers").write_text(f'alice namespaces="fwfix-plan" {made.line}\n')
    agent = Agent(tmp_path / "agent", made)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        yield made
    finally:
        agent.close()


def approved_plan(site: "Site", folder: Path) -> tuple[str, "Ended"]:
    def change(content: dict[str, Any]) -> None:
        content["approvals"] = {"required": 1, "allowed_signers": str(folder / "signers")}

    site.fwfix.rewrite(change)
    plan = str(folder / "plan.json")
    site.fwfix.run("plan", "-o", plan, code=0)
    return plan, site.fwfix.run("approve", plan, "--key", str(folder / "sk.pub"), code=0)


def test_a_security_key_approves_by_its_agent(site: "Site", token: Token, tmp_path: Path) -> None:
    token.flags = PRESENT | VERIFIED
    plan, approval = approved_plan(site, tmp_path)
    signature = approval.document["signature"]
    verify = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        str(tmp_path / "signers"),
        "-I",
        "alice",
        "-n",
        "fwfix-plan",
    ]
    content = Path(plan).read_bytes()
    assert subprocess.run([*verify, "-s", signature], input=content, check=False).returncode == 0
    ended = site.fwfix.apply(plan)
    assert ended.outcome() == "applied"
    events = site.fwfix.run("runs", "show", ended.run_id).document["events"]
    (approved,) = [each["body"] for each in events if each["kind"] == "approved"]
    assert (approved["principals"], approved["key"]) == (["alice"], approval.document["key"])


def test_a_security_key_that_nobody_touched_approves_nothing(
    site: "Site", token: Token, tmp_path: Path
) -> None:
    token.flags = VERIFIED
    plan, approval = approved_plan(site, tmp_path)
    assert "Nobody touched the security key" in approval.stderr
    # ssh-keygen itself does not mind; sshd would, and so do we.
    refused = site.fwfix.apply(plan, code=5)
    assert "0 count" in refused.stderr
    assert "nobody touched this security key" in refused.document["reason"]["message"]
    assert site.states() == {}


def test_a_flag_that_was_set_afterwards_breaks_the_signature(
    site: "Site", token: Token, tmp_path: Path
) -> None:
    token.flags = 0
    plan, approval = approved_plan(site, tmp_path)
    path = Path(approval.document["signature"])
    first, *lines, last = path.read_text().splitlines()
    content = bytearray(base64.b64decode("".join(lines)))
    assert content[-5] == 0
    content[-5] = PRESENT
    armoured = base64.b64encode(content).decode()
    lines = [armoured[start : start + 70] for start in range(0, len(armoured), 70)]
    path.write_text("\n".join([first, *lines, last, ""]))
    assert site.fwfix.apply(plan, code=5).document["reason"]["code"] == "bad-signature"
    assert site.states() == {}
