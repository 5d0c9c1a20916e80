"""The WinRM service of a twin: WS-Management with command shells, sealed by NTLM or inside TLS."""

from fwfix.lab.windows.wsman.accounts import Account, AccountBook, Logon
from fwfix.lab.windows.wsman.config import ChannelBinding, Quotas, WsmanConfig
from fwfix.lab.windows.wsman.server import Listener, WsmanServer
from fwfix.lab.windows.wsman.tls import CertificateWish, TlsIdentity, thumbprint, write_self_signed
from fwfix.lab.windows.wsman.trouble import Mishap, Trouble

__all__ = [
    "Account",
    "AccountBook",
    "CertificateWish",
    "ChannelBinding",
    "Listener",
    "Logon",
    "Mishap",
    "Quotas",
    "TlsIdentity",
    "Trouble",
    "WsmanConfig",
    "WsmanServer",
    "thumbprint",
    "write_self_signed",
]
