"""The rules of a run as values, in the order in which packets meet them; templates word them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Network, Protection


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of ours but for the jumps and the `lo` rule.

    Attributes:
        family: 4 or 6.
        role: `allow`, `log` or `block`.
        label: the role, with a running number where there are several.
        source: a network; empty for everybody.
        verdict: `return`, `log`, `drop` or `reject`.
        published: it matches the port before translation (B11).
        forwarded: it stands in the second chain, which forwarded packets meet.
    """

    family: int
    role: str
    protocol: str
    first: int
    last: int
    verdict: str
    label: str = ""
    source: str = ""
    published: bool = False
    forwarded: bool = False


def make_rules(
    protections: Sequence[Protection], published: Sequence[PublishedPort], families: Iterable[Family]
) -> tuple[Rule, ...]:
    """Return the rules for these families: allowed sources first, then log, then block."""
    rules: list[Rule] = []
    for family in sorted(families, key=lambda each: each.version):
        direct = [_direct(protection, family) for protection in protections]
        translated = [
            _translated(protection, port)
            for port in sorted(published)
            for protection in protections
            if port.family is family and port.covered and _covers(protection, port)
        ]
        for forwarded in (False, True):
            found = [*chain.from_iterable(direct if not forwarded else []), *chain.from_iterable(translated)]
            rules += _in_order(rule for rule in found if rule.forwarded is forwarded)
    return tuple(_numbered(rules))


def _direct(protection: Protection, family: Family) -> list[Rule]:
    service = protection.service
    whole = Rule(
        family=family.version,
        role="allow",
        protocol=service.protocol.value,
        first=service.first,
        last=service.last,
        verdict="return",
    )
    rules = [replace(whole, source=_source(network)) for network in protection.allowed_in(family)]
    if protection.log:
        rules.append(replace(whole, role="log", verdict="log"))
    # One rule for each port: its counter proves that port.
    rules += [
        replace(whole, role="block", verdict=protection.action.value, first=port, last=port)
        for port in service.ports
    ]
    return rules


def _translated(protection: Protection, port: PublishedPort) -> list[Rule]:
    one = replace(protection, service=replace(protection.service, first=port.port, last=port.port))
    # A target without an address is a redirect to the host itself: INPUT sees it, not FORWARD.
    forwarded = not port.target.isdecimal()
    return [replace(rule, published=True, forwarded=forwarded) for rule in _direct(one, port.family)]


def _covers(protection: Protection, port: PublishedPort) -> bool:
    return protection.service.protocol is port.protocol and port.port in protection.service.ports


def _source(network: Network) -> str:
    # iptables-save prints no source for everybody.
    return "" if network.prefixlen == 0 else str(network)


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    order = {"allow": 0, "log": 1, "block": 2}
    distinct = dict.fromkeys(rules)
    return sorted(distinct, key=lambda rule: order[rule.role])


def _numbered(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Give every rule its label: the role, with a running number where there are several."""
    total = Counter(rule.role for rule in rules)
    seen: Counter[str] = Counter()
    for rule in rules:
        seen[rule.role] += 1
        number = f"-{seen[rule.role]}" if total[rule.role] > 1 else ""
        yield replace(rule, label=f"{rule.role}{number}")
