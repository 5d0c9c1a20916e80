"""The commands that cmd.exe has inside itself."""

import re
from collections.abc import Callable
from datetime import datetime

from fwfix.lab.windows.cmd.line import Command
from fwfix.lab.windows.cmd.programs import Invocation

# Commands of cmd.exe that the twin does not have; named so that nobody takes silence for success.
UNKNOWN_HERE = frozenset(
    {
        *("assoc", "copy", "date", "del", "endlocal", "erase", "for", "ftype", "goto", "if", "md", "mkdir"),
        *("mklink", "move", "path", "pause", "popd", "prompt", "pushd", "rd", "ren", "rename", "rmdir"),
        *("setlocal", "shift", "start", "time", "type", "verify"),
    }
)
_ECHO = re.compile(r"(?i)echo([.:(/\\\[\]+,;=]|\s|\Z)")
_WORD = re.compile(r"[^\s,;=/\\.:(+\[\]\"]+")


def find(text: str) -> tuple[str, str] | None:
    """Return the name of the built-in command and the text behind it; None if it is none."""
    if _ECHO.match(text):
        return "echo", text[4:]
    word = _WORD.match(text)
    if word is None:
        return None
    name = {"chdir": "cd"}.get(word[0].lower(), word[0].lower())
    if name in TABLE or name in ("exit", "call"):
        full = Command(text=text).name.lower()
        return (name, text[word.end() :]) if full in (word[0].lower(), f"{word[0].lower()}.") else None
    return (
        (name, text[word.end() :])
        if name in UNKNOWN_HERE and Command(text=text).name.lower() == name
        else None
    )


def directory(tail: str, cwd: str) -> str:
    """Return where `cd` leads; the twin has no folders, so every path exists."""
    target = re.sub(r"(?i)^/d\s+", "", tail.strip()).strip('"').rstrip("\\") or cwd
    if target == "..":
        return cwd.rpartition("\\")[0] or cwd
    if re.match(r"[A-Za-z]:", target):
        return target if len(target) > 2 else target + "\\"  # noqa: PLR2004 - a bare drive
    return f"{cwd[:2]}{target}" if target.startswith("\\") else f"{cwd.rstrip(chr(92))}\\{target}"


def _echo(tail: str, call: Invocation) -> None:
    if not tail.strip():
        call.say("\n" if tail.strip("\t ") or tail[:1] in tuple(".:(/\\[]+,;=") else "ECHO is on.\n")
        return
    if tail.strip().lower() in ("on", "off"):
        return
    call.say(f"{tail[1:]}\n")


def _set(tail: str, call: Invocation) -> int:
    wanted = tail.strip()
    if wanted.lower().startswith(("/a", "/p")):
        return refuse("set " + wanted[:2], call)
    quoted = wanted.startswith('"') and '"' in wanted[1:]
    wanted = wanted[1:].rpartition('"')[0] if quoted else tail.lstrip()
    name, equals, value = wanted.partition("=")
    if equals:
        if value:
            call.environment[name] = value
        else:
            call.environment.pop(name, None)
        return 0
    prefix = wanted.strip().upper()
    names = sorted((each for each in call.environment if each.upper().startswith(prefix)), key=str.upper)
    if prefix and not names:
        call.complain(f"Environment variable {wanted.strip()} not defined\n")
        return 1
    for each in names:
        call.say(f"{each}={call.environment[each]}\n")
    return 0


def _ver(_tail: str, call: Invocation) -> int:
    call.say(f"\nMicrosoft Windows [Version {call.machine.version}]\n")
    return 0


def _cd(_tail: str, call: Invocation) -> int:
    call.say(f"{call.cwd}\n")
    return 0


def _dir(tail: str, call: Invocation) -> int:
    """List the working directory, which is empty on the twin; any other path is not found."""
    if tail.strip() and not re.fullmatch(r"(\s*/\w+)*\s*", tail):
        call.complain("File Not Found\n")
        return 1
    now = datetime.now().strftime("%m/%d/%Y  %I:%M %p")  # noqa: DTZ005 - dir shows the host's local time
    call.say(f" Volume in drive {call.cwd[:1]} has no label.\n Volume Serial Number is 0000-0000\n\n")
    call.say(f" Directory of {call.cwd}\n\n{now}    <DIR>          .\n{now}    <DIR>          ..\n")
    call.say(f"{0:>16} File(s) {0:>14} bytes\n{2:>16} Dir(s)  {0:>14} bytes free\n")
    return 0


def _nothing(_tail: str, _call: Invocation) -> int:
    return 0


def refuse(name: str, call: Invocation) -> int:
    """Say that Windows has this and the twin has not, and leave 255, which none of them does on Windows."""
    call.complain(f"The twin's cmd does not know '{name}', which Windows does.\n")
    return 255


def _refusal(name: str) -> Callable[[str, Invocation], int]:
    return lambda _tail, call: refuse(name, call)


TABLE: dict[str, Callable[[str, Invocation], int | None]] = {
    "echo": _echo,
    "set": _set,
    "ver": _ver,
    "cd": _cd,
    "dir": _dir,
    "rem": _nothing,
    "title": _nothing,
    "cls": _nothing,
    "vol": _nothing,
    **{name: _refusal(name) for name in sorted(UNKNOWN_HERE)},
}
