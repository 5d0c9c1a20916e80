"""Whether the rules of a run stand on a host as they were rendered, and what stands in front. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_interface

from fwfix.drivers.backend import Backend
from fwfix.drivers.base import Counter
from fwfix.drivers.iptables_save import Rule, Ruleset, canonical, parse_save
from fwfix.drivers.iptables_walk import Packet, port_ranges, walk
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.nft_list import OUR_TABLE, NftChain, NftRule, NftTable, find_table, parse_nft
from fwfix.drivers.nft_spelling import nft_priority, nft_spelling, read_match
from fwfix.model.policy import Address, Family, Protection, Protocol

CHAIN_PREFIX = "FWFIX-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The rules of one run as rendered: payloads of the restore tools, or an nft script."""

    backend: Backend
    run_id: str
    saves: dict[Family, str]
    nft: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A rule of ours: which run it belongs to, and its part in it."""

    run_id: str
    role: str


@lru_cache(maxsize=1024)
def ours(comment: str) -> Ours | None:
    """Read the comment that every rule of ours carries; None for other people's rules."""
    words = comment.split(":")
    if len(words) != 3 or words[0] != "fwfix":  # noqa: PLR2004 - fwfix:<run id>:<role>
        return None
    return Ours(run_id=words[1], role=words[2].split("-")[0])


def differences(facts: LinuxFacts, wanted: Wanted, protections: Sequence[Protection]) -> tuple[str, ...]:
    """Say what is missing, edited, or stands in front of the rules of a run; nothing if all is well."""
    if wanted.backend is Backend.NFT:
        return tuple(_nft_differences(facts, wanted))
    found: list[str] = []
    for family, text in wanted.saves.items():
        found.extend(_save_differences(facts, family, _wanted_rules(text), protections))
    return tuple(found)


@lru_cache(maxsize=64)
def _wanted_rules(text: str) -> Ruleset:
    """Read what was rendered; the hosts of a fleet want the same few."""
    return parse_save(text)


def _save_differences(
    facts: LinuxFacts, family: Family, wanted: Ruleset, protections: Sequence[Protection]
) -> Iterator[str]:
    live = facts.saves.get(family)
    if live is None:
        yield f"the {family.label} rules cannot be read"
        return
    for name, chain in wanted.tables.get("filter", {}).items():
        if name.startswith(CHAIN_PREFIX):
            yield from _chain_differences(live, family, name, chain.rules)
        else:
            for jump in chain.rules:
                yield from _jump_differences(live, family, jump, protections)


def _chain_differences(live: Ruleset, family: Family, name: str, wanted: Sequence[Rule]) -> Iterator[str]:
    if live.chain("filter", name) is None:
        yield f"the chain {name} is missing in {family.label}"
        return
    standing = [rule for rule in live.rules("filter", name) if not _is_probe(rule.comment)]
    if [canonical(rule) for rule in standing] == [canonical(rule) for rule in wanted]:
        return
    known = {canonical(rule) for rule in wanted}
    there = {canonical(rule) for rule in standing}
    edits = [f"has a rule that is not ours: {rule.text}" for rule in standing if canonical(rule) not in known]
    edits += [f"lacks {rule.text}" for rule in wanted if canonical(rule) not in there]
    yield from (
        f"the {family.label} chain {name} {edit}" for edit in edits or ["has its rules in another order"]
    )


def _is_probe(comment: str) -> bool:
    mark = ours(comment)
    return mark is not None and mark.role == "probe"


def _jump_differences(
    live: Ruleset, family: Family, jump: Rule, protections: Sequence[Protection]
) -> Iterator[str]:
    wanted = canonical(jump)
    if all(canonical(rule) != wanted for rule in live.rules("filter", jump.chain)):
        yield f"the jump from {jump.chain} to {jump.target} is missing in {family.label}"
        return
    if jump.chain != "INPUT":
        return
    leaks: list[Rule] = []
    for packet in _packets(family, protections):
        met = walk(live, "filter", "INPUT", packet=packet, ours=lambda rule: canonical(rule) == wanted)
        leaks.extend(met.leaks)
    for rule in dict.fromkeys(leaks):
        yield f"in front of ours stands an {family.label} rule that could let such packets in: {rule.text}"


def _packets(family: Family, protections: Sequence[Protection]) -> Iterator[Packet]:
    """Yield the packets that our rules are there for."""
    for protection in protections:
        for port in protection.service.ports:
            yield Packet(
                family=family,
                protocol=protection.service.protocol,
                port=port,
                allowed=protection.allowed_in(family),
            )


def _nft_differences(facts: LinuxFacts, wanted: Wanted) -> Iterator[str]:
    table = find_table(parse_nft(wanted.nft), *OUR_TABLE)
    live = find_table(facts.nft, *OUR_TABLE)
    for name, chain in (table.chains if table else {}).items():
        standing = live.chains.get(name) if live else None
        if standing is None:
            yield f"the chain {name} is missing in table inet fwfix"
        else:
            yield from _nft_chain_differences(standing, chain)


def _nft_chain_differences(standing: NftChain, wanted: NftChain) -> Iterator[str]:
    if (standing.type, standing.hook, nft_priority(standing.priority)) != (
        wanted.type,
        wanted.hook,
        nft_priority(wanted.priority),
    ):
        yield f"the chain {wanted.name} of table inet fwfix hangs on another hook"
    rules = [rule for rule in standing.rules if not _is_probe(rule.comment)]
    live, asked = [nft_spelling(r.text) for r in rules], [nft_spelling(r.text) for r in wanted.rules]
    if live == asked:
        return
    edits = [f"has a rule that is not ours: {r.text}" for r in rules if nft_spelling(r.text) not in asked]
    edits += [f"lacks {r.text}" for r in wanted.rules if nft_spelling(r.text) not in live]
    for edit in edits or ["has its rules in another order"]:
        yield f"the chain {wanted.name} of table inet fwfix {edit}"


def live_rules(facts: LinuxFacts, run_id: str) -> Iterator[tuple[Family | None, str]]:
    """Yield the rules of a run as they stand on the host: jumps and chains; family None for nft."""
    for family in Family:
        for chain in facts.ruleset(family).tables.get("filter", {}).values():
            for rule in chain.rules:
                mark = ours(rule.comment)
                if chain.name.startswith(CHAIN_PREFIX + run_id) or (mark and mark.run_id == run_id):
                    yield family, rule.text
    table = find_table(facts.nft, *OUR_TABLE)
    for nft_chain in _chains_of(table, run_id):
        for nft_rule in nft_chain.rules:
            yield None, nft_rule.text


def _chains_of(table: NftTable | None, run_id: str) -> Iterator[NftChain]:
    for chain in table.chains.values() if table else ():
        if chain.name.startswith(CHAIN_PREFIX + run_id):
            yield chain


def counters(facts: LinuxFacts, run_id: str) -> tuple[Counter, ...]:
    """Return the counters of the blocking and probe rules of a run."""
    return (*_save_counters(facts, run_id), *_nft_counters(facts, run_id))


def _save_counters(facts: LinuxFacts, run_id: str) -> Iterator[Counter]:
    for family in facts.saves:
        for name in (f"{CHAIN_PREFIX}{run_id}", f"{CHAIN_PREFIX}{run_id}D"):
            for rule in facts.ruleset(family).rules("filter", name):
                yield from _counters_of(rule, family)


def _counters_of(rule: Rule, family: Family) -> Iterator[Counter]:
    mark = ours(rule.comment)
    if mark is None or mark.role not in {"block", "probe"}:
        return
    protocol, source = rule.first("-p"), rule.first("-s")
    ports = rule.first("--ctorigdstport") or rule.first("--dport") or rule.first("--dports")
    if protocol is None or ports is None:
        return
    for port in (port for span in port_ranges(ports.value) for port in span):
        yield Counter(
            source=_address_of(source.value) if source else None,
            family=family,
            protocol=Protocol(protocol.value),
            port=port,
            published=ports.name == "--ctorigdstport",
            packets=rule.packets or 0,
        )


@lru_cache(maxsize=1024)
def _address_of(source: str) -> Address:
    """Read whom a probe rule is for: the controller, say, on every host of a fleet."""
    return ip_interface(source).ip


def _nft_counters(facts: LinuxFacts, run_id: str) -> Iterator[Counter]:
    for chain in _chains_of(find_table(facts.nft, *OUR_TABLE), run_id):
        for rule in chain.rules:
            mark = ours(rule.comment)
            if mark is not None and mark.role in {"block", "probe"}:
                yield from _nft_counters_of(rule)


def _nft_counters_of(rule: NftRule) -> Iterator[Counter]:
    match = read_match(rule.text)
    for family in match.families:
        for protocol in match.protocols:
            for port in match.ports:
                yield Counter(
                    source=match.source,
                    family=family,
                    protocol=protocol,
                    port=port,
                    published="proto-dst" in rule.text,
                    packets=rule.packets or 0,
                )


def protected_by(facts: LinuxFacts, run_id: str) -> frozenset[tuple[Protocol, int]]:
    """Return the ports that the rules of a run block, as they stand."""
    return frozenset((counter.protocol, counter.port) for counter in counters(facts, run_id))
