"""Environment variables: names without regard to case, and `%NAME%` in text."""

import re
from collections.abc import Iterator, Mapping, MutableMapping

from fwfix.lab.windows.cmd.machine import Machine, User

_REFERENCE = re.compile(r"%([^%:]+)(?::([^%]+))?%")
_SLICE = re.compile(r"~(-?\d+)(?:,(-?\d+))?\Z")


class Environment(MutableMapping[str, str]):
    """Variables of one process; a name keeps the spelling that it was first set with."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables: dict[str, tuple[str, str]] = {}
        self.update(variables or {})

    def __getitem__(self, name: str) -> str:
        return self._variables[name.upper()][1]

    def __setitem__(self, name: str, value: str) -> None:
        spelling = self._variables.get(name.upper(), (name, ""))[0]
        self._variables[name.upper()] = (spelling, value)

    def __delitem__(self, name: str) -> None:
        del self._variables[name.upper()]

    def __iter__(self) -> Iterator[str]:
        return (spelling for spelling, _ in self._variables.values())

    def __len__(self) -> int:
        return len(self._variables)

    def copy(self) -> "Environment":
        """Return what a child process inherits."""
        return Environment(self)

    def expand(self, text: str) -> str:
        """Replace `%NAME%`, `%NAME:~from,length%` and `%NAME:old=new%`; an unknown name stays."""
        return _REFERENCE.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        value = self.get(found[1])
        if value is None:
            return found[0]
        return value if found[2] is None else _modified(value, found[2], unchanged=found[0])


def _modified(value: str, change: str, *, unchanged: str) -> str:
    part = _SLICE.match(change)
    if part is not None:
        start = int(part[1])
        length = len(value) if part[2] is None else int(part[2])
        rest = value[start:] if start >= 0 or -start <= len(value) else value
        return rest[:length]
    old, separator, new = change.partition("=")
    if not separator or not old:
        return unchanged
    return re.sub(re.escape(old), lambda _: new, value, flags=re.IGNORECASE)


def default_environment(machine: Machine, user: User, *, profile: bool = True) -> Environment:
    r"""Return what a WinRS shell starts with; without a profile `C:\Users\Default` takes its place."""
    home = rf"C:\Users\{user.name if profile else 'Default'}"
    return Environment(
        {
            "ALLUSERSPROFILE": r"C:\ProgramData",
            "APPDATA": rf"{home}\AppData\Roaming",
            "COMPUTERNAME": machine.name,
            "ComSpec": r"C:\Windows\system32\cmd.exe",
            "LOCALAPPDATA": rf"{home}\AppData\Local",
            "NUMBER_OF_PROCESSORS": "2",
            "OS": "Windows_NT",
            "Path": r"C:\Windows\system32;C:\Windows;C:\Windows\System32\Wbem;"
            r"C:\Windows\System32\WindowsPowerShell\v1.0\;",
            "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC",
            "PROCESSOR_ARCHITECTURE": "AMD64",
            "ProgramData": r"C:\ProgramData",
            "ProgramFiles": r"C:\Program Files",
            "PROMPT": "$P$G",
            "PUBLIC": r"C:\Users\Public",
            "SystemDrive": "C:",
            "SystemRoot": r"C:\Windows",
            "TEMP": rf"{home}\AppData\Local\Temp",
            "TMP": rf"{home}\AppData\Local\Temp",
            "USERDOMAIN": user.domain,
            "USERNAME": user.name,
            "USERPROFILE": home,
            "windir": r"C:\Windows",
        }
    )
