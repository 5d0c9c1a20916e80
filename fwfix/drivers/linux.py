"""The Linux driver: our own chain in the host's iptables, or our own nft table. No I/O."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType

from fwfix import __version__
from fwfix.drivers.answers import read_changing_answer
from fwfix.drivers.backend import Backend, choose_backend
from fwfix.drivers.base import Answer, Judgement, Stamp
from fwfix.drivers.linux_assumed import assumed_observation
from fwfix.drivers.linux_diff import changes_between
from fwfix.drivers.linux_facts import LinuxFacts, facts_of
from fwfix.drivers.linux_fingerprint import linux_fingerprint
from fwfix.drivers.linux_hazards import LinuxCircumstances, find_linux_hazards, passing_by
from fwfix.drivers.linux_observation import read_linux_observation
from fwfix.drivers.plain_words import NONE, services_word, to_plain_word
from fwfix.drivers.published import published_ports
from fwfix.drivers.standing import Wanted, counters, differences, live_rules, protected_by
from fwfix.errors import ScriptError
from fwfix.fingerprint import fingerprint_of
from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host
from fwfix.model.observation import Observation, PublishedPort, RunRecord, in_force
from fwfix.model.plan import HostPlan
from fwfix.model.policy import Address, Family, Protection, Service
from fwfix.model.runid import RUN_ID
from fwfix.model.script import Invocation, Result, Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.linux import LinuxContext, linux_scripts, observe_script, rollback_script

RULES = MappingProxyType({Family.IPV4: "rules.v4", Family.IPV6: "rules.v6"})
_LONGEST_WORD = 200


class LinuxDriver:
    """Says what to run on a Linux host, and reads what came back."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._observe = observe_script(renderer)
        self._rollback = rollback_script(renderer)
        # Hosts that need the same get the same scripts; a fleet has few kinds of hosts.
        self._rendered: dict[tuple[object, ...], Mapping[str, Script]] = {}

    def observe(self, services: Sequence[Service]) -> Invocation:
        """Return the read-only script that looks at a host."""
        return Invocation(script=self._observe, arguments=(services_word(tuple(services)),))

    def read_observation(self, result: Result, *, direct: bool = True) -> Observation:
        """Read what `observe` answered."""
        return read_linux_observation(result, direct=direct)

    def assume(self, host: Host) -> Observation:
        """Return an ordinary host: iptables in both families, systemd, nobody's rules."""
        return assumed_observation(host)

    def draft(self, desired: Desired) -> Draft:
        """Say what would change on a host, with scripts and the platform's own hazards."""
        observation, facts = desired.observation, facts_of(desired.observation)
        services = [protection.service for protection in desired.protections]
        backend = choose_backend(facts, services)
        seen = _circumstances(observation, backend, desired.protections)
        standing = in_force(observation.records)
        scripts, problems = self._scripts(desired, seen, standing)
        in_place = not problems
        changes = () if in_place else changes_between(facts, scripts, supersedes=standing)
        return Draft(
            backend=backend,
            in_place=in_place,
            problems=(*problems, *passing_by(seen)),
            supersedes=standing.run_id if standing and not in_place else "",
            fingerprint=linux_fingerprint(seen),
            changes=changes,
            hazards=find_linux_hazards(seen),
            scripts=scripts,
            probe_addresses=_probe_addresses(desired.host, observation),
            protected=protected_by(facts, standing.run_id) if standing else frozenset(),
        )

    def _scripts(
        self, desired: Desired, seen: LinuxCircumstances, standing: RunRecord | None
    ) -> tuple[Mapping[str, Script], tuple[str, ...]]:
        """Return the scripts of the run in force where it is all that is wanted, else those of this run."""
        if standing is None:
            lacking = ("no run of fwfix is in force on this host",) if seen.protections else ()
            return self._render(desired.run_id, seen), lacking
        there = self._render(standing.run_id, seen)
        problems = _problems(seen, standing, there)
        return (there if not problems else self._render(desired.run_id, seen)), problems

    def _render(self, run_id: str, seen: LinuxCircumstances) -> Mapping[str, Script]:
        facts, backend = seen.facts, seen.backend
        iptables = facts.tools.get("iptables", "") if backend is Backend.IPTABLES else ""
        ip6tables = facts.tools.get("ip6tables", "") if iptables and Family.IPV6 in facts.saves else ""
        families, covered = _families(facts, backend), tuple(port for port in seen.published if port.covered)
        key = (run_id, backend, families, covered, iptables, ip6tables, *seen.protections)
        if key not in self._rendered:
            context = LinuxContext(
                run_id=run_id,
                backend="iptables" if backend is Backend.IPTABLES else "nft",
                protections=tuple(seen.protections),
                families=families,
                published=covered,
                iptables=iptables,
                ip6tables=ip6tables,
                fwfix_version=__version__,
                desired=desired_digest(seen.protections, seen.published),
            )
            self._rendered[key] = MappingProxyType(linux_scripts(self._renderer, context))
        return self._rendered[key]

    def arm(self, plan: HostPlan, *, seconds: int, stamp: Stamp) -> Invocation:
        """Return the script that gives the host its rollback and its timer."""
        words = (stamp.operator, stamp.controller, stamp.ticket)
        return Invocation(
            script=_script(plan, "arm"),
            arguments=(str(seconds), *(to_plain_word(word[:_LONGEST_WORD]) for word in words)),
        )

    def apply(self, plan: HostPlan, *, probe_sources: Sequence[Address]) -> Invocation:
        """Return the script that loads the rules."""
        by_family = (
            ",".join(str(address) for address in probe_sources if address.version == family.version)
            for family in (Family.IPV4, Family.IPV6)
        )
        return Invocation(
            script=_script(plan, "apply"), arguments=tuple(addresses or NONE for addresses in by_family)
        )

    def confirm(self, plan: HostPlan) -> Invocation:
        """Return the script that makes the rules persist and commits the run."""
        return Invocation(script=_script(plan, "confirm"))

    def rollback(self, run_id: str) -> Invocation:
        """Return the script that undoes a run by the host's own record; needs no plan."""
        return Invocation(script=self._rollback, arguments=(run_id,))

    def read_answer(self, result: Result) -> Answer:
        """Read what arm, apply, confirm or rollback answered."""
        return read_changing_answer(result)

    def judge(self, plan: HostPlan, run_id: str, observation: Observation) -> Judgement:
        """Compare the rules of a run on a host with what the plan wants there, and read their counters."""
        facts, wanted = facts_of(observation), wanted_of(plan.scripts, run_id)
        seen = _circumstances(observation, wanted.backend, plan.protections)
        accepted = frozenset(hazard.code for hazard in plan.hazards)
        return Judgement(
            problems=(
                *differences(facts, wanted, plan.protections),
                *passing_by(seen, but=accepted),
            ),
            counters=counters(facts, run_id),
            uncovered=_uncovered(wanted) if "family-unprotected" in accepted else frozenset(),
        )

    def is_clear(self, plan: HostPlan, run_id: str, observation: Observation) -> bool:
        """Tell whether an observation shows for certain that a host has no rule of a run."""
        facts = facts_of(observation)
        seen = all(family in facts.saves for family, name in RULES.items() if name in plan.scripts)
        return bool(plan.scripts) and seen and not any(live_rules(facts, run_id))


def _uncovered(wanted: Wanted) -> frozenset[Family]:
    """Return the families that the rules leave out, because the host has no tool for them (B7)."""
    return frozenset() if wanted.backend is Backend.NFT else frozenset(Family) - frozenset(wanted.saves)


def _circumstances(
    observation: Observation, backend: Backend, protections: tuple[Protection, ...]
) -> LinuxCircumstances:
    facts = facts_of(observation)
    services = [protection.service for protection in protections]
    return LinuxCircumstances(
        observation=observation,
        facts=facts,
        backend=backend,
        protections=protections,
        published=published_ports(facts, backend, services),
    )


def wanted_of(scripts: Mapping[str, Script], run_id: str) -> Wanted:
    """Return the rules in a plan's scripts, as they would be for another run id.

    Raises:
        ScriptError: the plan carries no rules.
    """
    if "rules.nft" in scripts:
        text = _for_run(run_id, scripts["rules.nft"].text)
        return Wanted(backend=Backend.NFT, run_id=run_id, saves={}, nft=text)
    saves = {
        family: _for_run(run_id, scripts[name].text) for family, name in RULES.items() if name in scripts
    }
    if not saves:
        raise ScriptError("the plan carries no rules for this host", next="Plan again.")
    return Wanted(backend=Backend.IPTABLES, run_id=run_id, saves=saves)


@lru_cache(maxsize=64)
def _for_run(run_id: str, rules: str) -> str:
    """Return rules of a run as another would have them; the hosts of a fleet have the same few."""
    return RUN_ID.sub(run_id, rules)


def desired_digest(protections: Sequence[Protection], published: Sequence[PublishedPort]) -> str:
    """Return a digest of what is asked for, for the host's record."""
    return fingerprint_of(
        {
            "protections": [
                [str(p.service), [str(n) for n in p.allowed], p.action.value, p.log] for p in protections
            ],
            "published": [[p.protocol.value, p.family.value, p.port] for p in published if p.covered],
        }
    )


def _problems(
    seen: LinuxCircumstances, standing: RunRecord, scripts: Mapping[str, Script]
) -> tuple[str, ...]:
    found = list(differences(seen.facts, wanted_of(scripts, standing.run_id), seen.protections))
    if seen.facts.persistable and not seen.facts.boot_unit:
        found.append("the boot unit of fwfix is missing or not enabled: the rules would not survive a reboot")
    return tuple(found)


def _families(facts: LinuxFacts, backend: Backend) -> tuple[Family, ...]:
    return tuple(family for family in Family if backend is Backend.NFT or family in facts.saves)


def _probe_addresses(host: Host, observation: Observation) -> tuple[Address, ...]:
    """Return the addresses to probe: the one we came to, the other family's, and those of the inventory."""
    facts = facts_of(observation)
    try:
        first: Address | None = ip_address(host.address)
    except ValueError:  # a name: the host says which of its addresses we came to
        first = facts.local_address
    found: list[Address] = [first] if first is not None else []
    for family in Family:
        if first is None or Family.of(first) is not family:
            found.extend([address for address in observation.addresses if Family.of(address) is family][:1])
    return tuple(dict.fromkeys((*found, *host.probe_addresses)))


def _script(plan: HostPlan, name: str) -> Script:
    try:
        return plan.scripts[name]
    except KeyError:
        raise ScriptError(f"the plan carries no script {name!r} for this host", next="Plan again.") from None
