"""Read known_hosts files: hashed names, patterns, ports, `@cert-authority` and `@revoked`."""

import base64
import binascii
import fnmatch
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """One line.

    Attributes:
        names: the first field, as written.
        marker: empty, `@cert-authority` or `@revoked`.
    """

    names: str
    marker: str
    key_type: str
    blob: bytes
    path: Path
    line: int

    @property
    def place(self) -> str:
        """File and line, for people."""
        return f"{self.path}:{self.line}"


class KnownHosts:
    """The lines of several files, found by name without walking through all of them."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read files; one that is missing is empty."""
        self._plain: dict[str, list[KnownKey]] = {}
        self._others: list[KnownKey] = []
        for path in files:
            for key in _lines(path):
                self._add(key)

    def about(self, name: str) -> tuple[KnownKey, ...]:
        """Return the lines that match a name, as known_hosts writes it: `host` or `[host]:port`."""
        found = list(self._plain.get(name.lower(), ()))
        found.extend(key for key in self._others if _matches(key.names, name.lower()))
        return tuple(found)

    def _add(self, key: KnownKey) -> None:
        names = key.names.lower().split(",")
        if key.names.startswith("|") or any(set(name) & set("*?!") for name in names):
            self._others.append(key)
            return
        for name in names:
            self._plain.setdefault(name, []).append(key)


def _lines(path: Path) -> Iterable[KnownKey]:
    try:
        text = path.read_text("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3 or marker not in {"", "@cert-authority", "@revoked"}:  # noqa: PLR2004
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield KnownKey(names=words[0], marker=marker, key_type=words[1], blob=blob, path=path, line=number)


def _matches(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        return _matches_hash(names, name)
    matched = False
    for pattern in names.lower().split(","):
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        elif _glob(pattern, name):
            matched = True
    return matched


def _glob(pattern: str, name: str) -> bool:
    # In ssh only * and ? are special; brackets are part of `[host]:port`.
    return fnmatch.fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def _matches_hash(names: str, name: str) -> bool:
    parts = names.split("|")
    if len(parts) != 4:  # noqa: PLR2004 - "", "1", salt, hash
        return False
    try:
        salt, expected = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), expected)


def hashed(name: str) -> str:
    """Return a name as `HashKnownHosts` writes it."""
    salt = os.urandom(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def key_type_of(blob: bytes) -> str:
    """Return the type that a key says of itself."""
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length].decode("ascii", "replace")
