"""Stand-ins for the cmdlets of Windows, each with exactly the parameters that were captured there."""

from fwfix.lab.windows.cmdlets.standins import com_objects, stand_ins
from fwfix.lab.windows.cmdlets.types import TYPES

__all__ = ["TYPES", "com_objects", "stand_ins"]
