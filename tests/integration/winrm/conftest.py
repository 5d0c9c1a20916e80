"""What the tests of the WinRM executor share: twins whose powershell.exe counts, and connectors to them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from fwfix.executors.accounts import Accounts
from fwfix.executors.winrm import WinrmConnector, WinrmExecutor
from fwfix.executors.winrm_stream import Tunnel
from fwfix.lab.windows.cmd import Invocation as Call
from fwfix.lab.windows.cmd import PowerShellProgram, Program, standard_programs
from fwfix.lab.windows.cmd.small_engine import SmallEngine
from fwfix.lab.windows.powershell.hosts import Host as EngineHost
from fwfix.lab.windows.wsman import (
    Account,
    AccountBook,
    CertificateWish,
    Listener,
    TlsIdentity,
    WsmanConfig,
    WsmanServer,
    write_self_signed,
)
from fwfix.model.host import Host, Platform, WinrmSettings
from fwfix.model.script import Invocation, Result, Script
from fwfix.secrets import Secret, SecretKind, SecretRef

PASSWORD = SecretRef(kind=SecretKind.ENV, argument="OPS_PASSWORD")
ADMIN = Account(name="Administrator", password="Pässw0rd!")


class Counter:
    """count.exe: how often scripts came as far as their first line."""

    def __init__(self) -> None:
        self.count = 0

    def start(self, _call: Call, /) -> int:
        self.count += 1
        return 0


@dataclass
class Twin:
    """One Windows host of a test.

    Attributes:
        ran: counts the scripts that said `count.exe`.
    """

    server: WsmanServer
    ran: Counter
    port: int
    scheme: str
    address: str = "127.0.0.1"

    def host(self, name: str = "win-1", **winrm: object) -> Host:
        settings = {"user": ADMIN.name, "password": PASSWORD, "scheme": self.scheme, "port": self.port}
        return Host(
            name=name,
            address=self.address,
            platform=Platform.WINDOWS,
            winrm=WinrmSettings(**{**settings, **winrm}),
        )


class Rig:
    """Twins and connectors of one test."""

    def __init__(self) -> None:
        self.servers: list[WsmanServer] = []
        self.connectors: list[WinrmConnector] = []
        self.asked: list[str] = []

    def twin(
        self,
        *,
        accounts: AccountBook | Iterable[Account] = (ADMIN,),
        address: str = "127.0.0.1",
        tls: TlsIdentity | None = None,
        powershell: Program | None = None,
        engine: EngineHost | None = None,
        **config: object,
    ) -> Twin:
        """Start a twin; its powershell.exe is the small engine unless another program stands in."""
        ran = Counter()
        real = PowerShellProgram(SmallEngine(host=engine or EngineHost()))
        programs = standard_programs().having({"powershell.exe": powershell or real, "count.exe": ran})
        server = WsmanServer(accounts=accounts, programs=programs, config=WsmanConfig(**config))
        self.servers.append(server)
        port = server.serve([Listener(address=address, tls=tls)])[0][1]
        return Twin(server=server, ran=ran, port=port, scheme="https" if tls else "http", address=address)

    def connector(
        self,
        password: str = ADMIN.password,
        *,
        accounts: Accounts | None = None,
        tunnel: Tunnel | None = None,
    ) -> WinrmConnector:
        """Return the connector of a new run."""

        def resolve(_ref: SecretRef, host: Host, *, user: str, purpose: str) -> Secret:
            self.asked.append(host.name)
            return Secret(password)

        self.connectors.append(WinrmConnector(resolve=resolve, accounts=accounts, tunnel=tunnel))
        return self.connectors[-1]

    @staticmethod
    def later(seconds: float = 20) -> float:
        return time.monotonic() + seconds

    def open(self, twin: Twin, **winrm: object) -> WinrmExecutor:
        """Connect to a twin in a run of its own."""
        return self.connector().open(twin.host(**winrm), deadline=self.later())

    def run(
        self, executor: WinrmExecutor, text: str, *arguments: str, seconds: float = 20, **attachments: str
    ) -> Result:
        """Run a script that changes something."""
        job = Script(name="job", text=text, changes=True)
        wanted = Invocation(script=job, arguments=arguments, attachments=attachments)
        return executor.run(wanted, deadline=self.later(seconds))

    def once(self, twin: Twin, text: str, *, seconds: float = 20, **winrm: object) -> Result:
        """Connect, run a script and close."""
        executor = self.connector().open(twin.host(**winrm), deadline=self.later(seconds))
        try:
            return self.run(executor, text, seconds=seconds)
        finally:
            executor.close()

    @staticmethod
    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for connector in made.connectors:
        connector.close()
    for server in made.servers:
        server.close()
        assert server.crashes == []
    made.wait_for(
        lambda: not any(each.name.startswith(("fwfix-", "wsman-")) for each in threading.enumerate())
    )


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> TlsIdentity:
    folder = tmp_path_factory.mktemp("tls")
    return write_self_signed(folder, "server", CertificateWish(names=("win-1.corp.example", "127.0.0.1")))


@pytest.fixture(scope="session")
def client_identity(tmp_path_factory: pytest.TempPathFactory) -> TlsIdentity:
    folder = tmp_path_factory.mktemp("tls")
    return write_self_signed(folder, "client", CertificateWish(names=("ops",)))
