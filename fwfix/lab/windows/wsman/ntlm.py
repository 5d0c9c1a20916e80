"""Accept NTLM and SPNEGO logons with pyspnego's messages and cryptography, for accounts given as values.

pyspnego's own acceptor takes its accounts from a file that an environment variable names, one for the whole
process. Many twins live in one process, so the two steps that ask for accounts are replaced here; NTLMv2 is
the only version accepted, as LmCompatibilityLevel 5 does.
"""

import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from spnego._context import GSSMech
from spnego._negotiate import NegotiateProxy
from spnego._ntlm import NTLMProxy
from spnego._ntlm_raw.crypto import compute_response_v2, hmac_md5, md5, ntowfv1, ntowfv2, rc4k
from spnego._ntlm_raw.messages import (
    Authenticate,
    AvFlags,
    AvId,
    Challenge,
    FileTime,
    Negotiate,
    NegotiateFlags,
    NTClientChallengeV2,
    TargetInfo,
    Version,
)
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from fwfix.errors import LabError
from fwfix.lab.windows.cmd.machine import Machine
from fwfix.lab.windows.wsman.config import ChannelBinding
from fwfix.lab.windows.wsman.sealing import SealError

# What pyspnego raises on tokens that are no tokens.
_BROKEN = (
    SpnegoError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    struct.error,
    ArithmeticError,
)
_MIC = slice(72, 88)


class TokenError(LabError):
    """The token is no NTLM or SPNEGO, or it is one that was not expected now."""

    code = "ntlm-token"


class DeniedError(LabError):
    """The token is well formed, but proves nothing."""

    code = "ntlm-denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who a client says it is."""

    name: str
    domain: str


PasswordOf = Callable[[Claim], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The TLS channel under the logon.

    Attributes:
        data: `tls-server-end-point:` and the hash of the certificate; None without TLS.
    """

    level: ChannelBinding
    data: bytes | None

    def allows(self, target: TargetInfo) -> bool:
        """Whether what the client signed about the channel is right."""
        if self.data is None or self.level is ChannelBinding.NONE:
            return True
        said = target.get(AvId.channel_bindings, b"\x00" * 16)
        if said == b"\x00" * 16:
            return self.level is not ChannelBinding.STRICT
        return hmac.compare_digest(said, md5(GssChannelBindings(application_data=self.data).pack()))


class _Acceptor(NTLMProxy):
    def __init__(self, *, machine: Machine, password_of: PasswordOf, binding: Binding) -> None:
        # As an initiator, because an acceptor would look for the file; nothing of these credentials is used.
        super().__init__("unused", "unused", usage="initiate", protocol="ntlm")
        self.usage = "accept"
        self.claim: Claim | None = None
        self._machine = machine
        self._password_of = password_of
        self._binding = binding
        self._sent: list[bytes] = []

    def _step_accept_negotiate(self, token: bytes) -> bytes:
        negotiate = Negotiate.unpack(token)
        flags = negotiate.flags | (
            NegotiateFlags.request_target
            | NegotiateFlags.ntlm
            | NegotiateFlags.always_sign
            | NegotiateFlags.target_info
            | NegotiateFlags.target_type_server
        )
        if not flags & NegotiateFlags.unicode:
            raise TokenError("The client does not speak Unicode.")
        flags &= ~(NegotiateFlags.oem | NegotiateFlags.lm_key)
        challenge = Challenge(
            flags,
            os.urandom(8),
            target_name=self._machine.name,
            target_info=self._target(),
            version=Version.get_current() if flags & NegotiateFlags.version else None,
        )
        self._temp_negotiate, self._temp_challenge = negotiate, challenge
        packed = challenge.pack()
        self._sent = [token, packed]
        return packed

    def _target(self) -> TargetInfo:
        target = TargetInfo()
        target[AvId.nb_computer_name] = self._machine.name
        target[AvId.nb_domain_name] = self._machine.domain
        target[AvId.dns_computer_name] = self._machine.name.lower()
        target[AvId.timestamp] = FileTime.now()
        return target

    def _step_accept_authenticate(self, token: bytes, channel_bindings: GssChannelBindings | None) -> None:
        del channel_bindings  # the binding of this connection is known since it was accepted
        message = Authenticate.unpack(token)
        self.claim = Claim(name=message.user_name or "", domain=message.domain_name or "")
        response = message.nt_challenge_response or b""
        if not self.claim.name or len(response) <= 24:  # noqa: PLR2004 - anonymous, LM and NTLMv1 end here
            raise DeniedError("Only NTLMv2 is accepted.")
        password = self._password_of(self.claim)
        # An unknown name takes as long as a wrong password.
        key = ntowfv2(self.claim.name, ntowfv1(password or ""), self.claim.domain)
        said = NTClientChallengeV2.unpack(response[16:])
        assert self._temp_challenge is not None
        expected, _, exchange_key = compute_response_v2(
            key,
            self._temp_challenge.server_challenge,
            said.challenge_from_client,
            said.time_stamp,
            said.av_pairs,
        )
        if password is None or not hmac.compare_digest(expected, response):
            raise DeniedError("The password is wrong.")
        self._session_key = _session_key(message, exchange_key)
        if said.av_pairs.get(AvId.flags, AvFlags(0)) & AvFlags.mic and not self._intact(token):
            raise DeniedError("The exchange was changed on its way.")
        if not self._binding.allows(said.av_pairs):
            raise DeniedError("The client saw another certificate.")
        self._context_attr = message.flags
        self._complete = True

    def _intact(self, token: bytes) -> bool:
        blank = token[: _MIC.start] + b"\x00" * 16 + token[_MIC.stop :]
        expected = hmac_md5(self._session_key or b"", b"".join([*self._sent, blank]))
        return hmac.compare_digest(expected, token[_MIC])


def _session_key(message: Authenticate, exchange_key: bytes) -> bytes:
    flags = message.flags
    if flags & NegotiateFlags.key_exch and flags & (NegotiateFlags.sign | NegotiateFlags.seal):
        return rc4k(exchange_key, message.encrypted_random_session_key or b"")
    return exchange_key


class Logon:
    """One logon on one connection: tokens until it is complete, then messages sealed with its key."""

    via = "negotiate"

    def __init__(self, *, machine: Machine, password_of: PasswordOf, binding: Binding) -> None:
        self._acceptor = _Acceptor(machine=machine, password_of=password_of, binding=binding)
        self._context: NTLMProxy | NegotiateProxy | None = None

    @property
    def complete(self) -> bool:
        """Whether the client has proved who it is."""
        return self._context is not None and self._context.complete

    @property
    def claim(self) -> Claim | None:
        """Who the client says it is, once it said so."""
        return self._acceptor.claim

    def step(self, token: bytes) -> bytes | None:
        """Take a token and return the one to answer with.

        Raises:
            TokenError: it is not one, or not now.
            DeniedError: it does not prove what it says.
        """
        if not token:
            raise TokenError("There is no token.")
        if self._context is None:
            self._context = (
                self._acceptor if token.startswith(b"NTLMSSP\x00") else _negotiation(self._acceptor)
            )
        if self._context.complete:
            raise TokenError("The logon is over.")
        try:
            return self._context.step(token)
        except _BROKEN as error:
            raise TokenError("The token cannot be read.") from error

    def unseal(self, signature: bytes, data: bytes, /) -> bytes:
        """Decrypt and check one message."""
        if self._context is None:
            raise SealError("Nobody is logged on.")
        try:
            return self._context.unwrap_winrm(signature, data)
        except _BROKEN as error:
            raise SealError("The message was not sealed for now and here.") from error

    def seal(self, data: bytes, /) -> tuple[bytes, bytes]:
        """Encrypt one message."""
        if self._context is None:
            raise SealError("Nobody is logged on.")
        sealed = self._context.wrap_winrm(data)
        return sealed.header, sealed.data


def _negotiation(acceptor: _Acceptor) -> NegotiateProxy:
    acceptor._is_wrapped = True  # noqa: SLF001 - as pyspnego marks a mechanism inside SPNEGO
    return NegotiateProxy(usage="accept", protocol="negotiate", _negotiate_contexts={GSSMech.ntlm: acceptor})
