"""Any text as one plain word of a command line, and back: URL-quoted, `-` for none. Pure."""

import re
from functools import lru_cache

from fwfix.model.policy import Service

NONE = "-"
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:,+-")
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})")


def to_plain_word(text: str) -> str:
    """Write a text as one word of plain characters and `%XX`."""
    encoded = text.encode("utf-8", "replace")
    word = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in encoded)
    return "%2D" if word == NONE else word or NONE


def from_plain_word(word: str) -> str:
    """Read a word that `to_plain_word` wrote."""
    if word.strip() == NONE:
        return ""
    raw = _QUOTED.sub(lambda found: bytes([int(found.group(1), 16)]), word.encode("utf-8", "replace"))
    return raw.decode("utf-8", "replace")


@lru_cache(maxsize=64)
def services_word(services: tuple[Service, ...]) -> str:
    """Write services as one word, in order, each once; the hosts of a fleet have the same few."""
    return ",".join(str(service) for service in sorted(set(services))) or NONE
