"""New-, Get-, Set-, Remove-, Enable-, Disable-NetFirewallRule."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from fwfix.lab.windows.cmdlets import rule_values
from fwfix.lab.windows.cmdlets.base import Scene, StandIn, has_wildcard, matches, not_found
from fwfix.lab.windows.cmdlets.rule_objects import RuleData, rule_object
from fwfix.lab.windows.model.firewall import ACTIVE, PERSISTENT, RSOP, STORES
from fwfix.lab.windows.model.policy import ActiveRule
from fwfix.lab.windows.model.rules import Rule
from fwfix.lab.windows.powershell import Invocation, NotInDialect, PSObject
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
_GROUPS = ("DisplayGroup", "Group")
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
    # What is not given is any, and an allow of inbound traffic.
    wanted = {"local_addresses": ("Any",), "remote_addresses": ("Any",), **rule_values.given(scene, call)}
    name = call.text("Name", "{" + str(uuid.uuid4()).upper() + "}")
    plain = Rule(name=name, display_name=call.text("DisplayName"), group=call.text("Group"))
    rule = replace(plain, **wanted)  # type: ignore[arg-type]
    if not call.confirmed():
        return
    _write(scene, call, [scene.host.firewall.add(rule)])


def _write(scene: Scene, call: Invocation, rules: Sequence[Rule]) -> None:
    """Put rules of the local store into the pipeline."""
    names = {rule.name for rule in rules}
    for active in scene.host.firewall.read(PERSISTENT):
        if active.rule.name in names:
            call.write(rule_object(active, PERSISTENT))


def _selected(
    scene: Scene, call: Invocation, store: str, *, by: Sequence[str] = tuple(_QUERY)
) -> list[ActiveRule]:
    """Return what a call names; report what was named exactly and is not there.

    Args:
        scene: whose rules they are.
        call: of the cmdlet.
        store: the store.
        by: the parameters that ask; in Set-NetFirewallRule most of them say what to change.
    """
    if call.has("InputObject"):
        return _given(call.get("InputObject"))
    rules = list(scene.host.firewall.read(store))
    if call.has("Name"):
        return _by_text(call, rules, ("Name", "InstanceID"), lambda rule: rule.name)
    if call.has("DisplayName"):
        return _by_text(call, rules, ("DisplayName", "DisplayName"), lambda rule: rule.display_name)
    asked = [name for name in by if call.has(name)]
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


def _change(scene: Scene, call: Invocation, *, by: Sequence[str] = tuple(_QUERY)) -> list[ActiveRule]:
    scene.check_administrator()
    spend(scene, call)
    scene.host.firewall.check_running()
    if store_of(call) in (ACTIVE, RSOP):
        raise NotInDialect("a change of another store than the local one")
    found = _selected(scene, call, PERSISTENT, by=by)
    return found if found and call.confirmed() else []


def _remove(scene: Scene, call: Invocation) -> None:
    found = _change(scene, call)
    scene.host.firewall.remove([each.rule.name for each in found])


def _apply(scene: Scene, call: Invocation, found: list[ActiveRule], changes: dict[str, object]) -> None:
    if not found:
        return
    names = [each.rule.name for each in found]
    changed = scene.host.firewall.change(names, **changes)
    if call.flag("PassThru"):
        _write(scene, call, changed)


def _set(scene: Scene, call: Invocation) -> None:
    changes = rule_values.given(scene, call)
    if call.has("NewDisplayName"):
        changes["display_name"] = call.text("NewDisplayName")
    _apply(scene, call, _change(scene, call, by=_GROUPS), changes)


def _switch(*, enabled: bool) -> Callable[[Scene, Invocation], None]:
    def body(scene: Scene, call: Invocation) -> None:
        _apply(scene, call, _change(scene, call), {"enabled": enabled})

    return body


_NEW = ("DisplayName", "PolicyStore", "Name", "Group", *rule_values.PARAMETERS)
_SET = ("Name", "DisplayName", *_GROUPS, "InputObject", "PolicyStore", "NewDisplayName", "PassThru")
_SWITCH = (*_FIND, "InputObject", "PassThru")
STAND_INS = (
    StandIn(name="New-NetFirewallRule", body=_new, obeys=_NEW),
    StandIn(name="Get-NetFirewallRule", body=_get, obeys=_FIND),
    StandIn(name="Set-NetFirewallRule", body=_set, obeys=(*_SET, *rule_values.PARAMETERS)),
    StandIn(name="Remove-NetFirewallRule", body=_remove, obeys=(*_FIND, "InputObject")),
    StandIn(name="Enable-NetFirewallRule", body=_switch(enabled=True), obeys=_SWITCH),
    StandIn(name="Disable-NetFirewallRule", body=_switch(enabled=False), obeys=_SWITCH),
)
