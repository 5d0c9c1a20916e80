"""What else is on a host: services, processes, sockets, printers, the system itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

SPOOLER, FIREWALL, FILTER_ENGINE, SCHEDULE, WINRM = "Spooler", "MpsSvc", "BFE", "Schedule", "WinRM"
SYSTEM_PID = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service."""

    name: str
    display_name: str
    running: bool = True
    automatic: bool = True
    pid: int = 0


STANDARD_SERVICES = (
    Service(name=FILTER_ENGINE, display_name="Base Filtering Engine", pid=1124),
    Service(name=FIREWALL, display_name="Windows Defender Firewall", pid=1124),
    Service(name=SCHEDULE, display_name="Task Scheduler", pid=1048),
    Service(name=SPOOLER, display_name="Print Spooler", pid=1980),
    Service(name=WINRM, display_name="Windows Remote Management (WS-Management)", pid=1360),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that may own a socket.

    Attributes:
        name: without `.exe`, as Get-Process says it.
    """

    pid: int
    name: str
    path: str | None = None


STANDARD_PROCESSES = (
    Process(pid=0, name="Idle"),
    Process(pid=SYSTEM_PID, name="System"),
    Process(pid=1048, name="svchost", path=r"C:\Windows\System32\svchost.exe"),
    Process(pid=1124, name="svchost", path=r"C:\Windows\System32\svchost.exe"),
    Process(pid=1360, name="svchost", path=r"C:\Windows\System32\svchost.exe"),
    Process(pid=1980, name="spoolsv", path=r"C:\Windows\System32\spoolsv.exe"),
    Process(pid=2412, name="labelgw", path=r"C:\Program Files\LabelGateway\labelgw.exe"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConnection:
    """A row of the TCP table.

    Attributes:
        state: as Get-NetTCPConnection names it: Listen, Established, TimeWait...
    """

    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    state: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpEndpoint:
    """A row of the UDP table."""

    local_address: str
    local_port: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Both tables."""

    tcp: tuple[TcpConnection, ...] = ()
    udp: tuple[UdpEndpoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """A printer that this host prints to, and its port; the host is the client there."""

    name: str
    port_name: str
    driver: str = "Generic / Text Only"
    host_address: str = ""
    port_number: int = 9100


@dataclass(slots=True, kw_only=True)
class Facts:
    """The facts of one host; a test changes them as an administrator would.

    Attributes:
        sockets: asked each time.
        owners: which process has a listening port: by ("tcp" or "udp", port).
        machine_id: the MachineGuid of the registry.
    """

    name: str = "TWIN"
    domain: str = "WORKGROUP"
    version: str = "10.0.17763"
    caption: str = "Microsoft Windows Server 2019 Standard"
    machine_id: str = "6f1c1b6e-6a38-4c64-8a10-3f5b5b0f2f11"
    booted: datetime
    services: dict[str, Service] = field(default_factory=lambda: {s.name: s for s in STANDARD_SERVICES})
    processes: tuple[Process, ...] = STANDARD_PROCESSES
    printers: tuple[Printer, ...] = ()
    owners: dict[tuple[str, int], int] = field(
        default_factory=lambda: {("tcp", 9100): 2412, ("tcp", 5985): SYSTEM_PID, ("tcp", 5986): SYSTEM_PID}
    )
    sockets: Callable[[], Sockets] = Sockets
    _scripts: dict[int, Process] = field(default_factory=dict, init=False)
    _ids: Iterator[int] = field(default_factory=lambda: count(10_000, 4), init=False)

    def runs(self, service: str) -> bool:
        """Say whether a service runs."""
        found = self.services.get(service)
        return found is not None and found.running

    def process(self, pid: int) -> Process | None:
        """Return the process of an id."""
        script = self._scripts.get(pid)
        return script or next((process for process in self.processes if process.pid == pid), None)

    @contextmanager
    def script(self, pid: int | None = None) -> Iterator[int]:
        """Let a PowerShell be there for as long as it runs, under this process id, or under a new one."""
        pid = next(self._ids) if pid is None else pid
        self._scripts[pid] = Process(pid=pid, name="powershell")
        try:
            yield pid
        finally:
            del self._scripts[pid]

    def owner(self, protocol: str, port: int) -> Process | None:
        """Return the process that listens on a port."""
        pid = self.owners.get((protocol, port))
        return None if pid is None else self.process(pid)

    def is_program(self, process: Process, *, program: str, service: str) -> bool:
        """Say whether a process is the program, and runs the service, that a rule names; empty is any."""
        image = process.path if process.path is not None else process.name
        named = (
            program.lower()
            .replace("%systemroot%", r"c:\windows")
            .replace("%programfiles%", r"c:\program files")
        )
        if program and image.lower() != named:
            return False
        return not service or any(
            each.name.lower() == service.lower() and each.pid == process.pid
            for each in self.services.values()
        )
