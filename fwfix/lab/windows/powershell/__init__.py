"""The small PowerShell engine of the Windows twin: right, or it refuses.

It runs the dialect of the templates and raises `NotInDialect` for everything else. It is a test
instrument: it says that a script does what its author means, not that Windows agrees.
"""

from fwfix.lab.windows.powershell.edition import (
    CORE_7,
    DESKTOP_3_0,
    DESKTOP_4_0,
    DESKTOP_5_1,
    EDITIONS,
    Edition,
)
from fwfix.lab.windows.powershell.engine import Engine, RunResult
from fwfix.lab.windows.powershell.enums import enum_type
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.hosts import (
    Clock,
    Files,
    Host,
    NativeResult,
    RealClock,
    RealFiles,
    Registry,
)
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import (
    Binding,
    Command,
    Parameter,
    Processor,
    parameter,
    per_record,
)
from fwfix.lab.windows.powershell.values import Array, EnumValue, PSObject, cim_instance

__all__ = [
    "CORE_7",
    "DESKTOP_3_0",
    "DESKTOP_4_0",
    "DESKTOP_5_1",
    "EDITIONS",
    "Array",
    "Binding",
    "Clock",
    "Command",
    "Edition",
    "Engine",
    "EnumType",
    "EnumValue",
    "Files",
    "Host",
    "Invocation",
    "NativeResult",
    "NetType",
    "NotInDialect",
    "PSError",
    "PSObject",
    "Parameter",
    "Processor",
    "RealClock",
    "RealFiles",
    "Registry",
    "RunResult",
    "cim_instance",
    "enum_type",
    "parameter",
    "per_record",
]
