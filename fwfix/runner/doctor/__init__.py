"""What works on a host, what would stop an apply, and what to type to mend it. Read-only."""

from fwfix.runner.doctor.below import Below, below
from fwfix.runner.doctor.examine import examine
from fwfix.runner.doctor.table import Check, Status

__all__ = ["Below", "Check", "Status", "below", "examine"]
