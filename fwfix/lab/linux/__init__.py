"""Throw-away Linux hosts in namespaces of this machine."""

from fwfix.lab.linux.host import LabHost
from fwfix.lab.linux.inventory import write_inventory
from fwfix.lab.linux.lab import Lab
from fwfix.lab.linux.requirements import legacy_missing, requirements
from fwfix.lab.linux.spec import HostSpec, Listener
from fwfix.lab.outside import Outside
from fwfix.lab.records import clean

__all__ = [
    "HostSpec",
    "Lab",
    "LabHost",
    "Listener",
    "Outside",
    "clean",
    "legacy_missing",
    "requirements",
    "write_inventory",
]
