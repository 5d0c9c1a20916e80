"""Get-NetFirewall*Filter and Get-NetFirewallSetting."""

from collections.abc import Callable

from fwfix.lab.windows.cmdlets import rule_objects, types
from fwfix.lab.windows.cmdlets.base import Scene, StandIn, matches
from fwfix.lab.windows.cmdlets.firewall import spend, store_of
from fwfix.lab.windows.cmdlets.rule_objects import RuleData
from fwfix.lab.windows.cmdlets.types import named
from fwfix.lab.windows.model.firewall import ACTIVE
from fwfix.lab.windows.model.policy import ActiveRule
from fwfix.lab.windows.powershell import Invocation, NotInDialect, PSObject, cim_instance

_Make = Callable[[ActiveRule, str], PSObject]


def _get(make: _Make) -> Callable[[Scene, Invocation], None]:
    def body(scene: Scene, call: Invocation) -> None:
        scene.check_administrator()
        spend(scene, call)
        for active in _rules(scene, call):
            call.write(make(active, scene.version))

    return body


def _rules(scene: Scene, call: Invocation) -> list[ActiveRule]:
    scene.host.firewall.check_running()
    given = call.get("AssociatedNetFirewallRule")
    if given is not None:
        assert isinstance(given, PSObject)
        assert isinstance(given.data, RuleData)
        return [given.data.active]
    rules = list(scene.host.firewall.read(store_of(call)))
    for name, read in (("Protocol", _protocol), ("Program", _program), ("Service", _service)):
        if call.has(name):
            rules = [each for each in rules if any(matches(read(each), word) for word in call.texts(name))]
            if not rules:
                raise NotInDialect(f"a query by {name} that finds nothing")
    return rules


def _protocol(active: ActiveRule) -> str:
    return active.rule.protocol_word


def _program(active: ActiveRule) -> str:
    return active.rule.program or "Any"


def _service(active: ActiveRule) -> str:
    return active.rule.service or "Any"


def _setting(scene: Scene, call: Invocation) -> None:
    scene.check_administrator()
    scene.host.firewall.check_running()
    active = store_of(call) == ACTIVE
    current = rule_objects.current_profiles(scene) if active else named(types.PROFILE, "NotApplicable")
    call.write(
        cim_instance("MSFT_NetSecuritySettingData", [("Name", store_of(call)), ("ActiveProfile", current)])
    )


_PLAIN = ("All", "PolicyStore", "AssociatedNetFirewallRule")
STAND_INS = (
    StandIn(
        name="Get-NetFirewallPortFilter", body=_get(rule_objects.port_filter), obeys=(*_PLAIN, "Protocol")
    ),
    StandIn(name="Get-NetFirewallAddressFilter", body=_get(rule_objects.address_filter), obeys=_PLAIN),
    StandIn(
        name="Get-NetFirewallApplicationFilter",
        body=_get(rule_objects.application_filter),
        obeys=(*_PLAIN, "Program"),
    ),
    StandIn(
        name="Get-NetFirewallServiceFilter",
        body=_get(rule_objects.service_filter),
        obeys=(*_PLAIN, "Service"),
    ),
    StandIn(name="Get-NetFirewallInterfaceFilter", body=_get(rule_objects.interface_filter), obeys=_PLAIN),
    StandIn(
        name="Get-NetFirewallInterfaceTypeFilter", body=_get(rule_objects.interface_type_filter), obeys=_PLAIN
    ),
    StandIn(name="Get-NetFirewallSecurityFilter", body=_get(rule_objects.security_filter), obeys=_PLAIN),
    StandIn(name="Get-NetFirewallSetting", body=_setting, obeys=("All", "PolicyStore")),
)
