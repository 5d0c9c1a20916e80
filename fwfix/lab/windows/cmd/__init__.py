"""The command layer of the twin: what `cmd.exe /c LINE` does with a line, and the programs it finds."""

from fwfix.lab.windows.cmd.environment import Environment
from fwfix.lab.windows.cmd.interpreter import Interpreter
from fwfix.lab.windows.cmd.jobs import Job, KilledError, ProcessTable, TooManyProcessesError
from fwfix.lab.windows.cmd.machine import Machine, User
from fwfix.lab.windows.cmd.powershell import PowerShellCall, PowerShellProgram, parse_powershell_arguments
from fwfix.lab.windows.cmd.programs import Invocation, Program, ProgramTable
from fwfix.lab.windows.cmd.streams import Collector, InputPipe, Writer
from fwfix.lab.windows.cmd.tools import standard_programs

__all__ = [
    "Collector",
    "Environment",
    "InputPipe",
    "Interpreter",
    "Invocation",
    "Job",
    "KilledError",
    "Machine",
    "PowerShellCall",
    "PowerShellProgram",
    "ProcessTable",
    "Program",
    "ProgramTable",
    "TooManyProcessesError",
    "User",
    "Writer",
    "parse_powershell_arguments",
    "standard_programs",
]
