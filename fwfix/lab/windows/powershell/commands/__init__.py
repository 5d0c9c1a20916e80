"""The commands of the engine itself."""

from dataclasses import replace

from fwfix.lab.windows.powershell.commands import filesystem, jsons, objects, printing, selecting, system
from fwfix.lab.windows.powershell.signature import Command

_ALL: tuple[Command, ...] = (
    *objects.COMMANDS, *selecting.COMMANDS, *printing.COMMANDS, *jsons.COMMANDS, *filesystem.COMMANDS,
    *system.COMMANDS,
)  # fmt: skip
BUILTIN = tuple(replace(command, complete=False) for command in _ALL)
