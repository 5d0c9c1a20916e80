"""Log on over a connection: what stands in `Authorization`, and what seals messages afterwards."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Protocol

import spnego
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from requests_ntlm.requests_ntlm import ShimSessionSecurity
from spnego._ntlm_raw.crypto import ntowfv1
from spnego.channel_bindings import GssChannelBindings
from winrm.exceptions import WinRMError

from fwfix.executors.winrm_errors import LogonRefusedError
from fwfix.executors.winrm_http import Answer
from fwfix.secrets import Secret

UNAUTHORIZED = 401
# TLS has shown the certificate; WinRM wants to be told to look at it.
BY_CERTIFICATE = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
# WinRM calls it Negotiate unless told otherwise, and takes bare messages of NTLM for it.
_NTLM_NAMES = ("Negotiate", "NTLM")
_OUTDATED = frozenset({"md5", "sha1"})

# Sends a body with an `Authorization`.
Post = Callable[[bytes, str], Answer]


class Logon(Protocol):
    """One way to log on, for one connection."""

    standing: str
    """What `Authorization` says with every request that follows."""

    def enter(self, post: Post, body: bytes) -> Answer:
        """Log on, and have the last request of it carry a body.

        Raises:
            LogonRefusedError: the server does not let us in.
        """


class Named:
    """Says who we are with every request: a password as it is, or that TLS has shown a certificate."""

    def __init__(self, standing: str) -> None:
        self.standing = standing

    @classmethod
    def by_password(cls, user: str, password: Secret) -> "Named":
        """Log on by a user's name and password, which only TLS hides."""
        return cls("Basic " + base64.b64encode(f"{user}:{password.reveal()}".encode()).decode("ascii"))

    def enter(self, post: Post, body: bytes) -> Answer:
        """Send the request; a server that does not offer passwords has not looked at ours."""
        answer = post(body, self.standing)
        offered = (answer.offered or "basic").lower()
        check_let_in(answer, attempted=not self.standing.startswith("Basic ") or "basic" in offered)
        return answer


class Ntlm:
    """NTLM in two messages, as requests_ntlm sends them, without asking first whether it is wanted."""

    standing = ""

    def __init__(self, user: str, password: Secret, *, server: str, certificate: bytes | None) -> None:
        r"""Prepare.

        Args:
            user: may name a domain: `DOMAIN\user`, `user@domain`.
            password: is not kept.
            server: the name of the server.
            certificate: what the server shows inside TLS; the logon is bound to it.
        """
        # From a password pyspnego would make the hash of LAN Manager too, in Python: most of the work of
        # a logon, and of no use to NTLMv2. `ntowfv1` is not public there, hence the bound in pyproject.toml.
        self._context = spnego.client(
            spnego.NTLMHash(username=user, nt_hash=ntowfv1(password.reveal()).hex()),
            hostname=server,
            service="http",
            protocol="ntlm",
            channel_bindings=None if certificate is None else _bindings(certificate),
            options=spnego.NegotiateOptions.use_ntlm,
        )
        # Under the name where pywinrm's encryption looks for it.
        self.session_security = ShimSessionSecurity(self._context)

    def enter(self, post: Post, body: bytes) -> Answer:
        """Send both messages; the server has seen the password's proof only after the second."""
        negotiate = _encoded(self._context.step())
        for name in _NTLM_NAMES:
            answer = post(b"", f"{name} {negotiate}")
            if challenge := re.search(rf"\b{name}[ ]+([^\s,]+)", answer.offered, re.IGNORECASE):
                proof = _encoded(self._context.step(base64.b64decode(challenge[1], validate=True)))
                answer = post(body, f"{name} {proof}")
                check_let_in(answer, attempted=True)
                return answer
            if answer.status_code != UNAUTHORIZED or "ntlm" not in answer.offered.lower():
                break
        check_let_in(answer, attempted=False)
        if answer.ok:
            raise WinRMError("it asked for no logon")
        return answer


def check_let_in(answer: Answer, *, attempted: bool, by_ticket: bool = False) -> None:
    """Raise LogonRefusedError where an answer says that the logon failed."""
    if answer.status_code == UNAUTHORIZED:
        raise LogonRefusedError(attempted=attempted, offered=answer.offered, by_ticket=by_ticket)


def end_point(certificate: bytes) -> bytes:
    """Return what binds a logon to a TLS server's certificate (RFC 5929, section 4.1)."""
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    name = "sha256" if algorithm is None or algorithm.name in _OUTDATED else algorithm.name
    return b"tls-server-end-point:" + hashlib.new(name, certificate).digest()


def _bindings(certificate: bytes) -> GssChannelBindings:
    return GssChannelBindings(application_data=end_point(certificate))


def _encoded(message: bytes | None) -> str:
    return base64.b64encode(message or b"").decode("ascii")
