"""What every command that contacts hosts puts together first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from fwfix.errors import UsageError
from fwfix.model.duration import parse_duration
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import Inventory

if TYPE_CHECKING:
    from fwfix.drivers.base import Driver
    from fwfix.executors.base import Connector
    from fwfix.executors.by_platform import PlatformConnector
    from fwfix.executors.ssh import SshConnector
    from fwfix.executors.winrm_stream import Channel
    from fwfix.model.policy import Protection, Service
    from fwfix.output.observe import Observer
    from fwfix.rendering.environment import Renderer
    from fwfix.runner.context import Log, RunContext
    from fwfix.runner.vantages import Lookout
    from fwfix.secret_store import SecretStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An inventory with the hosts that the command is about."""

    inventory: Inventory
    hosts: tuple[Host, ...]
    store: SecretStore

    @property
    def vantage_hosts(self) -> tuple[Host, ...]:
        """The hosts that may be asked to test ports, selected or not."""
        return tuple(
            host for host in self.inventory.hosts.values() if host.vantage and host.platform is Platform.LINUX
        )


def load(paths: Sequence[Path] | None, limit: str | None) -> Loaded:
    """Load the inventory, select hosts, and check what both refer to; no host is contacted."""
    from fwfix.loading.inventory import load_inventory
    from fwfix.loading.limit import select_hosts
    from fwfix.loading.references import check_references
    from fwfix.secret_store import SecretStore

    if not paths:
        raise UsageError("no inventory given", next="Give -i PATH, or set FWFIX_INVENTORY.")
    inventory = load_inventory(paths)
    hosts = select_hosts(inventory, limit)
    store = SecretStore()
    check_references(inventory, hosts, store)
    return Loaded(inventory=inventory, hosts=hosts, store=store)


def protections_of(loaded: Loaded) -> Mapping[str, tuple[Protection, ...]]:
    """Resolve what each selected host needs; names in `allow_from` are looked up now."""
    from fwfix.model.protection import resolve_all
    from fwfix.resolve import resolve_names

    addresses = resolve_names(loaded.inventory, loaded.hosts)
    return resolve_all(loaded.hosts, loaded.inventory, addresses)


def services_of(protections: Mapping[str, tuple[Protection, ...]]) -> Mapping[str, tuple[Service, ...]]:
    """Return the services of each host's protections."""
    return {name: tuple(each.service for each in found) for name, found in protections.items()}


def make_renderer(template_dirs: Sequence[Path] | None, inventory: Inventory | None = None) -> Renderer:
    """Return the renderer with the user's templates in front of the inventory's and the built-in ones."""
    from fwfix.rendering.environment import Renderer

    beside = inventory.template_dirs if inventory is not None else ()
    return Renderer((*(template_dirs or ()), *beside))


def make_drivers(renderer: Renderer, platforms: Iterable[Platform]) -> Mapping[Platform, Driver]:
    """Return the driver of each of some platforms; the others are not even imported."""
    return {platform: _make_driver(platform, renderer) for platform in platforms}


def _make_driver(platform: Platform, renderer: Renderer) -> Driver:
    match platform:
        case Platform.LINUX:
            from fwfix.drivers.linux import LinuxDriver

            return LinuxDriver(renderer)
        case Platform.WINDOWS:
            from fwfix.drivers.windows import WindowsDriver

            return WindowsDriver(renderer)
        case _:
            assert_never(platform)


def make_connector(hosts: Mapping[str, Host], store: SecretStore) -> PlatformConnector:
    """Return the connector for a fleet; it contacts nobody yet."""
    from fwfix.executors.accounts import Accounts
    from fwfix.executors.by_platform import PlatformConnector
    from fwfix.secrets import Secret, SecretRef

    accounts = Accounts()

    def resolve(ref: SecretRef, host: Host, *, user: str, purpose: str) -> Secret:
        return store.resolve(ref, host=host.name, address=host.address, user=user, purpose=purpose)

    def over_ssh() -> Connector:
        from fwfix.executors.ssh import SshConnector

        return SshConnector(hosts=hosts, resolve=resolve, accounts=accounts)

    def over_winrm() -> Connector:
        from fwfix.executors.winrm import WinrmConnector

        return WinrmConnector(resolve=resolve, accounts=accounts, tunnel=tunnel, prepare_jump=prepare_jump)

    def tunnel(jump: str, address: str, port: int, *, deadline: float) -> Channel:
        return ssh_of(fleet).tunnel(jump, address, port, deadline=deadline)

    def prepare_jump(jump: str, *, deadline: float) -> None:
        ssh_of(fleet).prepare_jump(jump, deadline=deadline)

    fleet = PlatformConnector({Platform.LINUX: over_ssh, Platform.WINDOWS: over_winrm})
    return fleet


def ssh_of(fleet: PlatformConnector) -> SshConnector:
    """Return the part of a fleet's connector that speaks SSH, which opens jump hosts for all platforms."""
    from fwfix.executors.ssh import SshConnector

    made = fleet.of(Platform.LINUX)
    assert isinstance(made, SshConnector)
    return made


@contextmanager
def running(
    *,
    run_id: str,
    hosts: Mapping[str, Host],
    vantages: Sequence[Host],
    store: SecretStore,
    renderer: Renderer,
    log: Log,
    observer: Observer,
    connect_timeout: timedelta,
    ticket: str = "",
) -> Iterator[tuple[RunContext, Lookout]]:
    """Yield the surroundings of a run; closes every connection, and turns signals into a brake."""
    from fwfix.drivers.base import Stamp
    from fwfix.runner.context import RunContext
    from fwfix.runner.signals import interruptible
    from fwfix.runner.vantages import Lookout
    from fwfix.whoami import controller, operator

    connector = make_connector(hosts, store)
    context = RunContext(
        run_id=run_id,
        connector=connector,
        drivers=make_drivers(renderer, {host.platform for host in (*hosts.values(), *vantages)}),
        log=log,
        observer=observer,
        stamp=Stamp(operator=operator(), controller=controller(), ticket=ticket),
        connect_timeout=connect_timeout,
    )
    lookout = Lookout(context, vantages, renderer, jumps=_linux(hosts), forwarder=lambda: ssh_of(connector))
    try:
        with interruptible(context.brake, context.pending_lines):
            yield context, lookout
    finally:
        lookout.close()
        connector.close()


def _linux(hosts: Mapping[str, Host]) -> Mapping[str, Host]:
    return {name: host for name, host in hosts.items() if host.platform is Platform.LINUX}


def duration(text: str, option: str) -> timedelta:
    """Read a DURATION of the command line: a wait of no length is a mistake everywhere.

    Raises:
        UsageError: it is none, or it is zero.
    """
    try:
        length = parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"{option}: {exc}") from None
    if not length:
        raise UsageError(f"{option}: {text!r} is no time at all", next="Write 90s, 2m, 1h30m or 14d.")
    return length


def read_accept(
    loaded: Loaded, accepts: Sequence[str] | None
) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """Read `--accept CODE[@PATTERN]`: codes for all hosts, and codes for some by name."""
    from fwfix.loading.limit import select_hosts
    from fwfix.model.hazard import STOP_CODES, WARN_CODES

    everywhere: set[str] = set()
    some: dict[str, frozenset[str]] = {}
    for text in accepts or ():
        code, at, pattern = text.partition("@")
        if code not in STOP_CODES | WARN_CODES:
            known = ", ".join(sorted(STOP_CODES))
            raise UsageError(f"--accept {text!r}: {code!r} is not a hazard code", next=f"Known: {known}.")
        if not at:
            everywhere.add(code)
        else:
            names = frozenset(host.name for host in select_hosts(loaded.inventory, pattern))
            some[code] = some.get(code, frozenset()) | names
    return frozenset(everywhere), some
