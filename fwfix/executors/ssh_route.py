"""Find the way to a host: through which jump hosts, each with its own settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fwfix.errors import ConnectError
from fwfix.executors.ssh_config import SshConfig
from fwfix.executors.ssh_settings import target_of
from fwfix.executors.ssh_target import Target
from fwfix.model.host import Host, Platform, SshSettings

_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One sshd on the way, the last one included; `host` is whose secrets open it."""

    target: Target
    host: Host

    @property
    def sshd(self) -> tuple[str, int, str]:
        """What tells this hop from others on the same way."""
        return (self.target.address, self.target.port, self.target.user)


Route = tuple[Hop, ...]
Identity = tuple[tuple[str, int, str], ...]


def identity(route: Route) -> Identity:
    """Return what two routes have in common exactly if they lead to the same place in the same way."""
    return tuple(hop.sshd for hop in route)


class Routes:
    """Every route, from the inventory and ssh_config."""

    def __init__(self, hosts: Mapping[str, Host], config: SshConfig) -> None:
        self._hosts = hosts
        self._config = config
        self._known: dict[str, tuple[Host, Route]] = {}

    def to(self, host: Host, *, deadline: float) -> Route:
        """Return the way to a host, outermost jump host first, the host itself last.

        Raises:
            ConnectError: the settings cannot be honoured, or go round in a circle.
        """
        known_host, route = self._known.get(host.name, (None, ()))
        if known_host is not host:
            hop = self._hop(host, deadline)
            route = (*self._in_front_of(hop, (host.name,), deadline), hop)
            self._known[host.name] = (host, route)
        return route

    def of_jump(self, text: str, *, deadline: float) -> Route:
        """Return the way to a jump host, which is a host of the inventory or a name of ssh_config.

        Raises:
            ConnectError: the settings cannot be honoured, or go round in a circle.
        """
        hop = self._hop(self._named(text), deadline)
        return (*self._in_front_of(hop, (hop.host.name,), deadline), hop)

    def _hop(self, host: Host, deadline: float) -> Hop:
        ssh = host.ssh
        found = self._config.settings(host.address, user=ssh.user, port=ssh.port, deadline=deadline)
        return Hop(target=target_of(host.name, host.address, ssh, found), host=host)

    def _in_front_of(self, hop: Hop, seen: tuple[str, ...], deadline: float) -> Route:
        route: Route = ()
        for number, text in enumerate(hop.target.jumps):
            host = self._named(text)
            if host.name == hop.host.name:
                continue  # a default that names the jump host holds for the jump host too
            if host.name in seen:
                circle = " -> ".join((*seen, host.name))
                raise ConnectError(f"The jump hosts go round in a circle: {circle}.", next="Correct `jump`.")
            jump = self._hop(host, deadline)
            if number == 0:
                route = (*self._in_front_of(jump, (*seen, host.name), deadline), jump)
            else:
                route = (*route, Hop(target=jump.target.behind(), host=host))
        return route

    def _named(self, text: str) -> Host:
        if text in self._hosts:
            return self._hosts[text]
        match = _HOP.fullmatch(text)
        if match is None:
            raise ConnectError(f"{text!r} names no jump host.", next="Write it as user@host:port.")
        port = None if match["port"] is None else int(match["port"])
        name = match["host"].strip("[]")
        settings = SshSettings(user=match["user"], port=port)
        return Host(name=name, address=name, platform=Platform.LINUX, ssh=settings)
