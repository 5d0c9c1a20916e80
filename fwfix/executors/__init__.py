"""Run one script on one host before a deadline."""

import sys
from importlib import import_module
from types import ModuleType


def _load_when_used(name: str) -> None:
    """Let `import name` cost nothing until somebody uses something of it."""
    stand_in = ModuleType(name)

    def look_up(attribute: str) -> object:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    stand_in.__getattr__ = look_up  # type: ignore[method-assign] # PEP 562
    sys.modules.setdefault(name, stand_in)


# paramiko imports it for `Match exec` in ssh_config alone; a sixth of our own start would go into that.
_load_when_used("invoke")
