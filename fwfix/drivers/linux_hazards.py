"""What may go wrong on a Linux host, told from its rules and from who else manages them. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fwfix.drivers.backend import Backend
from fwfix.drivers.iptables_save import Rule
from fwfix.drivers.iptables_walk import Packet, walk
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.nft_walk import UNREADABLE, rewrites
from fwfix.drivers.published import CONTAINER_HOOK, is_readable, to_itself
from fwfix.model.hazard import Hazard
from fwfix.model.observation import Observation, PublishedPort
from fwfix.model.policy import Family, Protection, Protocol

_BJNP = range(8610, 8615)
# These flush and reload the rules from a command line or from cron, where no unit of ours can follow (B23).
_WIPERS = frozenset(
    {
        *("csf", "lfd", "shorewall", "shorewall6", "shorewall-lite", "shorewall6-lite", "ferm", "firehol"),
        *("apf", "apf-firewall", "arno-iptables-firewall", "fwbuilder", "fireqos", "vuurmuur", "awall"),
    }
)
# These load a file of rules at boot; our unit follows them where there is an init system (B22).
_LOADERS = frozenset({"netfilter-persistent", "iptables", "ip6tables", "nftables", "iptables-persistent"})
_RELOADS = re.compile(
    r"(?:iptables|ip6tables)(?:-legacy|-nft)?-(?:restore|apply)(?!.*(?:--noflush|\s-n\b))|\bnft\b.*\s-f\b"
    r"|netfilter-persistent\s+(?:start|restart|reload|flush)"
)
_CONFIGURES = re.compile(
    r"ansible-pull|puppet|chef|cinc-client|salt-call|salt-minion|cf-agent|cfengine|rudder"
)
# How each of them shows itself: in the names of its units, of its files, of its commands.
_FAMILIES = ("puppet", "chef", "salt", "cf", "ansible-pull", "rudder")
_YES = re.compile(
    r"^(?:[^:#]*:)?\s*\w*SAVE_ON_(?:STOP|RESTART)\s*=\s*[\"']?(?:yes|true|1|on)\b", re.IGNORECASE
)
_TRAPPED_UNIT = re.compile(r"/(ip6?tables|nftables)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxCircumstances:
    """Everything about one Linux host that a hazard may depend on."""

    observation: Observation
    facts: LinuxFacts
    backend: Backend
    protections: Sequence[Protection]
    published: Sequence[PublishedPort]


def find_linux_hazards(seen: LinuxCircumstances) -> tuple[Hazard, ...]:
    """Return every hazard that only a Linux host can have."""
    return tuple(
        sorted(
            {Hazard(code=code, message=message) for code, look in HAZARDS.items() for message in look(seen)}
        )
    )


def passing_by(seen: LinuxCircumstances, *, but: frozenset[str] = frozenset()) -> Iterator[str]:
    """Say what goes past our rules although they stand as wanted; `but` are codes that were accepted."""
    for code in ("container-bypass", "rule-shadowed"):
        if code not in but:
            yield from HAZARDS[code](seen)


def container_bypass(seen: LinuxCircumstances) -> Iterator[str]:
    """B10: a published port never reaches INPUT; without a hook of ours it stays open."""
    scope = {(p.service.protocol, port) for p in seen.protections for port in p.service.ports}
    for published in seen.published:
        if to_itself(published, seen.facts):
            continue
        what = f"{published.port}/{published.protocol} ({published.family.label}) goes to {published.target}"
        if not is_readable(published.target):
            rule = published.target.removeprefix(UNREADABLE)
            yield (
                f"{published.port}/{published.protocol} ({published.family.label}) may go past INPUT by "
                f"an nft rule that fwfix cannot evaluate: {rule}; look where it leads"
            )
        elif (published.protocol, published.port) not in scope:
            hint = f"add {published.port} to the policy"
            yield f"{what}: the policy names the port behind it, not this one; {hint}"
        elif not published.covered:
            yield (
                f"{what} without passing INPUT, and no chain {CONTAINER_HOOK} is in use where it could "
                f"be blocked; stop publishing it, or bind it to 127.0.0.1"
            )


def rule_shadowed(seen: LinuxCircumstances) -> Iterator[str]:
    """Tell what handles the packets before our rules see them."""
    if seen.backend is Backend.IPTABLES:
        for family, rule in _before_container_hook(seen):
            yield (
                f"in front of {CONTAINER_HOOK} an {family.label} rule of FORWARD could let packets "
                f"through: {rule.text}"
            )
    for rule_text in sorted(_rewriting(seen)):
        yield f"an nft rule may change where packets go before our rules see them: {rule_text}"


def _rewriting(seen: LinuxCircumstances) -> set[str]:
    tables = tuple(seen.facts.native_tables())
    if not tables:
        return set()
    addresses = tuple(item.address for item in seen.facts.interfaces) or None
    packets = [
        Packet(family=family, protocol=protection.service.protocol, port=port, destinations=addresses)
        for family in Family
        for protection in seen.protections
        for port in protection.service.ports
    ]
    return {rule.text for table in tables for packet in packets for rule in rewrites(table, packet)}


def _before_container_hook(seen: LinuxCircumstances) -> Iterator[tuple[Family, Rule]]:
    """Yield the rules that published packets can meet before the chain that we use (B13)."""
    found: dict[tuple[Family, str], Rule] = {}
    for published in seen.published:
        if not published.covered or to_itself(published, seen.facts):
            continue
        packet = Packet(
            family=published.family, protocol=published.protocol, port=published.port, translated=True
        )
        met = walk(
            seen.facts.ruleset(published.family),
            "filter",
            "FORWARD",
            packet=packet,
            ours=lambda rule: rule.target == CONTAINER_HOOK,
        )
        found.update({(published.family, rule.text): rule for rule in met.leaks})
    for (family, _), rule in found.items():
        yield family, rule


def sessions_unknown(seen: LinuxCircumstances) -> Iterator[str]:
    """Say that nobody knows who uses a published port now: its sessions are no sockets of this host."""
    ports = sorted(
        {
            f"{published.port}/{published.protocol}"
            for published in seen.published
            if published.covered and not to_itself(published, seen.facts)
        }
    )
    if ports and not seen.facts.tracks_sessions:
        yield (
            f"this host shows no tracked connections, so nothing is known of open sessions on "
            f"{', '.join(ports)}, which are translated on their way; those of strangers would be cut"
        )


def family_unprotected(seen: LinuxCircumstances) -> Iterator[str]:
    """B7: rules of one family leave the other wide open."""
    if seen.backend is Backend.NFT:
        return
    tools = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
    for family in sorted(seen.observation.families):
        if family not in seen.facts.saves:
            yield (
                f"this host has {family.label} addresses, but {tools[family]} is missing or does not work: "
                f"the ports would stay open there; install or mend it"
            )


def firewall_manager_would_wipe(seen: LinuxCircumstances) -> Iterator[str]:
    """B23, B24: somebody reloads the rules where no unit of ours can follow."""
    for unit in seen.facts.units:
        name = unit.name.removesuffix(".service")
        if name in _WIPERS and (unit.active or unit.enabled):
            yield f"{name} rebuilds the rules of this host and would wipe ours; put the block into {name}"
        elif name in _LOADERS and unit.active and not seen.facts.persistable:
            yield f"{name} reloads the rules of this host, and no init system is there to load ours after it"
    if seen.backend is Backend.IPTABLES and "firewalld" in seen.facts.processes:
        yield "firewalld wipes what iptables adds when it reloads; with nft ours would have their own table"
    for line in seen.facts.cron:
        if _RELOADS.search(line):
            yield f"a cron job reloads the rules of this host and would wipe ours: {line}"


def config_management_would_wipe(seen: LinuxCircumstances) -> Iterator[str]:
    """Tell who would put the rules back as its own sources say."""
    for line in seen.facts.config_management:
        if not _is_off(seen.facts, line):
            yield f"configuration management may look after this firewall ({line}); put the block there"
    for unit in seen.facts.units:
        if _CONFIGURES.search(unit.name) and (unit.active or unit.enabled):
            yield f"{unit.name} runs here and may look after this firewall; put the block there"
    for line in seen.facts.cron:
        if _CONFIGURES.search(line) and not _RELOADS.search(line):
            yield f"a cron job runs configuration management, which may rewrite the firewall: {line}"


def _is_off(facts: LinuxFacts, path: str) -> bool:
    """Tell whether the program behind a configuration file is there, but switched off."""
    kin = [name for name in _FAMILIES if name in path]
    units = [unit for unit in facts.units if any(unit.name.removeprefix("pe-").startswith(k) for k in kin)]
    return bool(units) and not any(unit.active or unit.enabled for unit in units)


def save_on_stop(seen: LinuxCircumstances) -> Iterator[str]:
    """D9: rules that were never confirmed would survive a reboot."""
    for line in seen.facts.traps:
        if _YES.search(line) and not _is_idle(seen.facts, line):
            yield (
                f"this host saves its running rules when it stops, rules of ours among them that were never "
                f"confirmed: {line}; set it to no"
            )


def _is_idle(facts: LinuxFacts, line: str) -> bool:
    """Tell whether the service that a setting is for is there, but neither runs nor starts at boot."""
    found = _TRAPPED_UNIT.search(line)
    units = [unit for unit in facts.units if found and unit.name == found.group(1)]
    return bool(units) and not any(unit.active or unit.enabled for unit in units)


def bjnp_client(seen: LinuxCircumstances) -> Iterator[str]:
    """A7: answers to a search for Canon devices come to the very ports that we would close."""
    closes = any(
        p.service.protocol is Protocol.UDP and any(port in p.service.ports for port in _BJNP)
        for p in seen.protections
    )
    if closes and seen.facts.bjnp_clients:
        programs = ", ".join(seen.facts.bjnp_clients)
        yield f"this host looks for Canon devices itself ({programs}) and would not hear them; allow them"


def forwarding_gateway(seen: LinuxCircumstances) -> Iterator[str]:
    """B9: INPUT does not see what a host forwards."""
    families = [
        family.label
        for family in sorted(seen.facts.forwards)
        if seen.facts.ruleset(family).chain("filter", CONTAINER_HOOK) is None
    ]
    if families:
        yield (
            f"this host forwards {' and '.join(families)}: what it passes on to other hosts at these "
            f"ports is not touched"
        )


def not_persistent(seen: LinuxCircumstances) -> Iterator[str]:
    """D8: without an init system nothing loads our rules at boot."""
    if not seen.facts.persistable:
        init = seen.facts.pid1 or "none"
        yield f"there is no init system that we know (pid 1: {init}): the rules are gone after the next boot"


HAZARDS: Mapping[str, Callable[[LinuxCircumstances], Iterator[str]]] = MappingProxyType(
    {
        "container-bypass": container_bypass,
        "rule-shadowed": rule_shadowed,
        "sessions-unknown": sessions_unknown,
        "family-unprotected": family_unprotected,
        "firewall-manager-would-wipe": firewall_manager_would_wipe,
        "config-management-would-wipe": config_management_would_wipe,
        "save-on-stop": save_on_stop,
        "bjnp-client": bjnp_client,
        "forwarding-gateway": forwarding_gateway,
        "not-persistent": not_persistent,
    }
)
