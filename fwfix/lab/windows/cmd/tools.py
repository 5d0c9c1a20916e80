"""The small programs of System32 that WinRM clients start to look around."""

import re
from ipaddress import IPv6Address, ip_address

from fwfix.lab.windows.cmd.interpreter import CmdProgram
from fwfix.lab.windows.cmd.programs import Invocation, ProgramTable, codec_of

_GROUPS = (
    ("Everyone", "Well-known group", "S-1-1-0"),
    ("BUILTIN\\Users", "Alias", "S-1-5-32-545"),
    ("NT AUTHORITY\\NETWORK", "Well-known group", "S-1-5-2"),
    ("NT AUTHORITY\\Authenticated Users", "Well-known group", "S-1-5-11"),
)
_ADMINISTRATOR = (
    ("BUILTIN\\Administrators", "Alias", "S-1-5-32-544"),
    ("Mandatory Label\\High Mandatory Level", "Label", "S-1-16-12288"),
)
_LIMITED = (("Mandatory Label\\Medium Mandatory Level", "Label", "S-1-16-8192"),)


class Hostname:
    """hostname.exe."""

    def start(self, call: Invocation, /) -> int:
        """Print the name."""
        call.say(f"{call.machine.name}\n")
        return 0


class Whoami:
    """whoami.exe: the name, or the groups with /groups."""

    def start(self, call: Invocation, /) -> int:
        """Print the account, or its groups as a table, list or CSV."""
        options = [argument.lower() for argument in call.args]
        if not options:
            call.say(f"{call.user.qualified.lower()}\n")
            return 0
        if "/groups" not in options or set(options) - {"/groups", "/fo", "csv", "list", "table", "/nh"}:
            call.complain(
                f"ERROR: Invalid argument/option - '{call.args[0]}'.\nType \"WHOAMI /?\" for usage.\n"
            )
            return 1
        groups = (*_GROUPS, *(_ADMINISTRATOR if call.user.administrator else _LIMITED))
        if "csv" in options:
            heading = '"Group Name","Type","SID","Attributes"\n'
            lines = "".join(f'"{name}","{kind}","{sid}","Enabled group"\n' for name, kind, sid in groups)
        else:
            heading = "\nGROUP INFORMATION\n-----------------\n\n"
            lines = "".join(f"{name:<45} {kind:<16} {sid:<14} Enabled group\n" for name, kind, sid in groups)
        call.say(("" if "/nh" in options else heading) + lines)
        return 0


class Ipconfig:
    """ipconfig.exe: the addresses of the twin."""

    def start(self, call: Invocation, /) -> int:
        """Print one adapter."""
        call.say("\nWindows IP Configuration\n\n")
        if any(argument.lower() == "/all" for argument in call.args):
            call.say(f"   Host Name . . . . . . . . . . . . : {call.machine.name}\n\n")
        call.say("\nEthernet adapter Ethernet:\n\n   Connection-specific DNS Suffix  . : \n")
        for address in call.machine.addresses:
            label = (
                "IPv6 Address. . . . . . . . . . ."
                if isinstance(ip_address(address), IPv6Address)
                else ("IPv4 Address. . . . . . . . . . .")
            )
            call.say(f"   {label} : {address}\n")
        return 0


class Ping:
    """ping.exe to the host itself: what scripts wait with; every other target is unreachable."""

    def start(self, call: Invocation, /) -> int:
        """Send `-n` requests, one a second."""
        tail = " ".join(call.args)
        number = re.search(r"(?i)[-/]n\s+(\d+)", tail)
        target = next((each for each in reversed(call.args) if not re.match(r"[-/]|\d+\Z", each)), "")
        if target.lower() not in ("127.0.0.1", "::1", "localhost", call.machine.name.lower()):
            call.say(f"Ping request could not find host {target}. Please check the name and try again.\n")
            return 1
        count = int(number[1]) if number else 4
        call.say(f"\nPinging {target} with 32 bytes of data:\n")
        for turn in range(count):
            if turn:
                call.job.sleep(1)
            call.say(f"Reply from {target}: bytes=32 time<1ms TTL=128\n")
        call.say(
            f"\nPing statistics for {target}:\n"
            f"    Packets: Sent = {count}, Received = {count}, Lost = 0 (0% loss),\n"
        )
        return 0


class Chcp:
    """chcp.com: shows the code page; changing it is refused."""

    def start(self, call: Invocation, /) -> int:
        """Print the code page that the shell was opened with."""
        if call.args and codec_of(int(call.args[0]) if call.args[0].isdigit() else 0) != codec_of(
            call.codepage
        ):
            call.say("Invalid code page\n")
            return 1
        call.say(f"Active code page: {call.codepage}\n")
        return 0


class More:
    """more.com: copies standard input."""

    def start(self, call: Invocation, /) -> int:
        """Copy line by line."""
        while line := call.stdin.readline():
            call.stdout.write(line.rstrip(b"\r\n") + b"\r\n")
        return 0


def standard_programs() -> ProgramTable:
    """Return what every twin has without more ado; `powershell.exe` is not in it."""
    return ProgramTable(
        {
            "cmd.exe": CmdProgram(),
            "hostname.exe": Hostname(),
            "whoami.exe": Whoami(),
            "ipconfig.exe": Ipconfig(),
            "ping.exe": Ping(),
            "chcp.com": Chcp(),
            "more.com": More(),
        }
    )
