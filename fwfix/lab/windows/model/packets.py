"""What Windows does with a packet, by the precedence of MS-FASP 2.2.34: block, then allow, then the default.

This is separate from the cmdlets and from the compiler to nftables, which tests hold against it.
"""

from dataclasses import dataclass
from enum import Enum

from fwfix.lab.windows.model import values
from fwfix.lab.windows.model.facts import Facts
from fwfix.lab.windows.model.policy import Interface, Policy, Profile
from fwfix.lab.windows.model.rules import BYPASS, Rule
from fwfix.lab.windows.model.values import Address


class Verdict(Enum):
    """What becomes of a packet."""

    PASS = "pass"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The first packet of a flow.

    Attributes:
        device: the interface in the twin's namespace; `lo` is never filtered.
    """

    inbound: bool
    protocol: int
    local: Address
    remote: Address
    local_port: int = 0
    remote_port: int = 0
    device: str = "eth0"


def decide(policy: Policy, packet: Packet, facts: Facts) -> Verdict:
    """Return what becomes of a packet."""
    interface = next((each for each in policy.interfaces if each.device == packet.device), None)
    if interface is None or not policy.running:
        return Verdict.PASS
    profile = policy.profile(interface.profile)
    if not profile.enabled or interface.alias in profile.disabled_interfaces:
        return Verdict.PASS
    if packet.inbound and not profile.allow_inbound:
        return Verdict.DROP
    matching = [rule for rule in effective(policy, profile) if matches(rule, packet, interface, facts)]
    if any(rule.action == "Block" for rule in matching):
        return Verdict.DROP
    if matching:
        return Verdict.PASS
    default = profile.default_inbound if packet.inbound else profile.default_outbound
    return Verdict.DROP if default == "Block" else Verdict.PASS


def effective(policy: Policy, profile: Profile) -> list[Rule]:
    """Return the rules that count in a profile: those of group policy, and local ones that it lets count."""
    names = {rule.name.lower() for rule in policy.group}
    local = [rule for rule in policy.local if rule.name.lower() not in names]
    if not profile.allow_local_rules:
        local = []
    if not profile.allow_user_ports:
        local = [rule for rule in local if not rule.is_single_port]
    found = [rule for rule in (*policy.group, *local) if rule.enabled and rule.applies_in(profile.name)]
    return [rule for rule in found if rule.action != BYPASS]


def matches(rule: Rule, packet: Packet, interface: Interface, facts: Facts) -> bool:
    """Say whether every condition of a rule holds."""
    return (
        rule.inbound == packet.inbound
        and rule.protocol in (None, packet.protocol)
        and (not rule.interfaces or interface.alias in rule.interfaces)
        and _port(rule.local_ports, packet.local_port)
        and _port(rule.remote_ports, packet.remote_port)
        and values.covers(rule.local_addresses, packet.local, interface.subnets)
        and values.covers(rule.remote_addresses, packet.remote, interface.subnets)
        and _owned(rule, packet, facts)
    )


def _port(words: tuple[str, ...], port: int) -> bool:
    ranges = [values.port_range(word) for word in words]
    return not words or any(found is not None and found[0] <= port <= found[1] for found in ranges)


def _owned(rule: Rule, packet: Packet, facts: Facts) -> bool:
    """Say whether the program or service of a rule is the one that listens there."""
    if not rule.program and not rule.service:
        return True
    owner = facts.owner({6: "tcp", 17: "udp"}.get(packet.protocol, ""), packet.local_port)
    return owner is not None and facts.is_program(owner, program=rule.program, service=rule.service)
