"""A lab: build hosts, hand them out, remove them."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fwfix.errors import LabError
from fwfix.lab.linux.control import Control
from fwfix.lab.linux.furniture import file_system_plan, hash_password
from fwfix.lab.linux.guest import GuestPlan
from fwfix.lab.linux.host import LabHost
from fwfix.lab.linux.keys import new_key
from fwfix.lab.linux.requirements import requirements
from fwfix.lab.linux.rules import dead_ruleset, site_rules, site_ruleset
from fwfix.lab.linux.spec import HostSpec
from fwfix.lab.network import Member, Network, Outside, name_netns
from fwfix.lab.records import clean


class Lab:
    """Throw-away Linux hosts on one switch.

    Args:
        directory: where everything of the lab is written down; `clean(directory)` removes the lab from that alone.
        keep: whether the lab goes on when this process ends without `close`, even by a SIGKILL. Without it the lab
            then removes itself.
    """

    def __init__(self, directory: Path, *, keep: bool = True) -> None:
        self.directory = directory.absolute()
        self.hosts: tuple[LabHost, ...] = ()
        self.network: Network
        self._keep = keep
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
        try:
            self._build(specs)
        except BaseException:
            self.close()
            raise

    def _build(self, specs: Sequence[HostSpec]) -> None:
        control = self._control = Control(self.network.record)
        control.launch()
        private, public = new_key()
        identity = self.directory / ".lab" / "identity"
        identity.touch(mode=0o600)
        identity.write_text(private, encoding="ascii")
        hashed = hash_password(self._password)
        hosts = [self._plan(spec, specs, identity, public, hashed) for spec in specs]
        control.start([host.plan for host in hosts])
        for host in hosts:
            self.network.record.add_netns(host.netns)
            name_netns(host.netns, host.pid)
        self.network.wire([(member, host.netns, device) for host in hosts for member, device in host.cables])
        control.boot([host.name for host in hosts])
        if self._keep:
            control.keep()
        self.hosts = tuple(hosts)

    def _plan(
        self, spec: HostSpec, specs: Sequence[HostSpec], identity: Path, public: str, hashed: str
    ) -> LabHost:
        cables = [(self.network.reserve(spec.name, inner=spec.behind is not None), "eth0")]
        if any(other.behind == spec.name for other in specs):
            cables.append((self.network.reserve(spec.name, inner=True), "eth1"))
        password = self._password if spec.password is None else spec.password
        private, host_key = new_key()
        record = self.network.record
        journals = record.private / "hosts" / spec.name
        journals.mkdir(parents=True)
        files = file_system_plan(
            spec,
            base=record.private / "fs" / spec.name,
            password_hash=hashed if spec.password is None else hash_password(password),
            host_key=private,
            host_key_line=host_key,
            authorized=public + "\n",
        )
        return LabHost(
            spec=spec,
            password=password,
            identity_file=identity,
            host_key=host_key,
            control=self._control or Control(record),
            network=self.network,
            cables=tuple(cables),
            plan=GuestPlan(
                name=spec.name,
                journals=str(journals),
                filesystem=files,
                ipv6=spec.ipv6,
                interfaces=[_interface(member, device) for member, device in cables],
                load=_rules(spec),
                listeners=_listeners(spec),
                sshd=not (spec.dead or spec.hang),
                boot=list(spec.boot),
            ),
        )

    def close(self) -> None:
        """Remove the hosts and everything else that the lab made; more than once does no harm."""
        clean(self.directory)
        if self._control is not None:
            self._control.release()


def _check(specs: Sequence[HostSpec]) -> None:
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names) or {"outside", "switch"} & set(names):
        raise LabError("The hosts of a lab need names of their own, other than outside and switch.")
    if unknown := {spec.behind for spec in specs if spec.behind} - set(names):
        raise LabError(f"No host of the lab is called {', '.join(sorted(unknown))}.")


def _interface(member: Member, device: str) -> tuple[str, str, str]:
    return device, member.cidr, member.cidr6


def _rules(spec: HostSpec) -> list[tuple[list[str], str]]:
    if spec.dead:
        return [(["nft", "-f", "-"], dead_ruleset())]
    if spec.firewall == "none":
        return []
    if spec.firewall == "nftables" or spec.nft_only:
        return [(["nft", "-f", "-"], site_ruleset(spec))]
    loads = [(["iptables-restore"], site_rules(spec, 4))]
    if spec.ip6tables:
        loads.append((["ip6tables-restore"], site_rules(spec, 6)))
    return loads


def _listeners(spec: HostSpec) -> list[tuple[int, str, str]]:
    found = [(item.port, item.protocol, item.process) for item in spec.listeners]
    if spec.hang:
        found += [(port, "tcp", "sshd") for port in spec.ssh_ports]
    return [(port, str(protocol), process) for port, protocol, process in found]
