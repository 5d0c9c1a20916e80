"""The Windows driver: block rules of our own in the local store of the host's firewall. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from types import MappingProxyType

from fwfix import __version__
from fwfix.drivers.answers import read_changing_answer
from fwfix.drivers.base import Answer, Judgement, Stamp
from fwfix.drivers.plain_words import services_word, to_plain_word
from fwfix.drivers.windows_assumed import assumed_observation
from fwfix.drivers.windows_facts import WindowsFacts, facts_of
from fwfix.drivers.windows_fingerprint import windows_fingerprint
from fwfix.drivers.windows_hazards import (
    WindowsCircumstances,
    enforcement_problems,
    find_windows_hazards,
    not_enforced,
    rule_shadowed,
)
from fwfix.drivers.windows_inherited import blocked_by, inherited_of
from fwfix.drivers.windows_observation import read_windows_observation
from fwfix.drivers.windows_rules import differences
from fwfix.errors import ScriptError
from fwfix.fingerprint import fingerprint_of
from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host
from fwfix.model.observation import Observation, RunRecord, in_force
from fwfix.model.plan import Change, ChangeOp, HostPlan
from fwfix.model.policy import Address, Family, Protection, Protocol, Service
from fwfix.model.runid import RUN_ID
from fwfix.model.script import Invocation, Result, Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.windows import (
    WindowsContext,
    WindowsRule,
    make_rules,
    observe_script,
    read_rules,
    rollback_script,
    windows_scripts,
)

BACKEND = "netsecurity"
_LONGEST_WORD = 200


class WindowsDriver:
    """Says what to run on a Windows host, and reads what came back."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._observe = observe_script(renderer)
        self._rollback = rollback_script(renderer)
        # Hosts that need the same get the same scripts; a fleet has few kinds of hosts.
        self._rendered: dict[WindowsContext, Mapping[str, Script]] = {}

    def observe(self, services: Sequence[Service]) -> Invocation:
        """Return the read-only script that looks at a host."""
        return Invocation(script=self._observe, arguments=(services_word(tuple(services)),))

    def read_observation(self, result: Result, *, direct: bool = True) -> Observation:
        """Read what `observe` answered."""
        return read_windows_observation(result, direct=direct)

    def assume(self, host: Host) -> Observation:
        """Return an ordinary host: firewall on in every profile, nobody's rules."""
        return assumed_observation(host)

    def draft(self, desired: Desired) -> Draft:
        """Say what would change on a host, with scripts and the platform's own hazards."""
        observation, facts = desired.observation, facts_of(desired.observation)
        if facts.place:
            raise ScriptError(
                f"the folder of fwfix's records cannot be trusted: {facts.place}",
                next="Remove that folder on the host, after a look at what is in it.",
                code="foreign-record",
            )
        standing = in_force(observation.records)
        missing = _missing(facts, standing, desired.protections)
        in_place = not missing
        run_id = standing.run_id if standing is not None and in_place else desired.run_id
        rules = make_rules(run_id, desired.protections)
        seen = _circumstances(observation, desired.protections, rules)
        passing = (*_unenforced(facts, rules if in_place else ()), *_passing_by(seen))
        return Draft(
            backend=BACKEND,
            in_place=in_place,
            problems=(*missing, *passing),
            supersedes=standing.run_id if standing and not in_place else "",
            fingerprint=windows_fingerprint(seen, desired.host),
            changes=() if in_place else tuple(_changes(facts, rules, standing)),
            hazards=find_windows_hazards(seen),
            scripts=MappingProxyType(dict(self._render(run_id, desired.protections))),
            probe_addresses=_probe_addresses(desired.host, observation),
            protected=_protected(facts, standing),
        )

    def _render(self, run_id: str, protections: tuple[Protection, ...]) -> Mapping[str, Script]:
        context = WindowsContext(
            run_id=run_id,
            protections=protections,
            fwfix_version=__version__,
            desired=desired_digest(protections),
        )
        if context not in self._rendered:
            self._rendered[context] = windows_scripts(self._renderer, context)
        return self._rendered[context]

    def arm(self, plan: HostPlan, *, seconds: int, stamp: Stamp) -> Invocation:
        """Return the script that gives the host its rollback and its timer."""
        words = (stamp.operator, stamp.controller, stamp.ticket)
        return Invocation(
            script=_script(plan, "arm"),
            arguments=(str(seconds), *(to_plain_word(word[:_LONGEST_WORD]) for word in words)),
        )

    def apply(self, plan: HostPlan, *, probe_sources: Sequence[Address]) -> Invocation:
        """Return the script that makes the rules; Windows counts no packets, so no source needs its own."""
        del probe_sources
        return Invocation(script=_script(plan, "apply"))

    def confirm(self, plan: HostPlan) -> Invocation:
        """Return the script that commits the run."""
        return Invocation(script=_script(plan, "confirm"))

    def rollback(self, run_id: str) -> Invocation:
        """Return the script that undoes a run by the host's own record; needs no plan."""
        return Invocation(script=self._rollback, arguments=(run_id,))

    def read_answer(self, result: Result) -> Answer:
        """Read what arm, apply, confirm or rollback answered."""
        return read_changing_answer(result)

    def judge(self, plan: HostPlan, run_id: str, observation: Observation) -> Judgement:
        """Compare the rules of a run on a host with what the plan wants there."""
        facts, rules = facts_of(observation), wanted_of(plan.scripts, run_id)
        accepted = frozenset(hazard.code for hazard in plan.hazards)
        seen = _circumstances(observation, plan.protections, rules)
        by_rule = {rule.name: (*_differences(facts, rule), *_unenforced(facts, (rule,))) for rule in rules}
        strange = _strangers(facts, run_id, rules)
        general = tuple(_passing_by(seen, but=accepted))
        sound = [rule for rule in rules if not by_rule[rule.name]]
        return Judgement(
            problems=(*(problem for found in by_rule.values() for problem in found), *strange, *general),
            enforced=frozenset() if general else frozenset(_ports_of(sound)),
            inherited=frozenset(inherited_of(observation, plan)),
        )

    def is_clear(self, plan: HostPlan, run_id: str, observation: Observation) -> bool:
        """Tell whether an observation shows for certain that a host has no rule of a run."""
        del plan  # an answer without all rules is no observation
        return not any(facts_of(observation).of_run(run_id))


def _circumstances(
    observation: Observation, protections: Sequence[Protection], rules: Sequence[WindowsRule]
) -> WindowsCircumstances:
    return WindowsCircumstances(
        observation=observation, facts=facts_of(observation), protections=protections, rules=rules
    )


def wanted_of(scripts: Mapping[str, Script], run_id: str) -> tuple[WindowsRule, ...]:
    """Return the rules in a plan's scripts, as they would be for another run id.

    Raises:
        ScriptError: the plan carries no rules.
    """
    try:
        return read_rules(RUN_ID.sub(run_id, scripts["rules.json"].text))
    except (KeyError, ValueError, TypeError) as exc:
        raise ScriptError("the plan carries no rules for this host", next="Plan again.") from exc


def desired_digest(protections: Sequence[Protection]) -> str:
    """Return a digest of what is asked for, for the host's record."""
    return fingerprint_of(
        {"protections": [[str(p.service), [str(network) for network in p.allowed]] for p in protections]}
    )


def _missing(
    facts: WindowsFacts, standing: RunRecord | None, protections: Sequence[Protection]
) -> tuple[str, ...]:
    """Say why the run in force is not all that is wanted."""
    if standing is None:
        return ("no run of fwfix is in force on this host",) if protections else ()
    rules = make_rules(standing.run_id, protections)
    found = [problem for rule in rules for problem in _differences(facts, rule)]
    return (*found, *_strangers(facts, standing.run_id, rules))


def _differences(facts: WindowsFacts, wanted: WindowsRule) -> Iterator[str]:
    rule = facts.local(wanted.name)
    if rule is None:
        yield f"rule {wanted.name} is missing"
        return
    for difference in differences(rule, wanted):
        yield f"rule {wanted.name} {difference}"


def _strangers(facts: WindowsFacts, run_id: str, wanted: Sequence[WindowsRule]) -> tuple[str, ...]:
    names = {rule.name for rule in wanted}
    return tuple(
        f"rule {rule.name} is not what the policy asks for"
        for rule in facts.of_run(run_id)
        if rule.name not in names and rule.active
    )


def _unenforced(facts: WindowsFacts, rules: Sequence[WindowsRule]) -> Iterator[str]:
    for rule in rules:
        if facts.local(rule.name) is not None:
            yield from enforcement_problems(facts, rule.name)


def _passing_by(seen: WindowsCircumstances, *, but: frozenset[str] = frozenset()) -> Iterator[str]:
    """Say what lets packets in although our rules stand as wanted; `but` are codes that were accepted."""
    if "rule-would-not-be-enforced" not in but:
        yield from not_enforced(seen)
    if "rule-shadowed" not in but:
        yield from rule_shadowed(seen)


def _changes(
    facts: WindowsFacts, rules: Sequence[WindowsRule], standing: RunRecord | None
) -> Iterator[Change]:
    for rule in rules:
        families = rule.families
        text = (
            f"-Name {rule.name} -Direction Inbound -Action Block -Protocol {rule.protocol}"
            f" -LocalPort {rule.port} -RemoteAddress ({rule.who})"
        )
        family = families[0] if len(families) == 1 else None
        yield Change(op=ChangeOp.ADD, object="rule", family=family, text=text)
    for old in facts.of_run(standing.run_id) if standing is not None else ():
        if old.active:
            text = f"-Name {old.name} (disabled; a rollback enables it again)"
            yield Change(op=ChangeOp.REMOVE, object="rule", family=None, text=text)


def _ports_of(rules: Sequence[WindowsRule]) -> Iterator[tuple[Family, Protocol, int]]:
    for rule in rules:
        for port in rule.service.ports:
            for family in rule.families:
                yield family, rule.service.protocol, port


def _protected(facts: WindowsFacts, standing: RunRecord | None) -> frozenset[tuple[Protocol, int]]:
    """Return the ports that the rules of the run in force block, as they stand."""
    rules = facts.of_run(standing.run_id) if standing is not None else ()
    return frozenset(pair for rule in rules if rule.active for pair in blocked_by(rule))


def _probe_addresses(host: Host, observation: Observation) -> tuple[Address, ...]:
    """Return the addresses to probe: the one we came to, the other family's, and those of the inventory."""
    found: list[Address] = []
    with suppress(ValueError):  # a name: the host's own addresses stand for it
        found.append(ip_address(host.address))
    for family in Family:
        if not any(Family.of(address) is family for address in found):
            found.extend([address for address in observation.addresses if Family.of(address) is family][:1])
    return tuple(dict.fromkeys((*found, *host.probe_addresses)))


def _script(plan: HostPlan, name: str) -> Script:
    try:
        return plan.scripts[name]
    except KeyError:
        raise ScriptError(f"the plan carries no script {name!r} for this host", next="Plan again.") from None
