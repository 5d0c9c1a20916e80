"""The twin's half of Kerberos, with a client that shares no code with it or with pywinrm."""

import http.client
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.windows.wsman import ChannelBinding, TlsIdentity

if TYPE_CHECKING:
    from conftest import Twin

SERVER = "win-1.corp.example"
IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>'
    b'<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/>'
    b"</s:Body></s:Envelope>"
)

MakeTwin = Callable[..., "Twin"]


class RawClient:
    """A client of its own kind: GSSAPI by hand, and no more HTTP than that needs."""

    def __init__(self, twin: "Twin", *, spnego: bool = False, trust: Path | None = None) -> None:
        import kerberos

        kind = kerberos.GSS_MECH_OID_SPNEGO if spnego else kerberos.GSS_MECH_OID_KRB5
        _, self.context = kerberos.authGSSClientInit(f"HTTP@{SERVER}", mech_oid=kind)
        kerberos.authGSSClientStep(self.context, "")
        self.token: str = kerberos.authGSSClientResponse(self.context)
        self.connection = http.client.HTTPConnection("127.0.0.1", twin.port, timeout=10)
        if trust is not None:
            trusting = ssl.create_default_context(cafile=str(trust))
            self.connection = http.client.HTTPSConnection(
                "127.0.0.1", twin.port, timeout=10, context=trusting
            )

    def post(self, body: bytes = b"", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("POST", "/wsman", body, named)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def log_on(self, scheme: str = "Negotiate") -> int:
        """Show the token, and check what the host shows."""
        import kerberos

        status, _, headers = self.post(Authorization=f"{scheme} {self.token}")
        said, _, token = headers.get("WWW-Authenticate", "").partition(" ")
        if status == 200:
            assert said == scheme
            assert kerberos.authGSSClientStep(self.context, token) == kerberos.AUTH_GSS_COMPLETE
        return status

    def send_sealed(self, message: bytes, kind: str) -> tuple[int, str, bytes]:
        """Send a message and return status, content type and message of the answer."""
        import kerberos

        data, header = kerberos.authGSSWinRMEncryptMessage(self.context, message)
        edge = b"--Encrypted Boundary"
        lines = f"\tContent-Type: application/{kind}\r\n".encode()
        lines += (
            f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(message)}\r\n".encode()
        )
        stream = b"\tContent-Type: application/octet-stream\r\n"
        sealed = stream + struct.pack("<I", len(header)) + header + data
        body = edge + b"\r\n" + lines + edge + b"\r\n" + sealed + edge + b"--\r\n"
        announced = f'multipart/encrypted;protocol="application/{kind}";boundary="Encrypted Boundary"'
        status, answer, headers = self.post(body, Content_Type=announced)
        _, _, rest = answer.partition(stream)
        size = struct.unpack_from("<I", rest)[0] if rest else 0
        found = rest[4:].removesuffix(edge + b"--\r\n")
        opened = (
            kerberos.authGSSWinRMDecryptMessage(self.context, found[size:], found[:size]) if rest else b""
        )
        return status, headers.get("Content-Type", ""), opened


MakeRaw = Callable[..., RawClient]


@pytest.fixture
def make_raw() -> Iterator[MakeRaw]:
    made: list[RawClient] = []

    def make(*arguments: Any, **options: Any) -> RawClient:  # noqa: ANN401 - its own
        made.append(RawClient(*arguments, **options))
        return made[-1]

    yield make
    for client in made:
        client.connection.close()


@pytest.mark.parametrize(("scheme", "kind"), [("Negotiate", "SPNEGO"), ("Kerberos", "Kerberos")])
@pytest.mark.parametrize("spnego", [False, True], ids=["bare", "spnego"])
def test_the_twin_takes_what_other_clients_send_and_answers_in_kind(
    make_twin: MakeTwin, make_raw: MakeRaw, scheme: str, kind: str, *, spnego: bool
) -> None:
    client = make_raw(make_twin(), spnego=spnego)
    assert client.log_on(scheme) == 200
    status, announced, answer = client.send_sealed(IDENTIFY, f"HTTP-{kind}-session-encrypted")
    assert (status, b"IdentifyResponse" in answer) == (200, True)
    assert f"HTTP-{kind}-session-encrypted" in announced


def test_the_twin_ends_a_connection_on_which_a_message_was_changed(
    make_twin: MakeTwin, make_raw: MakeRaw
) -> None:
    twin = make_twin()
    mine, other = make_raw(twin), make_raw(twin)
    assert (mine.log_on(), other.log_on()) == (200, 200)
    mine.context = other.context
    assert mine.send_sealed(IDENTIFY, "HTTP-SPNEGO-session-encrypted")[0] == 400


@pytest.mark.parametrize(
    ("binding", "status"),
    [(ChannelBinding.RELAXED, 200), (ChannelBinding.STRICT, 401)],
    ids=["relaxed", "strict"],
)
def test_the_twin_wants_to_hear_of_the_certificate_where_it_is_strict(
    make_twin: MakeTwin, make_raw: MakeRaw, identity: TlsIdentity, *, binding: ChannelBinding, status: int
) -> None:
    twin = make_twin(tls=identity, channel_binding=binding)
    assert make_raw(twin, trust=identity.certificate).log_on() == status


def test_no_message_is_taken_twice(make_twin: MakeTwin, make_raw: MakeRaw) -> None:
    twin = make_twin()
    first, second = make_raw(twin), make_raw(twin)
    second.token = first.token
    assert (first.log_on(), second.log_on()) == (200, 401)
