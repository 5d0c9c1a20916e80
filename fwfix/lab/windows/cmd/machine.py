"""What a program on the twin may ask about the host and about who started it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A Windows host, as `hostname`, `ver` and `ipconfig` show it.

    Attributes:
        name: NetBIOS name, upper case, at most 15 characters.
        version: four numbers, as `ver` prints them (default: Server 2019).
        addresses: IPv4 and IPv6 addresses as text.
    """

    name: str = "TWIN"
    domain: str = "WORKGROUP"
    version: str = "10.0.17763.1"
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who a process runs as."""

    name: str
    domain: str
    administrator: bool

    @property
    def qualified(self) -> str:
        r"""The name as `whoami` and a shell's owner show it: `DOMAIN\name`."""
        return f"{self.domain}\\{self.name}"
