"""The commands of the engine itself."""

from fwfix.lab.windows.powershell.commands import filesystem, jsons, objects, printing, selecting, system
from fwfix.lab.windows.powershell.signature import Command

BUILTIN: tuple[Command, ...] = (
    *objects.COMMANDS, *selecting.COMMANDS, *printing.COMMANDS, *jsons.COMMANDS, *filesystem.COMMANDS,
    *system.COMMANDS,
)  # fmt: skip
