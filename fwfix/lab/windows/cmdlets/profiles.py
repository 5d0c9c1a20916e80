"""Get- and Set-NetFirewallProfile."""

from collections.abc import Sequence
from dataclasses import replace

from fwfix.lab.windows.cmdlets import rule_objects
from fwfix.lab.windows.cmdlets.base import Scene, StandIn, matches, not_found
from fwfix.lab.windows.cmdlets.firewall import store_of
from fwfix.lab.windows.cmdlets.rule_objects import RuleData
from fwfix.lab.windows.model.firewall import PERSISTENT
from fwfix.lab.windows.model.policy import Profile
from fwfix.lab.windows.powershell import Invocation, NotInDialect, PSObject
from fwfix.lab.windows.powershell.values import enumerate_value

# What a local store can say, and the field of a profile that keeps it.
_FLAGS = {"Enabled": "enabled", "AllowInboundRules": "allow_inbound", "LogBlocked": "log_blocked"}
_ACTIONS = {"DefaultInboundAction": "default_inbound", "DefaultOutboundAction": "default_outbound"}


def _named(call: Invocation, profiles: Sequence[Profile]) -> list[Profile]:
    """Return the profiles that a call names, all without a name; report names that are none."""
    wanted = call.texts("Name")
    for word in wanted:
        if not any(matches(profile.name, word) for profile in profiles):
            not_found(call, "Name", word)
    return [
        profile for profile in profiles if not wanted or any(matches(profile.name, word) for word in wanted)
    ]


def _get(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    profiles = scene.host.firewall.profiles(store_of(call))
    given = call.get("AssociatedNetFirewallRule")
    if isinstance(given, PSObject) and isinstance(given.data, RuleData):
        rule = given.data.active.rule
        profiles = tuple(each for each in profiles if rule.applies_in(each.name))
    for profile in _named(call, profiles):
        call.write(rule_objects.profile_object(profile))


def _set(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    scene.host.firewall.check_running()
    if store_of(call) != PERSISTENT:
        raise NotInDialect("a change of another store than the local one")
    changes = _changes(scene, call)
    found = _given(call) if call.has("InputObject") else None
    profiles = scene.host.firewall.profiles(PERSISTENT)
    chosen = _named(call, profiles) if found is None else [each for each in profiles if each.name in found]
    if not chosen or not call.confirmed():
        return
    changed = [replace(profile, **changes) for profile in chosen]  # type: ignore[arg-type]
    scene.host.firewall.set_profiles(changed)
    if call.flag("PassThru"):
        for profile in changed:
            call.write(rule_objects.profile_object(profile))


def _given(call: Invocation) -> list[str]:
    value = call.get("InputObject")
    items = enumerate_value(value)
    found = [value] if items is None else list(items)
    return [each.data.name for each in found if isinstance(each, PSObject) and isinstance(each.data, Profile)]


def _changes(scene: Scene, call: Invocation) -> dict[str, object]:
    changes: dict[str, object] = {}
    for parameter, field in _FLAGS.items():
        if call.has(parameter):
            said = call.enum_name(parameter)
            changes[field] = None if said == "NotConfigured" else said == "True"
    for parameter, field in _ACTIONS.items():
        if call.has(parameter):
            said = call.enum_name(parameter)
            changes[field] = None if said == "NotConfigured" else said
    if call.has("DisabledInterfaceAliases"):
        changes["disabled_interfaces"] = _aliases(scene, call.texts("DisabledInterfaceAliases"))
    return changes


def _aliases(scene: Scene, words: list[str]) -> tuple[str, ...]:
    known = {interface.alias.lower(): interface.alias for interface in scene.host.interfaces}
    if [word.lower() for word in words] == ["notconfigured"]:
        return ()
    if unknown := [word for word in words if word.lower() not in known]:
        raise NotInDialect(f"the interface {unknown[0]!r}")
    return tuple(known[word.lower()] for word in words)


STAND_INS = (
    StandIn(
        name="Get-NetFirewallProfile",
        body=_get,
        obeys=("All", "PolicyStore", "AssociatedNetFirewallRule", "Name"),
    ),
    StandIn(
        name="Set-NetFirewallProfile",
        body=_set,
        obeys=(
            "Name", "All", "InputObject", "PolicyStore", "PassThru", "DisabledInterfaceAliases", *_FLAGS,
            *_ACTIONS,
        ),
    ),
)  # fmt: skip
