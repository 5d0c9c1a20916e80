"""What `iptables-save` prints, as tables, chains and rules. Pure; never fails on an unknown line."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from types import MappingProxyType

_COUNTED = re.compile(r"\[(\d+):\d+\]\s*")
_INCOMPATIBLE = re.compile(r"[Tt]able [`'\"]?(\w+)'? is incompatible")
_LONG_NAMES = {
    "--protocol": "-p",
    "--proto": "-p",
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--in-interface": "-i",
    "--out-interface": "-o",
    "--jump": "-j",
    "--goto": "-g",
    "--match": "-m",
    "--fragment": "-f",
    "--destination-port": "--dport",
    "--source-port": "--sport",
    "--destination-ports": "--dports",
    "--source-ports": "--sports",
}
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "ipv6-icmp", "icmpv6": "ipv6-icmp"}
_IMPLICIT_MODULES = frozenset({"tcp", "udp", "comment"})
_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})
# What some versions print and others leave out.
_DEFAULTS = frozenset(
    {
        ("--limit-burst", "5"),
        ("--log-level", "4"),
        ("--log-level", "warning"),
        ("--reject-with", "icmp-port-unreachable"),
        ("--reject-with", "icmp6-port-unreachable"),
        ("-p", "all"),
        ("-p", "0"),
    }
)
_UNORDERED = frozenset({"--ctstate", "--state", "--dports", "--sports", "--ports"})
_UNITS = {"second": "sec", "minute": "min", "hour": "hour", "day": "day"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Option:
    """One word of a rule that begins with a dash, with its values."""

    name: str
    values: tuple[str, ...] = ()
    negated: bool = False

    @property
    def value(self) -> str:
        """The first value, or nothing."""
        return self.values[0] if self.values else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a chain.

    Attributes:
        text: the rule as printed, from `-A` on, without counters.
        packets: None where the save carried no counters.
        opaque: the line could not be split into words; it may mean anything.
    """

    chain: str
    text: str
    options: tuple[Option, ...]
    packets: int | None = None
    opaque: bool = False

    def first(self, name: str) -> Option | None:
        """Return the first option of that name."""
        for option in self.options:
            if option.name == name:
                return option
        return None

    @property
    def target(self) -> str:
        """The chain or verdict that the rule jumps or goes to; empty if it only counts."""
        option = self.first("-j") or self.first("-g")
        return option.value if option else ""

    @property
    def comment(self) -> str:
        """Its comment."""
        option = self.first("--comment")
        return option.value if option else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain; `policy` is `-` where it is not a built-in one."""

    name: str
    policy: str = "-"
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All tables of one family.

    Attributes:
        tables: chains by name, by table.
        incompatible: tables that `iptables-save` could not show although it exits 0 (B15c, E4).
    """

    tables: Mapping[str, Mapping[str, Chain]] = field(default_factory=lambda: MappingProxyType({}))
    incompatible: tuple[str, ...] = ()

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain, or None if there is no such table or chain."""
        return self.tables.get(table, {}).get(name)

    def rules(self, table: str, name: str) -> tuple[Rule, ...]:
        """Return the rules of a chain; none if it does not exist."""
        chain = self.chain(table, name)
        return chain.rules if chain else ()


def parse_save(text: str) -> Ruleset:
    """Read what `iptables-save`, with or without `-c`, printed; warnings in between are passed over."""
    policies: dict[str, dict[str, str]] = {}
    rules: dict[str, dict[str, list[Rule]]] = {}
    table = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("*"):
            table = line[1:].strip()
            policies.setdefault(table, {})
            rules.setdefault(table, {})
        elif line == "COMMIT":
            table = ""
        elif table and line.startswith(":"):
            name, _, rest = line[1:].partition(" ")
            policies[table][name] = rest.split(" ")[0] or "-"
        elif table:
            rule = parse_rule(line)
            if rule is not None:
                rules[table].setdefault(rule.chain, []).append(rule)
    incompatible = _INCOMPATIBLE.findall(text) if "is incompatible" in text else ()
    return Ruleset(tables=_assemble(policies, rules), incompatible=tuple(dict.fromkeys(incompatible)))


def _assemble(
    policies: Mapping[str, Mapping[str, str]], rules: Mapping[str, Mapping[str, list[Rule]]]
) -> Mapping[str, Mapping[str, Chain]]:
    tables = {}
    for table, chains in policies.items():
        names = dict.fromkeys([*chains, *rules[table]])
        tables[table] = MappingProxyType(
            {
                name: Chain(name=name, policy=chains.get(name, "-"), rules=tuple(rules[table].get(name, ())))
                for name in names
            }
        )
    return MappingProxyType(tables)


def parse_rule(line: str) -> Rule | None:
    """Read one line `-A CHAIN ...` or `-I CHAIN [1] ...`, with counters in front or none.

    Returns:
        None if it is no such line.
    """
    text = line.strip()
    counted = _COUNTED.match(text)
    if counted:
        text = text[counted.end() :]
    if not text.startswith(("-A ", "-I ")):
        return None
    rule = _parsed(text)
    if counted is None:
        return rule
    packets = int(counted[1])
    return Rule(chain=rule.chain, text=text, options=rule.options, packets=packets, opaque=rule.opaque)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Rule:
    """Read a rule without counters; hosts of a fleet have the same ones, and splitting words is slow."""
    try:
        words = shlex.split(text)
    except ValueError:
        return Rule(chain=text.split()[1], text=text, options=(), opaque=True)
    rest = words[2:]
    if words[0] == "-I" and rest and rest[0].isdecimal():
        rest = rest[1:]
    return Rule(chain=words[1], text=text, options=_options(rest))


def _options(words: list[str]) -> tuple[Option, ...]:
    options: list[Option] = []
    negated = False
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "!":
            negated = True
            continue
        name = _LONG_NAMES.get(word, word)
        values: list[str] = []
        while index < len(words) and not _begins_option(words[index], name, values):
            if words[index] == "!":  # the old form: `-s ! 10.0.0.0/8`
                negated = True
            else:
                values.append(words[index])
            index += 1
        options.append(Option(name=name, values=tuple(values), negated=negated))
        negated = False
    return tuple(options)


def _begins_option(word: str, option: str, values: list[str]) -> bool:
    """Tell whether a word begins the next option; the value of a comment or prefix may look like one."""
    if option in {"--comment", "--log-prefix", "--string"}:
        return bool(values)
    if word == "!":
        return bool(values) or option not in {"-s", "-d", "-p", "-i", "-o", "--dport", "--sport"}
    return word.startswith("-") and not word.lstrip("-").isdecimal()


def canonical(rule: Rule) -> tuple[Option, ...]:
    """Return a form in which two spellings of the same rule are equal (B19)."""
    return _canonical(rule.text)


@lru_cache(maxsize=4096)
def _canonical(text: str) -> tuple[Option, ...]:
    rule = _parsed(text)
    if rule.opaque:
        return (Option(name=text),)
    kept = [_canonical_option(option) for option in rule.options]
    return tuple(sorted(option for option in kept if option is not None))


def _canonical_option(option: Option) -> Option | None:
    values = option.values
    if option.name == "-m" and option.value in _IMPLICIT_MODULES:
        return None
    if option.name in {"-s", "-d"}:
        values = (_network(option.value),)
        if values[0] in _EVERYWHERE and not option.negated:
            return None
    elif option.name == "-p":
        values = (_PROTOCOLS.get(option.value.lower(), option.value.lower()),)
    elif option.name in _UNORDERED:
        values = (",".join(sorted(option.value.split(","))),)
    elif option.name == "--limit":
        amount, _, unit = option.value.partition("/")
        values = (f"{amount}/{_UNITS.get(unit, unit)}",)
    if (option.name, values[0] if values else "") in _DEFAULTS and not option.negated:
        return None
    return Option(name=option.name, values=values, negated=option.negated)


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return text
