"""Firewall rules as the registry of a Windows host has them (MS-GPFAS 2.2.2.19). Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from fwfix.model.policy import Address, Family, Network, Protocol, Service
from fwfix.rendering.windows import ANY, GROUP, WindowsRule

_NUMBERS = {"6": Protocol.TCP, "17": Protocol.UDP}
_OURS = re.compile(r"fwfix-([0-9]{8}T[0-9]{6}Z-[0-9a-f]{4})-([0-9]+)", re.ASCII)
# Words for addresses and ports that stand for more than we can tell: taken for everything.
_RANGE = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?", re.ASCII)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRule:
    """One rule, as its text says it.

    Attributes:
        store: `local`, `policy` (group policy) or `mdm`.
        fields: every value of every key, in order; unknown keys stay.
    """

    name: str
    store: str
    text: str
    fields: Mapping[str, tuple[str, ...]]

    def one(self, key: str) -> str:
        """Return the first value of a key; empty if it is missing."""
        return next(iter(self.fields.get(key, ())), "")

    @property
    def active(self) -> bool:
        """Whether it is enabled."""
        return self.one("Active").upper() == "TRUE"

    @property
    def run_id(self) -> str:
        """The run that its name says; empty for a rule that is not ours, by its name or by its group."""
        found = _OURS.fullmatch(self.name)
        return found[1] if found and self.one("EmbedCtxt") == GROUP else ""

    @property
    def ports(self) -> tuple[str, ...]:
        """Its local ports and ranges of them; empty for any."""
        return (*self.fields.get("LPort", ()), *self.fields.get("LPort2_10", ()))

    def may_match(self, service: Service) -> bool:
        """Tell whether a packet to this service could meet it; what we cannot read could."""
        protocol = self.one("Protocol")
        if protocol and protocol != "256" and _NUMBERS.get(protocol) is not service.protocol:
            return False
        return not self.ports or any(_meets(port, service) for port in self.ports)

    def names_port_of(self, service: Service) -> bool:
        """Tell whether it names a port of this service by its number."""
        return self.may_match(service) and any(
            _RANGE.fullmatch(port) and _meets(port, service) for port in self.ports
        )


def _meets(port: str, service: Service) -> bool:
    if _RANGE.fullmatch(port) is None:
        return True
    first, _, last = port.partition("-")
    return int(first) <= service.last and service.first <= int(last or first)


def parse_rule(name: str, text: str, *, store: str) -> RegistryRule:
    """Read one value of the registry; it is never refused, as Windows has many builds."""
    fields: dict[str, tuple[str, ...]] = {}
    for part in text.split("|")[1:]:
        key, equals, value = part.partition("=")
        if equals:
            fields[key] = (*fields.get(key, ()), value)
    return RegistryRule(name=name, store=store, text=text, fields=fields)


def differences(rule: RegistryRule, wanted: WindowsRule) -> Iterator[str]:
    """Say in what a rule is not as it was made; by meaning, since Windows spells addresses its own way."""
    if rule.one("EmbedCtxt") != GROUP:
        yield f"is not in the group {GROUP}: somebody else made it"
    if rule.one("Action") != "Block" or rule.one("Dir") != "In":
        yield "does not block inbound packets"
    if not rule.active:
        yield "is disabled"
    if _NUMBERS.get(rule.one("Protocol")) is not wanted.service.protocol or rule.ports != (wanted.port,):
        yield f"is not about {wanted.service}"
    narrowing = sorted(set(rule.fields) - _PLAIN)
    if narrowing:
        yield f"was narrowed ({', '.join(narrowing)})"
    if _spans_of_rule(rule) != _spans(wanted.addresses):
        yield f"does not block {wanted.who}"


# What a rule of ours may say; another key is a condition that somebody added.
_PLAIN = frozenset(
    {
        *("Action", "Active", "Dir", "Protocol", "LPort", "LPort2_10", "RA4", "RA6"),
        *("Name", "Desc", "EmbedCtxt", "Edge", "Defer"),
    }
)


def _spans_of_rule(rule: RegistryRule) -> Mapping[Family, tuple[Span, ...]] | None:
    given = (*rule.fields.get("RA4", ()), *rule.fields.get("RA6", ()))
    return _spans(given or (ANY,))


def _spans(addresses: Sequence[str]) -> Mapping[Family, tuple[Span, ...]] | None:
    """Return the addresses as merged spans; None where a word is not an address."""
    if tuple(addresses) == (ANY,):
        return {}
    found: dict[Family, list[Span]] = {family: [] for family in Family}
    try:
        for text in addresses:
            first, last = _span(text)
            found[Family.of(first)].append((int(first), int(last)))
    except ValueError:
        return None
    return {family: _merged(spans) for family, spans in found.items()}


def _span(text: str) -> tuple[Address, Address]:
    first, dash, last = text.partition("-")
    if dash:
        return ip_address(first.strip()), ip_address(last.strip())
    network: Network = ip_network(text.strip(), strict=False)
    return network[0], network[-1]


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
