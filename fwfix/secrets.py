"""Secrets are references until the moment of use, and then they print as `***`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn


class Secret:
    """A revealed secret. A plain class and not a `str`, so that nothing prints it by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself; called inside executors only."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))


class SecretKind(StrEnum):
    """Where a secret comes from, in the words of the inventory."""

    ENV = "env"
    FILE = "file"
    KEYRING = "keyring"
    COMMAND = "command"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where to find a secret; holds no secret itself.

    Attributes:
        argument: the variable, the absolute path, `SERVICE/USER`, or for a command its first word.
        command: the words of a command, with `{host}`, `{address}`, `{user}` still in them.
    """

    kind: SecretKind
    argument: str = ""
    command: tuple[str, ...] = ()

    @property
    def takes_time(self) -> bool:
        """Tell whether a person or a program answers, who may need longer than a connection may."""
        return self.kind in (SecretKind.PROMPT, SecretKind.COMMAND, SecretKind.KEYRING)

    @property
    def differs_by_host(self) -> bool:
        """Tell whether two hosts may get different secrets from it."""
        return any("{host}" in word or "{address}" in word for word in self.command)
