"""What decides the plan for a Windows host and must still hold at apply (contract 6). Pure.

Left out is what changes by the hour: process ids, sessions, printers. Our way in is told by the sockets on
which WinRM listens: nothing on the host tells our session from those of others, which come and go.
"""

from fwfix.drivers.windows_hazards import WindowsCircumstances
from fwfix.fingerprint import Part, fingerprint_of
from fwfix.model.host import Host
from fwfix.model.observation import RecordState, in_force
from fwfix.model.policy import Protocol
from fwfix.model.winrm import WINRM_PORTS


def windows_fingerprint(seen: WindowsCircumstances, host: Host) -> str:
    """Return the digest of everything that decided the draft."""
    observation, facts = seen.observation, seen.facts
    return fingerprint_of(
        {
            "identity": observation.identity,
            "backend": "netsecurity",
            "services": [[name, facts.services[name]] for name in sorted(facts.services)],
            "profiles": [
                [
                    profile.name,
                    profile.enabled,
                    profile.allow_inbound,
                    profile.allow_local_rules,
                    profile.allow_user_ports,
                    *sorted(profile.disabled_interfaces),
                ]
                for profile in sorted(facts.profiles_in_use, key=lambda profile: profile.name)
            ],
            "products": sorted(facts.products),
            "in_front": _on_the_ports(seen),
            "listeners": _listeners(seen),
            "management": _management(seen, host),
            "own": _own_state(seen),
        }
    )


def _on_the_ports(seen: WindowsCircumstances) -> Part:
    """Return the rules of others that name one of the ports, or that override blocks, with their store."""
    found = {
        (rule.store, rule.name, rule.text)
        for rule in seen.facts.rules
        for protection in seen.protections
        if not rule.run_id
        and rule.active
        and rule.may_match(protection.service)
        and (rule.ports or rule.one("Action").lower() == "bypass")
    }
    return [list(item) for item in sorted(found)]


def _listeners(seen: WindowsCircumstances) -> Part:
    found = {
        (listener.protocol.value, listener.port, listener.address, listener.family or "", listener.process)
        for listener in seen.observation.listeners
        for protection in seen.protections
        if listener.protocol is protection.service.protocol and listener.port in protection.service.ports
    }
    return [list(item) for item in sorted(found)]


def _management(seen: WindowsCircumstances, host: Host) -> Part:
    """Return how we come in, and where WinRM listens; who owns such a socket is the kernel, by many names."""
    winrm = host.winrm
    ports = {*WINRM_PORTS.values(), *([winrm.port] if winrm.port else [])}
    listening = {
        (each.port, each.address, each.family or "")
        for each in seen.observation.listeners
        if each.protocol is Protocol.TCP and each.port in ports
    }
    used = winrm.port or WINRM_PORTS[winrm.scheme]
    return [[winrm.transport.value, winrm.scheme, used], [list(item) for item in sorted(listening)]]


def _own_state(seen: WindowsCircumstances) -> Part:
    """Return which runs are not over, and the rules of the one in force as they stand."""
    records = seen.observation.records
    standing = in_force(records)
    alive = [
        [record.run_id, record.state.value, record.superseded_by]
        for record in records
        if record.state is not RecordState.REVERTED and not record.foreign
    ]
    rules = [[rule.name, rule.text] for rule in seen.facts.of_run(standing.run_id)] if standing else []
    return [alive, rules]
