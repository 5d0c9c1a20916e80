"""The steps that any service has: the name, and the port with each way in which it may not answer."""

import errno
import ipaddress
import shlex
import socket
import time

from fwfix.errors import ConnectError, FwfixError
from fwfix.model.host import Platform
from fwfix.runner.doctor.table import HERE, Remedy, Table

_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_LISTENING = {
    Platform.LINUX: "sudo ss -ltnp 'sport = :{port}'; sudo systemctl status ssh sshd",
    Platform.WINDOWS: "winrm enumerate winrm/config/listener",
}
# What lets nobody in whatever rules there are cannot be told from here.
_IN_VAIN = (
    "; Get-NetFirewallProfile -PolicyStore ActiveStore"
    " | Format-Table Name,AllowInboundRules,AllowLocalFirewallRules"
    "   # what may stand in the way, in the profile in use: AllowInboundRules False (shielded; ended by"
    " Set-NetFirewallProfile -All -AllowInboundRules True) or AllowLocalFirewallRules False"
    " (group policy ignores local rules; allow the port there)"
)
_ADMITTING = {
    Platform.LINUX: "sudo iptables -S INPUT; sudo nft list ruleset",
    Platform.WINDOWS: "New-NetFirewallRule -DisplayName 'WinRM {port}' -Direction Inbound -Protocol TCP "
    f"-LocalPort {{port}} -Action Allow{_IN_VAIN}",
}
_ADMITTING_HTTP = f"Enable-NetFirewallRule -Name 'WINRM-HTTP-In-TCP*'{_IN_VAIN}"


def look_up(table: Table, address: str, port: int) -> bool:
    """Resolve a name; tell whether there is an address."""
    if _is_literal(address):
        table.ok("address", f"{address} is an address")
        return True
    try:
        answers = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", "") or str(error)
        remedy = Remedy(next=f"getent ahosts {shlex.quote(address)}   # then correct `address`, or the DNS")
        table.fail("address", f"{address} does not resolve: {said}", remedy)
        return False
    found = sorted({str(answer[4][0]) for answer in answers})
    table.ok("address", f"{address} is {', '.join(found)}")
    return True


def port_failed(
    table: Table, error: Exception, *, platform: Platform, host: str, address: str, port: int
) -> None:
    """Write down why a port did not answer: refused, silent, no route, forbidden here."""
    number = _errno(error)
    if number == errno.ECONNREFUSED:
        message = f"port {port}/tcp is closed: the host answers, and nobody listens there"
        remedy = Remedy(next=_LISTENING[platform].format(port=port), on=host)
    elif number in _NO_ROUTE:
        message = f"there is no route to {address}, or a router or firewall says so"
        remedy = Remedy(next=f"ip route get {shlex.quote(address)}")
    elif number in _FORBIDDEN:
        message = f"this machine forbids connections to {address}"
        remedy = Remedy(next="sudo iptables -S OUTPUT; sudo nft list ruleset")
    elif _is_timeout(error):
        message = f"port {port}/tcp is filtered or the host is off: no answer at all"
        text = _ADMITTING_HTTP if port == 5985 else _ADMITTING[platform]  # noqa: PLR2004 - WinRM over http
        remedy = Remedy(next=text.format(port=port), on=host)
    else:
        message = error.message if isinstance(error, FwfixError) else str(error)
        advice = error.next if isinstance(error, FwfixError) else ""
        remedy = Remedy(next=advice, on=HERE if advice else "")
    table.fail("port", message, remedy)


def milliseconds(started: float) -> int:
    """Return the time since an instant of the monotonic clock."""
    return round((time.monotonic() - started) * 1000)


def _is_literal(address: str) -> bool:
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return True


def _errno(error: BaseException | None) -> int | None:
    """Return the number of the system's error beneath ours."""
    while isinstance(error, ConnectError):
        error = error.__cause__
    return error.errno if isinstance(error, OSError) else None


def _is_timeout(error: BaseException | None) -> bool:
    while isinstance(error, ConnectError):
        error = error.__cause__
    return isinstance(error, TimeoutError) or _errno(error) == errno.ETIMEDOUT
