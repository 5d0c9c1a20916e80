"""What is in force: profiles merged from local settings and group policy, and the rules of all stores."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network

from fwfix.lab.windows.model.knobs import PROFILES, Knobs
from fwfix.lab.windows.model.rules import Rule

FULL, OFF, DISABLED, INACTIVE, PORT_DISALLOWED, LOCAL_DISALLOWED = 1, 2, 4, 5, 14, 16
LOCAL, GROUP_POLICY = "Local", "GroupPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A profile; None is NotConfigured.

    Attributes:
        allow_inbound: False shields the host.
        allow_local_rules, allow_user_ports: only group policy can say no.
    """

    name: str
    enabled: bool | None = None
    default_inbound: str | None = None
    default_outbound: str | None = None
    allow_inbound: bool | None = None
    allow_local_rules: bool | None = None
    allow_user_ports: bool | None = None
    disabled_interfaces: tuple[str, ...] = ()
    log_blocked: bool | None = None

    def over(self, below: "Profile") -> "Profile":
        """Return this one with what it leaves open from another."""
        found = {
            name: getattr(self, name) if getattr(self, name) is not None else getattr(below, name)
            for name in (
                "enabled", "default_inbound", "default_outbound", "allow_inbound", "allow_local_rules",
                "allow_user_ports", "log_blocked",
            )
        }  # fmt: skip
        aliases = self.disabled_interfaces or below.disabled_interfaces
        return Profile(name=self.name, disabled_interfaces=aliases, **found)


DEFAULTS = {
    name: Profile(
        name=name,
        enabled=True,
        default_inbound="Block",
        default_outbound="Allow",
        allow_inbound=True,
        allow_local_rules=True,
        allow_user_ports=True,
        log_blocked=False,
    )
    for name in PROFILES
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface with the network behind it.

    Attributes:
        device: its name in the twin's namespace.
        category: Public, Private or DomainAuthenticated.
    """

    alias: str = "Ethernet"
    device: str = "eth0"
    index: int = 4
    category: str = "Private"
    network: str = "Network"
    addresses: tuple[str, ...] = ()
    subnets: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def profile(self) -> str:
        """The profile that its traffic meets."""
        return "Domain" if self.category == "DomainAuthenticated" else self.category


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRule:
    """A rule of the active store, with where it comes from and what it does."""

    rule: Rule
    source: str
    status: tuple[int, ...]

    @property
    def enforced(self) -> bool:
        """Whether it has an effect in some profile."""
        return FULL in self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that decides about packets, at one moment."""

    running: bool
    profiles: tuple[Profile, ...]
    interfaces: tuple[Interface, ...]
    local: tuple[Rule, ...]
    group: tuple[Rule, ...]

    def profile(self, name: str) -> Profile:
        """Return a profile in force."""
        return next(profile for profile in self.profiles if profile.name == name)

    def active(self) -> tuple[ActiveRule, ...]:
        """Return the active store: a rule of group policy hides the local one of its name."""
        hidden = {rule.name.lower() for rule in self.group}
        found = [
            ActiveRule(rule=rule, source=GROUP_POLICY, status=self.status(rule, GROUP_POLICY))
            for rule in self.group
        ]
        found += [
            ActiveRule(rule=rule, source=LOCAL, status=self.status(rule, LOCAL))
            for rule in self.local
            if rule.name.lower() not in hidden
        ]
        return tuple(found)

    def status(self, rule: Rule, source: str) -> tuple[int, ...]:
        """Return a rule's EnforcementStatus, as MS-FASP numbers it."""
        if not rule.enabled:
            return (DISABLED,)
        current = {interface.profile for interface in self.interfaces}
        found = {
            self._status_in(rule, source, profile, current=profile.name in current)
            for profile in self.profiles
            if rule.applies_in(profile.name)
        }
        return tuple(sorted(found))

    def _status_in(self, rule: Rule, source: str, profile: Profile, *, current: bool) -> int:
        if not current:
            return INACTIVE
        if not profile.enabled:
            return OFF
        if source == LOCAL and not profile.allow_local_rules:
            return LOCAL_DISALLOWED
        if source == LOCAL and not profile.allow_user_ports and rule.is_single_port:
            return PORT_DISALLOWED
        return FULL


def local_profiles(knobs: Knobs) -> dict[str, Profile]:
    """Return what the local store says about the profiles."""
    return {
        name: Profile(
            name=name,
            enabled=name not in knobs.profiles_off,
            default_inbound=None if knobs.default_inbound == "Block" else knobs.default_inbound,
            allow_inbound=False if knobs.shielded else None,
            disabled_interfaces=knobs.excluded_interfaces,
        )
        for name in PROFILES
    }


def group_profiles(knobs: Knobs) -> dict[str, Profile]:
    """Return what group policy says about the profiles."""
    return {
        name: Profile(
            name=name,
            enabled=False if name in knobs.gpo_profiles_off else None,
            allow_local_rules=False if knobs.gpo_merge_off else None,
            allow_user_ports=False if knobs.user_ports_off else None,
        )
        for name in PROFILES
    }


def in_force(group: Profile, local: Profile) -> Profile:
    """Merge: group policy over local settings over what Windows does by default."""
    return replace(group.over(local.over(DEFAULTS[group.name])))
