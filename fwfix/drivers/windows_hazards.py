"""What may go wrong on a Windows host: every way in which a rule can exist there and do nothing. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fwfix.drivers.windows_facts import FULL, INACTIVE, STATUS_WORDS, Profile, WindowsFacts
from fwfix.drivers.windows_rules import RegistryRule
from fwfix.hazards import is_loopback, named
from fwfix.model.hazard import Hazard
from fwfix.model.observation import Observation
from fwfix.model.policy import Action, Protection
from fwfix.rendering.windows import WindowsRule

_NO = frozenset({"false", "0"})
_BJNP = range(8610, 8615)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsCircumstances:
    """Everything about one Windows host that a hazard may depend on; `rules` are ours as they would be."""

    observation: Observation
    facts: WindowsFacts
    protections: Sequence[Protection]
    rules: Sequence[WindowsRule]


def find_windows_hazards(seen: WindowsCircumstances) -> tuple[Hazard, ...]:
    """Return every hazard that only a Windows host can have."""
    return tuple(
        sorted(
            {Hazard(code=code, message=message) for code, look in HAZARDS.items() for message in look(seen)}
        )
    )


def not_enforced(seen: WindowsCircumstances) -> Iterator[str]:
    """Say in which of the ways of 3.3 our rules would stand there and do nothing."""
    facts = seen.facts
    for service, why in (("MpsSvc", "the firewall service"), ("BFE", "the filtering engine")):
        status = facts.services.get(service, "Stopped")
        if status not in {"Running", "4"}:
            yield f"{why} ({service}) is {status.lower()}: nothing is filtered; start it"
    if not facts.profiles:
        said = facts.troubles.get("profiles", "no answer")
        yield f"the firewall does not tell its profiles ({said[:120]}), so nothing says that it filters"
    for profile in facts.profiles_in_use:
        yield from _profile_problems(profile, facts, seen.rules)
    for rule in seen.rules:
        hidden = [each for each in facts.rules if each.store != "local" and each.name == rule.name]
        if hidden:
            yield f"{hidden[0].store} has a rule of the name {rule.name}, which replaces ours"
    for product in facts.products:
        yield f"{product} is registered as this host's firewall: Windows may filter nothing beside it"


def _profile_problems(profile: Profile, facts: WindowsFacts, rules: Sequence[WindowsRule]) -> Iterator[str]:
    name = f"the {profile.name} profile, which is in use,"
    if profile.enabled.lower() in _NO:
        yield f"the firewall is off in {name} so no rule blocks anything; switch it on"
    if profile.allow_local_rules.lower() in _NO:
        yield f"group policy forbids local rules in {name} so ours would be ignored; block it by group policy"
    single = [rule for rule in rules if rule.service.first == rule.service.last]
    if profile.allow_user_ports.lower() in _NO and single:
        yield f"group policy ignores local rules for single ports in {name} so ours would be ignored"
    used = {network.interface for network in facts.networks if network.profile == profile.name}
    for alias in profile.disabled_interfaces:
        if alias in used or not used:
            yield f"the interface {alias} is excluded from the firewall in {name} so nothing is blocked there"


def shielded(seen: WindowsCircumstances) -> Iterator[str]:
    """Tell that nobody gets in at all: an allow list changes nothing for whom it names."""
    for profile in seen.facts.profiles_in_use:
        allowed = [each for each in seen.protections if each.allowed]
        if profile.allow_inbound.lower() in _NO and allowed:
            yield (
                f"the {profile.name} profile blocks all inbound connections (shielded), so those whom the"
                f" policy allows do not reach {allowed[0].service} either"
            )


def rule_shadowed(seen: WindowsCircumstances) -> Iterator[str]:
    """Name what goes before a block: rules that let authenticated computers through (MS-FASP 2.2.34)."""
    for protection in seen.protections:
        for rule in seen.facts.rules:
            if rule.active and rule.one("Action").lower() == "bypass" and rule.may_match(protection.service):
                yield (
                    f"the {rule.store} rule {rule.one('Name') or rule.name} overrides blocks, and could let"
                    f" packets to {protection.service} through"
                )


def controller_on_host(seen: WindowsCircumstances) -> Iterator[str]:
    """Tell that our probes would never meet a rule: what a host sends to itself is loopback (3.3)."""
    peer = seen.observation.management.peer
    blocked = [each.service for each in seen.protections if peer is not None and not each.allows(peer)]
    if blocked and peer in seen.observation.addresses:
        yield (
            f"this controller is the host itself ({peer}), and Windows filters nothing that a host sends to"
            f" itself: it would see {blocked[0]} open for ever, and the run would revert; run from another"
            f" machine"
        )


def ignored_action(seen: WindowsCircumstances) -> Iterator[str]:
    """Windows can only drop in silence, and logs per profile or not at all."""
    for protection in seen.protections:
        ignored = [
            *(["reject acts as drop"] if protection.action is Action.REJECT else []),
            *(["log is ignored"] if protection.log else []),
        ]
        if ignored:
            yield f"on Windows {' and '.join(ignored)} for {protection.service}"


def bjnp_client(seen: WindowsCircumstances) -> Iterator[str]:
    """Name the host as a client of Canon devices, whose answers come to the ports to be blocked."""
    for protection in seen.protections:
        if any(port in _BJNP for port in protection.service.ports):
            for printer in seen.facts.printers:
                if printer.port in {str(port) for port in _BJNP}:
                    yield (
                        f"this host prints to {printer.name} ({printer.address}) over BJNP itself; its"
                        f" answers come to {protection.service}"
                    )


def prints_elsewhere(seen: WindowsCircumstances) -> Iterator[str]:
    """Name the printers to which this host prints by these ports: our blocks are inbound only."""
    ours = {str(address) for address in seen.observation.addresses}
    for protection in seen.protections:
        service = protection.service
        printers = sorted(
            f"{printer.name} ({printer.address})"
            for printer in seen.facts.printers
            if printer.port.isdecimal() and int(printer.port) in service.ports
            if printer.address not in ours and not is_loopback(printer.address)
        )
        if printers:
            yield (
                f"this host itself prints over {service} to {named(printers)}: that is outbound, so blocking"
                f" inbound connections here neither stops it nor protects these printers; block the port"
                f" where they stand"
            )


def other_rule_on_port(seen: WindowsCircumstances) -> Iterator[str]:
    """Name the rules of others that name one of the ports, with their store and what becomes of them."""
    for rule in seen.facts.rules:
        services = [str(each.service) for each in seen.protections if rule.names_port_of(each.service)]
        action = rule.one("Action").lower()
        if services and action in _MEANINGS and rule.active and not rule.run_id:
            what = f"the {rule.store} {action.title()} rule {_called(rule)} names {', '.join(services)}"
            yield f"{what}: {_MEANINGS[action]}"


_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "allow": "our block overrides it for everybody whom the policy does not allow, until a rollback",
        "block": "part of it is blocked already, also to those whom the policy allows; that rule stays, after"
        " a rollback too",
    }
)


def _called(rule: RegistryRule) -> str:
    """Return what cmdlets call a rule, and what the console shows unless that is a text of Windows' own."""
    title = rule.one("Name")
    return rule.name if title in {"", rule.name} or title.startswith("@") else f'{rule.name} "{title}"'


HAZARDS: Mapping[str, Callable[[WindowsCircumstances], Iterator[str]]] = MappingProxyType(
    {
        "rule-would-not-be-enforced": not_enforced,
        "action-ignored": ignored_action,
        "bjnp-client": bjnp_client,
        "other-rule-on-port": other_rule_on_port,
        "prints-elsewhere": prints_elsewhere,
        "rule-shadowed": rule_shadowed,
        "shielded": shielded,
        "unproven": controller_on_host,
    }
)


def enforcement_problems(facts: WindowsFacts, name: str) -> Iterator[str]:
    """Say why the active store does not enforce a rule of ours; nothing where it does."""
    status = tuple(word.strip().lower() for word in facts.enforced.get(name, ()))
    if not status:
        yield f"rule {name} is not in the active store"
        return
    other = [word for word in status if word not in FULL and word not in INACTIVE]
    if other:
        words = ", ".join(STATUS_WORDS.get(word, f"status {word}") for word in other)
        yield f"rule {name} is not enforced: {words}"
    elif not any(word in FULL for word in status):
        yield f"rule {name} is enforced in no profile in use"
