"""Which settings of WinRM go together: the one definition, for the inventory and for the connection."""

from collections.abc import Iterator
from dataclasses import dataclass

from fwfix.model.host import WinrmSettings, WinrmTransport

WINRM_PORTS = {"http": 5985, "https": 5986}


@dataclass(frozen=True, slots=True, kw_only=True)
class WinrmConflict:
    """Settings that contradict each other, or that lack another one.

    Attributes:
        key: the setting to look at; None where nothing says yet how to log on, which may come later.
        advice: the valid choice.
    """

    key: str | None
    message: str
    advice: str


def winrm_conflicts(winrm: WinrmSettings) -> Iterator[WinrmConflict]:
    """Yield what cannot work, or would send a password in clear."""
    encrypted = winrm.scheme == "https"
    if winrm.scheme not in WINRM_PORTS:
        yield WinrmConflict(
            key="scheme", message=f"{winrm.scheme!r} is no scheme", advice="Use https or http."
        )
    if not encrypted and winrm.transport in (WinrmTransport.BASIC, WinrmTransport.CERTIFICATE):
        yield WinrmConflict(
            key="transport",
            message=f"transport {winrm.transport} over http would not be protected",
            advice="Use scheme https, or transport ntlm or kerberos.",
        )
    if winrm.transport is WinrmTransport.KERBEROS and "\\" in (winrm.user or ""):
        yield WinrmConflict(
            key="user",
            message="Kerberos knows no DOMAIN\\user",
            advice="Write user@REALM, or leave user out.",
        )
    if winrm.fingerprint and not encrypted:
        yield WinrmConflict(
            key="fingerprint",
            message="there is no certificate over http to compare with fingerprint",
            advice="Use https.",
        )
    if encrypted and (winrm.proxy or "").startswith("https:"):
        yield WinrmConflict(
            key="proxy",
            message="https inside an https proxy is not supported",
            advice="Use an http proxy, or jump.",
        )
    if winrm.proxy and winrm.jump:
        yield WinrmConflict(
            key="jump", message="proxy and jump cannot both be set", advice="Leave one of them out."
        )
    needed = _needed(winrm.transport)
    missing = [key for key in needed if not getattr(winrm, key)]
    if missing:
        said = [key for key in needed if key not in missing]
        chosen = ["transport"] if winrm.transport is not WinrmSettings().transport else []
        yield WinrmConflict(
            key=next(iter(said + chosen), None),
            message=f"transport {winrm.transport} needs {' and '.join(needed)}",
            advice=f"Add {' and '.join(f'`{key}: {needed[key]}`' for key in missing)}.",
        )


def _needed(transport: WinrmTransport) -> dict[str, str]:
    """Return the settings that a transport cannot do without, each with an example."""
    match transport:
        case WinrmTransport.NTLM | WinrmTransport.BASIC:
            return {"user": "ops", "password": "{env: OPS_PASSWORD}"}
        case WinrmTransport.CERTIFICATE:
            return {"cert_file": "ops.pem", "key_file": "ops.key"}
        case WinrmTransport.KERBEROS:
            return {}
