"""Which settings of WinRM go together: the one definition, for the inventory and for the connection."""

from collections.abc import Iterator
from dataclasses import dataclass

from fwfix.model.host import WinrmSettings, WinrmTransport

WINRM_PORTS = {"http": 5985, "https": 5986}


@dataclass(frozen=True, slots=True, kw_only=True)
class WinrmConflict:
    """Two settings that contradict each other.

    Attributes:
        key: the setting to look at.
        advice: the valid choice.
    """

    key: str
    message: str
    advice: str


def winrm_conflicts(winrm: WinrmSettings) -> Iterator[WinrmConflict]:
    """Yield what cannot work, or would send a password in clear; what is merely missing is not here."""
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
