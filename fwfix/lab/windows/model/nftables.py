"""The policy of a host as an nftables ruleset for its namespace.

A block drops without an exemption for established sessions, as Windows does when it re-authorises flows; what
answers a connection of the host itself passes; loopback is never filtered. Stealth mode is in it: nobody
hears that a port is closed.
"""

from collections.abc import Iterator

from fwfix.lab.windows.model import values
from fwfix.lab.windows.model.errors import UnknownToModelError
from fwfix.lab.windows.model.facts import Facts
from fwfix.lab.windows.model.packets import effective
from fwfix.lab.windows.model.policy import Interface, Policy, Profile
from fwfix.lab.windows.model.rules import Rule

TABLE = "inet fwfix_twin"
# Neighbours have to be found whatever the rules say; Windows allows it by rules of its own (Core Networking).
_NEIGHBOURS = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
)


def ruleset(policy: Policy, facts: Facts) -> str:
    """Return what `nft -f` takes; it replaces the one before in one transaction."""
    chains = [_base("input", "iif"), _base("output", "oif")]
    bodies: list[str] = []
    for number, interface in enumerate(policy.interfaces if policy.running else ()):
        profile = policy.profile(interface.profile)
        if not profile.enabled or interface.alias in profile.disabled_interfaces:
            continue
        for index, (hook, direction) in enumerate((("input", "iifname"), ("output", "oifname"))):
            chains[index] += f'    {direction} "{interface.device}" jump {hook}_{number}\n'
            lines = _lines(policy, profile, interface, facts, inbound=hook == "input")
            body = "".join(f"    {line}\n" for line in lines)
            bodies.append(f"  chain {hook}_{number} {{\n{body}  }}\n")
    inside = "".join((*bodies, *(f"{chain}  }}\n" for chain in chains)))
    return f"table {TABLE} {{ }}\ndelete table {TABLE}\ntable {TABLE} {{\n{inside}}}\n"


def _base(hook: str, interface: str) -> str:
    return (
        f"  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n"
        f'    {interface} "lo" accept\n    {_NEIGHBOURS}\n'
    )


def _lines(
    policy: Policy, profile: Profile, interface: Interface, facts: Facts, *, inbound: bool
) -> Iterator[str]:
    if not inbound:
        # The answer of the kernel to a packet for a closed port.
        yield "tcp flags & (rst | ack) == (rst | ack) tcp sequence 0 drop"
        yield "icmp type destination-unreachable icmp code port-unreachable drop"
        yield "icmpv6 type destination-unreachable icmpv6 code port-unreachable drop"
    yield "ct direction reply accept"
    yield "ct state related accept"
    if inbound and not profile.allow_inbound:
        yield "drop"
        return
    rules = [rule for rule in effective(policy, profile) if rule.inbound == inbound]
    for action, verdict in (("Block", "drop"), ("Allow", "accept")):
        for rule in rules:
            if rule.action == action:
                for condition in _conditions(rule, interface, facts):
                    yield f"{condition} {verdict}".strip()
    default = profile.default_inbound if inbound else profile.default_outbound
    yield "drop" if default == "Block" else "accept"


def _conditions(rule: Rule, interface: Interface, facts: Facts) -> Iterator[str]:
    """Return the matches that together are the rule's; none if it can match nothing here."""
    if rule.interfaces and interface.alias not in rule.interfaces:
        return
    ports = _ports(rule, facts)
    if ports is None:
        return
    for family in _families(rule, interface):
        yield " ".join(part for part in (family, *ports) if part)


def _ports(rule: Rule, facts: Facts) -> list[str] | None:
    parts = [] if rule.protocol is None else [f"meta l4proto {rule.protocol}"]
    local, remote = ("dport", "sport") if rule.inbound else ("sport", "dport")
    if rule.program or rule.service:
        if not rule.inbound:
            raise UnknownToModelError("an outbound rule about a program or service")
        parts = []
        owned = _owned(rule, facts)
        if not owned:
            return None
        elements = ", ".join(f"{protocol} . {port}" for protocol, port in owned)
        parts.append(f"meta l4proto . th dport {{ {elements} }}")
    elif rule.local_ports:
        numbers = _numbers(rule.local_ports)
        if not numbers:
            return None
        parts.append(f"th {local} {{ {', '.join(numbers)} }}")
    if rule.remote_ports:
        numbers = _numbers(rule.remote_ports)
        if not numbers:
            return None
        parts.append(f"th {remote} {{ {', '.join(numbers)} }}")
    return parts


def _numbers(words: tuple[str, ...]) -> list[str]:
    found = [pair for word in words if (pair := values.port_range(word)) is not None]
    return [f"{first}-{last}" if first != last else str(first) for first, last in _merged(found)]


def _merged(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what overlaps or touches: nft takes no set whose elements do."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pairs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _owned(rule: Rule, facts: Facts) -> list[tuple[str, int]]:
    """Return the ports that the rule's program or service listens on, and that the rule has."""
    wanted = [values.port_range(word) for word in rule.local_ports]
    found = []
    for (protocol, port), pid in facts.owners.items():
        owner = facts.process(pid)
        named = owner is not None and facts.is_program(owner, program=rule.program, service=rule.service)
        inside = not wanted or any(pair is not None and pair[0] <= port <= pair[1] for pair in wanted)
        if named and inside and rule.protocol in (None, {"tcp": 6, "udp": 17}[protocol]):
            found.append((protocol, port))
    return found


def _families(rule: Rule, interface: Interface) -> Iterator[str]:
    """Return the conditions on addresses, one for each family that they leave."""
    if not rule.local_addresses and not rule.remote_addresses:
        yield ""
        return
    local, remote = ("daddr", "saddr") if rule.inbound else ("saddr", "daddr")
    for version, name in ((4, "ip"), (6, "ip6")):
        parts = [f"meta nfproto ipv{version}"]
        for words, side in ((rule.local_addresses, local), (rule.remote_addresses, remote)):
            if words:
                parts.append(_set(words, version, interface, f"{name} {side}"))
        if all(parts):
            yield " ".join(parts)


def _set(words: tuple[str, ...], version: int, interface: Interface, field: str) -> str:
    """Return a match on a list of addresses; empty if it has none of the family."""
    pairs: list[tuple[int, int]] = []
    for word in words:
        if word == values.LOCAL_SUBNET:
            pairs += [(int(net[0]), int(net[-1])) for net in interface.subnets if net.version == version]
            continue
        first, last = values.range_of(word)
        if first.version == version:
            pairs.append((int(first), int(last)))
    if not pairs:
        return ""
    elements = ", ".join(
        f"{values.address_of(first, version)}-{values.address_of(last, version)}"
        if first != last
        else str(values.address_of(first, version))
        for first, last in _merged(pairs)
    )
    return f"{field} {{ {elements} }}"
