r"""How a script travels to PowerShell: a small checked bootstrap on the command line, the rest on stdin.

The bootstrap (`-EncodedCommand`) knows the SHA-256 of everything that is to come. It reads standard input to
its end, and exits with 86 before the first line runs if a byte of it is missing (a cut script would run its
first half and exit with 0). Then it runs the script and prints one ASCII line: the nonce of this call, the
SHA-256 of what the script wrote to the pipeline, and that text itself in base64. Nothing else on stdout
counts, and an answer without that line, or with a hole in it, is no answer: the script may have run then.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fwfix.model.script import Invocation
from fwfix.rendering.powershell import literal

POWERSHELL = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
CUT = 86
NOT_FULL_LANGUAGE = 87
# MaxEnvelopeSize was 150 kB on old hosts; a chunk is encoded twice.
CHUNK = 60_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

# `exit` in the script ends the process, but not before `finally` ran. Names are long where the script can see
# them. A whole language is looked for first: without it none of the rest works, and the error is CLIXML.
_BOOTSTRAP = """\
$ProgressPreference='SilentlyContinue';$ErrorActionPreference='Stop'
if($ExecutionContext.SessionState.LanguageMode-ne'FullLanguage'){{exit {language}}}
$fwfixHash={{param($b)([BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($b))\
-replace'-').ToLowerInvariant()}}
try{{$fwfixBytes=[Convert]::FromBase64String(($input|Out-String))}}catch{{exit {cut}}}
if((& $fwfixHash $fwfixBytes)-ne'{digest}'){{exit {cut}}}
$fwfixCode=0;$fwfixLines=New-Object Collections.ArrayList
try{{& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString($fwfixBytes)))|\
ForEach-Object{{[void]$fwfixLines.Add([string]$_)}}}}
catch{{[Console]::Error.WriteLine([string]$_);$fwfixCode=1}}
finally{{$fwfixBytes=[Text.Encoding]::UTF8.GetBytes(($fwfixLines -join "`n"))
[Console]::Out.WriteLine('{nonce}:'+(& $fwfixHash $fwfixBytes)+':'+[Convert]::ToBase64String($fwfixBytes))}}
exit $fwfixCode
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One invocation, ready to be sent.

    Attributes:
        nonce: marks the lines of the answer that are ours.
        chunks: what goes to standard input, in order; never empty.
    """

    nonce: str
    command: str
    arguments: tuple[str, ...]
    chunks: tuple[bytes, ...]


def pack(invocation: Invocation) -> Parcel:
    """Turn an invocation into what is sent.

    Raises:
        ValueError: the name of an attachment is not plain.
    """
    payload = (prelude(invocation.arguments, invocation.attachments) + invocation.script.text).encode()
    nonce = f"FWFIX-{secrets.token_hex(8)}"
    bootstrap = _BOOTSTRAP.format(
        digest=hashlib.sha256(payload).hexdigest(), nonce=nonce, cut=CUT, language=NOT_FULL_LANGUAGE
    )
    encoded = base64.b64encode(bootstrap.encode("utf-16-le")).decode()
    stdin = base64.b64encode(payload) + b"\r\n"
    return Parcel(
        nonce=nonce,
        command=POWERSHELL,
        arguments=("-NoProfile", "-NonInteractive", "-EncodedCommand", encoded),
        chunks=tuple(stdin[at : at + CHUNK] for at in range(0, len(stdin), CHUNK)),
    )


def prelude(arguments: Sequence[str], attachments: Mapping[str, str]) -> str:
    """Return the line in front of a script that gives it its values, as PowerShell literals."""
    for name in attachments:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a plain name")
    words = ",".join(literal(argument) for argument in arguments)
    pairs = ";".join(f"{literal(name)}={literal(text)}" for name, text in attachments.items())
    return f"$FwfixArguments=@({words});$FwfixAttachments=@{{{pairs}}}\n"


def read(stdout: bytes, nonce: str) -> str | None:
    """Return what the script wrote; None where its line is missing or damaged."""
    for line in stdout.decode("utf-8", "replace").splitlines():
        mark, _, rest = line.strip().partition(":")
        if mark == nonce and (text := _whole(rest)) is not None:
            return text
    return None


def _whole(framed: str) -> str | None:
    digest, _, encoded = framed.partition(":")
    try:
        raw = base64.b64decode(encoded, validate=True)
        return raw.decode() if hashlib.sha256(raw).hexdigest() == digest else None
    except (binascii.Error, UnicodeDecodeError):
        return None
