"""Which PowerShell the engine answers as."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A version of PowerShell and what follows from it.

    Attributes:
        desktop: Windows PowerShell on .NET Framework; otherwise PowerShell 7 on Linux.
        build: the text of `$PSVersionTable.PSVersion`.
    """

    major: int
    minor: int
    build: str
    desktop: bool

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor, to compare with."""
        return self.major, self.minor


CORE_7 = Edition(major=7, minor=6, build="7.6.5", desktop=False)
DESKTOP_5_1 = Edition(major=5, minor=1, build="5.1.17763.1490", desktop=True)
DESKTOP_4_0 = Edition(major=4, minor=0, build="4.0", desktop=True)
DESKTOP_3_0 = Edition(major=3, minor=0, build="3.0", desktop=True)
EDITIONS = {"7": CORE_7, "5.1": DESKTOP_5_1, "4.0": DESKTOP_4_0, "3.0": DESKTOP_3_0}
