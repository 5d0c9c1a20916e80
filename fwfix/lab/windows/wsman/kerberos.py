"""Kerberos logons: who a ticket says the client is, and messages sealed with its key."""

from pathlib import Path

from spnego._context import GSSMech
from spnego._spnego import NegTokenInit, unpack_token

from fwfix.lab.windows.wsman.config import ChannelBinding
from fwfix.lab.windows.wsman.gssapi import Acceptor, GssError
from fwfix.lab.windows.wsman.ntlm import Binding, Claim, TokenError
from fwfix.lab.windows.wsman.sealing import SealError


class KerberosLogon:
    """One logon on one connection; as `Logon` is for NTLM."""

    via = "kerberos"

    def __init__(self, *, keytab: Path, binding: Binding) -> None:
        self._acceptor = Acceptor(keytab)
        self._level = binding.level
        self._channel = None if binding.level is ChannelBinding.NONE else binding.data

    @property
    def complete(self) -> bool:
        """Whether the client has proved who it is."""
        return self._acceptor.complete

    @property
    def claim(self) -> Claim | None:
        """Who the client is, once it has proved it."""
        name, _, realm = self._acceptor.client.rpartition("@")
        return Claim(name=name, domain=realm) if name else None

    def step(self, token: bytes) -> bytes:
        """Take a token and return the one to answer with.

        Raises:
            TokenError: it does not prove what it says, or not here and now.
        """
        try:
            answer = self._acceptor.step(token, channel=self._channel)
        except GssError as error:
            raise TokenError(str(error)) from error
        is_missing = self._channel is not None and self.complete and not self._acceptor.bound
        if is_missing and self._level is ChannelBinding.STRICT:
            raise TokenError("The client has said nothing about the certificate that it sees.")
        return answer

    def unseal(self, signature: bytes, data: bytes, /) -> bytes:
        """Decrypt and check one message."""
        try:
            return self._acceptor.unwrap(signature + data)
        except GssError as error:
            raise SealError("The message was not sealed for now and here.") from error

    def seal(self, data: bytes, /) -> tuple[bytes, bytes]:
        """Encrypt one message."""
        return self._acceptor.wrap(data)


def is_kerberos(token: bytes) -> bool:
    """Whether the first token of a logon is one of Kerberos, bare or in SPNEGO."""
    try:
        found = unpack_token(token)
        if isinstance(found, NegTokenInit):
            return GSSMech.from_oid(found.mech_types[0]).is_kerberos_oid
    except (ValueError, LookupError, TypeError, NotImplementedError):
        return False
    return found is token and not token.startswith(b"NTLMSSP\x00")
