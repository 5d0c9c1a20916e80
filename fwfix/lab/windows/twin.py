"""A Windows twin: WinRM, commands, PowerShell and a host model in one network namespace of a lab."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_interface
from pathlib import Path
from typing import Self

from fwfix.lab.windows.cmd import Machine
from fwfix.lab.windows.model.clock import HostClock
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.nftables import ruleset
from fwfix.lab.windows.model.policy import Interface
from fwfix.lab.windows.twin_engine import TaskActions, programs_of
from fwfix.lab.windows.twin_network import Namespace
from fwfix.lab.windows.twin_printing import RawPrinting
from fwfix.lab.windows.wsman import Account, Listener, TlsIdentity, WsmanConfig, WsmanServer

HTTP, HTTPS, PRINTING = 5985, 5986, 9100
_NAME_LENGTH = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinSpec:
    """One twin.

    Attributes:
        name: in the lab; the NetBIOS name comes from it.
        netns: ready, with its addresses up, as `Network.join` makes it.
        cidr, cidr6: the addresses with their prefix lengths.
        user, password: the account that may log on.
        domain: NetBIOS name of the domain that the account is of; None for an account of the host.
        tls: certificate of port 5986; without it the port is closed.
        keytab: keys of the host's service principals; without it there is no Kerberos.
    """

    name: str
    netns: str
    cidr: str
    cidr6: str
    user: str = "Administrator"
    password: str = field(repr=False)
    domain: str | None = None
    tls: TlsIdentity | None = None
    keytab: Path | None = None
    knobs: Knobs = field(default_factory=Knobs)

    @property
    def machine(self) -> Machine:
        """The host as its programs see it."""
        addresses = tuple(str(ip_interface(cidr).ip) for cidr in (self.cidr, self.cidr6))
        return Machine(name=self.name.upper()[:_NAME_LENGTH], addresses=addresses)


class Twin:
    """A running twin; a process may have many.

    Args:
        spec: what it is.
        clock: a virtual one in tests.

    Attributes:
        host: the model, for a test that turns a knob while the twin runs.
        server: the WinRM service, for troubles of the network.
    """

    def __init__(self, spec: TwinSpec, *, clock: HostClock | None = None) -> None:
        self.spec = spec
        interface = Interface(
            addresses=(spec.cidr, spec.cidr6),
            subnets=(ip_interface(spec.cidr).network, ip_interface(spec.cidr6).network),
        )
        machine = spec.machine
        self.host = WindowsHost(knobs=spec.knobs, name=machine.name, interfaces=(interface,), clock=clock)
        programs = programs_of(self.host)
        self.actions = TaskActions(machine, programs)
        self.host.run_action = self.actions.run
        account = Account(
            name=spec.user,
            password=spec.password,
            domain=spec.domain,
            administrator=not spec.knobs.not_admin,
        )
        config = WsmanConfig(machine=machine, keytab=spec.keytab)
        self.server = WsmanServer(accounts=[account], programs=programs, config=config)
        self._filter_lock = threading.Lock()
        self._closing: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen, filter, follow the clock.

        Raises:
            LabError: the namespace is not usable.
        """
        self._namespace = Namespace(self.spec.netns)
        self._closing.append(self._namespace.close)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.host.facts.sockets = lambda: self._namespace.sockets(
            lambda protocol, port: self.host.facts.owners.get((protocol, port))
        )
        self.load_filter()
        self.host.firewall.on_change(self.load_filter)
        self.printing = RawPrinting(self._namespace.listen(PRINTING))
        self._closing.append(self.printing.close)
        listeners = [Listener(bound=each) for each in self._namespace.listen(HTTP)]
        if self.spec.tls is not None:
            bound = self._namespace.listen(HTTPS)
            listeners += [Listener(bound=each, tls=self.spec.tls) for each in bound]
        self._closing.append(self.server.close)
        self.server.serve(listeners)
        self._closing.append(self.host.close)
        self.host.on_reboot(self.server.shells.close_all)
        self.host.on_reboot(self.printing.end_sessions)
        self.host.scheduler.follow()

    def load_filter(self) -> None:
        """Have the kernel do what the policy says now."""
        with self._filter_lock:
            self._namespace.load(ruleset(self.host.firewall.policy(), self.host.facts))

    def reboot(
        self, *, off_for: timedelta = timedelta(), let_pass: Callable[[timedelta], None] | None = None
    ) -> None:
        """End shells and everything that they run; rules, files and tasks stay."""
        self.host.reboot(off_for=off_for, let_pass=let_pass)

    def turn(self, changes: Mapping[str, object]) -> None:
        """Turn knobs while the twin runs.

        Args:
            changes: fields of `Knobs` and what they are from now on.
        """
        knobs = replace(self.host.knobs, **changes)  # type: ignore[arg-type]
        self.host.turn(knobs)
        self.server.book.promote(self.spec.user, administrator=not knobs.not_admin)

    def close(self) -> None:
        """End everything; the namespace stays, without a filter."""
        while self._closing:
            self._closing.pop()()
