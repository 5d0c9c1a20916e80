"""Windows hosts on loopback, as the doctor meets them: the real WinRM client, TLS and NTLM, and the model."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network

import pytest

from fwfix.drivers.base import Stamp
from fwfix.drivers.windows import WindowsDriver
from fwfix.executors.recording import Recorder
from fwfix.executors.winrm import WinrmConnector
from fwfix.lab.windows.model.facts import Sockets, TcpConnection
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.policy import Interface
from fwfix.lab.windows.twin_engine import programs_of
from fwfix.lab.windows.wsman import (
    Account,
    Listener,
    TlsIdentity,
    WsmanConfig,
    WsmanServer,
)
from fwfix.model.host import Host, Platform, WinrmSettings
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.output.observe import Nobody
from fwfix.rendering.environment import Renderer
from fwfix.runner.context import RunContext
from fwfix.runner.doctor import Check, Status, below, examine
from fwfix.runner.log import NoLog
from fwfix.secrets import Secret, SecretKind, SecretRef

PASSWORD = "Pässw0rd & <more> 'quoted'!"
RUN = "20261121T220003Z-4f2a"
PROTECTION = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"),),
    action=Action.DROP,
    log=False,
)


@dataclass
class Examined:
    """What the doctor found, by step."""

    checks: tuple[Check, ...]

    def __getitem__(self, step: str) -> Check:
        return next(each for each in self.checks if each.check == step)

    @property
    def failed(self) -> list[str]:
        return [each.check for each in self.checks if each.status is Status.FAILED]

    @property
    def not_tried(self) -> set[str]:
        return {each.check for each in self.checks if each.status is Status.NOT_TRIED}


@dataclass
class Clinic:
    """Hosts of one test, and the doctor."""

    stack: ExitStack
    servers: list[WsmanServer] = field(default_factory=list)
    models: list[WindowsHost] = field(default_factory=list)
    recorder: Recorder | None = None

    def windows(
        self, knobs: Knobs | None = None, *, tls: TlsIdentity | None = None, **config: object
    ) -> Host:
        """Start a twin on loopback, and return it as a host of an inventory that fits it."""
        knobs = knobs or Knobs()
        interface = Interface(addresses=("192.0.2.7/24", "2001:db8::7/64"))
        model = WindowsHost(knobs=knobs, interfaces=(interface,))
        listening = TcpConnection(
            local_address="0.0.0.0",
            local_port=9100,
            remote_address="0.0.0.0",
            remote_port=0,
            state="Listen",
            pid=2412,
        )
        model.facts.sockets = lambda: Sockets(tcp=(listening,))
        account = Account(name="Administrator", password=PASSWORD, administrator=not knobs.not_admin)
        server = WsmanServer(
            accounts=[account],
            programs=programs_of(model),
            config=WsmanConfig(**config),  # type: ignore[arg-type]
        )
        self.stack.callback(model.close)
        self.stack.callback(server.close)
        self.servers.append(server)
        self.models.append(model)
        port = server.serve([Listener(address="127.0.0.1", tls=tls)])[0][1]
        trust = {"ca_file": tls.certificate} if tls else {}
        return self.host(port, scheme="https" if tls else "http", **trust)

    def host(self, port: int, *, address: str = "127.0.0.1", **winrm: object) -> Host:
        settings = {
            "user": "Administrator",
            "password": SecretRef(kind=SecretKind.ENV, argument="OPS_PASSWORD"),
            "port": port,
            **winrm,
        }
        return Host(
            name="win-1",
            address=address,
            platform=Platform.WINDOWS,
            winrm=WinrmSettings(**settings),  # type: ignore[arg-type]
        )

    def examine(self, host: Host, *, password: str = PASSWORD, seconds: float = 5) -> Examined:
        """Have the doctor look at a host."""

        def resolve(_ref: SecretRef, _host: Host, *, user: str, purpose: str) -> Secret:
            return Secret(password)

        connector = WinrmConnector(resolve=resolve)
        self.stack.callback(connector.close)
        beneath = below(connector, Platform.WINDOWS, {host.name: host})
        heard = self.recorder.attach(connector, [Platform.WINDOWS]) if self.recorder else connector
        context = RunContext(
            run_id=RUN,
            connector=heard,
            drivers={Platform.WINDOWS: WindowsDriver(Renderer())},
            log=NoLog(),
            observer=Nobody(),
            stamp=Stamp(operator="ops", controller="jump01", ticket=""),
            connect_timeout=timedelta(seconds=seconds),
        )
        return Examined(examine(host, context, below=beneath, protections=(PROTECTION,), vantages={}))


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with ExitStack() as stack:
        made = Clinic(stack)
        yield made
    for server in made.servers:
        assert server.crashes == []
