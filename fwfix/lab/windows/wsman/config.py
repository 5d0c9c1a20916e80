"""The settings of a twin's WinRM service, with the names and defaults that Windows has."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path

from fwfix.lab.windows.cmd.machine import Machine


class ChannelBinding(Enum):
    """CbtHardeningLevel: what a logon inside TLS must say about the certificate it sees."""

    NONE = "None"
    RELAXED = "Relaxed"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """winrm/config and its Winrs part, as Server 2012 R2 and later set them."""

    max_shells_per_user: int = 30
    max_processes_per_shell: int = 25
    max_concurrent_users: int = 10
    max_concurrent_operations_per_user: int = 1500
    max_envelope_size_kb: int = 500
    max_timeout: timedelta = timedelta(seconds=60)
    idle_timeout: timedelta = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WsmanConfig:
    """How one twin's service answers.

    Attributes:
        keytab: keys of the host's service principals; without it there is no Kerberos.
        connection_timeout: how long a connection may stay silent, also in the middle of a request.
        linger: how long a Receive that has output waits for more, or for the end of the command.
        activity_ids: whether every answer carries an ActivityId, as some of the recorded hosts do.
        skip_cmd_shell: whether WINRS_SKIP_CMD_SHELL is obeyed.
    """

    machine: Machine = field(default_factory=Machine)
    quotas: Quotas = field(default_factory=Quotas)
    allow_unencrypted: bool = False
    basic: bool = False
    certificate: bool = False
    keytab: Path | None = None
    channel_binding: ChannelBinding = ChannelBinding.RELAXED
    connection_timeout: timedelta = timedelta(seconds=120)
    linger: timedelta = timedelta(milliseconds=200)
    activity_ids: bool = False
    skip_cmd_shell: bool = True
