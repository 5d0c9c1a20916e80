"""Take secrets out of what was said to a host and by it, and prove that they are gone.

What is taken out is replaced by something of the same length, so that base64 keeps its length and answers
that came in pieces can be cut again where they were cut. Checksums of answers are made anew.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote
from xml.sax.saxutils import escape

from fwfix.errors import FwfixError

_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_FRAMED = re.compile(r"(FWFIX-[0-9a-f]{16}:)([0-9a-f]{64}):([A-Za-z0-9+/=]*)")
_SID = re.compile(r"(?<=S-1-5-21-)[0-9]+-[0-9]+-[0-9]+")
_STREAM = re.compile(r"<((?:\w+:)?Stream)\b([^>]*)>([^<]*)</")
_NAME = re.compile(r'\bName="(\w+)"')
_COMMAND = re.compile(r'\bCommandId="([^"]+)"')
_ENCODINGS = ("utf-8", "utf-16-le")
_DEEPEST = 4
# Fewer characters of base64 turn up anywhere by chance.
_SHORTEST_TRACE = 6


class RedactionError(FwfixError):
    """A secret would have been written down."""

    code = "secret-in-recording"


class Redaction:
    """What must not be written, and what stands in its place."""

    def __init__(self, secrets: Iterable[str], private: Iterable[str] = ()) -> None:
        """Prepare.

        Args:
            secrets: must be gone in every spelling, or nothing is written.
            private: what names a machine without being a secret, such as its machine id.
        """
        self._secrets = tuple(sorted({each for each in secrets if each}, key=len, reverse=True))
        self._private = tuple(sorted({each for each in private if each}, key=len, reverse=True))

    def text(self, text: str, depth: int = 0) -> str:
        """Return a text without them, also where base64 hides them."""
        for secret in self._secrets:
            for spelling in sorted(set(spellings(secret)), key=len, reverse=True):
                text = text.replace(spelling, "*" * len(spelling.encode()))
        for name in self._private:
            text = text.replace(name, re.sub("[A-Za-z0-9]", "0", name))
        text = _SID.sub(lambda match: re.sub("[0-9]", "1", match[0]), text)
        if depth < _DEEPEST:
            text = _BASE64.sub(lambda match: self._encoded(match[0], depth), text)
        return _FRAMED.sub(_summed, text)

    def envelopes(self, bodies: Iterable[str]) -> list[str]:
        """Return envelopes in order; a stream that came in pieces is looked at as a whole."""
        pieces = list(bodies)
        whole: dict[tuple[str, str], bytes] = {}
        for body in pieces:
            for match in _STREAM.finditer(body):
                key = _stream_key(match)
                whole[key] = whole.get(key, b"") + _decoded(match[3])
        clean = {key: self._raw(raw) for key, raw in whole.items()}
        used = dict.fromkeys(clean, 0)

        def cut(match: re.Match[str]) -> str:
            key, length = _stream_key(match), len(_decoded(match[3]))
            part = clean[key][used[key] : used[key] + length]
            used[key] += length
            return f"<{match[1]}{match[2]}>{base64.b64encode(part).decode()}</"

        return [self._outside_streams(_STREAM.sub(cut, body)) for body in pieces]

    def prove(self, text: str) -> None:
        """Make sure that no secret is left.

        Raises:
            RedactionError: one is; the message does not say it.
        """
        for secret in self._secrets:
            if any(form in text for form in traces(secret)) or self._is_within(secret, text):
                raise RedactionError(
                    "The recording would hold a secret; it was not written.",
                    next="Record another host, and tell the maintainers which step failed here.",
                )

    def _outside_streams(self, body: str) -> str:
        """Redact what stands around streams; those are done, and a piece of one says nothing."""
        kept: list[str] = []

        def keep(match: re.Match[str]) -> str:
            kept.append(match[0])
            return "\0"

        text = self.text(_STREAM.sub(keep, body))
        return re.sub("\0", lambda _match: kept.pop(0), text)

    def _raw(self, raw: bytes) -> bytes:
        try:
            return self.text(raw.decode()).encode()
        except UnicodeDecodeError:
            return self.text(raw.decode("latin-1")).encode("latin-1")

    def _encoded(self, token: str, depth: int) -> str:
        raw = _decoded(token)
        if not raw:
            return token
        for encoding in _ENCODINGS:
            try:
                inner = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            if (clean := self.text(inner, depth + 1)) != inner:
                return base64.b64encode(clean.encode(encoding)).decode()
        return token

    def _is_within(self, secret: str, text: str, depth: int = 0) -> bool:
        """Look into every base64 of a text, and into every base64 of that."""
        for match in _BASE64.finditer(text):
            raw = _decoded(match[0])
            for encoding in _ENCODINGS:
                inner = raw.decode(encoding, "ignore")
                if any(form in inner for form in spellings(secret)):
                    return True
                if depth < _DEEPEST and inner.isascii() and self._is_within(secret, inner, depth + 1):
                    return True
        return False


def spellings(secret: str) -> Iterator[str]:
    """Yield a secret as the languages on the way write it."""
    yield secret
    yield escape(secret)
    yield escape(secret, {'"': "&quot;", "'": "&apos;"})
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield secret.replace("'", "''")
    yield secret.replace("'", "'\\''")
    for encoding in _ENCODINGS:
        yield secret.encode(encoding).hex()
        yield base64.b64encode(secret.encode(encoding)).decode()


def traces(secret: str) -> Iterator[str]:
    """Yield what a secret leaves in a text, in base64 also where it begins in the middle of a group."""
    yield from spellings(secret)
    for encoding in _ENCODINGS:
        raw = secret.encode(encoding)
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
            # The first and the last group depend on what stands beside it.
            core = encoded[(0, 2, 3)[shift] : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
            if len(core) >= _SHORTEST_TRACE:
                yield core


def _summed(match: re.Match[str]) -> str:
    raw = _decoded(match[3])
    return f"{match[1]}{hashlib.sha256(raw).hexdigest()}:{match[3]}" if raw else match[0]


def _decoded(token: str) -> bytes:
    try:
        return base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _stream_key(match: re.Match[str]) -> tuple[str, str]:
    name, command = _NAME.search(match[2]), _COMMAND.search(match[2])
    return (command[1] if command else "", name[1] if name else "")
