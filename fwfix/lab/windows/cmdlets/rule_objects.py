"""Firewall rules and what belongs to them as PowerShell shows them."""

from dataclasses import dataclass

from fwfix.lab.windows.cmdlets import types
from fwfix.lab.windows.cmdlets.base import Scene, scalar
from fwfix.lab.windows.cmdlets.types import named
from fwfix.lab.windows.model.policy import ActiveRule, Profile
from fwfix.lab.windows.model.rules import BYPASS
from fwfix.lab.windows.powershell import Array, EnumValue, NotInDialect, PSObject, cim_instance

# PowerShell shows names for the numbers of MS-FASP. Enforced and ProfileInactive are seen in the field; the
# others are not known, and those of MS-FASP stand here.
STATUS_WORDS = {
    1: "Enforced", 2: "FirewallOffInProfile", 4: "DisabledObject", 5: "ProfileInactive",
    14: "LocalGlobalOpenPortsDisallowed", 16: "LocalFirewallRulesDisallowed",
}  # fmt: skip
_PROFILE_BITS = {"Domain": 1, "Private": 2, "Public": 4}


# The default view of a rule; the blank lines around it are about right.
_VIEW = (
    "Name", "DisplayName", "Description", "DisplayGroup", "Group", "Enabled", "Profile", "Platform",
    "Direction", "Action", "EdgeTraversalPolicy", "LooseSourceMapping", "LocalOnlyMapping", "Owner",
    "PrimaryStatus", "Status", "EnforcementStatus", "PolicyStoreSource", "PolicyStoreSourceType",
)  # fmt: skip
_PARSED = "The rule was parsed successfully from the store. (65536)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleData:
    """What a rule's object stands for."""

    active: ActiveRule
    store: str

    def printed(self, value: PSObject) -> str:
        """Return the rule as the console shows it."""
        width = max(len(name) for name in _VIEW)
        lines = [f"{name:{width}} : {_shown(value.get(name))}" for name in _VIEW]
        return "\n" + "\n".join(lines) + "\n\n\n"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Array):
        return "{" + ", ".join(str(item) for item in value.items) + "}"
    if isinstance(value, EnumValue):
        names = [name for name, bit in value.kind.members if bit and value.number & bit == bit]
        return value.kind.name_of(value.number) or ", ".join(names)
    return str(value)


def rule_object(active: ActiveRule, store: str) -> PSObject:
    """Return MSFT_NetFirewallRule."""
    rule = active.rule
    if rule.action == BYPASS:
        raise NotInDialect("a rule with authenticated bypass, as an object")
    bits = sum(_PROFILE_BITS[name] for name in rule.profiles)
    words = Array([STATUS_WORDS[number] for number in active.status], "System.String")
    healthy = not active.status or active.enforced
    pairs: list[tuple[str, object]] = [
        ("Name", rule.name),
        ("ID", rule.name),
        ("InstanceID", rule.name),
        ("DisplayName", rule.display_name),
        ("ElementName", rule.display_name),
        ("Description", rule.description or None),
        ("Group", rule.group or None),
        ("RuleGroup", rule.group or None),
        ("DisplayGroup", rule.group or None),
        ("Enabled", named(types.ENABLED, str(rule.enabled))),
        ("Profile", EnumValue(types.PROFILE, bits)),
        ("Platform", Array([], "System.String")),
        ("Direction", named(types.DIRECTION, "Inbound" if rule.inbound else "Outbound")),
        ("Action", named(types.ACTION, rule.action)),
        ("EdgeTraversalPolicy", named(types.EDGE, "Block")),
        ("LooseSourceMapping", False),
        ("LocalOnlyMapping", False),
        ("Owner", None),
        ("PrimaryStatus", named(types.PRIMARY_STATUS, "OK" if healthy else "Inactive")),
        ("Status", _PARSED if healthy else None),
        ("EnforcementStatus", words if active.status else "NotApplicable"),
        ("PolicyStoreSource", _source(active)),
        ("PolicyStoreSourceType", named(types.STORE_TYPE, active.source)),
    ]
    return cim_instance("MSFT_NetFirewallRule", pairs, data=RuleData(active=active, store=store))


def _source(active: ActiveRule) -> str:
    return "PersistentStore" if active.source == "Local" else "Group Policy"


def port_filter(active: ActiveRule, version: str) -> PSObject:
    """Return MSFT_NetProtocolPortFilter."""
    rule = active.rule
    dynamic = "DynamicTransport" if version == "3.0" else "DynamicTarget"
    pairs: list[tuple[str, object]] = [
        ("InstanceID", rule.name),
        ("Protocol", rule.protocol_word),
        ("LocalPort", scalar(rule.local_ports)),
        ("RemotePort", scalar(rule.remote_ports)),
        ("IcmpType", "Any"),
        (dynamic, named(types.DYNAMIC, "Any")),
    ]
    return cim_instance("MSFT_NetProtocolPortFilter", pairs, data=active)


def address_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetAddressFilter."""
    rule = active.rule
    local, remote = scalar(rule.local_addresses), scalar(rule.remote_addresses)
    pairs: list[tuple[str, object]] = [
        ("InstanceID", rule.name),
        ("LocalAddress", local),
        ("RemoteAddress", remote),
        ("LocalIP", local),
        ("RemoteIP", remote),
    ]
    return cim_instance("MSFT_NetAddressFilter", pairs, data=active)


def application_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetApplicationFilter."""
    program = active.rule.program or "Any"
    pairs: list[tuple[str, object]] = [
        ("InstanceID", active.rule.name),
        ("Program", program),
        ("AppPath", program),
        ("Package", None),
    ]
    return cim_instance("MSFT_NetApplicationFilter", pairs, data=active)


def service_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetServiceFilter."""
    service = active.rule.service or "Any"
    pairs = [("InstanceID", active.rule.name), ("Service", service), ("ServiceName", service)]
    return cim_instance("MSFT_NetServiceFilter", pairs, data=active)


def interface_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetInterfaceFilter."""
    pairs = [("InstanceID", active.rule.name), ("InterfaceAlias", scalar(active.rule.interfaces))]
    return cim_instance("MSFT_NetInterfaceFilter", pairs, data=active)


def interface_type_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetInterfaceTypeFilter."""
    kind = named(types.INTERFACE_TYPE, active.rule.interface_type or "Any")
    pairs: list[tuple[str, object]] = [("InstanceID", active.rule.name), ("InterfaceType", kind)]
    return cim_instance("MSFT_NetInterfaceTypeFilter", pairs, data=active)


def security_filter(active: ActiveRule, _version: str) -> PSObject:
    """Return MSFT_NetNetworkLayerSecurityFilter."""
    pairs: list[tuple[str, object]] = [
        ("InstanceID", active.rule.name),
        ("Authentication", named(types.AUTHENTICATION, "NotRequired")),
        ("Encryption", named(types.ENCRYPTION, "NotRequired")),
        ("OverrideBlockRules", False),
        ("LocalUser", "Any"),
        ("RemoteUser", "Any"),
        ("RemoteMachine", "Any"),
    ]
    return cim_instance("MSFT_NetNetworkLayerSecurityFilter", pairs, data=active)


def profile_object(profile: Profile) -> PSObject:
    """Return MSFT_NetFirewallProfile."""

    def flag(value: bool | None) -> EnumValue:  # noqa: FBT001 - three-valued
        return named(types.GPO_BOOLEAN, "NotConfigured" if value is None else str(value))

    aliases = profile.disabled_interfaces or ("NotConfigured",)
    pairs: list[tuple[str, object]] = [
        ("Name", profile.name),
        ("Profile", profile.name),
        ("InstanceID", f"MSFT|FW|FirewallProfile|{profile.name}"),
        ("Enabled", flag(profile.enabled)),
        ("DefaultInboundAction", named(types.ACTION, profile.default_inbound or "NotConfigured")),
        ("DefaultOutboundAction", named(types.ACTION, profile.default_outbound or "NotConfigured")),
        ("AllowInboundRules", flag(profile.allow_inbound)),
        ("AllowLocalFirewallRules", flag(profile.allow_local_rules)),
        ("AllowUserPorts", flag(profile.allow_user_ports)),
        ("LogBlocked", flag(profile.log_blocked)),
        ("LogFileName", r"%systemroot%\system32\LogFiles\Firewall\pfirewall.log"),
        ("DisabledInterfaceAliases", Array(aliases, "System.String")),
    ]
    return cim_instance("MSFT_NetFirewallProfile", pairs, data=profile)


def current_profiles(scene: Scene) -> EnumValue:
    """Return the profiles in use as flags."""
    names = {interface.profile for interface in scene.host.interfaces}
    return EnumValue(types.PROFILE, sum(_PROFILE_BITS[name] for name in names))
