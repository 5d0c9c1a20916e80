"""How each key of the inventory reads its text. Raises ValueError with what to write instead."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from fwfix.loading.yaml_tree import Table, Text
from fwfix.model.allow import parse_allow_entry
from fwfix.model.names import (
    LONGEST_HOST_NAME,
    LONGEST_TEXT,
    NAME_PATTERN,
    check_address,
    check_name,
    check_path_text,
    check_text,
    check_unicast,
    check_user,
    show,
)
from fwfix.model.policy import Address, AllowEntry, Service, parse_services
from fwfix.secrets import SecretKind, SecretRef

SECRET_FORMS = "{env: NAME}, {file: PATH}, {keyring: SERVICE/USER}, {command: [WORD, ...]} or prompt"  # noqa: S105 - the forms of a reference

_HIGHEST_PORT = 65535
_MOST_WORDS = 64
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)

_E = TypeVar("_E", bound=StrEnum)
Reader = Callable[[Any, ValidationInfo], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class FileContext:
    """The file being read: its name for messages, its folder for relative paths, and what it named where."""

    path: Path
    folder: Path
    places: dict[object, Place] = field(default_factory=dict)

    def remember(self, value: object, text: Any) -> None:  # noqa: ANN401 - whatever YAML held
        """Keep the first place at which a value was written."""
        line = getattr(text, "line", None)
        if line is not None:
            self.places.setdefault(value, Place(self.path, line))


def _context(info: ValidationInfo) -> FileContext:
    assert isinstance(info.context, FileContext)
    return info.context


def need_text(value: object) -> str:
    """Return a scalar as plain text, or say what was there instead."""
    if isinstance(value, Mapping):
        raise ValueError("is a mapping; write one text here")  # noqa: TRY004 - pydantic listens to ValueError
    if isinstance(value, list):
        raise ValueError("is a list; write one text here")  # noqa: TRY004
    if value is None or value == "":
        raise ValueError("is empty")
    return str(value)


def choose_from(choices: type[_E]) -> Callable[[Any], _E]:
    """Make a reader for one of a few words."""

    def read(value: object) -> _E:
        text = need_text(value)
        try:
            return choices(text)
        except ValueError:
            words = [str(choice) for choice in choices]
            nearest = get_close_matches(text.lower(), words, n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            raise ValueError(f"{show(text)} is not a choice: {hint}Choose {' or '.join(words)}") from None

    return read


def read_version(value: object) -> int:
    """Read the version of the format."""
    text = need_text(value)
    if text != "1":
        raise ValueError(f"{show(text)} is not a version that this fwfix reads: write 1")
    return 1


def read_flag(value: object) -> bool:
    """Read true or false."""
    text = need_text(value)
    if text.lower() not in _FLAGS:
        raise ValueError(f"{show(text)} is neither true nor false")
    return _FLAGS[text.lower()]


def read_number(value: object) -> int:
    """Read a small whole number."""
    text = need_text(value)
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text, re.ASCII):
        raise ValueError(f"{show(text)} is not a whole number")
    return int(text)


def read_port(value: object) -> int:
    """Read the port of a connection."""
    text = need_text(value)
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII) or int(text) > _HIGHEST_PORT:
        raise ValueError(f"{show(text)} is not a port: write a whole number from 1 to {_HIGHEST_PORT}")
    return int(text)


def read_path(value: object, info: ValidationInfo) -> Path:
    """Read a path; a relative one starts at the file that it stands in."""
    text = need_text(value)
    context = _context(info)
    path = resolve_path(text, context.folder)
    context.remember(path, value)
    return path


def resolve_path(text: str, folder: Path) -> Path:
    """Return an absolute path, with `~` replaced."""
    try:
        path = Path(check_path_text(text)).expanduser()
    except RuntimeError:
        raise ValueError(f"{show(text)}: this user has no home directory") from None
    return path if path.is_absolute() else folder / path


def read_secret(value: object, info: ValidationInfo) -> SecretRef:
    """Read a reference to a secret; no message of this function repeats what was written."""
    context = _context(info)
    if value == SecretKind.PROMPT.value:
        return SecretRef(kind=SecretKind.PROMPT)
    if value is None:
        raise ValueError(f"is empty: write {SECRET_FORMS}")
    if not isinstance(value, Table):
        raise ValueError(f"a literal secret is not allowed here: write {SECRET_FORMS}")  # noqa: TRY004
    if len(value) != 1 or next(iter(value)) not in set(SecretKind) - {SecretKind.PROMPT}:
        raise ValueError(f"is not a reference to a secret: write {SECRET_FORMS}")
    kind, argument = next(iter(value.items()))
    ref = _read_secret_of(SecretKind(kind), argument, context.folder)
    context.remember(ref, value)
    return ref


def _read_secret_of(kind: SecretKind, argument: object, folder: Path) -> SecretRef:
    if kind is SecretKind.COMMAND:
        words = _read_words(argument)
        if "/" in words[0]:
            words = (str(resolve_path(words[0], folder)), *words[1:])
        return SecretRef(kind=kind, argument=words[0], command=words)
    if not isinstance(argument, Text):
        _refuse_secret(kind)
    if kind is SecretKind.ENV and not _ENV_NAME.fullmatch(argument):
        _refuse_secret(kind)
    if kind is SecretKind.FILE:
        try:
            return SecretRef(kind=kind, argument=str(resolve_path(argument, folder)))
        except ValueError:
            _refuse_secret(kind)
    service, slash, user = argument.rpartition("/")
    if kind is SecretKind.KEYRING and not (slash and service and user and argument.isprintable()):
        _refuse_secret(kind)
    return SecretRef(kind=kind, argument=str(argument))


def _refuse_secret(kind: SecretKind) -> NoReturn:
    forms = {
        SecretKind.ENV: "env takes the name of an environment variable",
        SecretKind.FILE: "file takes a path",
        SecretKind.KEYRING: "keyring takes SERVICE/USER",
        SecretKind.COMMAND: "command takes a list of words, as in [pass, show, 'fleet/{host}']",
    }
    raise ValueError(f"{forms.get(kind, kind)}; a secret is written as {SECRET_FORMS}")


def _read_words(argument: object) -> tuple[str, ...]:
    if not isinstance(argument, list) or not 1 <= len(argument) <= _MOST_WORDS:
        _refuse_secret(SecretKind.COMMAND)
    words = tuple(str(word) for word in argument if isinstance(word, Text) and word.isprintable())
    if len(words) != len(argument) or not words[0] or words[0].startswith("-"):
        _refuse_secret(SecretKind.COMMAND)
    return words


def read_allow(value: object, info: ValidationInfo) -> AllowEntry:
    """Read an entry of `allow_from`."""
    if isinstance(value, Table) and len(value) == 1:
        key, inner = next(iter(value.items()))
        raise ValueError(f"is a mapping: write it in quotes and without a space, {show(f'{key}:{inner}')}")
    entry = parse_allow_entry(need_text(value))
    context = _context(info)
    context.remember(entry, value)
    return entry


def read_services(value: object) -> tuple[Service, ...]:
    """Read an entry of `ports`."""
    return parse_services(need_text(value))


def read_probe_address(value: object) -> Address:
    """Read an address to probe."""
    text = need_text(value)
    try:
        address = check_unicast(ip_address(check_address(text)))
    except ValueError as exc:
        reason = str(exc)
        raise ValueError(reason if show(text) in reason else f"{show(text)} is not an IP address") from None
    if address.is_loopback:
        raise ValueError(f"{address} is loopback: a probe of it would reach this machine")
    return address


def read_fingerprint(value: object) -> str:
    """Read the SHA-256 of a certificate: 64 hex digits, with or without colons."""
    text = need_text(value)
    digits = text.removeprefix("sha256:").replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError(f"{show(text)} is not the SHA-256 of a certificate: write 64 hex digits")
    return digits


def read_proxy(value: object) -> str:
    """Read the address of a web proxy, which holds no password."""
    text = need_text(value)
    form = "write http://proxy.corp.example:3128"
    if "@" in text:
        raise ValueError(f"a user or a password does not belong into the address of a proxy: {form}")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = check_address(parts.hostname or "")
    except ValueError:
        raise ValueError(f"{show(text)} is not the address of a proxy: {form}") from None
    if parts.scheme not in {"http", "https"} or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{show(text)} is not the address of a proxy: {form}")
    bare = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bare}" + (f":{port}" if port else "")


def read_names(value: object) -> tuple[str, ...]:
    """Read one name or a list of names."""
    entries = value if isinstance(value, list) else [value]
    names = tuple(check_name(need_text(entry)) for entry in entries)
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ValueError(f"{doubled} is listed twice")
    return names


def _text(check: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: check(need_text(value))


_NAME_SCHEMA = {"type": "string", "pattern": f"^{NAME_PATTERN}$", "maxLength": 64}
_TEXT_SCHEMA = {"type": ["string", "number", "boolean"]}
_NAMES_SCHEMA = {"oneOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA}]}
_PORT_SCHEMA = {"type": "integer", "minimum": 1, "maximum": _HIGHEST_PORT}
_STRING_SCHEMA = {"type": "string", "minLength": 1}
_SECRET_SCHEMA = {
    "description": "A reference to a secret, never the secret itself.",
    "oneOf": [
        {"const": "prompt"},
        *(
            {"type": "object", "properties": {k: v}, "required": [k], "additionalProperties": False}
            for k, v in (
                ("env", {"type": "string"}),
                ("file", {"type": "string"}),
                ("keyring", {"type": "string", "pattern": "/"}),
                ("command", {"type": "array", "items": {"type": "string"}, "minItems": 1}),
            )
        ),
    ],
}

Version = Annotated[int, PlainValidator(read_version), WithJsonSchema({"const": 1})]
Flag = Annotated[bool, PlainValidator(read_flag), WithJsonSchema({"type": "boolean"})]
Number = Annotated[int, PlainValidator(read_number), WithJsonSchema({"type": "integer", "minimum": 0})]
Port = Annotated[int, PlainValidator(read_port), WithJsonSchema(_PORT_SCHEMA)]
Name = Annotated[str, PlainValidator(_text(check_name)), WithJsonSchema(_NAME_SCHEMA)]
HostName = Annotated[
    str,
    PlainValidator(_text(lambda text: check_name(text, longest=LONGEST_HOST_NAME))),
    WithJsonSchema({**_NAME_SCHEMA, "maxLength": LONGEST_HOST_NAME}),
]
Names = Annotated[tuple[str, ...], PlainValidator(read_names), WithJsonSchema(_NAMES_SCHEMA)]
Line = Annotated[
    str, PlainValidator(_text(check_text)), WithJsonSchema({**_TEXT_SCHEMA, "maxLength": LONGEST_TEXT})
]
User = Annotated[str, PlainValidator(_text(check_user)), WithJsonSchema(_STRING_SCHEMA)]
HostAddress = Annotated[str, PlainValidator(_text(check_address)), WithJsonSchema(_STRING_SCHEMA)]
ProbeAddress = Annotated[Address, PlainValidator(read_probe_address), WithJsonSchema(_STRING_SCHEMA)]
FilePath = Annotated[Path, PlainValidator(read_path), WithJsonSchema(_STRING_SCHEMA)]
SecretField = Annotated[SecretRef, PlainValidator(read_secret), WithJsonSchema(_SECRET_SCHEMA)]
Allow = Annotated[AllowEntry, PlainValidator(read_allow), WithJsonSchema(_STRING_SCHEMA)]
Services = Annotated[tuple[Service, ...], PlainValidator(read_services), WithJsonSchema(_STRING_SCHEMA)]
Fingerprint = Annotated[str, PlainValidator(read_fingerprint), WithJsonSchema(_STRING_SCHEMA)]
Proxy = Annotated[str, PlainValidator(read_proxy), WithJsonSchema(_STRING_SCHEMA)]
