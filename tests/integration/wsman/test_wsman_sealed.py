"""NTLM tokens and sealed bodies, right and wrong, byte by byte."""

import base64
from typing import TYPE_CHECKING

import pytest
import spnego
from spnego._ntlm_raw.messages import AvId, Challenge

from fwfix.lab.windows.wsman.sealing import PROTOCOL, seal, sealed_type, unseal

if TYPE_CHECKING:
    from conftest import NewSealed, Sealed, Start

NEGOTIATE = b"NTLMSSP\x00\x01\x00\x00\x00" + b"\xff" * 28


def test_a_sealed_message_is_answered_sealed(sealed: "Sealed") -> None:
    assert sealed.log_on() == 200
    answer = sealed.send(seal(sealed.client.identify, sealed))
    assert (answer.status, answer.getheader("Content-Type")) == (200, sealed_type(PROTOCOL))
    assert b"IdentifyResponse" in unseal(answer.content, sealed)


def test_a_fault_is_sealed_like_an_answer(sealed: "Sealed") -> None:
    assert sealed.log_on() == 200
    answer = sealed.send(seal(b"<nonsense", sealed))
    assert answer.status == 500
    assert b'Code="2150858817"' in unseal(answer.content, sealed)


@pytest.mark.parametrize(
    "damage", ["signature", "data", "length", "end", "head", "replay", "other key", "empty"]
)
def test_a_message_that_was_not_sealed_for_now_and_here_closes_the_connection(
    start: "Start", damage: str, new_sealed: "NewSealed"
) -> None:
    port = start()
    mine, other = new_sealed(port), new_sealed(port)
    assert (mine.log_on(), other.log_on()) == (200, 200)
    body = seal(mine.client.identify, other if damage == "other key" else mine)
    at = body.index(b"octet-stream\r\n") + len(b"octet-stream\r\n") + 4
    if damage in ("signature", "data"):
        at += 8 if damage == "signature" else 20
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    elif damage == "replay":
        assert mine.send(body).status == 200
    else:
        body = {
            "length": body.replace(b"Length=", b"Length=1"),
            "end": body[:-10],
            "head": body.replace(b"OriginalContent", b"Original"),
            "empty": b"--Encrypted Boundary--\r\n",
        }.get(damage, body)
    answer = mine.client.post(body, Authorization="", Content_Type=sealed_type(PROTOCOL))
    assert (answer.status, answer.content, answer.getheader("Connection")) == (400, b"", "close")
    assert other.send(seal(mine.client.identify, other)).status == (400 if damage == "other key" else 200)


def test_a_sealed_body_of_somebody_who_is_not_logged_on_is_a_challenge(sealed: "Sealed") -> None:
    assert sealed.send(b"--Encrypted Boundary--\r\n").status == 401


def test_an_unsealed_body_is_refused_where_nothing_else_protects_it(sealed: "Sealed") -> None:
    assert sealed.log_on() == 200
    answer = sealed.client.post(sealed.client.identify, Authorization="")
    assert (answer.status, answer.content) == (500, b"")


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"NTLMSSP\x00",
        b"NTLMSSP\x00\x02\x00\x00\x00" + b"\x00" * 60,
        b"NTLMSSP\x00\x03\x00\x00\x00" + b"\xff" * 80,
        b"NTLMSSP\x00\x03\x00\x00\x00" + b"\x00" * 80,
        b"\x60\x82\xff\xff\x06\x06",
        b"\xa1\x03\x30\x01\x00",
        b"\x60\x0b\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02",
        b"nonsense",
        NEGOTIATE,
    ],
)
def test_a_wrong_token_is_refused_and_a_right_logon_on_the_same_connection_succeeds(
    sealed: "Sealed", token: bytes
) -> None:
    for first in ([], [NEGOTIATE[:16] + b"\x00" * 16]):
        for sent in [*first, token, token]:
            assert sealed.token(sent).status == 401
    sealed.token(b"")
    assert sealed.log_on() == 200


def test_a_changed_bit_anywhere_in_the_last_token_is_refused(start: "Start", new_sealed: "NewSealed") -> None:
    port = start()
    probe = new_sealed(port)
    probe.token(b"")
    challenge = probe.token(probe.context.step() or b"").getheader("WWW-Authenticate", "").partition(" ")[2]
    last = probe.context.step(base64.b64decode(challenge)) or b""
    # Offset 0 to 88 is the header with the MIC; behind it lie names, responses and the session key.
    for offset in [*range(12, len(last), 7)]:
        attempt = new_sealed(port)
        challenge = (
            attempt.token(attempt.context.step() or b"").getheader("WWW-Authenticate", "").partition(" ")[2]
        )
        token = bytearray(attempt.context.step(base64.b64decode(challenge)) or b"")
        token[offset] ^= 0x40
        assert attempt.token(bytes(token)).status == 401, offset


def test_the_last_token_of_another_connection_proves_nothing(start: "Start", new_sealed: "NewSealed") -> None:
    port = start()
    first, second = new_sealed(port), new_sealed(port)
    offered = [
        each.token(each.context.step() or b"").getheader("WWW-Authenticate", "") for each in (first, second)
    ]
    stolen = first.context.step(base64.b64decode(offered[0].partition(" ")[2])) or b""
    assert second.token(stolen).status == 401
    assert first.token(stolen).status == 200
    assert first.token(stolen).status == 401


@pytest.mark.parametrize(("password", "status"), [("pw", 200), ("wrong", 401)])
def test_a_client_too_old_to_sign_the_exchange_still_needs_the_password(
    start: "Start", new_sealed: "NewSealed", password: str, status: int
) -> None:
    old = new_sealed(start())
    old.context = spnego.client("me", password, protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
    offered = old.token(old.context.step() or b"").getheader("WWW-Authenticate", "").partition(" ")[2]
    challenge = Challenge.unpack(base64.b64decode(offered))
    assert challenge.target_info is not None
    # Without the time of the server, a client leaves the signature of the exchange out.
    del challenge.target_info[AvId.timestamp]
    stripped = Challenge(
        challenge.flags,
        challenge.server_challenge,
        target_name=challenge.target_name,
        target_info=challenge.target_info,
        version=challenge.version,
    )
    assert old.token(old.context.step(stripped.pack()) or b"").status == status
