"""Programs of System32 that work on the host model: icacls and eventcreate, in the forms that fwfix uses."""

from dataclasses import dataclass

from fwfix.lab.windows.cmd import Invocation
from fwfix.lab.windows.model.facts import Facts
from fwfix.lab.windows.model.files import PROTECTED, DiskFiles

_REFUSED = 255
_GRANTS = {"*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F"}
_OWNERS = {"*S-1-5-32-544": "BA", "*S-1-5-18": "SY"}


@dataclass(frozen=True, slots=True)
class Icacls:
    """icacls.exe: /setowner, and /inheritance:r with full rights for SYSTEM and Administrators."""

    files: DiskFiles

    def start(self, call: Invocation, /) -> int:
        """Change a folder, or refuse."""
        path, *words = call.args or ("",)
        if not self.files.is_folder(path):
            call.complain(f"{path}: The system cannot find the file specified.\n")
            return 2
        if not call.user.administrator:
            call.complain(f"{path}: Access is denied.\n")
            return 5
        old = self.files.sddl(path)
        wanted = [word for word in words if word.lower() != "/q"]
        lowered = [word.lower() for word in wanted]
        if len(wanted) == 2 and lowered[0] == "/setowner" and wanted[1] in _OWNERS:  # noqa: PLR2004 - option, value
            self.files.set_sddl(path, f"O:{_OWNERS[wanted[1]]}{old[4:]}")
            return 0
        if lowered[:2] == ["/inheritance:r", "/grant:r"] and set(wanted[2:]) == _GRANTS:
            self.files.set_sddl(path, old.partition("D:")[0] + PROTECTED)
            return 0
        call.complain(f"The twin's icacls does not know '{' '.join(words)}', which Windows may.\n")
        return _REFUSED


@dataclass(frozen=True, slots=True)
class EventCreate:
    """eventcreate.exe: writes down the description."""

    facts: Facts

    def start(self, call: Invocation, /) -> int:
        """Write an event, or refuse."""
        options = {name.upper(): value for name, value in zip(call.args[::2], call.args[1::2], strict=False)}
        if set(options) != {"/T", "/ID", "/L", "/SO", "/D"} or len(call.args) % 2:
            call.complain("The twin's eventcreate does not know these options, which Windows may.\n")
            return _REFUSED
        self.facts.events.append(options["/D"])
        call.say(f"\nSUCCESS: An event of type '{options['/T']}' was created in the '{options['/L']}' log")
        call.say(f" with '{options['/SO']}' as the source.\n")
        return 0
