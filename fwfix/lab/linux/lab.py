"""A lab: build hosts, hand them out, remove them."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fwfix.errors import LabError
from fwfix.lab.linux.control import Control
from fwfix.lab.linux.host import LabHost
from fwfix.lab.linux.keys import new_key
from fwfix.lab.linux.planning import Access, Cables, plan_guest
from fwfix.lab.linux.requirements import requirements
from fwfix.lab.linux.spec import HostSpec
from fwfix.lab.network import Network, name_netns
from fwfix.lab.outside import Outside
from fwfix.lab.records import clean

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Lab:
    """Throw-away Linux hosts on one switch.

    Args:
        directory: where everything is written down; `clean(directory)` removes the lab from that alone.
        keep: whether the lab goes on when this process ends without `close`, even by a SIGKILL. Without it
            the lab then removes itself.
    """

    def __init__(self, directory: Path, *, keep: bool = True) -> None:
        self.directory = directory.absolute()
        self.hosts: tuple[LabHost, ...] = ()
        self.network: Network
        self._keep = keep
        self._made = False
        self._control: Control | None = None
        self._password = secrets.token_urlsafe(9)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, name: str) -> LabHost:
        return next(host for host in self.hosts if host.name == name)

    @property
    def outside(self) -> Outside:
        """Another client on the same network."""
        return self.network.outside

    def build(self, specs: Sequence[HostSpec]) -> None:
        """Build and boot the hosts; all of them answer when this returns.

        Raises:
            LabError: this machine cannot, or a host could not be built; nothing is left of the lab then.
        """
        if missing := requirements():
            raise LabError("A lab cannot run here: " + "; ".join(missing) + ".")
        _check(specs)
        # Not inside the block below: a lab that is already in the directory must survive our refusal.
        self.network = Network.create(self.directory, split=any(spec.behind for spec in specs))
        self._made = True
        try:
            self._build(specs)
        except BaseException:
            self.close()
            raise

    def _build(self, specs: Sequence[HostSpec]) -> None:
        control = self._control = Control(self.network.record)
        control.launch()
        private, public = new_key()
        identity = self.network.record.private / "identity"
        identity.touch(mode=0o600)
        identity.write_text(private, encoding="ascii")
        access = Access(password=self._password, identity_file=identity, public_key=public)
        hosts = [self._host(spec, control, access, self._cables(spec, specs)) for spec in specs]
        self.network.record.add_netns(*(host.netns for host in hosts))
        control.start([host.plan for host in hosts])
        for host in hosts:
            name_netns(host.netns, host.pid)
        self.network.wire([(member, host.netns, device) for host in hosts for member, device in host.cables])
        control.boot([host.name for host in hosts])
        if self._keep:
            control.keep()
        self.network.record.settle()
        self.hosts = tuple(hosts)

    def _cables(self, spec: HostSpec, specs: Sequence[HostSpec]) -> Cables:
        cables = [(self.network.reserve(spec.name, inner=spec.behind is not None), "eth0")]
        if any(other.behind == spec.name for other in specs):
            cables.append((self.network.reserve(spec.name, inner=True), "eth1"))
        return tuple(cables)

    def _host(self, spec: HostSpec, control: Control, access: Access, cables: Cables) -> LabHost:
        private, public = new_key()
        plan = plan_guest(
            spec, access=access, cables=cables, folder=self.network.record.private, host_key=(private, public)
        )
        return LabHost(
            spec=spec,
            password=access.password_of(spec),
            identity_file=access.identity_file,
            host_key=public,
            control=control,
            network=self.network,
            cables=cables,
            plan=plan,
        )

    def close(self) -> None:
        """Remove the hosts and everything else that the lab made; more than once does no harm."""
        if self._made:  # the directory may hold the lab of somebody else, at which our build refused
            self.network.record.settle()
            clean(self.directory)
        if self._control is not None:
            self._control.release()


def _check(specs: Sequence[HostSpec]) -> None:
    names = [spec.name for spec in specs]
    if bad := [name for name in names if not _NAME.fullmatch(name)]:
        raise LabError(f"{bad[0]!r} is no name for a host: small letters, digits and hyphens, 40 at most.")
    if len(set(names)) != len(names) or {"outside", "switch"} & set(names):
        raise LabError("The hosts of a lab need names of their own, other than outside and switch.")
    if unknown := {spec.behind for spec in specs if spec.behind} - set(names):
        raise LabError(f"No host of the lab is called {', '.join(sorted(unknown))}.")
