"""The knobs of a twin: everything about a host that can be unlike the plain one."""

from dataclasses import dataclass
from datetime import timedelta

PROFILES = ("Domain", "Private", "Public")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What is unusual on a host.

    Attributes:
        gpo_merge_off: group policy forbids local rules (AllowLocalPolicyMerge=0).
        user_ports_off: group policy ignores local rules of one port, no program, no service.
        profiles_off: profiles whose firewall is off.
        gpo_profiles_off: profiles that group policy switches off.
        mpssvc_down: the firewall service does not run.
        excluded_interfaces: DisabledInterfaceAliases.
        shielded: AllowInboundRules is False: all unsolicited inbound traffic is blocked.
        gpo_rules: rules of group policy, by name, as registry strings; one of the name of a local rule wins.
        other_rules: rules that others made in the local store, as registry strings.
        n_rules: so many more rules of no interest, for tests of speed.
        seconds_per_rule: what every firewall cmdlet takes, for each rule of the host.
        ps_version: 3.0, 4.0 or 5.1.
        constrained: ConstrainedLanguage, as AppLocker and WDAC set it.
        execution_policy: what Get-ExecutionPolicy says.
        not_admin: the account has no administrator's token (UAC's remote filter, for example).
        clock_skew: how far the host's clock is ahead.
        locale: language of the messages: en-US or de-DE.
        on_battery: the host runs on battery.
        category: of the network: Public, Private or DomainAuthenticated.
        default_inbound: DefaultInboundAction of all profiles: Block or Allow.
    """

    gpo_merge_off: bool = False
    user_ports_off: bool = False
    profiles_off: tuple[str, ...] = ()
    gpo_profiles_off: tuple[str, ...] = ()
    mpssvc_down: bool = False
    excluded_interfaces: tuple[str, ...] = ()
    shielded: bool = False
    gpo_rules: tuple[tuple[str, str], ...] = ()
    other_rules: tuple[tuple[str, str], ...] = ()
    n_rules: int = 0
    seconds_per_rule: float = 0.0
    ps_version: str = "5.1"
    constrained: bool = False
    execution_policy: str = "RemoteSigned"
    not_admin: bool = False
    clock_skew: timedelta = timedelta()
    locale: str = "en-US"
    on_battery: bool = False
    category: str = "Private"
    default_inbound: str = "Block"
