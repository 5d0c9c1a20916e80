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
from fwfix.lab.windows.powershell.numbers import Byte, Int64, UInt16, UInt32, UInt64
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import (
    Binding,
    Command,
    Parameter,
    Processor,
    parameter,
    per_record,
)
from fwfix.lab.windows.powershell.times import DateTime, TimeSpan
from fwfix.lab.windows.powershell.unicode import from_python, to_python
from fwfix.lab.windows.powershell.values import Array, EnumValue, Hashtable, PSObject, Switch, cim_instance

__all__ = [
    "CORE_7",
    "DESKTOP_3_0",
    "DESKTOP_4_0",
    "DESKTOP_5_1",
    "EDITIONS",
    "Array",
    "Binding",
    "Byte",
    "Clock",
    "Command",
    "DateTime",
    "Edition",
    "Engine",
    "EnumType",
    "EnumValue",
    "Files",
    "Hashtable",
    "Host",
    "Int64",
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
    "Switch",
    "TimeSpan",
    "UInt16",
    "UInt32",
    "UInt64",
    "cim_instance",
    "enum_type",
    "from_python",
    "parameter",
    "per_record",
    "to_python",
]
