"""Turn references into secrets, at the moment of first use and never before.

What is asked of a person or of a program is asked once and kept for the life of the store. No message holds a
secret, nor the output of a program that was to print one.
"""

import getpass
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fwfix.errors import SecretError
from fwfix.programs import run_alone
from fwfix.secrets import Secret, SecretKind, SecretRef
from fwfix.terminal import alone

COMMAND_TIMEOUT_S = 30.0

_LARGEST = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Ask = Callable[[str], str]


class SecretStore:
    """Resolves references; safe to use from many threads."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        ask: Ask | None = None,
        command_timeout: float = COMMAND_TIMEOUT_S,
    ) -> None:
        """Make a store.

        Args:
            environment: where `env` looks; the process's own by default.
            ask: asks a person; the terminal by default.
            command_timeout: seconds that a `command` may take.
        """
        self._environment = os.environ if environment is None else environment
        self._ask = ask or _ask_at_terminal
        self._command_timeout = command_timeout
        self._known: dict[tuple[str, ...], Secret] = {}
        self._failed: dict[tuple[str, ...], tuple[float, SecretError]] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._lock = threading.Lock()
        self._asking = threading.Lock()

    def resolve(
        self, ref: SecretRef, *, host: str, address: str, user: str, purpose: str = "password"
    ) -> Secret:
        """Return the secret for one host.

        Args:
            ref: where it comes from.
            host: the name, for `{host}` in a command.
            address: the address, for `{address}`.
            user: the account that it belongs to, for `{user}` and for the question to a person.
            purpose: what a person is asked for: `password`, `sudo password`, `passphrase of ...`.

        Raises:
            SecretError: the reference leads nowhere; never says what was found.
        """
        if ref.kind is SecretKind.ENV:
            return self._from_environment(ref)
        if ref.kind is SecretKind.FILE:
            return Secret(_one_line(_read_file(Path(ref.argument)), f"the file {ref.argument}"))
        if ref.kind is SecretKind.KEYRING:
            return self._once(("keyring", ref.argument), lambda: _from_keyring(ref.argument))
        if ref.kind is SecretKind.COMMAND:
            values = {"{host}": host, "{address}": address, "{user}": user}
            words = tuple(_substitute(word, values) for word in ref.command)
            return self._once(("command", *words), lambda: _from_command(words, self._command_timeout))
        return self._once(("prompt", purpose, user), lambda: self._from_person(purpose, user))

    def check(self, ref: SecretRef) -> None:
        """See whether a reference can lead anywhere, without asking anybody or running anything.

        Raises:
            SecretError: it cannot.
        """
        if ref.kind is SecretKind.ENV:
            self._from_environment(ref)
        elif ref.kind is SecretKind.FILE:
            _one_line(_read_file(Path(ref.argument)), f"the file {ref.argument}")
        elif ref.kind is SecretKind.COMMAND and shutil.which(ref.argument) is None:
            raise SecretError(f"the program {ref.argument!r} is not there", next="Check the `command`.")

    def _from_environment(self, ref: SecretRef) -> Secret:
        value = self._environment.get(ref.argument)
        if value is None:
            raise SecretError(
                f"the environment variable {ref.argument} is not set",
                next=f"Set it: export {ref.argument}=...",
            )
        return Secret(_one_line(value, f"the environment variable {ref.argument}"))

    def _from_person(self, purpose: str, user: str) -> Secret:
        with self._asking, alone():
            try:
                answer = self._ask(f"{purpose} of {user}: ")
            except (EOFError, OSError):
                raise SecretError(
                    f"the {purpose} of {user} is to be asked for, and there is no terminal",
                    next="Use {env: NAME}, {file: PATH}, {keyring: SERVICE/USER} or {command: [..]}.",
                ) from None
        return Secret(_one_line(answer, f"the answer for the {purpose} of {user}"))

    def _once(self, key: tuple[str, ...], find: Callable[[], Secret]) -> Secret:
        """Find a secret once, however many threads want it.

        A failure is shared by all who waited for it, and tried again by whoever comes later: behind a program
        that hangs nobody waits for longer than once.
        """
        asked_at = time.monotonic()
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            failed_at, failure = self._failed.get(key, (0.0, None))
            if failure is not None and failed_at > asked_at:
                raise SecretError(failure.message, next=failure.next)
            if key not in self._known:
                try:
                    self._known[key] = find()
                except SecretError as error:
                    self._failed[key] = (time.monotonic(), error)
                    raise
            return self._known[key]


class RememberingStore(SecretStore):
    """A store that knows what it has handed out, so that a recording can be searched for it."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[Secret] = set()

    @property
    def seen(self) -> frozenset[Secret]:
        """Every secret that somebody got."""
        with self._lock:
            return frozenset(self._seen)

    def resolve(
        self, ref: SecretRef, *, host: str, address: str, user: str, purpose: str = "password"
    ) -> Secret:
        """Return the secret for one host, and remember it."""
        secret = super().resolve(ref, host=host, address=address, user=user, purpose=purpose)
        with self._lock:
            self._seen.add(secret)
        return secret


def _one_line(value: str, origin: str) -> str:
    """Return a secret without the line end that editors and programs add."""
    text = value.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{origin} is empty")
    if any(character in text for character in "\n\r\0"):
        raise SecretError(f"{origin} holds more than one line", next="It must hold the secret alone.")
    return text


def _read_file(path: Path) -> str:
    try:
        # Not to hang on a FIFO that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise SecretError(f"the file {path} cannot be read: {exc.strerror}") from None
    try:
        _check_file(path, os.fstat(descriptor))
        content = os.read(descriptor, _LARGEST + 1)
    except OSError as exc:
        raise SecretError(f"the file {path} cannot be read: {exc.strerror}") from None
    finally:
        os.close(descriptor)
    return _decode(content, f"the file {path}")


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SecretError(f"{path} is not a file")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise SecretError(f"the file {path} is open to others ({mode:04o})", next=f"chmod 600 {path}")
    # Under sudo the file may well belong to the person who called it.
    if os.geteuid() not in {0, found.st_uid} and found.st_uid != 0:
        raise SecretError(f"the file {path} belongs to another user", next=f"chown {os.geteuid()} {path}")


def _decode(content: bytes, origin: str) -> str:
    if len(content) > _LARGEST:
        raise SecretError(f"{origin} holds far more than a secret")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SecretError(f"{origin} holds something that is not UTF-8 text") from None


def _from_keyring(argument: str) -> Secret:
    import keyring  # noqa: PLC0415 - slow to import, and few need it
    from keyring.errors import KeyringError  # noqa: PLC0415

    service, _, user = argument.rpartition("/")
    try:
        value = keyring.get_password(service, user)
    except KeyringError as exc:
        raise SecretError(
            f"the keyring cannot be used: {type(exc).__name__}", next="Is it unlocked?"
        ) from None
    if value is None:
        raise SecretError(f"the keyring has nothing for {argument}", next=f"keyring set {service} {user}")
    return Secret(_one_line(value, f"the keyring entry {argument}"))


def _substitute(word: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a word in one pass, so that no value is read as a placeholder."""
    pieces = [word]
    for placeholder in values:
        pieces = [part for piece in pieces for part in _split_keeping(piece, placeholder, values)]
    return "".join(values.get(piece, piece) for piece in pieces)


def _split_keeping(piece: str, placeholder: str, values: Mapping[str, str]) -> list[str]:
    if piece in values:
        return [piece]
    parts: list[str] = []
    for position, part in enumerate(piece.split(placeholder)):
        parts += [placeholder, part] if position else [part]
    return parts


def _from_command(words: tuple[str, ...], timeout: float) -> Secret:
    origin = f"the command {words[0]}"
    try:
        # A helper that it leaves running may keep stderr open; nobody waits for that.
        ended = run_alone(words, seconds=timeout, stderr=subprocess.DEVNULL)
    except OSError as exc:
        raise SecretError(f"{origin} cannot be started: {exc.strerror}") from None
    if ended is None:
        raise SecretError(
            f"{origin} did not answer within {timeout:g} s",
            next="Run it by hand: does it wait for somebody, such as to unlock a vault?",
        )
    if ended.returncode != 0:
        raise SecretError(
            f"{origin} ended with exit status {ended.returncode}",
            next="Run it by hand to see what it says.",
        )
    return Secret(_one_line(_decode(ended.stdout, origin), f"the output of {origin}"))


def _ask_at_terminal(question: str) -> str:
    try:
        # getpass falls back to reading stdin with echo where there is no terminal.
        with Path("/dev/tty").open("w", encoding="utf-8"):
            pass
    except OSError:
        raise EOFError from None
    return getpass.getpass(question, stream=sys.stderr)
