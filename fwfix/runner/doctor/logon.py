"""The logon: which step an error of the connection belongs to, and what to type about it."""

import shlex

from fwfix.errors import AuthError, FwfixError, HostKeyError, SecretError
from fwfix.model.host import Host, Platform
from fwfix.runner.doctor.table import Remedy, Table

_SHELL_CODES = frozenset({"access-denied", "quota", "shell-gone", "winrm-fault", "busy"})
_ENCRYPTION_CODES = frozenset({"tls", "tls-untrusted"})
_SERVICE_CODES = frozenset({"not-winrm", "logon-not-offered"})
# Negotiate answers 401 for each of these, so only the host's own log tells them apart.
_WHY = (
    "0xC000006A wrong password, 0xC0000234 locked, 0xC0000071 expired, 0xC0000072 disabled, "
    "0xC000015B no right to log on"
)
_EVENTS = (
    "Get-WinEvent -FilterHashtable @{LogName='Security';Id=4625} -MaxEvents 3 | "
    f"Format-List TimeCreated,Message   # Sub Status: {_WHY}"
)
_FULL_RIGHTS = (
    "New-ItemProperty -Path HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System "
    "-Name LocalAccountTokenFilterPolicy -Value 1 -PropertyType DWord -Force"
)


def logon_failed(table: Table, host: Host, error: FwfixError) -> None:
    """Write an error down under the step that it tells about; the steps before that one worked."""
    if isinstance(error, SecretError):
        table.fail_with("logon", error)
    elif host.platform is Platform.WINDOWS:
        _winrm_failed(table, host, error)
    else:
        _ssh_failed(table, host, error)


def rights_remedy(host: Host) -> Remedy:
    """Return what gives the account an administrator's token."""
    user = host.winrm.user or ""
    domain, slash, name = user.rpartition("\\")
    is_local = "@" not in user and (not slash or domain in {".", host.name} or not domain)
    if is_local:
        return Remedy(next=f"{_FULL_RIGHTS}   # and {name} must be in Administrators", on=host.name)
    quoted = user.replace("'", "''")
    return Remedy(next=f"Add-LocalGroupMember -SID S-1-5-32-544 -Member '{quoted}'", on=host.name)


def _winrm_failed(table: Table, host: Host, error: FwfixError) -> None:
    if error.code == "access-denied":
        table.ok("logon", "the account is known")
        table.fail("shell", error.message, rights_remedy(host))
    elif error.code in _SHELL_CODES:
        table.ok("logon", "the account is known")
        table.fail_with("shell", error)
    elif error.code in _ENCRYPTION_CODES:
        table.fail_with("encryption", error)
    elif error.code in _SERVICE_CODES:
        table.fail_with("service", error)
    elif error.code == "password-rejected":
        message = f"{error.message} Or the account is locked, expired or disabled: only the host tells which"
        table.fail("logon", message, Remedy(next=_EVENTS, on=host.name))
    elif error.code == "kerberos-ticket":
        user = f" {shlex.quote(host.winrm.user)}" if host.winrm.user else ""
        table.fail("logon", error.message, Remedy(next=f"kinit{user} && klist"))
    else:
        table.fail_with("logon", error)


def _ssh_failed(table: Table, host: Host, error: FwfixError) -> None:
    if isinstance(error, HostKeyError):
        keys = 'for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$f"; done'
        remedy = Remedy(next=f"{keys}   # compare. {error.next}".rstrip(), on=host.name)
        table.fail("host-key", error.message, remedy)
        return
    table.ok("host-key", "it is the host that we know")
    if isinstance(error, AuthError) and error.code in {"auth", "password-rejected"}:
        remedy = Remedy(next=f"sudo journalctl -u ssh -u sshd -n 20   # {error.next}", on=host.name)
        table.fail("logon", error.message, remedy)
        return
    table.fail_with("logon", error)
