"""What observe found on a Linux host, as steps."""

from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.runner.doctor.table import Table

_TOOLS = ("iptables", "ip6tables", "iptables-restore", "nft")


def linux_steps(table: Table, facts: LinuxFacts) -> None:
    """Say what is there; what of it would stop an apply is a hazard."""
    found = [name for name in _TOOLS if name in facts.tools]
    version = f" ({facts.iptables_version})" if facts.iptables_version else ""
    table.ok("firewall-tools", f"{', '.join(found) or 'none'}{version}")
    managers = [unit.name for unit in facts.units if unit.active]
    managed = [*managers, *facts.config_management]
    table.ok("other-managers", ", ".join(managed) or "nobody else manages rules here")
    if facts.persistable:
        table.ok("init", f"{facts.init} loads rules at boot")
    else:
        table.ok("init", "none that fwfix knows: rules would be gone after a boot (not-persistent)")
