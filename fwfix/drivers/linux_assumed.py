"""An ordinary Linux host, for plans that contact nobody. Pure."""

from datetime import timedelta
from types import MappingProxyType

from fwfix.drivers.iptables_save import Ruleset
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.model.host import Host, Platform
from fwfix.model.observation import ManagementPath, Observation
from fwfix.model.policy import Family

_SSH_PORT = 22
_TOOLS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def assumed_observation(host: Host) -> Observation:
    """Return what planning assumes of a host that nobody looked at; it is never applied."""
    facts = LinuxFacts(
        saves=MappingProxyType({family: Ruleset() for family in Family}),
        tools=MappingProxyType({name: f"/usr/sbin/{name}" for name in _TOOLS}),
        systemd=True,
        pid1="systemd",
        init="systemd",
    )
    return Observation(
        platform=Platform.LINUX,
        identity="",
        hostname=host.expect_hostname or host.name,
        boot_id="",
        uptime=timedelta(0),
        management=ManagementPath(peer=None, port=host.ssh.port or _SSH_PORT),
        addresses=host.literal_addresses,
        facts=facts,
    )
