"""What observe found on a Windows host, as steps: each way in which a rule could exist and do nothing."""

from collections.abc import Iterable

from fwfix.drivers.windows_facts import Profile, WindowsFacts
from fwfix.runner.doctor.table import Remedy, Table

_NO = frozenset({"false", "0"})
_RUNNING = frozenset({"Running", "4"})
_SERVICES = ("MpsSvc", "BFE", "Schedule")
_SIGNED = frozenset({"AllSigned", "Restricted"})
_RESULT = "gpresult /scope computer /h $env:TEMP\\policy.html"


def windows_steps(table: Table, host: str, facts: WindowsFacts) -> None:
    """Judge what was found; nothing is asked again."""
    table.ok("powershell", f"PowerShell {facts.ps_version}")
    table.ok("windows", f"{facts.os_name}, {facts.os_version}")
    _services(table, host, facts)
    _profiles(table, host, facts)
    _group_policy(table, host, facts.profiles_in_use)
    _others(table, host, facts)
    _execution_policy(table, facts)


def _services(table: Table, host: str, facts: WindowsFacts) -> None:
    down = [name for name in _SERVICES if facts.services.get(name, "missing") not in _RUNNING]
    if not down:
        table.ok("services", f"{', '.join(_SERVICES)} run")
        return
    said = ", ".join(f"{name} is {facts.services.get(name, 'missing').lower()}" for name in down)
    commands = [f"Set-Service {name} -StartupType Automatic; Start-Service {name}" for name in down]
    table.fail("services", said, Remedy(next="; ".join(commands), on=host))


def _profiles(table: Table, host: str, facts: WindowsFacts) -> None:
    used = facts.profiles_in_use
    off = [profile.name for profile in used if profile.enabled.lower() in _NO]
    excluded = [profile.name for profile in used if profile.disabled_interfaces]
    if not used and facts.services.get("MpsSvc") not in _RUNNING:
        table.leave_out("profiles", "needs services: nobody else can tell them")
    elif not used:
        said = facts.troubles.get("profiles", "no answer")
        remedy = Remedy(next="Get-NetFirewallProfile -PolicyStore ActiveStore", on=host)
        table.fail("profiles", f"the firewall does not tell its profiles: {said}", remedy)
    elif off:
        text = f"Set-NetFirewallProfile -Name {','.join(off)} -Enabled True"
        remedy = Remedy(next=f"{text}   # group policy overrides it: {_RESULT}", on=host)
        table.fail("profiles", f"the firewall is off in {_list(off)}, which is in use", remedy)
    elif excluded:
        names = ",".join(excluded)
        text = f"Set-NetFirewallProfile -Name {names} -DisabledInterfaceAliases NotConfigured"
        table.fail("profiles", f"interfaces are excluded from {_list(excluded)}", Remedy(next=text, on=host))
    else:
        shielded = [profile.name for profile in used if profile.allow_inbound.lower() in _NO]
        more = f"; all inbound connections are blocked (shielded) in {_list(shielded)}" if shielded else ""
        table.ok("profiles", f"on in {_list(profile.name for profile in used)}{more}")


def _group_policy(table: Table, host: str, used: tuple[Profile, ...]) -> None:
    found = [
        *(f"{p.name}: local rules are forbidden" for p in used if p.allow_local_rules.lower() in _NO),
        *(f"{p.name}: single ports are ignored" for p in used if p.allow_user_ports.lower() in _NO),
    ]
    if found:
        text = f"{_RESULT}   # which policy; block the port in it"
        table.fail("group-policy", "; ".join(found), Remedy(next=text, on=host))
    elif not used:
        table.leave_out("group-policy", "needs profiles")
    else:
        table.ok("group-policy", "group policy lets local rules be merged")


def _others(table: Table, host: str, facts: WindowsFacts) -> None:
    if facts.products:
        text = "Get-CimInstance -Namespace root/SecurityCenter2 -ClassName FirewallProduct"
        said = f"registered as this host's firewall: {', '.join(facts.products)}"
        table.fail("other-firewalls", said, Remedy(next=text, on=host))
    elif "products" in facts.troubles:
        table.leave_out("other-firewalls", f"could not be asked: {facts.troubles['products']}")
    else:
        table.ok("other-firewalls", "none is registered (servers keep no register)")


def _execution_policy(table: Table, facts: WindowsFacts) -> None:
    policy = facts.execution_policy or "unknown"
    signed = " (the timer then reads its file and runs it as a script block)" if policy in _SIGNED else ""
    table.ok("execution-policy", f"{policy}{signed}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
