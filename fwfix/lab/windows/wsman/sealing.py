"""Messages sealed by the logon: multipart/encrypted of MS-WSMV 2.2.9.1."""

import re
import struct
from typing import Protocol

from fwfix.errors import LabError

PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
KERBEROS = "application/HTTP-Kerberos-session-encrypted"
_PARTS = re.compile(
    rb"\A--\s?Encrypted Boundary\r\n"
    rb"[ \t]*Content-Type: application/HTTP-(?:SPNEGO|Kerberos)-session-encrypted\r\n"
    rb"[ \t]*OriginalContent: type=application/soap\+xml;charset=[\w-]+;Length=(\d{1,10})\r\n"
    rb"--\s?Encrypted Boundary\r\n[ \t]*Content-Type: application/octet-stream\r\n",
    re.IGNORECASE,
)
_END = re.compile(rb"--\s?Encrypted Boundary--\r\n\Z")


class SealError(LabError):
    """The message was not sealed with the key of this connection, or not in this order."""

    code = "seal"


class Context(Protocol):
    """What a finished logon can do with messages."""

    def unseal(self, signature: bytes, data: bytes, /) -> bytes:
        """Decrypt and check; raise SealError."""

    def seal(self, data: bytes, /) -> tuple[bytes, bytes]:
        """Return signature and encrypted data."""


def is_sealed(content_type: str) -> bool:
    """Whether the header announces a sealed body."""
    return content_type.lower().startswith("multipart/encrypted")


def protocol_of(announced: str) -> str:
    """Return what a sealed request calls its sealing: by the scheme of its logon, not by what is inside."""
    return KERBEROS if KERBEROS.lower() in announced.lower() else PROTOCOL


def sealed_type(protocol: str) -> str:
    """Return the header of a sealed reply."""
    return f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'


def unseal(body: bytes, context: Context) -> bytes:
    """Return the message in a sealed body.

    Raises:
        SealError: it is not what it should be, or not from this client now.
    """
    head = _PARTS.match(body)
    tail = _END.search(body)
    if head is None or tail is None or tail.start() < head.end() + 4:
        raise SealError("The body is not a sealed message.")
    payload = body[head.end() : tail.start()]
    (length,) = struct.unpack_from("<I", payload)
    if len(payload) < 4 + length or length > 256:  # noqa: PLR2004 - NTLM signs with 16 bytes
        raise SealError("The signature is cut.")
    message = context.unseal(payload[4 : 4 + length], payload[4 + length :])
    if len(message) != int(head[1]):
        raise SealError("The length is not the announced one.")
    return message


def seal(message: bytes, context: Context, protocol: str = PROTOCOL) -> bytes:
    """Return the sealed body for a message."""
    signature, data = context.seal(message)
    head = (
        f"--Encrypted Boundary\r\n\tContent-Type: {protocol}\r\n"
        f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(message)}\r\n"
        "--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
    )
    return (
        head.encode() + struct.pack("<I", len(signature)) + signature + data + b"--Encrypted Boundary--\r\n"
    )
