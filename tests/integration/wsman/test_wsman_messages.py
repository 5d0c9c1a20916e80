"""A message that is wrong gets the fault of Windows, and the connection goes on."""

import base64
import uuid
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from conftest import Client

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


CREATE = envelope(f"{TRANSFER}/Create", CREATE_BODY)


NOBODY = "11111111-1111-1111-1111-111111111111"


def opened(client: "Client") -> str:
    created = ET.fromstring(client.post(CREATE.encode()).content)
    found = created.findtext(f".//{{{SHELL}}}ShellId")
    assert found is not None
    return found


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
    client: "Client", body: str, code: int, subcode: str
) -> None:
    assert client.fault(body) == (500, code, subcode)


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
    client: "Client", verb: str, body: str, expected: tuple[int, str]
) -> None:
    assert client.fault(envelope(f"{SHELL}/{verb}", body, shell=opened(client))) == (500, *expected)


def test_input_for_a_command_that_has_ended_finds_its_pipe_closing(client: "Client") -> None:
    shell = opened(client)
    line = "<rsp:CommandLine><rsp:Command>ver</rsp:Command></rsp:CommandLine>"
    started = ET.fromstring(client.post(envelope(f"{SHELL}/Command", line, shell=shell).encode()).content)
    command = started.findtext(f".//{{{SHELL}}}CommandId")
    fetch = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout</rsp:DesiredStream></rsp:Receive>'
    assert b"/Done" in client.post(envelope(f"{SHELL}/Receive", fetch, shell=shell).encode()).content
    more = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}">eA==</rsp:Stream></rsp:Send>'
    assert client.fault(envelope(f"{SHELL}/Send", more, shell=shell)) == (500, 2147942632, "w:InternalError")
    assert client.fault(envelope(f"{SHELL}/Receive", fetch, shell=shell))[1] == 2150858843


def test_no_answer_is_larger_than_the_client_allows(client: "Client") -> None:
    shell = opened(client)
    small = "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>"
    text = f"echo {'x' * 8000}&amp;{'echo y&amp;' * 20}ver"
    line = f"<rsp:CommandLine><rsp:Command>{text}</rsp:Command></rsp:CommandLine>"
    started = ET.fromstring(client.post(envelope(f"{SHELL}/Command", line, shell=shell).encode()).content)
    command = started.findtext(f".//{{{SHELL}}}CommandId")
    fetch = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout</rsp:DesiredStream></rsp:Receive>'
    written = b""
    answer = b""
    while b"/Done" not in answer:
        asked = envelope(f"{SHELL}/Receive", fetch, shell=shell, extra=small)
        answer = client.post(asked.encode()).content
        assert len(answer) <= 8192
        streams = ET.fromstring(answer).iter(f"{{{SHELL}}}Stream")
        written += b"".join(base64.b64decode(each.text or "") for each in streams)
    assert written.startswith(b"x" * 8000 + b"\r\n" + b"y\r\n" * 20)


def test_an_id_that_is_none_is_refused(client: "Client") -> None:
    chosen = CREATE_BODY.replace("<rsp:Shell>", f'<rsp:Shell ShellId="{NOBODY}">')
    assert NOBODY.encode() in client.post(envelope(f"{TRANSFER}/Create", chosen).encode()).content
    line = '<rsp:CommandLine CommandId="&quot;/>"><rsp:Command>ver</rsp:Command></rsp:CommandLine>'
    refused = client.fault(envelope(f"{SHELL}/Command", line, shell=NOBODY))
    assert refused == (500, 87, "w:InvalidParameter")
    assert client.fault(envelope(f"{TRANSFER}/Create", chosen)) == (500, 2150858803, "w:AlreadyExists")


def test_ctrl_c_ends_a_command_and_keeps_what_it_wrote(client: "Client") -> None:
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


def test_an_open_shell_describes_itself(client: "Client") -> None:
    body = CREATE_BODY.replace(
        "<rsp:InputStreams>",
        '<rsp:Environment><rsp:Variable Name="A\\B">%OS% &amp;</rsp:Variable></rsp:Environment>'
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
    variable = described.find(f"{{{SHELL}}}Environment/{{{SHELL}}}Variable")
    # A recorded host left the backslash out of the name.
    assert (variable.get("Name"), variable.text) == ("AB", "%OS% &")


def test_identify_is_answered_to_everybody_and_says_the_version_only_to_users(client: "Client") -> None:
    asked = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body><i:Identify '
        b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>'
    )
    anonymous = client.post(asked, Authorization="", WSMANIDENTIFY="unauthenticated")
    assert (anonymous.status, b"OS: 0.0.0 SP: 0.0 Stack: 3.0" in anonymous.content) == (200, True)
    assert b"OS: 10.0.17763 SP" in client.post(asked).content
    assert client.post(CREATE.encode(), Authorization="", WSMANIDENTIFY="unauthenticated").status == 400


def test_another_content_type_is_not_read(client: "Client") -> None:
    assert client.post(CREATE.encode(), Content_Type="text/plain").status == 415
