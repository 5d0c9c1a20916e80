"""An ordinary Windows host, for plans that contact nobody. Pure."""

from datetime import timedelta
from types import MappingProxyType

from fwfix.drivers.windows_facts import Profile, WindowsFacts
from fwfix.model.host import Host, Platform
from fwfix.model.observation import ManagementPath, Observation

_PORTS = {"https": 5986, "http": 5985}


def assumed_observation(host: Host) -> Observation:
    """Return what planning assumes of a host that nobody looked at; it is never applied."""
    facts = WindowsFacts(
        services=MappingProxyType({"MpsSvc": "Running", "BFE": "Running", "Schedule": "Running"}),
        profiles=tuple(Profile(name=name) for name in ("Domain", "Private", "Public")),
    )
    return Observation(
        platform=Platform.WINDOWS,
        identity="",
        hostname=host.expect_hostname or host.name,
        boot_id="",
        uptime=timedelta(0),
        management=ManagementPath(peer=None, port=host.winrm.port or _PORTS.get(host.winrm.scheme, 5986)),
        addresses=host.literal_addresses,
        facts=facts,
    )
