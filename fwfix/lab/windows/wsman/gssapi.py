"""The accepting half of GSSAPI, from MIT's own library.

The library comes with OpenSSH. It is called directly, because the Python packages for this half have to be
compiled, which takes minutes.
"""

import ctypes
import functools
import weakref
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fwfix.errors import LabError

_LIBRARY = "libgssapi_krb5.so.2"
_ACCEPT, _FOREVER = 2, 0xFFFFFFFF
_FAILED, _CONTINUE = 0xFFFF0000, 1
_OF_GSSAPI, _OF_MECHANISM = 1, 2
_CHANNEL_BOUND = 2048
_DATA, _HEADER, _PADDING, _ALLOCATE = 1, 2, 9, 0x10000


class GssError(LabError):
    """A call of the library failed."""

    code = "gssapi"


class _Buffer(ctypes.Structure):
    _fields_: ClassVar = [("length", c_size_t), ("value", c_void_p)]

    def read(self) -> bytes:
        return ctypes.string_at(self.value, self.length) if self.value else b""


class _Bindings(ctypes.Structure):
    _fields_: ClassVar = [
        ("initiator_type", c_uint32),
        ("initiator", _Buffer),
        ("acceptor_type", c_uint32),
        ("acceptor", _Buffer),
        ("application", _Buffer),
    ]


class _Part(ctypes.Structure):
    _fields_: ClassVar = [("kind", c_uint32), ("buffer", _Buffer)]


class _Pair(ctypes.Structure):
    _fields_: ClassVar = [("key", c_char_p), ("value", c_char_p)]


class _Store(ctypes.Structure):
    _fields_: ClassVar = [("count", c_uint32), ("pairs", POINTER(_Pair))]


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes that the library can read and change for as long as this lives."""

    memory: "ctypes.Array[ctypes.c_char]"

    @classmethod
    def of(cls, data: bytes) -> "_Memory":
        return cls(ctypes.create_string_buffer(data, len(data)))

    @property
    def buffer(self) -> _Buffer:
        return _Buffer(len(self.memory), ctypes.addressof(self.memory))


class Acceptor:
    """One logon, and the messages that are sealed with its key.

    Args:
        keytab: keys of the services that we are; any of them is accepted.

    Attributes:
        complete: the client has proved who it is.
        client: its principal.
        bound: it has signed the TLS channel that was given.
    """

    def __init__(self, keytab: Path) -> None:
        self.complete = False
        self.bound = False
        self.client = ""
        self._credential, self._context = c_void_p(), c_void_p()
        weakref.finalize(self, _release, self._credential, self._context)
        # Tokens that come twice are refused; the host remembers them, not the machine that it runs on.
        pairs = (_Pair * 2)(
            _Pair(b"keytab", f"FILE:{keytab}".encode()), _Pair(b"rcache", f"file2:{keytab}.seen".encode())
        )
        wanted = (byref(_Store(len(pairs), pairs)), byref(self._credential), None, None)
        _call("gss_acquire_cred_from", None, c_uint32(_FOREVER), None, c_int(_ACCEPT), *wanted)

    def step(self, token: bytes, *, channel: bytes | None) -> bytes:
        """Take a token and return the one to answer with.

        Args:
            token: bare Kerberos, or in SPNEGO.
            channel: what a client may sign about TLS; one that signs something else is refused.

        Raises:
            GssError: it proves nothing, here and now.
        """
        given, signed = _Memory.of(token), _Memory.of(channel or b"")
        bindings = None if channel is None else byref(_Bindings(application=signed.buffer))
        name, answer, flags = c_void_p(), _Buffer(), c_uint32()
        try:
            exchange = (byref(self._context), self._credential, byref(given.buffer), bindings)
            found = (byref(name), None, byref(answer), byref(flags), None, None)
            major = _call("gss_accept_sec_context", *exchange, *found)
            if not major & _CONTINUE:
                self.complete, self.bound = True, bool(flags.value & _CHANNEL_BOUND)
                self.client = _display(name)
            return answer.read()
        finally:
            _call("gss_release_buffer", byref(answer))
            _call("gss_release_name", byref(name))

    def unwrap(self, token: bytes) -> bytes:
        """Decrypt and check a message."""
        sealed, plain, confidential = _Memory.of(token), _Buffer(), c_int()
        try:
            _call("gss_unwrap", self._context, byref(sealed.buffer), byref(plain), byref(confidential), None)
            if not confidential.value:
                raise GssError("The message was signed, but not encrypted.")
            return plain.read()
        finally:
            _call("gss_release_buffer", byref(plain))

    def wrap(self, message: bytes) -> tuple[bytes, bytes]:
        """Return the header of an encrypted message, and the rest of it."""
        data, confidential = _Memory.of(message), c_int()
        parts = (_Part * 3)(
            _Part(_HEADER | _ALLOCATE), _Part(_DATA, data.buffer), _Part(_PADDING | _ALLOCATE)
        )
        asked = (c_int(1), c_uint32(0), byref(confidential), parts, c_int(len(parts)))
        try:
            _call("gss_wrap_iov", self._context, *asked)
            header, body, padding = (part.buffer.read() for part in parts)
            return header, body + padding
        finally:
            _call("gss_release_iov_buffer", parts, c_int(len(parts)))


def _display(name: c_void_p) -> str:
    text = _Buffer()
    _call("gss_display_name", name, byref(text), None)
    try:
        return text.read().decode("utf-8", "replace")
    finally:
        _call("gss_release_buffer", byref(text))


def _release(credential: c_void_p, context: c_void_p) -> None:
    if context.value is not None:
        _call("gss_delete_sec_context", byref(context), None)
    _call("gss_release_cred", byref(credential))


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise LabError(f"Twins have no Kerberos here: {error}.", next="Install libgssapi-krb5-2.") from error


def _call(name: str, *arguments: object) -> int:
    """Call a function, whose first argument is always the minor status; return the major one."""
    minor = c_uint32()
    major = int(getattr(_library(), name)(byref(minor), *arguments)) & 0xFFFFFFFF
    if major & _FAILED:
        raise GssError(f"{name}: {_words(major, _OF_GSSAPI)}; {_words(minor.value, _OF_MECHANISM)}.")
    return major


def _words(status: int, kind: int) -> str:
    minor, more, text = c_uint32(), c_uint32(), _Buffer()
    arguments = (c_uint32(status), c_int(kind), None, byref(more), byref(text))
    _library().gss_display_status(byref(minor), *arguments)
    said = text.read().decode("utf-8", "replace")
    _library().gss_release_buffer(byref(minor), byref(text))
    return said
