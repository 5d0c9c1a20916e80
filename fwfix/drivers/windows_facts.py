"""What only the Windows driver knows about a host: profiles, rules of every store, who prints where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fwfix.drivers.windows_rules import RegistryRule
from fwfix.model.observation import Observation

# EnforcementStatus: names in one version of Windows, numbers in another; another word is no proof (MS-FASP).
FULL = frozenset({"1", "full", "enforced", "ok"})
STATUS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "2": "the firewall is off in the profile",
        "3": "its category is off",
        "4": "it is disabled",
        "14": "group policy ignores local rules for single ports",
        "15": "group policy ignores local rules for programs",
        "16": "group policy forbids local rules",
        "18": "it is not for this platform",
        "19": "it was optimised out",
        "24": "it is a duplicate",
        "firewalloffinprofile": "the firewall is off in the profile",
        "profileoff": "the firewall is off in the profile",
        "localfirewallrulesdisallowed": "group policy forbids local rules",
        "localglobalopenportsdisallowed": "group policy ignores local rules for single ports",
    }
)
# A profile that no network of the host has says nothing (3.3).
INACTIVE = frozenset({"5", "inactiveprofile", "profileinactive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profile as it is in force, group policy merged in; texts as PowerShell says them."""

    name: str
    enabled: str = "True"
    default_inbound: str = ""
    allow_inbound: str = ""
    allow_local_rules: str = ""
    allow_user_ports: str = ""
    disabled_interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that an interface is connected to."""

    interface: str
    category: str

    @property
    def profile(self) -> str:
        """The profile that its packets meet; empty for a category that is not known."""
        return _PROFILES.get(self.category, "")


_PROFILES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("Public", "0"), "Public"),
        **dict.fromkeys(("Private", "1"), "Private"),
        **dict.fromkeys(("DomainAuthenticated", "2"), "Domain"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """A printer that this host prints to over TCP: outbound, which no rule of ours touches."""

    name: str
    address: str
    port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsFacts:
    """What `observe` found, parsed.

    Attributes:
        services: status by name, of those that the firewall and the timer need.
        rules: active inbound rules of every store, and all of ours.
        enforced: EnforcementStatus of our rules in the active store, by name.
        products: other firewalls that the security center knows.
        place: what is wrong with the folder of our records; empty if nothing is.
        troubles: parts of the system that could not be asked, and what they said.
    """

    os_name: str = ""
    os_version: str = ""
    ps_version: str = ""
    services: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    profiles: tuple[Profile, ...] = ()
    networks: tuple[Network, ...] = ()
    rules: tuple[RegistryRule, ...] = ()
    enforced: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    printers: tuple[Printer, ...] = ()
    products: tuple[str, ...] = ()
    execution_policy: str = ""
    place: str = ""
    troubles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def profiles_in_use(self) -> tuple[Profile, ...]:
        """The profiles of the networks that the host is connected to; all of them where that is not known."""
        used = {network.profile for network in self.networks}
        known = bool(used) and "" not in used
        return tuple(profile for profile in self.profiles if not known or profile.name in used)

    def local(self, name: str) -> RegistryRule | None:
        """Return a rule of the local store."""
        return next((rule for rule in self.rules if rule.store == "local" and rule.name == name), None)

    def of_run(self, run_id: str) -> Iterator[RegistryRule]:
        """Yield the rules of a run in the local store."""
        for rule in self.rules:
            if rule.store == "local" and rule.run_id == run_id:
                yield rule


def facts_of(observation: Observation) -> WindowsFacts:
    """Return the Windows part of an observation.

    Raises:
        TypeError: it was made by another driver.
    """
    if not isinstance(observation.facts, WindowsFacts):
        raise TypeError("this observation was not made by the Windows driver")
    return observation.facts
