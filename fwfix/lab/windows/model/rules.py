"""One firewall rule, with Windows' own checks."""

from dataclasses import dataclass

from fwfix.lab.windows.model import values
from fwfix.lab.windows.model.errors import UnknownToModelError, bad_parameter
from fwfix.lab.windows.model.knobs import PROFILES

LONGEST_NAME = 511
# Lets those in whom IPsec has authenticated, before any block; nobody on the twin's network is.
BYPASS = "ByPass"
PROTOCOLS = {"tcp": 6, "udp": 17, "icmpv4": 1, "icmpv6": 58}
_PROTOCOL_WORDS = {6: "TCP", 17: "UDP", 1: "ICMPv4", 58: "ICMPv6"}
LAST_PROTOCOL = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as the store has it; an empty tuple, text or None means any.

    Attributes:
        name: unique in its store; what the cmdlets call Name and InstanceID.
        profiles: of Domain, Private, Public.
        protocol: IP protocol number.
        local_ports, remote_ports: numbers, ranges and keywords, as Windows writes them.
        local_addresses, remote_addresses: likewise.
    """

    name: str
    display_name: str
    description: str = ""
    group: str = ""
    enabled: bool = True
    inbound: bool = True
    action: str = "Allow"
    profiles: tuple[str, ...] = ()
    protocol: int | None = None
    local_ports: tuple[str, ...] = ()
    remote_ports: tuple[str, ...] = ()
    local_addresses: tuple[str, ...] = ()
    remote_addresses: tuple[str, ...] = ()
    program: str = ""
    service: str = ""
    interfaces: tuple[str, ...] = ()
    interface_type: str = ""

    @property
    def protocol_word(self) -> str:
        """The protocol as Windows writes it."""
        if self.protocol is None:
            return "Any"
        return _PROTOCOL_WORDS.get(self.protocol, str(self.protocol))

    @property
    def is_single_port(self) -> bool:
        """Whether it is what MS-FASP calls a globally open port: one port, no program, no service."""
        ranges = [values.port_range(port) for port in self.local_ports]
        one = len(ranges) == 1 and ranges[0] is not None and ranges[0][0] == ranges[0][1]
        return one and not self.program and not self.service

    def applies_in(self, profile: str) -> bool:
        """Say whether it is for a profile."""
        return not self.profiles or profile in self.profiles


def protocol_number(word: str) -> int | None:
    """Return the number of a protocol; None for any.

    Raises:
        RefusalError: there is no such protocol.
    """
    lowered = word.strip().lower()
    if lowered == "any":
        return None
    if lowered in PROTOCOLS:
        return PROTOCOLS[lowered]
    if lowered.isdecimal() and int(lowered) <= LAST_PROTOCOL:
        return int(lowered)
    raise bad_parameter()


def check_texts(rule: Rule) -> None:
    """Check names.

    Raises:
        RefusalError: Windows takes no such name.
        UnknownToModelError: it is not known what Windows makes of it.
    """
    if not rule.name or len(rule.name) > LONGEST_NAME or "|" in rule.name:
        raise bad_parameter()
    if not rule.display_name or rule.display_name.lower() == "all" or "|" in rule.display_name:
        raise bad_parameter()
    if "|" in rule.description or "|" in rule.group:
        raise bad_parameter()
    for text in (rule.display_name, rule.description, rule.group):
        if text.startswith("@"):
            raise UnknownToModelError("a text from a resource of Windows (@...)")


def check_profiles(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return profiles in Windows' order; all of them are any."""
    if any(name not in PROFILES for name in names):
        raise bad_parameter()
    return () if set(names) == set(PROFILES) else tuple(name for name in PROFILES if name in names)
