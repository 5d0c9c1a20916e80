"""A host of the inventory and how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType

from fwfix.model.names import LONGEST_HOST_NAME, check_address, check_name, check_user
from fwfix.model.policy import Address, AllowEntry
from fwfix.secrets import SecretRef


class Platform(StrEnum):
    """What kind of system a host is."""

    LINUX = "linux"
    WINDOWS = "windows"


class HostKeyPolicy(StrEnum):
    """What to do with the key of a host that nobody has seen before."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"


class Become(StrEnum):
    """How to become the administrator after logon."""

    NONE = "none"
    SUDO = "sudo"


class WinrmTransport(StrEnum):
    """How to log on over WinRM."""

    NTLM = "ntlm"
    KERBEROS = "kerberos"
    CERTIFICATE = "certificate"
    BASIC = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """What the inventory says about SSH; None leaves the choice to the user's ssh_config."""

    user: str | None = None
    port: int | None = None
    password: SecretRef | None = None
    identity_file: Path | None = None
    passphrase: SecretRef | None = None
    known_hosts: Path | None = None
    host_key: HostKeyPolicy = HostKeyPolicy.STRICT
    jump: str | None = None
    become: Become = Become.NONE
    become_user: str = "root"
    become_password: SecretRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinrmSettings:
    """What the inventory says about WinRM."""

    user: str | None = None
    password: SecretRef | None = None
    transport: WinrmTransport = WinrmTransport.NTLM
    scheme: str = "https"
    port: int | None = None
    ca_file: Path | None = None
    fingerprint: str | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    proxy: str | None = None
    jump: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host with every value resolved: its own, else its groups', else the defaults'.

    Attributes:
        window: the name of a window, or a window as written inline.
        vantage: it may be asked to test ports of other hosts.
        probe_addresses: further addresses of it to probe, such as those of the other family.
    """

    name: str
    address: str
    platform: Platform
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    policies: tuple[str, ...] = ()
    allow_also: tuple[AllowEntry, ...] = ()
    window: str | None = None
    vantage: bool = False
    probe_addresses: tuple[Address, ...] = ()
    expect_hostname: str | None = None
    ssh: SshSettings = field(default_factory=SshSettings)
    winrm: WinrmSettings = field(default_factory=WinrmSettings)

    def __post_init__(self) -> None:
        check_name(self.name, longest=LONGEST_HOST_NAME)
        check_address(self.address)
        for settings in (self.ssh, self.winrm):
            if settings.user is not None:
                check_user(settings.user)
            if settings.jump is not None:
                check_name(settings.jump, longest=LONGEST_HOST_NAME)
        check_user(self.ssh.become_user)

    @property
    def literal_addresses(self) -> tuple[Address, ...]:
        """Its address where that is a literal one; nothing where it is a name."""
        try:
            return (ip_address(self.address),)
        except ValueError:
            return ()
