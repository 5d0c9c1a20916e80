"""The real engine of the Windows twin: `pwsh`; its Windows cmdlets are generated proxies of the stand-ins."""

from fwfix.lab.windows.pwsh.process import PWSH_VARIABLE, PwshError, PwshMissingError, RealEngine, find_pwsh

__all__ = ["PWSH_VARIABLE", "PwshError", "PwshMissingError", "RealEngine", "find_pwsh"]
