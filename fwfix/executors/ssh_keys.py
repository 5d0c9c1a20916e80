"""The user's keys: files, certificates and the agent, each loaded once and shared by every connection."""

import copy
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import paramiko
from paramiko.agent import ALGORITHM_FLAG_MAP, AgentKey, AgentSSH
from paramiko.message import Message

from fwfix.errors import AuthError
from fwfix.executors.ssh_target import Target
from fwfix.executors.ssh_transport import Link
from fwfix.secrets import Secret

_AGENT_SECONDS = 60.0  # a person may have to confirm the use of a key
_LIST_SECONDS = 3.0
_AGENT_PAUSE = 0.02
_IDENTITIES, _IDENTITIES_ANSWER, _SIGN, _SIGNATURE = b"\x0b", b"\x0c", b"\x0d", b"\x0e"


class SharedAgent:
    """An ssh-agent that several threads may use at once, each over a connection of its own."""

    def __init__(self, path: str) -> None:
        self._path = path

    def identities(self) -> tuple[paramiko.PKey, ...]:
        """Return the keys that the agent holds; none if it does not answer."""
        try:
            answer = self._ask(_IDENTITIES, expected=_IDENTITIES_ANSWER, seconds=_LIST_SECONDS)
        except paramiko.SSHException:
            return ()
        return tuple(
            _SharedKey(self, answer.get_binary(), answer.get_text()) for _ in range(answer.get_int())
        )

    def sign(self, blob: bytes, message: bytes, flags: int) -> bytes:
        """Let the agent sign a message with one of its keys."""
        question = Message()
        question.add_string(blob)
        question.add_string(message)
        question.add_int(flags)
        return self._ask(_SIGN + question.asbytes(), expected=_SIGNATURE, seconds=_AGENT_SECONDS).get_binary()

    def _ask(self, question: bytes, *, expected: bytes, seconds: float) -> Message:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _wait_over(connection):
                connection.settimeout(seconds)
                self._connect(connection, seconds)
                connection.sendall(len(question).to_bytes(4, "big") + question)
                answer = _receive(connection, int.from_bytes(_receive(connection, 4), "big"))
        except OSError as error:
            raise paramiko.SSHException("ssh-agent does not answer") from error
        if answer[:1] != expected:
            raise paramiko.SSHException("ssh-agent refuses to sign with the key")
        return Message(answer[1:])

    def _connect(self, connection: socket.socket, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return connection.connect(self._path)
            except BlockingIOError:  # its queue is full
                if time.monotonic() >= deadline or not _is_wanted():
                    raise
                time.sleep(_AGENT_PAUSE)


def _wait_over(connection: socket.socket) -> AbstractContextManager[object]:
    """Let whoever cuts the SSH connection that we sign for end our wait for the agent as well."""
    thread = threading.current_thread()
    return thread.waiting_for(connection) if isinstance(thread, Link) else nullcontext()


def _is_wanted() -> bool:
    thread = threading.current_thread()
    return not isinstance(thread, Link) or thread.is_active()


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionResetError
        received += part
    return received


class _SharedKey(AgentKey):
    """A key in the agent, usable from any thread."""

    def __init__(self, shared: SharedAgent, blob: bytes, comment: str) -> None:
        super().__init__(agent=AgentSSH(), blob=blob, comment=comment)
        self._shared = shared

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:  # type: ignore[override]
        """Sign; the stubs speak of a message, while paramiko's own agent key returns bytes as well."""
        flags = ALGORITHM_FLAG_MAP.get(algorithm or "", 0)
        return self._shared.sign(self.asbytes(), data, flags)


class Keyring:
    """Every key of the user, loaded once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, paramiko.PKey | None] = {}
        self._agents: dict[str, tuple[paramiko.PKey, ...]] = {}

    def keys_for(self, target: Target, passphrase: Callable[[], Secret | None]) -> Iterator[paramiko.PKey]:
        """Yield the keys to try, best first: named ones, those of the agent, then ssh's default files.

        A named key that the agent holds is used there, so that its passphrase is not needed.

        Raises:
            AuthError: a named key cannot be used.
        """
        agent_keys = self._agent_keys(target.identity_agent)
        used: set[bytes] = set()
        named = self._named(target, agent_keys, passphrase)
        others = () if target.identities_only else agent_keys
        # Lazily: a key that nobody needs is neither read nor decrypted.
        for key in chain(named, others, self._defaults(target, passphrase)):
            mark = _wire_form(key)
            if mark not in used:
                used.add(mark)
                yield key

    def unlock(self, target: Target, passphrase: Callable[[], Secret]) -> None:
        """Load the encrypted keys that are sure to be tried, so that nobody is asked during a logon.

        What cannot be loaded is passed over: the logon says why.
        """
        agent_keys = self._agent_keys(target.identity_agent)
        held = {_wire_form(key) for key in agent_keys}
        left = tuple(path for path in target.default_identities if _public_part(path) not in held)
        wanted = (
            self._named(target, agent_keys, passphrase)
            if target.explicit_identities
            else self._defaults(replace(target, default_identities=left), passphrase)
        )
        with suppress(AuthError):
            for _ in wanted:
                pass

    def _named(
        self, target: Target, agent_keys: tuple[paramiko.PKey, ...], passphrase: Callable[[], Secret | None]
    ) -> Iterable[paramiko.PKey]:
        by_blob = {_wire_form(key): key for key in agent_keys}
        for path in target.explicit_identities:
            key = by_blob.get(_public_part(path)) or self._file(path, passphrase)
            if key is None:
                raise AuthError(
                    f"The key {path} for {target.where} does not exist.",
                    next="Correct identity_file.",
                    code="key",
                )
            yield from _with_certificates(key, (*target.certificates, _beside(path)))
            yield key

    def _defaults(self, target: Target, passphrase: Callable[[], Secret | None]) -> Iterable[paramiko.PKey]:
        for path in target.default_identities:
            try:
                key = self._file(path, passphrase)
            except AuthError:
                key = None  # ssh passes over a default file that it cannot use as well
                with self._lock:
                    self._files[path] = None
            if key is not None:
                yield from _with_certificates(key, (*target.certificates, _beside(path)))
                yield key

    def _agent_keys(self, path: str) -> tuple[paramiko.PKey, ...]:
        if not path:
            return ()
        with self._lock:
            if path not in self._agents:
                self._agents[path] = SharedAgent(path).identities()
            return self._agents[path]

    def _file(self, path: Path, passphrase: Callable[[], Secret | None]) -> paramiko.PKey | None:
        with self._lock:
            if path in self._files:
                return self._files[path]
        key = _load(path, passphrase) if path.is_file() else None
        with self._lock:
            self._files[path] = key
        return key


def _load(path: Path, passphrase: Callable[[], Secret | None]) -> paramiko.PKey:
    try:
        return _read(path, None)
    except paramiko.PasswordRequiredException as error:
        secret = passphrase()
        if secret is None:
            raise AuthError(
                f"The key {path} is encrypted.", next="Set passphrase, or load it into ssh-agent.", code="key"
            ) from error
    try:
        return _read(path, secret.reveal())
    except paramiko.SSHException as error:
        raise AuthError(
            f"The passphrase does not open the key {path}.", next="Correct it.", code="key"
        ) from error


def _read(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Load a private key, without a certificate that may lie beside it."""
    failure: Exception | None = None
    for key_class in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return key_class.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError, IndexError) as error:
            failure = failure or error
        except OSError as error:
            raise AuthError(
                f"The key {path} cannot be read: {error.strerror}.",
                next="Correct its permissions.",
                code="key",
            ) from error
    if passphrase is not None:
        raise paramiko.SSHException("wrong passphrase") from failure
    raise AuthError(
        f"The key {path} cannot be used.",
        next="It must be an Ed25519, ECDSA or RSA private key; keys on a token work through ssh-agent.",
        code="key",
    ) from failure


def _wire_form(key: paramiko.PKey) -> bytes:
    """Return what tells a key, or a certified key, from every other."""
    if isinstance(key, AgentKey):
        return key.blob
    return key.public_blob.key_blob if key.public_blob is not None else key.asbytes()


def _public_part(path: Path) -> bytes:
    """Return the public key that lies beside a private one, or the key itself if only that is named."""
    for candidate in (path.with_name(path.name + ".pub"), path):
        try:
            text = candidate.read_text("ascii").split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) > 1 and text[0].startswith(("ssh-", "ecdsa-", "sk-")):
            return paramiko.pkey.PublicBlob.from_string(" ".join(text[:2])).key_blob
    return b""


def _beside(path: Path) -> Path:
    return path.with_name(path.name + "-cert.pub")


def _with_certificates(key: paramiko.PKey, certificates: Iterable[Path]) -> Iterator[paramiko.PKey]:
    for path in certificates:
        if not path.is_file():
            continue
        certified = copy.copy(key)
        try:
            certified.load_certificate(str(path))
        except (ValueError, paramiko.SSHException):
            continue  # it belongs to another key
        yield certified
