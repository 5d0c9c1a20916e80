"""Sign bytes with SSH keys and check such signatures, through ssh-keygen, so with agents and tokens too."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fwfix.errors import UsageError

# Namespaces keep a signature for one purpose from being used for another.
PLAN_NAMESPACE = "fwfix-plan"
EVIDENCE_NAMESPACE = "fwfix-evidence"

_PROGRAM = "ssh-keygen"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_DEFAULT_KEYS = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
_WILDCARDS = frozenset("*?!")
_SECONDS = 30
_SSHSIG_HEAD = len(b"SSHSIG") + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature.

    Attributes:
        key: the fingerprint of the key, `SHA256:...`.
        text: the armoured signature.
    """

    key: str
    text: bytes


class SignatureProblemError(Exception):
    """A signature does not hold; the text says why."""


def sign(content: bytes, key: Path | None, *, namespace: str) -> Signed:
    """Sign bytes.

    Args:
        content: what is signed.
        key: a private key, or a public one whose private half an agent or a token holds; None for the
            agent's only key, else the user's default key.
        namespace: what the signature is for.

    Raises:
        UsageError: there is no such key, or it did not sign.
    """
    with _key_file(key) as path:
        fingerprint = fingerprint_of(path)
        terminal = sys.stderr.isatty()  # somebody may have to touch a token
        done = _run(
            ["-Y", "sign", "-f", str(path), "-n", namespace],
            content,
            stderr=None if terminal else subprocess.PIPE,
            timeout=None if terminal else _SECONDS,
        )
    if done.returncode or not done.stdout:
        raise UsageError(
            f"{key or path} did not sign: {_said(done) or 'ssh-keygen says no more'}",
            next="Is the key readable, or its agent running (ssh-add -l)?",
        )
    return Signed(key=fingerprint, text=done.stdout)


def fingerprint_of(key: Path) -> str:
    """Return the fingerprint of a key file, private or public.

    Raises:
        UsageError: it is none.
    """
    done = _run(["-l", "-E", "sha256", "-f", str(key)], b"")
    found = _FINGERPRINT.search(done.stdout.decode(errors="replace"))
    if done.returncode or found is None:
        raise UsageError(f"{key} is not an SSH key: {_said(done)}", next="Name a key with --key KEY.")
    return found.group()


def file_part(fingerprint: str) -> str:
    """Return a fingerprint as it can stand in a file's name (scp reads a colon as the end of a host)."""
    return fingerprint.replace(":", "-").replace("/", "_").replace("+", "-")


def signing_key(signature: bytes, content: bytes, *, namespace: str) -> str:
    """Return the fingerprint of the key that signed exactly these bytes, whoever it belongs to.

    Raises:
        SignatureProblemError: it signed something else, or is no signature.
    """
    with _as_file(signature) as path:
        done = _run(["-Y", "check-novalidate", "-n", namespace, "-s", str(path)], content)
    found = _FINGERPRINT.search(done.stdout.decode(errors="replace"))
    if done.returncode or found is None:
        raise SignatureProblemError(_said(done) or "not a signature")
    return found.group()


def principals_of(signature: bytes, content: bytes, signers: Path, *, namespace: str) -> tuple[str, ...]:
    """Return under which names an allowed_signers file lists the key that signed these bytes.

    Raises:
        SignatureProblemError: it lists the key under no name, the signature does not hold, or nobody touched
            the security key for it.
        UsageError: the file cannot be read.
    """
    check_signers(signers)
    if not was_touched(signature):
        raise SignatureProblemError("nobody touched this security key when it signed")
    with _as_file(signature) as path:
        names = _found_principals(signature, path, signers)
        if not names:
            raise SignatureProblemError(f"this key is not listed in {signers}, or not for this day")
        problems: dict[str, str] = {}
        for name in names:
            checked = _run(
                ["-Y", "verify", "-f", str(signers), "-I", name, "-n", namespace, "-s", str(path)], content
            )
            if checked.returncode:
                problems[name] = _said(checked) or f"{signers} does not let this key sign"
    if len(problems) == len(names):
        raise SignatureProblemError(problems[names[0]])
    return tuple(name for name in names if name not in problems)


def _found_principals(signature: bytes, path: Path, signers: Path) -> tuple[str, ...]:
    """Return the names on every line that lists the signing key: ssh-keygen itself stops at the first."""
    blob = _signing_blob(signature)
    (kind,) = _strings(blob, 1)
    ours = base64.b64encode(blob).decode()
    found: list[str] = []
    for line in _lines(signers):
        # What a certificate is listed by is not its own key.
        if ours in line or (b"-cert-" in kind and "cert-authority" in line.lower()):
            with _as_file(f"{line}\n".encode("utf-8", "surrogateescape"), name="signers") as listed:
                done = _run(["-Y", "find-principals", "-s", str(path), "-f", str(listed)], b"")
            if done.returncode == 0:
                found.extend(_names(done.stdout.decode(errors="replace")))
    return tuple(dict.fromkeys(found))


def names_of(key: str, signers: Path) -> frozenset[str]:
    """Return every name under which an allowed_signers file lists a key, for whatever day and purpose.

    Raises:
        UsageError: the file cannot be read.
    """
    check_signers(signers)
    lines = (line for line in _lines(signers) if any(_fingerprint(word) == key for word in line.split()))
    return frozenset(name for line in lines for name in _names(_principals(line)))


def _lines(signers: Path) -> list[str]:
    text = signers.read_text(encoding="utf-8", errors="surrogateescape")
    return [line for each in text.split("\n") if (line := each.strip()) and not line.startswith("#")]


def _principals(line: str) -> str:
    """Return the first field of a line, which may stand in quotes."""
    return line[1:].partition('"')[0] if line.startswith('"') else line.split(maxsplit=1)[0]


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key as ssh prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _fingerprint(word: str) -> str:
    """Return the fingerprint of a public key as it stands in a file; empty for any other word."""
    try:
        blob = base64.b64decode(word, validate=True)
    except ValueError:
        return ""
    return fingerprint(blob)


def check_signers(signers: Path) -> None:
    """Refuse an allowed_signers file that is not there.

    Raises:
        UsageError: it cannot be read.
    """
    if not signers.is_file() or not os.access(signers, os.R_OK):
        raise UsageError(f"{signers} cannot be read", next="It must list who may approve (man ssh-keygen).")


def was_touched(signature: bytes) -> bool:
    """Tell whether somebody touched the security key for a signature; True for keys that need no touch.

    ssh-keygen 9.2 takes a signature whose flags say that nobody was there for a good one; sshd does not.

    Raises:
        SignatureProblemError: it is no signature.
    """
    try:
        *_, last = _fields(signature)
        kind, raw = _strings(last, 2)
        # PROTOCOL.u2f: both strings, then the flags, of which the lowest bit is the user's presence.
        return not kind.startswith((b"sk-", b"webauthn-sk-")) or bool(last[8 + len(kind) + len(raw)] & 1)
    except (ValueError, IndexError):
        raise SignatureProblemError("not a signature") from None


def _signing_blob(signature: bytes) -> bytes:
    """Return the public key that made a signature, as SSH writes it."""
    try:
        return _fields(signature)[0]
    except ValueError:
        raise SignatureProblemError("not a signature") from None


def _fields(signature: bytes) -> list[bytes]:
    """Read a signature (PROTOCOL.sshsig): key, namespace, reserved, hash algorithm, signature."""
    armoured = b"".join(line for line in signature.splitlines() if not line.startswith(b"-----"))
    return _strings(base64.b64decode(armoured, validate=True)[_SSHSIG_HEAD:], 5)


def _strings(content: bytes, count: int) -> list[bytes]:
    """Read so many strings of SSH, each with its length in front of it."""
    found: list[bytes] = []
    for _ in range(count):
        length = int.from_bytes(content[:4])
        if len(content) < 4 + length:
            raise ValueError("cut short")
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


def _names(text: str) -> tuple[str, ...]:
    """Read principals; a pattern names nobody in particular."""
    found = (name.strip() for line in text.splitlines() for name in line.split(","))
    return tuple(dict.fromkeys(name for name in found if name and not _WILDCARDS & set(name)))


@contextmanager
def _key_file(key: Path | None) -> Iterator[Path]:
    if key is not None:
        yield key.expanduser()
        return
    agent = _agent_keys()
    if len(agent) > 1:
        raise UsageError("the agent holds several keys", next="Name the public half of one with --key KEY.")
    if agent:
        with _as_file(agent[0].encode() + b"\n", name="agent.pub") as path:
            yield path
        return
    folder = Path("~/.ssh").expanduser()
    default = next((folder / name for name in _DEFAULT_KEYS if (folder / name).is_file()), None)
    if default is None:
        raise UsageError("there is no SSH key to sign with", next="Name one with --key KEY.")
    yield default


def _agent_keys() -> list[str]:
    if "SSH_AUTH_SOCK" not in os.environ:
        return []
    try:
        done = subprocess.run(
            ["ssh-add", "-L"], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if line] if done.returncode == 0 else []


@contextmanager
def _as_file(content: bytes, *, name: str = "signature") -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fwfix-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def _run(
    arguments: Sequence[str],
    content: bytes,
    *,
    stderr: int | None = subprocess.PIPE,
    timeout: float | None = _SECONDS,
) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            [_PROGRAM, *arguments],
            input=content,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "LC_ALL": "C"},
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("ssh-keygen is missing", next="Install the OpenSSH client.") from None
    except subprocess.TimeoutExpired:
        raise UsageError("ssh-keygen did not end", next="Does the key wait for a passphrase?") from None


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    text = ((done.stderr or b"") + b"\n" + (done.stdout or b"")).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
