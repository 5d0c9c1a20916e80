"""What decides the plan for a Linux host and must still hold at apply (contract 6). Pure.

Left out is what changes by the hour: counters, process ids, sessions, order of listings, bans of fail2ban.
"""

from collections.abc import Iterator, Sequence

from fwfix.drivers.iptables_save import Rule
from fwfix.drivers.iptables_walk import Fit, Packet, fit, port_ranges
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.linux_hazards import LinuxCircumstances
from fwfix.drivers.published import CONTAINER_HOOK, container_hook_works, target_port, to_itself
from fwfix.drivers.standing import live_rules
from fwfix.fingerprint import Part, fingerprint_of
from fwfix.model.observation import RecordState, in_force
from fwfix.model.policy import Family, Protection

# Chains that a packet meets before INPUT and DOCKER-USER, where our jumps stand first.
_IN_FRONT = (
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "FORWARD"),
)
_FIREWALLS = frozenset(
    {
        *("firewalld", "ufw", "nftables", "iptables", "ip6tables", "netfilter-persistent"),
        *("nftables-persistent", "shorewall", "shorewall6", "ferm", "csf", "lfd"),
    }
)


def linux_fingerprint(seen: LinuxCircumstances) -> str:
    """Return the digest of everything that decided the draft."""
    observation, facts = seen.observation, seen.facts
    management = observation.management
    return fingerprint_of(
        {
            "identity": observation.identity,
            "backend": seen.backend.value,
            "tools": [facts.tools.get(name, "") for name in ("iptables", "ip6tables", "nft")],
            "owners": _owners(facts),
            "families": [family.value for family in sorted(facts.saves)],
            "published": _published(seen),
            "in_front": sorted(_in_front(facts, seen.protections)),
            "listeners": _listeners(seen),
            "management": [str(management.peer or ""), management.port],
            "own": _own_state(seen),
        }
    )


def _owners(facts: LinuxFacts) -> Part:
    """Return who manages the firewall; helpers that come and go, such as fail2ban, do not."""
    active = sorted({unit.name for unit in facts.units if unit.active and unit.name in _FIREWALLS})
    return [*active, "firewalld" if "firewalld" in facts.processes else "", str(facts.persistable)]


def _published(seen: LinuxCircumstances) -> Part:
    """Return what is translated, without the addresses: those of containers change whenever one starts."""
    found = {
        (
            published.protocol.value,
            published.family.value,
            published.port,
            target_port(published),
            published.covered,
            to_itself(published, seen.facts),
        )
        for published in seen.published
    }
    return [list(item) for item in sorted(found)]


def _in_front(facts: LinuxFacts, protections: Sequence[Protection]) -> Iterator[str]:
    for family in Family:
        ruleset = facts.ruleset(family)
        yield f"{family} {CONTAINER_HOOK} {container_hook_works(ruleset)}"
        for table, chain in _IN_FRONT:
            for rule in ruleset.rules(table, chain):
                if _names_a_port(rule, family, protections):
                    yield f"{family} {table} {rule.text}"


def _names_a_port(rule: Rule, family: Family, protections: Sequence[Protection]) -> bool:
    """Tell whether a rule is about one of the ports; rules about everything say nothing about this plan."""
    option = rule.first("--dport") or rule.first("--dports") or rule.first("--ctorigdstport")
    if option is None or not any(True for _ in port_ranges(option.value)):
        return False
    return any(
        fit(rule, Packet(family=family, protocol=protection.service.protocol, port=port)) is not Fit.NEVER
        for protection in protections
        for port in protection.service.ports
    )


def _listeners(seen: LinuxCircumstances) -> Part:
    found = {
        (listener.protocol.value, listener.port, listener.address, listener.family or "", listener.process)
        for listener in seen.observation.listeners
        for protection in seen.protections
        if listener.protocol is protection.service.protocol and listener.port in protection.service.ports
    }
    return [list(item) for item in sorted(found)]


def _own_state(seen: LinuxCircumstances) -> Part:
    """Return which runs are not over, and the rules of the one in force as they stand."""
    records = seen.observation.records
    standing = in_force(records)
    alive = [
        [record.run_id, record.state.value, record.superseded_by]
        for record in records
        if record.state is not RecordState.REVERTED and not record.foreign
    ]
    rules = list(live_rules(seen.facts, standing.run_id)) if standing else []
    return [alive, [[str(family or ""), text] for family, text in rules]]
