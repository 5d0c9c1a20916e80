"""Stand-ins for the cmdlets of Windows, each with exactly the parameters that were captured there."""

from fwfix.lab.windows.cmdlets.standins import stand_ins
from fwfix.lab.windows.cmdlets.types import TYPES

__all__ = ["TYPES", "stand_ins"]
