"""The sections of an inventory file: which keys there are and what each of them takes.

These models are the one description of the format: they validate, and `fwfix inventory schema` is made of
them.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fwfix.loading.fields import (
    Allow,
    FilePath,
    Fingerprint,
    Flag,
    HostAddress,
    HostName,
    Line,
    Name,
    Names,
    Number,
    Port,
    ProbeAddress,
    Proxy,
    SecretField,
    Services,
    User,
    Version,
    choose_from,
)
from fwfix.loading.yaml_tree import Table
from fwfix.model.host import Become, HostKeyPolicy, Platform, WinrmTransport
from fwfix.model.policy import Action

# An absent key is not in `model_fields_set`; a key with nothing behind it reaches its reader and is refused.
ABSENT: Any = None


class Scheme(StrEnum):
    """How WinRM is carried."""

    HTTPS = "https"
    HTTP = "http"


def _read_scheme(value: object) -> str:
    return choose_from(Scheme)(value).value


def _choice(choices: type[StrEnum]) -> Any:  # noqa: ANN401 - pieces of an annotation
    return PlainValidator(choose_from(choices))


def _words(choices: type[StrEnum]) -> Any:  # noqa: ANN401 - pieces of an annotation
    return WithJsonSchema({"enum": [str(choice) for choice in choices]})


def _empty_is_no_entry(value: Any) -> Any:  # noqa: ANN401 - whatever YAML held
    return Table(0) if value is None else value


class _EmptyAllowed:
    """Lets a section have nothing behind its key, as in `berlin:`; it says nothing then."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_empty_is_no_entry, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "null"}]}


_Maybe = _EmptyAllowed()


class Section(BaseModel):
    """A mapping of known keys; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SshEntry(Section):
    """How to reach a host over SSH."""

    user: User = ABSENT
    port: Port = ABSENT
    password: SecretField = ABSENT
    identity_file: FilePath = ABSENT
    passphrase: SecretField = ABSENT
    known_hosts: FilePath = ABSENT
    host_key: Annotated[HostKeyPolicy, _choice(HostKeyPolicy), _words(HostKeyPolicy)] = ABSENT
    jump: HostName = ABSENT
    become: Annotated[Become, _choice(Become), _words(Become)] = ABSENT
    become_user: User = ABSENT
    become_password: SecretField = ABSENT


class WinrmEntry(Section):
    """How to reach a host over WinRM."""

    user: User = ABSENT
    password: SecretField = ABSENT
    transport: Annotated[WinrmTransport, _choice(WinrmTransport), _words(WinrmTransport)] = ABSENT
    scheme: Annotated[str, PlainValidator(_read_scheme), _words(Scheme)] = ABSENT
    port: Port = ABSENT
    ca_file: FilePath = ABSENT
    fingerprint: Fingerprint = ABSENT
    cert_file: FilePath = ABSENT
    key_file: FilePath = ABSENT
    server_name: HostAddress = ABSENT
    proxy: Proxy = ABSENT
    jump: HostName = ABSENT


class CommonEntry(Section):
    """What defaults, groups and hosts may all say."""

    platform: Annotated[Platform, _choice(Platform), _words(Platform)] = ABSENT
    labels: Annotated[dict[Name, Line], _Maybe] = ABSENT
    policy: Names = ABSENT
    allow_also: list[Allow] = ABSENT
    window: Line = ABSENT
    vantage: Flag = ABSENT
    probe_addresses: list[ProbeAddress] = ABSENT
    expect_hostname: HostName = ABSENT
    ssh: Annotated[SshEntry, _Maybe] = ABSENT
    winrm: Annotated[WinrmEntry, _Maybe] = ABSENT


class HostEntry(CommonEntry):
    """One host."""

    address: HostAddress = ABSENT
    groups: list[Name] = ABSENT


class PolicyEntry(Section):
    """One policy; without `ports` it protects raw printing, 9100/tcp."""

    ports: Annotated[list[Services], Field(min_length=1)] = ABSENT
    allow_from: list[Allow] = ABSENT
    action: Annotated[Action, _choice(Action), _words(Action)] = ABSENT
    log: Flag = ABSENT


class WindowEntry(Section):
    """One maintenance window."""

    recurs: Line
    timezone: Line = ABSENT


class ApprovalsEntry(Section):
    """How many people must have signed a plan."""

    required: Number = ABSENT
    allowed_signers: FilePath = ABSENT
    author_may_approve: Flag = ABSENT


class Document(Section):
    """An fwfix inventory file."""

    version: Version = ABSENT
    defaults: Annotated[CommonEntry | None, _Maybe] = None
    maintenance_windows: Annotated[dict[Name, WindowEntry], _Maybe] = Field(default_factory=dict)
    blackouts: list[Line] = Field(default_factory=list)
    approvals: Annotated[ApprovalsEntry | None, _Maybe] = None
    policies: Annotated[dict[Name, Annotated[PolicyEntry, _Maybe]], _Maybe] = Field(default_factory=dict)
    groups: Annotated[dict[Name, Annotated[CommonEntry, _Maybe]], _Maybe] = Field(default_factory=dict)
    hosts: Annotated[dict[HostName, Annotated[HostEntry, _Maybe]], _Maybe] = Field(default_factory=dict)
