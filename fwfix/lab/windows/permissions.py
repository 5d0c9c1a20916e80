"""Owners and access lists of the twin's folders: icacls.exe sets them, Get-Acl shows them as SDDL.

Only as much as the scripts of fwfix ask for; every other option is refused. eventcreate.exe is here too: it
takes note of what the scripts tell the event log.
"""

import threading
from collections.abc import Mapping

from fwfix.lab.windows.powershell import (
    Command,
    Files,
    Invocation,
    NativeResult,
    NotInDialect,
    PSObject,
    parameter,
    per_record,
)
from fwfix.lab.windows.powershell.hosts import Native

# What %ProgramData% gives to a folder that an administrator makes in it: users may read and add files.
_GIVEN = (
    "D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)"
    "(A;CIID;DCLCRPCR;;;BU)"
)
_FULL = {"*S-1-5-18:(OI)(CI)F": "(A;OICI;FA;;;SY)", "*S-1-5-32-544:(OI)(CI)F": "(A;OICI;FA;;;BA)"}
_ADMINISTRATORS = "*S-1-5-32-544"


class Permissions:
    """Who owns the folders of one disk, and who may do what there.

    Attributes:
        events: what was written to the event log.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}
        self._lists: dict[str, str] = {}
        self.events: list[str] = []

    def set_owner(self, path: str, owner: str) -> None:
        """Let somebody own a folder: a SID or one of SDDL's short names."""
        with self._lock:
            self._owners[_key(path)] = owner

    def sddl(self, path: str) -> str:
        """Return owner, group and access list of a file or folder."""
        key = _key(path)
        with self._lock:
            owner = self._owners.get(key, "BA")
            own = self._lists.get(key)
            parents = [key.rsplit("\\", n)[0] for n in range(1, key.count("\\") + 1)]
            above = next((self._lists[each] for each in parents if each in self._lists), None)
        if own is None and above is not None:
            own = "D:AI" + above.partition("(")[1] + above.partition("(")[2].replace("OICI;", "OICIID;")
        return f"O:{owner}G:SY{own or _GIVEN}"

    def natives(self) -> Mapping[str, Native]:
        """Return the programs, for an engine's host."""
        return {"icacls": self._icacls, "eventcreate": self._eventcreate}

    def get_acl(self) -> Command:
        """Return the stand-in for Get-Acl."""
        return Command(
            name="Get-Acl",
            error_name="Microsoft.PowerShell.Commands.GetAclCommand",
            make=per_record(self._get_acl),
            parameters=(parameter("LiteralPath", "string[]", mandatory=True, aliases=("PSPath",)),),
        )

    def _get_acl(self, call: Invocation) -> None:
        (path,) = call.texts("LiteralPath")
        if not (self._files.is_folder(path) or self._files.is_file(path)):
            call.write_error(None, "PathNotFound", category="ObjectNotFound", target=path)
            return
        name = "System.Security.AccessControl.DirectorySecurity"
        pairs: list[tuple[str, object]] = [("Sddl", self.sddl(path))]
        call.write(PSObject(pairs, type_names=(name, "System.Object"), net_type=name))

    def _icacls(self, arguments: list[str], stdin: bytes) -> NativeResult:
        del stdin
        path, *options = [argument for argument in arguments if argument != "/q"]
        if not self._files.is_folder(path):
            return NativeResult(exit_code=2)
        with self._lock:
            if options == ["/setowner", _ADMINISTRATORS]:
                self._owners[_key(path)] = "BA"
            elif options[:2] == ["/inheritance:r", "/grant:r"] and set(options[2:]) <= set(_FULL):
                self._lists[_key(path)] = "D:PAI" + "".join(_FULL[each] for each in options[2:])
            else:
                raise NotInDialect(f"icacls.exe {' '.join(options)}")
        return NativeResult(
            exit_code=0, stdout=b"Successfully processed 1 files; Failed processing 0 files\r\n"
        )

    def _eventcreate(self, arguments: list[str], stdin: bytes) -> NativeResult:
        del stdin
        self.events.append(arguments[-1])
        return NativeResult(exit_code=0, stdout=b"\r\nSUCCESS: An event was created.\r\n")


def _key(path: str) -> str:
    return path.replace("/", "\\").rstrip("\\").lower()
