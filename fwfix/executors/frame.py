"""How a script travels through a login shell that we do not know: one line to start it, the rest on stdin.

The command line is a single `/bin/sh -c '...'` that dash, bash, busybox ash, ksh, zsh, fish and csh split in
the same way: no newline, no backslash, no exclamation mark and no single quote stand inside the quotes. The
script comes on stdin, into a variable, and is run only when its length and checksum are right. What it prints
stands between two marker lines that nobody else can know, on stdout and on stderr.
"""

import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from fwfix.model.script import Invocation

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

# $1 is the file with the payload (empty: it is on stdin), $2 SSH_CONNECTION (sudo drops it), $3-$4 the
# marker, $5 the checksum, $6 the length; then the arguments. Where a password went to sudo, `read` takes away
# what sudo left of it (B29), so that no script ever meets it. The script runs in a subshell, so that an
# `exit` in it, a changed directory or a closed output cannot take the frame away; `x` keeps last newlines.
BOOTSTRAP = (
    f"LC_ALL=C;PATH={_PATH}:$PATH;export LC_ALL PATH;umask 077;cd /;"
    'f=$1;m=$3-$4;s="$5 $6";w=;'
    'if test "$2";then SSH_CONNECTION=$2;export SSH_CONNECTION;fi;shift 6;'
    'if test "$f";then if IFS= read -r w&&test "$w";then w=u;else w=;fi;'
    'exec</dev/null;p=$(cat "$f";echo x);rm -f "$f";else p=$(cat;echo x);fi;p=${p%x};'
    'if test "$(printf %s "$p"|cksum)" = "$s";then '
    'echo>&2;echo "$m:B$w">&2;echo;echo "$m:B$w";'
    '(eval "$p")</dev/null;r=$?;'
    'echo>&2;echo "$m:E$r">&2;echo;echo "$m:E$r";exit $r;'
    'else echo;echo "$m:C";exit 96;fi'
)


class Reached(Enum):
    """How far a script came, by the markers that we have seen."""

    NOTHING = ""
    USER_SHELL = "U"  # our first shell runs, as the user who logged on
    NO_PRINTF = "P"  # its printf is no builtin, so a password would stand in the process list
    NOT_ADMINISTRATOR = "A"  # the account to become is not uid 0
    NO_TEMPORARY = "T"  # there is no place for a temporary file
    CUT = "C"  # the payload did not arrive whole
    BEGAN = "B"  # the script was started
    ENDED = "E"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One invocation, ready to be sent.

    Attributes:
        head: the marker in two halves, so that an echoed command line is no frame; checksum; length.
    """

    payload: bytes
    head: tuple[str, str, str, str]
    arguments: tuple[str, ...]

    @property
    def marker(self) -> bytes:
        """What frames the output."""
        return f"{self.head[0]}-{self.head[1]}".encode()


def pack(invocation: Invocation) -> Parcel:
    """Turn an invocation into what is sent; the attachments come first, as `fwfix_attachment NAME`."""
    payload, checksum, length = _checked(_attachments(invocation.attachments) + invocation.script.text)
    head = (secrets.token_hex(8), secrets.token_hex(8), checksum, length)
    return Parcel(payload=payload, head=head, arguments=invocation.arguments)


@lru_cache(maxsize=32)
def _checked(text: str) -> tuple[bytes, str, str]:
    """Return a text as it is sent, with its checksum and length; the hosts of a fleet get the same few."""
    payload = text.encode()
    checksum, length = cksum(payload)
    return payload, str(checksum), str(length)


def command_line(script: str, *words: str) -> str:
    """Return the line that runs a one-line script with plain words, the same in every login shell."""
    return " ".join(("/bin/sh -c", f"'{script}'", "fwfix", *(f"'{word}'" for word in words)))


def _attachments(texts: Mapping[str, str]) -> str:
    if not texts:
        return ""
    arms = []
    for name, text in texts.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a plain name")
        escaped = text.replace("'", "'\\''")
        arms.append(f"{name}) printf %s '{escaped}' ;;\n")
    return "fwfix_attachment() {\ncase $1 in\n" + "".join(arms) + "*) return 1 ;;\nesac\n}\n"


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def cksum(text: bytes) -> tuple[int, int]:
    """Return what POSIX `cksum` prints for a text: the checksum and the length in bytes.

    It is the CRC of zlib with every bit order reversed, starting from zero, and the length at the end.
    """
    length = len(text)
    tail = length.to_bytes((length.bit_length() + 7) // 8, "little")
    mirrored = zlib.crc32((text + tail).translate(_REVERSED), 0xFFFFFFFF)
    return int(f"{mirrored:032b}"[::-1], 2), length


class FrameReader:
    """Cut one stream of an answer out of the noise around it."""

    def __init__(self, marker: bytes, *, keep: int) -> None:
        """Start before the first byte.

        Args:
            marker: what frames the stream.
            keep: bytes to keep at most; of more, the last ones are kept and `overflowed` tells so.
        """
        self._sought = b"\n" + marker + b":"
        self._keep = keep
        self._held = bytearray()
        self._scanned = 0
        self.reached = Reached.NOTHING
        self.password_unused = False
        self.exit_code: int | None = None
        self.overflowed = False

    @property
    def text(self) -> str:
        """What the script printed so far; before it was started, everything that came."""
        return self._held.decode("utf-8", "replace")

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self.reached is Reached.ENDED:
            return
        self._held += chunk
        while self._next_marker():
            pass
        if len(self._held) > self._keep:
            self.overflowed = True
            cut = len(self._held) - self._keep
            del self._held[:cut]
            self._scanned = max(0, self._scanned - cut)

    def _next_marker(self) -> bool:
        if self.reached is Reached.ENDED:
            return False
        start = self._held.find(self._sought, self._scanned)
        if start < 0:
            self._scanned = max(self._scanned, len(self._held) - len(self._sought))
            return False
        value_at = start + len(self._sought)
        end = self._held.find(b"\n", value_at)
        if end < 0:
            self._scanned = start
            return False
        value = self._held[value_at:end].decode("ascii", "replace")
        self._scanned = start + 1
        self._take(value, start=start, end=end + 1)
        return True

    def _take(self, value: str, *, start: int, end: int) -> None:
        if value.startswith("E") and value[1:].isdigit():
            self.exit_code = int(value[1:])
            self.reached = Reached.ENDED
            del self._held[start:]
        elif value in {"B", "Bu"}:
            self.password_unused = value == "Bu"
            self.reached = Reached.BEGAN
            del self._held[:end]
            self._scanned = 0
        elif value in {"U", "P", "A", "T", "C"}:
            self.reached = Reached(value)
