"""A digest of what decided a plan, so that apply can tell whether it still holds (contract 6). Pure."""

import hashlib
from collections.abc import Mapping, Sequence

from fwfix.canonical import canonical

Part = str | int | bool | None | Sequence["Part"] | Mapping[str, "Part"]


def fingerprint_of(parts: Mapping[str, Part]) -> str:
    """Return `sha256:` and the digest of the parts, whatever the order of their keys."""
    return "sha256:" + hashlib.sha256(canonical(parts).encode()).hexdigest()
