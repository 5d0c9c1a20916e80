"""Where a host's WinRM is, as whom we log on, and which settings go together; nothing is contacted."""

from dataclasses import dataclass
from pathlib import Path

from fwfix.errors import ConnectError
from fwfix.model.host import Host, WinrmTransport
from fwfix.model.winrm import WINRM_PORTS, winrm_conflicts
from fwfix.secrets import SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsTrust:
    """What makes us believe a server, and what we show it.

    Attributes:
        fingerprint: SHA-256 of its certificate in lower-case hex; without `ca_file` it alone decides.
    """

    ca_file: Path | None = None
    fingerprint: str = ""
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One WinRM service and how we meet it.

    Attributes:
        address: where the TCP connection goes.
        server_name: what the server is called: in its certificate, in Kerberos, in the Host header.
        tls: None for plain HTTP, whose messages NTLM or Kerberos seal.
        proxy: an HTTP proxy that is asked for a tunnel; empty for none.
        jump: an SSH host that is asked for a tunnel; empty for none.
    """

    host: Host
    address: str
    port: int
    server_name: str
    transport: WinrmTransport
    user: str
    password: SecretRef | None
    tls: TlsTrust | None
    proxy: str = ""
    jump: str = ""

    @property
    def where(self) -> str:
        """The address and port, for people."""
        return f"{bracketed(self.address)}:{self.port}"

    @property
    def url(self) -> str:
        """What pywinrm is told; only the name in it matters, since we connect by ourselves."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{bracketed(self.server_name)}:{self.port}/wsman"

    @property
    def account(self) -> str:
        """The user as Windows compares names: two spellings are one account, which can be locked once."""
        return self.user.lower()

    @property
    def is_direct(self) -> bool:
        """Nothing stands between this machine and the host."""
        return not (self.proxy or self.jump)


def bracketed(address: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def endpoint_of(host: Host) -> Endpoint:
    """Read the settings of a host.

    Raises:
        ConnectError: they do not go together, are not enough, or would send a password in clear.
    """
    winrm = host.winrm
    for conflict in winrm_conflicts(winrm):
        raise _wrong(host, conflict.message, conflict.advice)
    encrypted = winrm.scheme == "https"
    trust = TlsTrust(
        ca_file=winrm.ca_file,
        fingerprint=(winrm.fingerprint or "").replace(":", "").lower(),
        cert_file=winrm.cert_file if winrm.transport is WinrmTransport.CERTIFICATE else None,
        key_file=winrm.key_file if winrm.transport is WinrmTransport.CERTIFICATE else None,
    )
    return Endpoint(
        host=host,
        address=host.address,
        port=winrm.port or WINRM_PORTS[winrm.scheme],
        server_name=winrm.server_name or host.address,
        transport=winrm.transport,
        user=winrm.user or "",
        password=winrm.password,
        tls=trust if encrypted else None,
        proxy=winrm.proxy or "",
        jump=winrm.jump or "",
    )


def _wrong(host: Host, what: str, advice: str) -> ConnectError:
    return ConnectError(f"{host.name}: winrm: {what}.", next=advice, code="winrm-settings")
