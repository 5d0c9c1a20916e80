"""What silence proves on a Windows host whose port the replaced run blocked already. Pure."""

from collections.abc import Iterator

from fwfix.drivers.windows_facts import FULL, WindowsFacts, facts_of
from fwfix.drivers.windows_rules import RegistryRule
from fwfix.model.observation import Observation
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Family, Protocol, Service

Key = tuple[Family, Protocol, int]


def inherited_of(observation: Observation, plan: HostPlan) -> Iterator[Key]:
    """Yield where silence before and after shows that our new rules block, in place of the replaced ones.

    Where the replaced run blocked, no probe can go from open to filtered (contract 5, Proof). What takes its
    place: the old rules are read back as disabled and the active store does not enforce them, the new ones
    are enforced there (`Judgement.enforced`), something would let the packet in without us (an allow rule
    for everybody, or the default), and no block of anybody else could have silenced the probe. Then nothing
    but the new rules is left that can have done it. Where one of these is missing, silence proves nothing.
    """
    facts = facts_of(observation)
    old = tuple(facts.of_run(plan.supersedes)) if plan.supersedes else ()
    if any(rule.active or _is_enforced(facts, rule) for rule in old):
        return
    blocked = {key for rule in old for key in _keys_of(rule)}
    for protection in plan.protections:
        service = protection.service
        if _would_come_in(observation, facts, service):
            yield from (key for key in blocked if key[1] is service.protocol and key[2] in service.ports)


def _is_enforced(facts: WindowsFacts, rule: RegistryRule) -> bool:
    return any(word.strip().lower() in FULL for word in facts.enforced.get(rule.name, ()))


def _would_come_in(observation: Observation, facts: WindowsFacts, service: Service) -> bool:
    """Tell whether a packet to a service would come in without us; whoever cannot be sure says no."""
    programs = set(_programs(observation, service))
    others = [rule for rule in facts.rules if not rule.run_id and rule.active and rule.may_match(service)]
    if any(
        rule.one("Action").lower() == "block" and (_is_about(rule, programs) or "" in programs)
        for rule in others
    ):
        return False
    return _by_default(facts) or any(
        rule.one("Action").lower() == "allow" and _is_about(rule, programs) and _is_for_all(rule, facts)
        for rule in others
    )


def _programs(observation: Observation, service: Service) -> Iterator[str]:
    """Yield the file names of what listens on a service; empty for one that is not known."""
    for each in observation.listeners:
        if each.protocol is service.protocol and each.port in service.ports:
            name = each.command.rpartition("\\")[2].lower()
            yield name or (f"{each.process.lower()}.exe" if each.process else "")


def _is_about(rule: RegistryRule, programs: set[str]) -> bool:
    """Tell whether a rule is about these programs: about any, or about one of them."""
    return not rule.one("App") or rule.one("App").rpartition("\\")[2].lower() in programs


def _is_for_all(rule: RegistryRule, facts: WindowsFacts) -> bool:
    """Tell whether an allow rule lets everybody in, in every profile in use, under no further condition."""
    profiles = set(rule.fields.get("Profile", ()))
    everywhere = not profiles or all(profile.name in profiles for profile in facts.profiles_in_use)
    return everywhere and not set(rule.fields) - _WITHOUT_CONDITION


# Keys of a rule under which every packet to its port still matches; any other narrows it.
_WITHOUT_CONDITION = frozenset(
    {
        *("Action", "Active", "Dir", "Protocol", "LPort", "LPort2_10", "App", "Profile"),
        *("Name", "Desc", "EmbedCtxt", "Edge", "Defer"),
    }
)


def _by_default(facts: WindowsFacts) -> bool:
    return bool(facts.profiles_in_use) and all(
        profile.default_inbound.lower() in {"allow", "2"}
        and profile.allow_inbound.lower() not in {"false", "0"}
        for profile in facts.profiles_in_use
    )


def _keys_of(rule: RegistryRule) -> Iterator[Key]:
    families = {
        Family.IPV4: "RA4" in rule.fields or "RA6" not in rule.fields,
        Family.IPV6: "RA6" in rule.fields or "RA4" not in rule.fields,
    }
    for protocol, port in blocked_by(rule):
        yield from ((family, protocol, port) for family, there in families.items() if there)


def blocked_by(rule: RegistryRule) -> Iterator[tuple[Protocol, int]]:
    """Yield the ports that a block rule names."""
    protocol = {"6": Protocol.TCP, "17": Protocol.UDP}.get(rule.one("Protocol"))
    if rule.one("Action") == "Block" and protocol is not None:
        for text in rule.ports:
            first, _, last = text.partition("-")
            yield from ((protocol, port) for port in range(int(first), int(last or first) + 1))
