"""What the tests of the twin's WinRM service share: servers, and clients from raw HTTP to pywinrm."""

import base64
import http.client
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from xml.etree import ElementTree as ET

import pytest
import spnego
from winrm.protocol import Protocol

from fwfix.lab.windows.cmd import Invocation, standard_programs
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
from fwfix.lab.windows.wsman.sealing import PROTOCOL, sealed_type

SOAP = "application/soap+xml;charset=UTF-8"
IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body><i:Identify '
    b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>'
)
BASIC = "Basic " + base64.b64encode(b"me:pw").decode()

ADMIN = Account(name="Administrator", password="Pässw0rd!")


class Length:
    """Answers with the number of bytes on standard input."""

    def start(self, call: Invocation, /) -> int:
        call.say(f"{len(call.stdin.read())}\n")
        return 0


class Flood:
    """Writes more than any envelope holds."""

    def start(self, call: Invocation, /) -> int:
        for _ in range(300):
            call.stdout.write(b"x" * 10_000)
        return 7


class Client:
    """Speaks HTTP and nothing more.

    Attributes:
        identify: a message that every server answers.
        basic: who is at the door.
    """

    identify = IDENTIFY
    basic = BASIC

    def __init__(self, port: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def post(self, body: bytes, **headers: str) -> http.client.HTTPResponse:
        sent = {"Content-Type": SOAP, "Authorization": BASIC}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        self.http.request("POST", "/wsman", body, {name: value for name, value in sent.items() if value})
        answer = self.http.getresponse()
        answer.content = answer.read()
        return answer

    def fault(self, body: str) -> tuple[int, int, str]:
        """Return HTTP status, code and subcode; and insist that the connection goes on."""
        answer = self.post(body.encode())
        root = ET.fromstring(answer.content)
        soap = "{http://www.w3.org/2003/05/soap-envelope}"
        inner = root.find(".//{http://schemas.microsoft.com/wbem/wsman/1/wsmanfault}WSManFault")
        assert inner is not None, answer.content
        assert self.post(self.identify).status == 200
        subcode = root.findtext(f".//{soap}Subcode/{soap}Value")
        return (
            answer.status,
            int(inner.get("Code", "0")),
            subcode or root.findtext(f".//{soap}Code/{soap}Value") or "",
        )


class Sealed:
    """An NTLM client whose every byte the test holds."""

    def __init__(self, port: int, password: str = "pw") -> None:
        self.client = Client(port)
        self.context = spnego.client(
            "me", password, protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm
        )

    def unseal(self, signature: bytes, data: bytes, /) -> bytes:
        return self.context.unwrap_winrm(signature, data)

    def seal(self, data: bytes, /) -> tuple[bytes, bytes]:
        wrapped = self.context.wrap_winrm(data)
        return wrapped.header, wrapped.data

    def log_on(self) -> int:
        token = self.context.step()
        while True:
            answer = self.token(token or b"")
            offered = answer.getheader("WWW-Authenticate", "").partition(" ")[2]
            if not offered:
                return answer.status
            token = self.context.step(base64.b64decode(offered))

    def token(self, token: bytes) -> http.client.HTTPResponse:
        return self.client.post(b"", Authorization=f"Negotiate {base64.b64encode(token).decode()}")

    def send(self, body: bytes) -> http.client.HTTPResponse:
        return self.client.post(body, Authorization="", Content_Type=sealed_type(PROTOCOL))


class Runner(Protocol):
    """pywinrm's protocol, with a whole command as one call."""

    def run(self, command: str, arguments: Iterable[str] = ()) -> tuple[bytes, bytes, int]:
        shell = self.open_shell()
        try:
            running = self.run_command(shell, command, arguments)
            result = self.get_command_output(shell, running)
            self.cleanup_command(shell, running)
            return result
        finally:
            self.close_shell(shell, close_session=False)


Serve = Callable[..., tuple[WsmanServer, str]]
Connect = Callable[..., Runner]
WaitFor = Callable[[Callable[[], bool]], None]
Start = Callable[..., int]
NewSealed = Callable[[int], Sealed]


@pytest.fixture
def wait_for() -> WaitFor:
    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    return wait


@pytest.fixture
def serve(wait_for: WaitFor) -> Iterator[Serve]:
    servers: list[WsmanServer] = []

    def start(
        *,
        accounts: AccountBook | Iterable[Account] = (ADMIN,),
        tls: TlsIdentity | None = None,
        **config: object,
    ) -> tuple[WsmanServer, str]:
        programs = standard_programs().having({"length.exe": Length(), "flood.exe": Flood()})
        server = WsmanServer(accounts=accounts, programs=programs, config=WsmanConfig(**config))
        servers.append(server)
        port = server.serve([Listener(tls=tls)])[0][1]
        return server, f"{'https' if tls else 'http'}://127.0.0.1:{port}/wsman"

    yield start
    for server in servers:
        server.close()
        assert server.crashes == []
    ours = ("wsman-", "command-")
    wait_for(lambda: not any(thread.name.startswith(ours) for thread in threading.enumerate()))


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> TlsIdentity:
    return write_self_signed(tmp_path_factory.mktemp("tls"), "server", CertificateWish(names=("127.0.0.1",)))


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[Runner] = []

    def build(endpoint: str, **changes: object) -> Runner:
        settings = {
            "transport": "ntlm",
            "username": ADMIN.name,
            "password": ADMIN.password,
            "message_encryption": "auto",
            "ca_trust_path": None,
            "server_cert_validation": "validate",
            "proxy": None,
            "operation_timeout_sec": 5,
            "read_timeout_sec": 20,
        }
        protocol = Runner(endpoint, **{**settings, **changes})
        opened.append(protocol)
        return protocol

    yield build
    for protocol in opened:
        protocol.transport.close_session()


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[WsmanServer] = []

    def begin(**config: object) -> int:
        server = WsmanServer(accounts=[Account(name="me", password="pw")], config=WsmanConfig(**config))
        servers.append(server)
        return server.serve([Listener()])[0][1]

    yield begin
    for server in servers:
        server.close()
        assert server.crashes == []
    assert not [each.name for each in threading.enumerate() if each.name.startswith("wsman-")]


@pytest.fixture
def client(start: Start) -> Iterator[Client]:
    made = Client(start(basic=True, allow_unencrypted=True))
    yield made
    made.http.close()


@pytest.fixture
def new_sealed() -> Iterator[NewSealed]:
    made: list[Sealed] = []

    def make(port: int) -> Sealed:
        made.append(Sealed(port))
        return made[-1]

    yield make
    for each in made:
        each.client.http.close()


@pytest.fixture
def sealed(start: Start, new_sealed: NewSealed) -> Sealed:
    return new_sealed(start())
