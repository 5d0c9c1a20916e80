"""A rendered script and what came back from running it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_ARGUMENT = re.compile(r"[A-Za-z0-9._:,/@%+-]{0,4096}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOrigin:
    """Which template a script came from: its name, where it was found, and its SHA-256."""

    name: str
    origin: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script as it will be run.

    Attributes:
        name: `observe`, `arm`, `apply`, `check`, `confirm`, `rollback`, ...
        text: the whole source.
        changes: it may change the host, so it is never sent twice.
        templates: what it was rendered from.
    """

    name: str
    text: str
    changes: bool
    templates: tuple[TemplateOrigin, ...] = ()

    @property
    def sha256(self) -> str:
        """The digest of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A script with the values that are decided when it runs.

    Attributes:
        arguments: positional arguments; only plain characters, so that no quoting can go wrong.
        attachments: further texts that the script writes on the host, by plain name.
    """

    script: Script
    arguments: tuple[str, ...] = ()
    attachments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for argument in self.arguments:
            if not _ARGUMENT.fullmatch(argument):
                raise ValueError(f"{argument!r} is not a plain argument")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a script answered.

    Attributes:
        stdout: what the script itself printed; the noise of login shells is cut away.
        stderr: the last part of it, for people.
        took_ms: from sending to the last byte.
    """

    exit_code: int
    stdout: str
    stderr: str
    took_ms: int
