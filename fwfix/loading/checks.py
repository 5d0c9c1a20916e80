"""What must fit together across an inventory: names exist, policies agree, ports may be named."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Protocol as Shape

from fwfix.errors import InventoryError
from fwfix.loading.fields import Place
from fwfix.model.host import Host, Platform
from fwfix.model.policy import MANAGEMENT_PORTS, Policy, Service
from fwfix.model.protection import MOST_PORTS, find_disagreement, merge_services
from fwfix.model.winrm import winrm_conflicts

_MOST_SHOWN = 20


class Where(Shape):
    """Finds the place that decided a value of a host."""

    def __call__(self, host: str, key: str, inner: str | None = None) -> Place:
        """Return the place."""
        ...


def wrong(place: Place, message: str, *, hint: str = "") -> InventoryError:
    """Make an error that names its place."""
    return InventoryError(message, path=place.path, line=place.line, next=hint)


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Say that a name does not exist, which one is nearest, and which there are."""
    names = list(valid)
    nearest = get_close_matches(name, names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
    return f"unknown {kind} {name!r}; {hint}" + (f"Defined: {shown}" if names else f"No {kind} is defined")


def check_policy_ports(policy: Policy, place: Place) -> None:
    """Refuse a policy that would close the door to the host's own management.

    Raises:
        InventoryError: it names one of these ports.
    """
    port = _management_port(policy.services, MANAGEMENT_PORTS)
    if port is not None:
        raise wrong(
            place,
            f"policy {policy.name} names port {port}, which carries management (SSH, RDP or WinRM)",
            hint="A policy never blocks it: take it out.",
        )


class HostChecker:
    """Checks hosts against the policies; remembers what it has seen, since most hosts are alike."""

    def __init__(self, policies: Mapping[str, Policy], where: Where) -> None:
        self._policies = policies
        self._where = where
        self._checked: set[tuple[str, ...]] = set()

    def check(self, host: Host) -> None:
        """Check the policies of one host.

        Raises:
            InventoryError: one does not exist, two disagree, they name a management port or too many ports,
                or settings of WinRM contradict each other or are not enough.
        """
        if host.policies not in self._checked:
            self._check_policies(host)
            self._checked.add(host.policies)
        self._check_own_port(host)
        self._check_winrm(host)

    def _check_winrm(self, host: Host) -> None:
        if host.platform is not Platform.WINDOWS:
            return
        for conflict in winrm_conflicts(host.winrm):
            if conflict.key is not None:
                raise wrong(
                    self._where(host.name, "winrm", conflict.key),
                    f"host {host.name}: winrm: {conflict.message}",
                    hint=conflict.advice,
                )

    def _check_policies(self, host: Host) -> None:
        place = self._where(host.name, "policy") if host.policies else None
        for name in host.policies:
            if name not in self._policies and place is not None:
                raise wrong(place, f"host {host.name}: {unknown_name('policy', name, self._policies)}")
        policies = [self._policies[name] for name in host.policies]
        disagreement = find_disagreement(policies)
        if disagreement is not None and place is not None:
            one, other, service = disagreement
            raise wrong(
                place,
                f"host {host.name}: policies {one.name} and {other.name} both name {service} and want"
                " different things",
                hint="Give them the same allow_from, action and log, or let one of them name the port.",
            )
        services = merge_services(service for policy in policies for service in policy.services)
        count = sum(len(service.ports) for service in services)
        if count > MOST_PORTS and place is not None:
            raise wrong(
                place,
                f"host {host.name}: its policies name {count} ports, more than {MOST_PORTS}",
                hint="Each port gets rules and probes of its own: name only ports that print.",
            )

    def _check_own_port(self, host: Host) -> None:
        section, port = (
            ("ssh", host.ssh.port) if host.platform is Platform.LINUX else ("winrm", host.winrm.port)
        )
        if port is None:
            return
        for name in host.policies:
            if _management_port(self._policies[name].services, {port}) is not None:
                raise wrong(
                    self._where(host.name, section, "port"),
                    f"host {host.name} is managed through port {port}, which policy {name} would block",
                    hint="A policy never blocks the management port: take it out.",
                )


def check_jumps(hosts: Mapping[str, Host], where: Where) -> None:
    """Refuse a chain of jump hosts that comes back to itself.

    Raises:
        InventoryError: names the hosts of the loop.
    """
    good: set[str] = set()
    for name, host in hosts.items():
        chain = [name]
        jump = jump_of(host)
        while jump is not None and jump in hosts and jump not in good:
            if jump in chain:
                loop = " -> ".join([*chain[chain.index(jump) :], jump])
                section = "ssh" if host.platform is Platform.LINUX or len(chain) > 1 else "winrm"
                raise wrong(
                    where(chain[-1], section, "jump"),
                    f"the jump hosts of {name} go round in a circle: {loop}",
                    hint=f"Where the value is inherited, give {jump} its own: `ssh: {{jump: none}}`.",
                )
            chain.append(jump)
            jump = hosts[jump].ssh.jump
        good.update(chain)


def jump_of(host: Host) -> str | None:
    """Return the first hop on the way to a host."""
    return host.ssh.jump if host.platform is Platform.LINUX else host.winrm.jump


def _management_port(services: Iterable[Service], ports: Iterable[int]) -> int | None:
    return next((port for service in services for port in sorted(ports) if port in service.ports), None)
