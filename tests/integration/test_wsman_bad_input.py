"""Requests that no honest client sends get the fault of Windows, or a closed connection."""

import base64
import datetime as dt
import http.client
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from xml.etree import ElementTree as ET

import pytest
import spnego

from fwfix.lab.windows.wsman import Account, Listener, WsmanConfig, WsmanServer
from fwfix.lab.windows.wsman.sealing import CONTENT_TYPE, seal, unseal

SOAP = "application/soap+xml;charset=UTF-8"
BASIC = "Basic " + base64.b64encode(b"me:pw").decode()
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
SPACES = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    f'xmlns:rsp="{SHELL}"'
)
CREATE_BODY = (
    "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>"
    "<rsp:OutputStreams>stdout</rsp:OutputStreams></rsp:Shell>"
)


class Client:
    """Speaks HTTP and nothing more."""

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
        assert self.post(envelope(f"{TRANSFER}/Create", CREATE_BODY).encode()).status == 200
        subcode = root.findtext(f".//{soap}Subcode/{soap}Value")
        return (
            answer.status,
            int(inner.get("Code", "0")),
            subcode or root.findtext(f".//{soap}Code/{soap}Value") or "",
        )


def envelope(
    action: str, body: str, *, extra: str = "", resource: str = f"{SHELL}/cmd", shell: str = ""
) -> str:
    selectors = (
        f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    )
    return (
        f"<s:Envelope {SPACES}><s:Header><a:Action>{action}</a:Action>"
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID><a:To>http://twin:5985/wsman</a:To>"
        f"<w:ResourceURI>{resource}</w:ResourceURI>{selectors}{extra}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
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
def client(start: Callable[..., int]) -> Iterator[Client]:
    made = Client(start(basic=True, allow_unencrypted=True))
    yield made
    made.http.close()


CREATE = envelope(f"{TRANSFER}/Create", CREATE_BODY)
NOBODY = "11111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    ("body", "code", "subcode"),
    [
        ("<s:Envelope", 2150858817, "w:SchemaValidationError"),
        (" ", 2150858817, "w:SchemaValidationError"),
        ("<a/>", 2150858817, "w:SchemaValidationError"),
        (f"<!DOCTYPE x []>{CREATE}", 2150858817, "w:SchemaValidationError"),
        (
            f'<!DOCTYPE x [<!ENTITY e "{"e" * 99}">]>{CREATE.replace("stdin", "&e;")}',
            2150858817,
            "w:SchemaValidationError",
        ),
        ("<a>" * 50_000, 2150858817, "w:SchemaValidationError"),
        (CREATE.replace("2003/05", "2001/12"), 2150858765, "s:VersionMismatch"),
        (
            CREATE.replace("<s:Body>", "<s:Bodies>").replace("</s:Body>", "</s:Bodies>"),
            2150858767,
            "a:InvalidMessageInformationHeader",
        ),
        (CREATE.replace("MessageID", "MessageAd"), 2150858769, "a:MessageInformationHeaderRequired"),
        (CREATE.replace("a:To>", "a:Too>"), 2150858769, "a:MessageInformationHeaderRequired"),
        (
            envelope(
                f"{TRANSFER}/Create", CREATE_BODY, extra="<w:OperationTimeout>soon</w:OperationTimeout>"
            ),
            2150858767,
            "a:InvalidMessageInformationHeader",
        ),
        (
            envelope(f"{TRANSFER}/Create", CREATE_BODY, extra="<w:MaxEnvelopeSize>1</w:MaxEnvelopeSize>"),
            2150858878,
            "w:EncodingLimit",
        ),
        (
            envelope(f"{TRANSFER}/Create", CREATE_BODY, extra='<x s:mustUnderstand="true"/>'),
            2150858768,
            "s:MustUnderstand",
        ),
        (envelope("urn:nonsense", ""), 2150858771, "a:ActionNotSupported"),
        (
            envelope(
                f"{TRANSFER}/Create",
                CREATE_BODY,
                resource="http://schemas.microsoft.com/powershell/Microsoft.PowerShell",
            ),
            2150858752,
            "a:DestinationUnreachable",
        ),
        (envelope(f"{TRANSFER}/Create", ""), 2150858817, "w:SchemaValidationError"),
        (envelope(f"{TRANSFER}/Delete", ""), 2150858842, "w:InvalidSelectors"),
        (envelope(f"{TRANSFER}/Delete", "", shell=NOBODY), 2150858843, "w:InvalidSelectors"),
        (
            envelope(
                f"{SHELL}/Command",
                "<rsp:CommandLine><rsp:Command>ver</rsp:Command></rsp:CommandLine>",
                shell=NOBODY,
            ),
            2150858843,
            "w:InvalidSelectors",
        ),
    ],
)
def test_a_wrong_message_is_the_fault_of_windows_and_the_connection_goes_on(
    client: Client, body: str, code: int, subcode: str
) -> None:
    assert client.fault(body) == (500, code, subcode)


def opened(client: Client) -> str:
    created = ET.fromstring(client.post(CREATE.encode()).content)
    found = created.findtext(f".//{{{SHELL}}}ShellId")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        (
            "Send",
            '<rsp:Send><rsp:Stream Name="stdin">eA==</rsp:Stream></rsp:Send>',
            (87, "w:InvalidParameter"),
        ),
        (
            "Receive",
            "<rsp:Receive><rsp:DesiredStream>stdout</rsp:DesiredStream></rsp:Receive>",
            (87, "w:InvalidParameter"),
        ),
        (
            "Signal",
            f'<rsp:Signal CommandId="{NOBODY}"><rsp:Code>urn:x</rsp:Code></rsp:Signal>',
            (87, "w:InvalidParameter"),
        ),
        (
            "Signal",
            f'<rsp:Signal CommandId="{NOBODY}"><rsp:Code>signal/terminate</rsp:Code></rsp:Signal>',
            (2150858843, "w:InvalidSelectors"),
        ),
        (
            "Send",
            f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{NOBODY}">eA==</rsp:Stream></rsp:Send>',
            (2150858843, "w:InvalidSelectors"),
        ),
        (
            "Send",
            f'<rsp:Send><rsp:Stream Name="other" CommandId="{NOBODY}">eA==</rsp:Stream></rsp:Send>',
            (87, "w:InvalidParameter"),
        ),
        (
            "Receive",
            f'<rsp:Receive><rsp:DesiredStream CommandId="{NOBODY}">stdout</rsp:DesiredStream></rsp:Receive>',
            (2150858843, "w:InvalidSelectors"),
        ),
        ("Command", "<rsp:CommandLine/>", (2150858817, "w:SchemaValidationError")),
    ],
)
def test_a_wrong_request_to_an_open_shell_is_the_fault_of_windows(
    client: Client, verb: str, body: str, expected: tuple[int, str]
) -> None:
    assert client.fault(envelope(f"{SHELL}/{verb}", body, shell=opened(client))) == (500, *expected)


def test_input_for_a_command_that_has_ended_finds_its_pipe_closing(client: Client) -> None:
    shell = opened(client)
    line = "<rsp:CommandLine><rsp:Command>ver</rsp:Command></rsp:CommandLine>"
    started = ET.fromstring(client.post(envelope(f"{SHELL}/Command", line, shell=shell).encode()).content)
    command = started.findtext(f".//{{{SHELL}}}CommandId")
    fetch = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout</rsp:DesiredStream></rsp:Receive>'
    assert b"/Done" in client.post(envelope(f"{SHELL}/Receive", fetch, shell=shell).encode()).content
    more = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}">eA==</rsp:Stream></rsp:Send>'
    assert client.fault(envelope(f"{SHELL}/Send", more, shell=shell)) == (500, 2147942632, "w:InternalError")
    assert client.fault(envelope(f"{SHELL}/Receive", fetch, shell=shell))[1] == 2150858843


def test_ctrl_c_ends_a_command_and_keeps_what_it_wrote(client: Client) -> None:
    shell = opened(client)
    line = "<rsp:CommandLine><rsp:Command>ping -n 600 ::1</rsp:Command></rsp:CommandLine>"
    started = ET.fromstring(client.post(envelope(f"{SHELL}/Command", line, shell=shell).encode()).content)
    command = started.findtext(f".//{{{SHELL}}}CommandId")
    fetch = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout</rsp:DesiredStream></rsp:Receive>'
    first = client.post(envelope(f"{SHELL}/Receive", fetch, shell=shell).encode()).content
    assert b"CommandState/Running" in first
    stop = f'<rsp:Signal CommandId="{command}"><rsp:Code>{SHELL}/signal/ctrl_c</rsp:Code></rsp:Signal>'
    assert client.post(envelope(f"{SHELL}/Signal", stop, shell=shell).encode()).status == 200
    last = client.post(envelope(f"{SHELL}/Receive", fetch, shell=shell).encode()).content
    assert b"<rsp:ExitCode>-1073741510</rsp:ExitCode>" in last


def test_an_open_shell_describes_itself(client: Client) -> None:
    body = CREATE_BODY.replace(
        "<rsp:InputStreams>",
        '<rsp:Environment><rsp:Variable Name="A">%OS% &amp;</rsp:Variable></rsp:Environment>'
        "<rsp:WorkingDirectory>%windir%</rsp:WorkingDirectory><rsp:IdleTimeOut>PT60S</rsp:IdleTimeOut>"
        "<rsp:InputStreams>",
    )
    created = ET.fromstring(client.post(envelope(f"{TRANSFER}/Create", body).encode()).content)
    shell = created.findtext(f".//{{{SHELL}}}ShellId") or ""
    asked = envelope(f"{TRANSFER}/Get", "", resource=SHELL, shell=shell)
    described = ET.fromstring(client.post(asked.encode()).content).find(f".//{{{SHELL}}}Shell")
    assert described is not None
    # The order and the choice are those of WsmSvc for a command shell.
    assert [(each.tag.partition("}")[2], each.text) for each in described][:6] == [
        ("ShellId", shell),
        ("ResourceUri", f"{SHELL}/cmd"),
        ("Owner", r"TWIN\me"),
        ("ClientIP", "127.0.0.1"),
        ("Environment", None),
        ("WorkingDirectory", "%windir%"),
    ]
    assert described.findtext(f"{{{SHELL}}}IdleTimeOut") == "PT60.000S"
    assert described.findtext(f"{{{SHELL}}}Environment/{{{SHELL}}}Variable") == "%OS% &"


def test_identify_is_answered_to_everybody_and_says_the_version_only_to_users(client: Client) -> None:
    asked = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body><i:Identify '
        b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>'
    )
    anonymous = client.post(asked, Authorization="", WSMANIDENTIFY="unauthenticated")
    assert (anonymous.status, b"OS: 0.0.0 SP: 0.0 Stack: 3.0" in anonymous.content) == (200, True)
    assert b"OS: 10.0.17763 SP" in client.post(asked).content
    assert client.post(CREATE.encode(), Authorization="", WSMANIDENTIFY="unauthenticated").status == 400


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /wsman HTTP/1.1", 405),
        ("POST /other HTTP/1.1", 404),
        ("POST /wsman HTTP/1.1", 401),
        ("\x16\x03\x01\x02\x00", 400),
        ("POST /wsman HTTP/2", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: -1", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: ten", 400),
        ("POST /wsman HTTP/1.1\r\nno colon", 400),
        ("POST /wsman HTTP/1.1\r\nX: " + "x" * 20_000, 400),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        ("POST /wsman HTTP/1.1\r\nContent-Length: 104857600", 413),
        ("POST /wsman HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6400000", 413),
    ],
)
def test_wrong_http_is_answered_with_the_status_that_it_deserves(
    start: Callable[..., int], request_line: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", start()), timeout=10) as connection:
        connection.sendall(request_line.encode("latin-1") + b"\r\n\r\n")
        answer = connection.recv(4096)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"Server: Microsoft-HTTPAPI/2.0" in answer
        if status in (400, 413):
            assert drained(connection) == b""


def drained(connection: socket.socket) -> bytes:
    """Return what still comes, and insist that the other end closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def test_a_body_of_100_mb_is_refused_while_it_is_sent_and_not_kept(start: Callable[..., int]) -> None:
    with socket.create_connection(("127.0.0.1", start()), timeout=20) as connection:
        connection.sendall(b"POST /wsman HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x" * 1048576)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_a_body(client: Client) -> None:
    client.http.request(
        "POST",
        "/wsman",
        iter([CREATE[:100].encode(), CREATE[100:].encode()]),
        {"Content-Type": SOAP, "Authorization": BASIC},
    )
    answer = client.http.getresponse()
    assert (answer.status, b"ShellId" in answer.read()) == (200, True)


def test_another_content_type_is_not_read(client: Client) -> None:
    assert client.post(CREATE.encode(), Content_Type="text/plain").status == 415


@pytest.mark.parametrize("part", ["POST /wsm", "POST /wsman HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf"])
def test_half_a_request_is_waited_for_and_then_dropped(start: Callable[..., int], part: str) -> None:
    with socket.create_connection(
        ("127.0.0.1", start(connection_timeout=dt.timedelta(milliseconds=200))), timeout=10
    ) as connection:
        connection.sendall(part.encode())
        began = time.monotonic()
        assert drained(connection) == b""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("part", ["", "POST /wsm", "POST /wsman HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf"])
def test_a_client_that_leaves_in_the_middle_is_forgotten(start: Callable[..., int], part: str) -> None:
    port = start()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(part.encode())
    whole = Client(port)
    assert whole.post(b"", Authorization="").status == 401
    whole.http.close()


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
        return self.client.post(body, Authorization="", Content_Type=CONTENT_TYPE)

    def closed(self) -> bool:
        assert self.client.http.sock is not None
        return self.client.http.sock.recv(1) == b""


@pytest.fixture
def sealed(start: Callable[..., int]) -> Iterator[Sealed]:
    made = Sealed(start())
    yield made
    made.client.http.close()


def test_a_sealed_message_is_answered_sealed(sealed: Sealed) -> None:
    assert sealed.log_on() == 200
    answer = sealed.send(seal(CREATE.encode(), sealed))
    assert (answer.status, answer.getheader("Content-Type")) == (200, CONTENT_TYPE)
    assert b"ShellId" in unseal(answer.content, sealed)


def test_a_fault_is_sealed_like_an_answer(sealed: Sealed) -> None:
    assert sealed.log_on() == 200
    answer = sealed.send(seal(b"<nonsense", sealed))
    assert answer.status == 500
    assert b'Code="2150858817"' in unseal(answer.content, sealed)


@pytest.mark.parametrize(
    "damage", ["signature", "data", "length", "end", "head", "replay", "other key", "empty"]
)
def test_a_message_that_was_not_sealed_for_now_and_here_closes_the_connection(
    start: Callable[..., int], damage: str
) -> None:
    port = start()
    mine, other = Sealed(port), Sealed(port)
    assert (mine.log_on(), other.log_on()) == (200, 200)
    body = seal(CREATE.encode(), other if damage == "other key" else mine)
    at = body.index(b"octet-stream\r\n") + len(b"octet-stream\r\n") + 4
    if damage in ("signature", "data"):
        at += 8 if damage == "signature" else 20
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    elif damage == "replay":
        assert mine.send(body).status == 200
    else:
        body = {
            "length": body.replace(b"Length=", b"Length=1"),
            "end": body[:-10],
            "head": body.replace(b"OriginalContent", b"Original"),
            "empty": b"--Encrypted Boundary--\r\n",
        }.get(damage, body)
    answer = mine.client.post(body, Authorization="", Content_Type=CONTENT_TYPE)
    assert (answer.status, answer.content) == (400, b"")
    assert other.send(seal(CREATE.encode(), other)).status == (400 if damage == "other key" else 200)
    for each in (mine, other):
        each.client.http.close()


def test_a_sealed_body_of_somebody_who_is_not_logged_on_is_a_challenge(sealed: Sealed) -> None:
    assert sealed.send(b"--Encrypted Boundary--\r\n").status == 401


def test_an_unsealed_body_is_refused_where_nothing_else_protects_it(sealed: Sealed) -> None:
    assert sealed.log_on() == 200
    answer = sealed.client.post(CREATE.encode(), Authorization="")
    assert (answer.status, answer.content) == (500, b"")


NEGOTIATE = b"NTLMSSP\x00\x01\x00\x00\x00" + b"\xff" * 28


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"NTLMSSP\x00",
        b"NTLMSSP\x00\x02\x00\x00\x00" + b"\x00" * 60,
        b"NTLMSSP\x00\x03\x00\x00\x00" + b"\xff" * 80,
        b"NTLMSSP\x00\x03\x00\x00\x00" + b"\x00" * 80,
        b"\x60\x82\xff\xff\x06\x06",
        b"\xa1\x03\x30\x01\x00",
        b"\x60\x0b\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02",
        b"nonsense",
        NEGOTIATE,
    ],
)
def test_a_wrong_token_is_refused_and_a_right_logon_on_the_same_connection_succeeds(
    sealed: Sealed, token: bytes
) -> None:
    for first in ([], [NEGOTIATE[:16] + b"\x00" * 16]):
        for sent in [*first, token, token]:
            assert sealed.token(sent).status == 401
    sealed.token(b"")
    assert sealed.log_on() == 200


def test_a_changed_bit_anywhere_in_the_last_token_is_refused(start: Callable[..., int]) -> None:
    port = start()
    probe = Sealed(port)
    probe.token(b"")
    challenge = probe.token(probe.context.step() or b"").getheader("WWW-Authenticate", "").partition(" ")[2]
    last = probe.context.step(base64.b64decode(challenge)) or b""
    probe.client.http.close()
    # Offset 0 to 88 is the header with the MIC; behind it lie names, responses and the session key.
    for offset in [*range(12, len(last), 7)]:
        attempt = Sealed(port)
        challenge = (
            attempt.token(attempt.context.step() or b"").getheader("WWW-Authenticate", "").partition(" ")[2]
        )
        token = bytearray(attempt.context.step(base64.b64decode(challenge)) or b"")
        token[offset] ^= 0x40
        assert attempt.token(bytes(token)).status == 401, offset
        attempt.client.http.close()


def test_the_last_token_of_another_connection_proves_nothing(start: Callable[..., int]) -> None:
    port = start()
    first, second = Sealed(port), Sealed(port)
    offered = [
        each.token(each.context.step() or b"").getheader("WWW-Authenticate", "") for each in (first, second)
    ]
    stolen = first.context.step(base64.b64decode(offered[0].partition(" ")[2])) or b""
    assert second.token(stolen).status == 401
    assert first.token(stolen).status == 200
    assert first.token(stolen).status == 401
    for each in (first, second):
        each.client.http.close()
