"""WinRM below the logon: settings, port, TLS with each way in which it may fail, and what it offers."""

import hashlib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509

from fwfix.errors import ConnectError, FwfixError
from fwfix.executors.winrm_endpoint import Endpoint, endpoint_of
from fwfix.executors.winrm_errors import ANOTHER_NAME
from fwfix.executors.winrm_stream import Stream
from fwfix.model.host import Host, Platform, WinrmTransport
from fwfix.runner.doctor.below import Below
from fwfix.runner.doctor.greeting import Greeting, certificate_of, greet
from fwfix.runner.doctor.network import look_up, milliseconds, port_failed
from fwfix.runner.doctor.table import Remedy, Table

# Reasons of a refused certificate, as OpenSSL numbers them (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_KERBEROS_SKEW = timedelta(minutes=5)
_WANTS = {
    WinrmTransport.NTLM: frozenset({"negotiate", "ntlm"}),
    WinrmTransport.KERBEROS: frozenset({"negotiate"}),  # pywinrm sends Kerberos under no other name
    WinrmTransport.BASIC: frozenset({"basic"}),
}
_LISTENERS = "winrm enumerate winrm/config/listener"
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    """The service of one host, asked as often as a question arises."""

    endpoint: Endpoint
    dial: Callable[[Endpoint, float], Stream]
    seconds: float

    def open(self, *, tls: bool) -> Stream:
        """Connect; without TLS, also where the settings want it."""
        endpoint = self.endpoint if tls else replace(self.endpoint, tls=None)
        return self.dial(endpoint, time.monotonic() + self.seconds)

    def greeting(self, *, tls: bool) -> Greeting | None:
        """Return what it says to an empty request; None where that is not HTTP."""
        with suppress(OSError, FwfixError):
            stream = self.open(tls=tls)
            try:
                deadline = time.monotonic() + self.seconds
                return greet(stream.socket, self.endpoint.server_name, deadline=deadline)
            finally:
                stream.close()
        return None

    def certificate(self) -> bytes | None:
        """Return the certificate that it shows; None where it does not speak TLS."""
        with suppress(OSError, FwfixError):
            stream = self.open(tls=False)
            try:
                deadline = time.monotonic() + self.seconds
                return certificate_of(stream.socket, self.endpoint.server_name, deadline=deadline)
            finally:
                stream.close()
        return None


def look_below_winrm(host: Host, below: Below, table: Table, *, seconds: float) -> None:
    """Take every step that needs no account; a wrong password is not tried by any of them."""
    try:
        endpoint = endpoint_of(host)
    except ConnectError as error:
        table.fail_with("settings", error)
        return
    sealed = "TLS" if endpoint.tls else "sealed messages"
    table.ok("settings", f"{endpoint.transport} with {sealed} on port {endpoint.port}")
    if below.dial is None:
        for step in ("address", "port", "encryption", "service", "clock"):
            table.leave_out(step, "this connection has no such step")
        return
    if not endpoint.is_direct:
        table.leave_out("address", f"{endpoint.jump or endpoint.proxy} looks it up")
    elif not look_up(table, endpoint.address, endpoint.port):
        return
    service = _Service(endpoint=endpoint, dial=below.dial, seconds=seconds)
    if _reach(service, table) and _encrypt(service, table):
        _greet(service, table)


def _reach(service: _Service, table: Table) -> bool:
    endpoint, started = service.endpoint, time.monotonic()
    try:
        service.open(tls=False).close()
    except ConnectError as error:
        if not endpoint.is_direct:
            # What stands between may be the one that refuses.
            message = f"{error.message} Asked through {endpoint.jump or endpoint.proxy}."
            table.fail("port", message, Remedy(next=error.next))
            return False
        port_failed(
            table,
            error,
            platform=Platform.WINDOWS,
            host=endpoint.host.name,
            address=endpoint.address,
            port=endpoint.port,
        )
        return False
    table.ok("port", f"port {endpoint.port}/tcp answers in {milliseconds(started)} ms")
    return True


def _encrypt(service: _Service, table: Table) -> bool:
    endpoint = service.endpoint
    if endpoint.tls is None:
        table.ok("encryption", f"no TLS; {endpoint.transport} seals every message")
        return True
    try:
        stream = service.open(tls=True)
    except ConnectError as error:
        _tls_failed(service, table, error)
        return False
    version = stream.socket.version() if isinstance(stream.socket, ssl.SSLSocket) else ""
    stream.close()
    table.ok("encryption", f"{version}, and the certificate is trusted")
    return True


def _tls_failed(service: _Service, table: Table, error: ConnectError) -> None:
    """Say which of the many ways it is; each has its own remedy."""
    shown = service.certificate()
    if error.code == "winrm-settings":
        table.fail_with("encryption", error)
    elif shown is None:
        _no_tls(service, table, error)
    else:
        _untrusted(service.endpoint, table, error, shown)


def _no_tls(service: _Service, table: Table, error: ConnectError) -> None:
    endpoint = service.endpoint
    if service.greeting(tls=False) is not None:
        message = f"port {endpoint.port} speaks plain http, not TLS"
        table.fail("encryption", message, _inventory(endpoint, "winrm.scheme: http, or the port of https"))
    else:
        table.fail("encryption", error.message, Remedy(next=_LISTENERS, on=endpoint.host.name))


def _untrusted(endpoint: Endpoint, table: Table, error: ConnectError, shown: bytes) -> None:
    cause = error.__cause__
    reason = cause.verify_code if isinstance(cause, ssl.SSLCertVerificationError) else 0
    certificate = x509.load_der_x509_certificate(shown)
    print_ = hashlib.sha256(shown).hexdigest()
    if endpoint.tls is not None and endpoint.tls.fingerprint and not reason:
        message = f"the certificate is another one than the pinned: its SHA-256 is {print_}"
        table.fail("encryption", message, _compare(endpoint, shown))
    elif reason == _EXPIRED:
        message = f"the certificate expired at {_utc(certificate.not_valid_after_utc)}"
        table.fail("encryption", message, _renew(endpoint))
    elif reason == _NOT_YET_VALID:
        message = (
            f"the certificate is valid only from {_utc(certificate.not_valid_before_utc)}: a wrong clock?"
        )
        table.fail("encryption", message, Remedy(next="date -u"))
    elif reason in ANOTHER_NAME:
        names = _names(certificate)
        message = f"the certificate is not for {endpoint.server_name}, but for {', '.join(names) or 'nobody'}"
        remedy = _inventory(endpoint, f"winrm.server_name: {names[0]}") if names else _renew(endpoint)
        table.fail("encryption", message, remedy)
    elif reason:
        message = f"the certificate comes from an authority that is not trusted here; its SHA-256 is {print_}"
        table.fail("encryption", message, _compare(endpoint, shown))
    else:
        table.fail_with("encryption", error)


def _compare(endpoint: Endpoint, shown: bytes) -> Remedy:
    """Point to the listener, which shows SHA-1; the inventory takes SHA-256."""
    thumb = hashlib.sha1(shown).hexdigest().upper()  # noqa: S324 - how Windows names certificates
    print_ = hashlib.sha256(shown).hexdigest()
    return Remedy(
        next=f"{_LISTENERS}   # CertificateThumbprint must be {thumb}; then, in the inventory of "
        f"{endpoint.host.name}: winrm.fingerprint: {print_}, or winrm.ca_file",
        on=endpoint.host.name,
    )


def _renew(endpoint: Endpoint) -> Remedy:
    name = endpoint.server_name.replace("'", "''")
    return Remedy(
        next=f"$c = New-SelfSignedCertificate -DnsName '{name}' -CertStoreLocation Cert:\\LocalMachine\\My; "
        "winrm set winrm/config/Listener?Address=*+Transport=HTTPS "
        '"@{CertificateThumbprint=`"$($c.Thumbprint)`"}"',
        on=endpoint.host.name,
    )


def _greet(service: _Service, table: Table) -> None:
    endpoint, found = service.endpoint, service.greeting(tls=True)
    name = endpoint.host.name
    if found is None and endpoint.tls is None and service.certificate() is not None:
        message = f"port {endpoint.port} speaks TLS, not plain http"
        table.fail("encryption", message, _inventory(endpoint, "winrm.scheme: https"))
        return
    if found is None:
        message = f"port {endpoint.port} does not answer as a web server, so it is not WinRM"
        table.fail("service", message, Remedy(next=_LISTENERS, on=name))
        return
    _judge_offer(endpoint, table, found)
    _judge_clock(endpoint, table, found)


def _judge_offer(endpoint: Endpoint, table: Table, found: Greeting) -> None:
    wanted, name = _WANTS.get(endpoint.transport), endpoint.host.name
    if found.status != _UNAUTHORIZED and wanted:
        message = f"it answers HTTP status {found.status} where WinRM asks for a logon ({found.server})"
        table.fail("service", message, Remedy(next="Get-Service WinRM; " + _LISTENERS, on=name))
        return
    offers = ", ".join(sorted(found.offered)) or "nothing"
    if wanted and not wanted & found.offered:
        kind = "Basic" if endpoint.transport is WinrmTransport.BASIC else "Negotiate"
        remedy = Remedy(next=f"Set-Item WSMan:\\localhost\\Service\\Auth\\{kind} -Value $true", on=name)
        table.fail("service", f"it takes no logon by {endpoint.transport}; it offers {offers}", remedy)
        return
    table.ok("service", f"WinRM answers ({found.server or 'no name'}) and offers {offers}")


def _judge_clock(endpoint: Endpoint, table: Table, found: Greeting) -> None:
    if found.date is None:
        table.leave_out("clock", "its answer carries no date")
        return
    skew = found.date - datetime.now(UTC)
    said = f"{abs(round(skew.total_seconds()))} s {'ahead' if skew > timedelta() else 'behind'}"
    if abs(skew) <= _KERBEROS_SKEW:
        table.ok("clock", f"the host's clock is {said}")
    elif endpoint.transport is WinrmTransport.KERBEROS:
        remedy = Remedy(next="w32tm /resync /force", on=endpoint.host.name)
        table.fail("clock", f"the host's clock is {said}: Kerberos takes 5 minutes", remedy)
    else:
        table.ok("clock", f"the host's clock is {said}; the timer does not go by it, but NTLM may refuse it")


def _inventory(endpoint: Endpoint, setting: str) -> Remedy:
    return Remedy(next=f"in the inventory, host {endpoint.host.name}: {setting}")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _utc(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
