"""The commands of the engine itself."""

from fwfix.lab.windows.powershell.commands import filesystem, json_commands, objects, output, selecting, system
from fwfix.lab.windows.powershell.signature import Command

BUILTIN: tuple[Command, ...] = (
    *objects.COMMANDS, *selecting.COMMANDS, *output.COMMANDS, *json_commands.COMMANDS, *filesystem.COMMANDS,
    *system.COMMANDS,
)  # fmt: skip
