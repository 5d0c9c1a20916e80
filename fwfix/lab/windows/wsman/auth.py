"""Who is at the other end: NTLM, Kerberos and SPNEGO per connection, Basic and certificates per request."""

import base64
import binascii
from dataclasses import dataclass
from typing import Protocol

from fwfix.lab.windows.cmd.machine import User
from fwfix.lab.windows.wsman.accounts import Account, AccountBook
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.kerberos import KerberosLogon, is_kerberos
from fwfix.lab.windows.wsman.ntlm import Binding, Claim, DeniedError, Logon, TokenError
from fwfix.lab.windows.wsman.sealing import Context
from fwfix.lab.windows.wsman.wire import Request

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_NEGOTIATED = ("negotiate", "kerberos")


class Exchange(Context, Protocol):
    """A logon in several messages."""

    via: str

    @property
    def complete(self) -> bool:
        """Whether the client has proved who it is."""

    @property
    def claim(self) -> Claim | None:
        """Who the client says it is, once it said so."""

    def step(self, token: bytes) -> bytes | None:
        """Take a token and return the one to answer with; raise TokenError or DeniedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What TLS knows about the connection.

    Attributes:
        binding: `tls-server-end-point:` and the hash of the server's certificate.
        client_certificate: SHA-256 of the client's certificate; empty if it sent none.
    """

    binding: bytes
    client_certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The request comes from this user.

    Attributes:
        logon: seals messages; None where the scheme cannot.
        last: the last word of the exchange, a value of WWW-Authenticate; empty for none.
    """

    user: User
    logon: Context | None = None
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """Not yet, or not at all: the values of WWW-Authenticate."""

    offers: tuple[str, ...]


class Gate:
    """The logon of one connection.

    Args:
        channel: None without TLS.
    """

    def __init__(self, *, book: AccountBook, config: WsmanConfig, channel: Channel | None) -> None:
        self._book = book
        self._config = config
        self._channel = channel
        self._pending: Exchange | None = None
        self._standing: Accepted | None = None

    def check(self, request: Request) -> Accepted | Challenged:
        """Decide about one request."""
        scheme, _, value = request.header("authorization").partition(" ")
        if not scheme:
            return self._standing or self._refused()
        self._standing = None
        if scheme.lower() in _NEGOTIATED:
            return self._negotiate(scheme, value)
        if scheme.lower() == "basic":
            return self._basic(value)
        if request.header("authorization") == MUTUAL:
            return self._certificate()
        return self._refused()

    def _refused(self) -> Challenged:
        self._pending = None
        kerberos = ("Kerberos",) if self._config.keytab is not None else ()
        basic = ('Basic realm="WSMAN"',) if self._config.basic else ()
        return Challenged(offers=("Negotiate", *kerberos, *basic))

    def _negotiate(self, scheme: str, value: str) -> Accepted | Challenged:
        try:
            token = base64.b64decode(value, validate=True)
            self._pending = logon = self._pending or self._exchange(token)
            answer = logon.step(token)
        except DeniedError:
            assert self._pending is not None
            self._recorded(self._pending, proved=False)
            return self._refused()
        except (TokenError, binascii.Error, ValueError):
            return self._refused()
        said = f"{scheme} {base64.b64encode(answer or b'').decode()}"
        return (
            self._completed(logon, said if answer else "") if logon.complete else Challenged(offers=(said,))
        )

    def _exchange(self, token: bytes) -> Exchange:
        """Begin a logon of the kind that its first token is of."""
        binding = Binding(
            level=self._config.channel_binding,
            data=self._channel.binding if self._channel is not None else None,
        )
        if self._config.keytab is not None and is_kerberos(token):
            return KerberosLogon(keytab=self._config.keytab, binding=binding)
        return Logon(machine=self._config.machine, password_of=self._password_of, binding=binding)

    def _completed(self, logon: Exchange, last: str) -> Accepted | Challenged:
        self._pending = None
        account = self._recorded(logon, proved=True)
        if account is None:
            return self._refused()
        self._standing = Accepted(user=self._user(account), logon=logon)
        return Accepted(user=self._standing.user, logon=logon, last=last)

    def _recorded(self, logon: Exchange, *, proved: bool) -> Account | None:
        """Count the attempt; return the account if it may come in."""
        claim = logon.claim
        if claim is None:
            return None
        account = self._account(claim)
        accepted = self._book.record(claim.name, account, via=logon.via, proved=proved)
        return account if accepted else None

    def _password_of(self, claim: Claim) -> str | None:
        account = self._account(claim)
        return None if account is None else account.password

    def _account(self, claim: Claim) -> Account | None:
        return self._book.find(claim.name, domain=claim.domain, machine=self._config.machine.name)

    def _basic(self, value: str) -> Accepted | Challenged:
        if not self._config.basic:
            return self._refused()
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return self._refused()
        name, _, password = _decoded(raw).partition(":")
        account = self._account(Claim(name=name, domain=""))
        proved = account is not None and account.password == password
        if not self._book.record(name, account, via="basic", proved=proved) or account is None:
            return self._refused()
        return Accepted(user=self._user(account))

    def _certificate(self) -> Accepted | Challenged:
        thumbprint = self._channel.client_certificate if self._channel is not None else ""
        if not self._config.certificate or not thumbprint:
            return self._refused()
        account = self._book.by_certificate(thumbprint)
        name = account.name if account is not None else thumbprint
        if (
            not self._book.record(name, account, via="certificate", proved=account is not None)
            or account is None
        ):
            return self._refused()
        return Accepted(user=self._user(account))

    def _user(self, account: Account) -> User:
        return User(
            name=account.name,
            domain=account.domain or self._config.machine.name,
            administrator=account.administrator,
        )


def _decoded(raw: bytes) -> str:
    """Clients disagree on the charset of Basic: requests sends Latin-1, others UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
