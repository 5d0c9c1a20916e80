"""New-, Get-, Remove-, Enable-, Disable-NetFirewallRule."""

import uuid
from collections.abc import Callable, Sequence

from fwfix.lab.windows.cmdlets.base import Scene, StandIn, has_wildcard, matches, not_found
from fwfix.lab.windows.cmdlets.rule_objects import RuleData, rule_object
from fwfix.lab.windows.model.errors import UnknownToModelError
from fwfix.lab.windows.model.firewall import ACTIVE, PERSISTENT, RSOP, STORES
from fwfix.lab.windows.model.knobs import PROFILES
from fwfix.lab.windows.model.policy import ActiveRule
from fwfix.lab.windows.model.rules import Rule, protocol_number
from fwfix.lab.windows.powershell import EnumValue, Invocation, NotInDialect, PSObject
from fwfix.lab.windows.powershell.values import enumerate_value

_QUERY: dict[str, tuple[str, Callable[[Rule], str]]] = {
    "Description": ("Description", lambda rule: rule.description),
    "DisplayGroup": ("DisplayGroup", lambda rule: rule.group),
    "Group": ("RuleGroup", lambda rule: rule.group),
    "Enabled": ("Enabled", lambda rule: str(rule.enabled)),
    "Direction": ("Direction", lambda rule: "Inbound" if rule.inbound else "Outbound"),
    "Action": ("Action", lambda rule: rule.action),
}
_TEXTS = ("Description", "DisplayGroup", "Group")
_FIND = ("All", "Name", "DisplayName", *_QUERY, "PolicyStore")


def spend(scene: Scene, call: Invocation) -> None:
    """Take as long as the number of rules says."""
    seconds = scene.host.knobs.seconds_per_rule * scene.host.firewall.size
    if seconds:
        scene.host.clock.sleep(seconds, call.engine.stopped)


def store_of(call: Invocation, default: str = PERSISTENT) -> str:
    """Return the store that a call is about."""
    given = call.text("PolicyStore", default)
    for store in STORES:
        if store.lower() == given.lower():
            return store
    raise NotInDialect(f"the policy store {given}")


def _new(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    spend(scene, call)
    if store_of(call) != PERSISTENT:
        raise NotInDialect("a new rule in another store than the local one")
    protocol = protocol_number(call.text("Protocol", "Any"))
    rule = Rule(
        name=call.text("Name", "{" + str(uuid.uuid4()).upper() + "}"),
        display_name=call.text("DisplayName"),
        description=call.text("Description"),
        group=call.text("Group"),
        enabled=call.enum_name("Enabled", "True") == "True",
        inbound=call.enum_name("Direction", "Inbound") == "Inbound",
        action=call.enum_name("Action", "Allow"),
        profiles=_profiles(call),
        protocol=protocol,
        local_ports=tuple(call.texts("LocalPort")),
        remote_ports=tuple(call.texts("RemotePort")),
        local_addresses=tuple(call.texts("LocalAddress")) or ("Any",),
        remote_addresses=tuple(call.texts("RemoteAddress")) or ("Any",),
        program=_any(call.text("Program")),
        service=_any(call.text("Service")),
        interfaces=_interfaces(scene, call),
    )
    if not call.confirmed():
        return
    kept = scene.host.firewall.add(rule)
    active = next(each for each in scene.host.firewall.read(PERSISTENT) if each.rule.name == kept.name)
    call.write(rule_object(active, PERSISTENT))


def _any(text: str) -> str:
    return "" if text.lower() == "any" else text


def _profiles(call: Invocation) -> tuple[str, ...]:
    value = call.get("Profile")
    if not isinstance(value, EnumValue) or value.number == 0:
        return ()
    if value.number & ~7:
        raise NotInDialect("this profile of a rule")
    return tuple(name for bit, name in enumerate(PROFILES) if value.number & (1 << bit))


def _interfaces(scene: Scene, call: Invocation) -> tuple[str, ...]:
    names = [name for name in call.texts("InterfaceAlias") if name.lower() != "any"]
    known = {interface.alias.lower(): interface.alias for interface in scene.host.interfaces}
    for name in names:
        if name.lower() not in known:
            raise UnknownToModelError(f"a rule about the interface {name!r}")
    return tuple(known[name.lower()] for name in names)


def _selected(scene: Scene, call: Invocation, store: str) -> list[ActiveRule]:
    """Return what a call names; report what was named exactly and is not there."""
    if call.has("InputObject"):
        return _given(call.get("InputObject"))
    rules = list(scene.host.firewall.read(store))
    if call.has("Name"):
        return _by_text(call, rules, ("Name", "InstanceID"), lambda rule: rule.name)
    if call.has("DisplayName"):
        return _by_text(call, rules, ("DisplayName", "DisplayName"), lambda rule: rule.display_name)
    asked = [name for name in _QUERY if call.has(name)]
    for name in asked:
        rules = _filtered(call, rules, name)
    if asked and not rules:
        exact = [n for n in asked if n in _TEXTS and not any(has_wildcard(t) for t in call.texts(n))]
        if len(asked) != 1 or (not exact and asked[0] not in _TEXTS):
            raise NotInDialect("a query by several properties, or by an enum, that finds nothing")
        if exact:
            not_found(call, _QUERY[exact[0]][0], call.texts(exact[0])[0])
    return rules


def _filtered(call: Invocation, rules: Sequence[ActiveRule], name: str) -> list[ActiveRule]:
    patterns, read = call.texts(name), _QUERY[name][1]
    return [each for each in rules if any(matches(read(each.rule), pattern) for pattern in patterns)]


def _given(value: object) -> list[ActiveRule]:
    items = enumerate_value(value)
    found = []
    for item in [value] if items is None else items:
        assert isinstance(item, PSObject)
        assert isinstance(item.data, RuleData)
        found.append(item.data.active)
    return found


def _by_text(
    call: Invocation, rules: Sequence[ActiveRule], names: tuple[str, str], read: Callable[[Rule], str]
) -> list[ActiveRule]:
    parameter, shown = names
    found: dict[str, ActiveRule] = {}
    for pattern in call.texts(parameter):
        hits = [each for each in rules if matches(read(each.rule), pattern)]
        if not hits and not has_wildcard(pattern):
            not_found(call, shown, pattern)
        found.update({each.rule.name: each for each in hits})
    return list(found.values())


def _get(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    spend(scene, call)
    store = store_of(call)
    for active in _selected(scene, call, store):
        call.write(rule_object(active, store))


def _change(scene: Scene, call: Invocation) -> list[ActiveRule]:
    scene.check_administrator()
    spend(scene, call)
    scene.host.firewall.check_running()
    if store_of(call) in (ACTIVE, RSOP):
        raise NotInDialect("a change of another store than the local one")
    found = _selected(scene, call, PERSISTENT)
    return found if found and call.confirmed() else []


def _remove(scene: Scene, call: Invocation) -> None:
    found = _change(scene, call)
    scene.host.firewall.remove([each.rule.name for each in found])


def _switch(*, enabled: bool) -> Callable[[Scene, Invocation], None]:
    def body(scene: Scene, call: Invocation) -> None:
        found = _change(scene, call)
        if found:
            scene.host.firewall.change([each.rule.name for each in found], enabled=enabled)

    return body


_NEW = (
    "DisplayName", "PolicyStore", "Name", "Description", "Group", "Enabled", "Profile", "Direction", "Action",
    "LocalAddress", "RemoteAddress", "Protocol", "LocalPort", "RemotePort", "Program", "Service",
    "InterfaceAlias",
)  # fmt: skip
STAND_INS = (
    StandIn(name="New-NetFirewallRule", body=_new, obeys=_NEW),
    StandIn(name="Get-NetFirewallRule", body=_get, obeys=_FIND),
    StandIn(name="Remove-NetFirewallRule", body=_remove, obeys=(*_FIND, "InputObject")),
    StandIn(name="Enable-NetFirewallRule", body=_switch(enabled=True), obeys=(*_FIND, "InputObject")),
    StandIn(name="Disable-NetFirewallRule", body=_switch(enabled=False), obeys=(*_FIND, "InputObject")),
)
