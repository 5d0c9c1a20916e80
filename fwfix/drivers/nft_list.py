"""What `nft list ruleset` prints, as far as we need it: tables, chains, rules and maps. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

OUR_TABLE = ("inet", "fwfix")
_HANDLE = re.compile(r"\s*# handle \d+\s*$")
_COUNTER = re.compile(r"counter packets (\d+) bytes \d+")
_TABLE = re.compile(r"table (?:(ip|ip6|inet|arp|bridge|netdev) )?(\S+) \{")
_CHAIN = re.compile(r"chain (\S+) \{")
_TYPE = re.compile(r"type (\w+) hook (\w+)(?: device \S+)? priority ([^;]+);(?: policy (\w+);)?")
_MAP = re.compile(r"map (\S+) \{")
# What an element carries besides its key and its value.
_EXTRAS = re.compile(r' comment "[^"]*"| counter packets \d+ bytes \d+| (?:timeout|expires) \w+')
_COMMENT = re.compile(r'comment "([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class NftRule:
    """One rule, as listed, without its handle and with the numbers of its counter apart."""

    text: str
    packets: int | None = None

    @property
    def comment(self) -> str:
        """Its comment."""
        found = _COMMENT.search(self.text)
        return found.group(1) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NftChain:
    """A chain; `type` and `hook` are empty where it is not a base chain."""

    name: str
    type: str = ""
    hook: str = ""
    priority: str = ""
    policy: str = ""
    rules: tuple[NftRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NftMap:
    """A map or verdict map: pairs of key and value, as listed."""

    name: str
    elements: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NftTable:
    """A table with its chains and maps by name."""

    family: str
    name: str
    chains: Mapping[str, NftChain] = field(default_factory=lambda: MappingProxyType({}))
    maps: Mapping[str, NftMap] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def has_rules(self) -> bool:
        """Tell whether a packet can meet a rule in it, or a policy that drops."""
        based = any(chain.hook for chain in self.chains.values())
        filled = any(chain.rules or chain.policy == "drop" for chain in self.chains.values())
        return based and filled


def parse_nft(text: str) -> tuple[NftTable, ...]:
    """Read `nft [-a] list ruleset`; sets and objects are passed over."""
    tables: list[NftTable] = []
    lines = iter(_whole_lines(text))
    for line in lines:
        opened = _TABLE.match(line)
        if opened:
            parts = tuple(_parts(lines))
            tables.append(
                NftTable(
                    family=opened.group(1) or "ip",
                    name=opened.group(2),
                    chains=MappingProxyType(
                        {each.name: each for each in parts if isinstance(each, NftChain)}
                    ),
                    maps=MappingProxyType({each.name: each for each in parts if isinstance(each, NftMap)}),
                )
            )
    return tuple(tables)


def _whole_lines(text: str) -> Iterator[str]:
    """Join lines that a long set spreads over several."""
    held = ""
    for raw in text.splitlines():
        line = _HANDLE.sub("", raw).strip()
        if not line or line.startswith("#"):
            continue
        held = f"{held} {line}".strip()
        if "= {" in held and held.count("{") > held.count("}"):
            continue
        yield held
        held = ""


def _parts(lines: Iterator[str]) -> Iterator[NftChain | NftMap]:
    """Yield the chains and maps of a table, up to its closing brace."""
    for line in lines:
        if line == "}":
            return
        opened, mapped = _CHAIN.match(line), _MAP.match(line)
        if opened and not line.endswith("}"):
            yield _chain(opened.group(1), lines)
        elif line.endswith("{"):
            inner = tuple(_up_to_brace(lines))
            if mapped:
                yield _map(mapped.group(1), inner)


def _up_to_brace(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "}":
            return
        yield line


def _map(name: str, lines: tuple[str, ...]) -> NftMap:
    listed = next((line for line in lines if line.startswith("elements = {")), "")
    return NftMap(name=name, elements=parse_elements(listed.partition("{")[2].rpartition("}")[0]))


def parse_elements(text: str) -> tuple[tuple[str, str], ...]:
    """Read what stands between the braces of a map: `80 : accept, 9100 : goto other`."""
    pairs = (part.partition(" : ") for part in _EXTRAS.sub("", text).split(",") if part.strip())
    return tuple((" ".join(key.split()), " ".join(value.split())) for key, _, value in pairs)


def _chain(name: str, lines: Iterator[str]) -> NftChain:
    kind = hook = priority = policy = ""
    rules: list[NftRule] = []
    for line in lines:
        if line == "}":
            break
        based = _TYPE.match(line)
        if based:
            kind, hook, priority, policy = (group or "" for group in based.groups())
            policy = policy or "accept"
        else:
            rules.append(parse_nft_rule(line))
    return NftChain(
        name=name, type=kind, hook=hook, priority=priority.strip(), policy=policy, rules=tuple(rules)
    )


def parse_nft_rule(line: str) -> NftRule:
    """Read one rule as listed or as written in a file."""
    counted = _COUNTER.search(line)
    text = _HANDLE.sub("", _COUNTER.sub("counter", line)).strip().rstrip(";").rstrip()
    return NftRule(text=" ".join(text.split()), packets=int(counted.group(1)) if counted else None)


def find_table(tables: tuple[NftTable, ...], family: str, name: str) -> NftTable | None:
    """Return a table, or None."""
    return next((table for table in tables if (table.family, table.name) == (family, name)), None)
