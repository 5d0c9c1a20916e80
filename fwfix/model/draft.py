"""What planning asks of a platform for one host, and what the platform proposes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fwfix.model.hazard import Hazard
from fwfix.model.host import Host
from fwfix.model.observation import Observation
from fwfix.model.plan import Change
from fwfix.model.policy import Address, Protection, Protocol
from fwfix.model.script import Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What planning asks of a driver for one host."""

    host: Host
    run_id: str
    protections: tuple[Protection, ...]
    observation: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a driver proposes for one host.

    Attributes:
        in_place: the run in force does already what is wanted; there is nothing to change.
        problems: why it is not in place, for `verify`: what is missing, edited, not persistent, or in front.
        supersedes: the run that this one would replace; empty if none.
        fingerprint: digest of what decided this draft and must still hold at apply (contract 6).
        hazards: those that only the platform can see; planning adds the others.
        scripts: by name; where everything is in place, those of the run in force.
        probe_addresses: where our rules can be tested from outside, in each family where possible.
        protected: the ports that the run in force blocks.
    """

    backend: str
    in_place: bool
    problems: tuple[str, ...]
    supersedes: str
    fingerprint: str
    changes: tuple[Change, ...]
    hazards: tuple[Hazard, ...]
    scripts: Mapping[str, Script]
    probe_addresses: tuple[Address, ...]
    protected: frozenset[tuple[Protocol, int]] = field(default_factory=frozenset)
