"""How the doctor reaches what lies below a logon: bare connections, made the way that a run makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fwfix.executors.base import Connector
from fwfix.executors.by_platform import PlatformConnector
from fwfix.executors.ssh import SshConnector
from fwfix.executors.ssh_config import SshConfig
from fwfix.executors.ssh_route import Route, Routes
from fwfix.executors.winrm import WinrmConnector
from fwfix.executors.winrm_endpoint import Endpoint
from fwfix.executors.winrm_stream import Stream
from fwfix.model.host import Host, Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """Connections without a logon; None where the executor has no such thing.

    Attributes:
        dial: connects to a WinRM service, TLS included where the endpoint has it.
        route: the SSH hops to a host.
    """

    dial: Callable[[Endpoint, float], Stream] | None = None
    route: Callable[[Host, float], Route] | None = None


def below(connector: Connector, platform: Platform, hosts: Mapping[str, Host]) -> Below:
    """Return what lies below a platform's connector; `hosts` is the inventory, for names in `jump`."""
    inner = connector.of(platform) if isinstance(connector, PlatformConnector) else connector
    if isinstance(inner, WinrmConnector):
        winrm = inner
        return Below(dial=lambda endpoint, deadline: winrm.dial(endpoint, deadline=deadline))
    if isinstance(inner, SshConnector):
        routes = Routes(hosts, SshConfig(None))
        return Below(route=lambda host, deadline: routes.to(host, deadline=deadline))
    return Below()
