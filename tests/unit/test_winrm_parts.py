"""The pure parts of the WinRM executor: settings, the parcel, the frame, CLIXML."""

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.errors import ConnectError
from fwfix.executors import winrm_delivery as delivery
from fwfix.executors.clixml import plain_text
from fwfix.executors.winrm_endpoint import endpoint_of
from fwfix.model.host import Host, Platform, WinrmSettings, WinrmTransport
from fwfix.model.script import Invocation, Script
from fwfix.rendering.powershell import literal
from fwfix.secrets import SecretKind, SecretRef

PASSWORD = SecretRef(kind=SecretKind.ENV, argument="P")
PEM = Path("/pki/x.pem")
# The longest line that cmd.exe takes.
CMD_LIMIT = 8191


def windows(address: str = "10.1.2.4", **winrm: object) -> Host:
    settings = {"user": r"CORP\ops", "password": PASSWORD, **winrm}
    return Host(name="w", address=address, platform=Platform.WINDOWS, winrm=WinrmSettings(**settings))


def invocation(text: str, **attachments: str) -> Invocation:
    return Invocation(script=Script(name="job", text=text, changes=True), attachments=attachments)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://10.1.2.4:5986/wsman"),
        ({"scheme": "http"}, "http://10.1.2.4:5985/wsman"),
        ({"address": "fd00::4", "scheme": "http"}, "http://[fd00::4]:5985/wsman"),
        ({"server_name": "w.corp.example", "port": 443}, "https://w.corp.example:443/wsman"),
        ({"address": "fd00::4", "server_name": "w.corp.example"}, "https://w.corp.example:5986/wsman"),
    ],
)
def test_the_name_of_the_server_goes_into_the_url_and_the_address_stays_ours(
    settings: dict[str, object], url: str
) -> None:
    host = windows(**settings)
    found = endpoint_of(host)
    assert (found.url, found.address) == (url, host.address)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"scheme": "http", "transport": WinrmTransport.BASIC}, "protected"),
        ({"scheme": "http", "transport": WinrmTransport.CERTIFICATE}, "protected"),
        ({"user": None}, "user and password"),
        ({"password": None}, "user and password"),
        ({"password": None, "transport": WinrmTransport.BASIC}, "user and password"),
        ({"transport": WinrmTransport.KERBEROS}, "Kerberos"),
        ({"transport": WinrmTransport.CERTIFICATE, "cert_file": PEM}, "key_file"),
        ({"scheme": "http", "fingerprint": "0" * 64}, "fingerprint"),
        ({"proxy": "http://p:1", "jump": "bastion"}, "jump"),
        ({"proxy": "https://p:1"}, "proxy"),
        ({"scheme": "ftp"}, "scheme"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_any_contact(
    settings: dict[str, object], word: str
) -> None:
    with pytest.raises(ConnectError, match=word) as caught:
        endpoint_of(windows(**settings))
    assert caught.value.next
    assert caught.value.code == "winrm-settings"


def test_two_spellings_of_a_windows_account_are_one_account() -> None:
    assert endpoint_of(windows(user=r"CORP\Ops")).account == endpoint_of(windows(user=r"corp\ops")).account


@given(st.text(max_size=300))
def test_a_quoted_text_has_every_closing_quote_doubled_and_nothing_else_changed(text: str) -> None:
    quotes = "'‘’‚‛"
    inner = literal(text)[1:-1]
    read, at = [], 0
    while at < len(inner):
        if inner[at] in quotes:
            assert inner[at + 1] in quotes, "this one would end the literal"
            at += 1
        read.append(inner[at])
        at += 1
    assert "".join(read) == text


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=2000))
def test_what_is_sent_is_the_script_to_the_byte_and_the_bootstrap_knows_its_digest(text: str) -> None:
    parcel = delivery.pack(invocation(text))
    sent = base64.b64decode(b"".join(parcel.chunks))
    assert sent.decode().endswith(f"\n{text}")
    bootstrap = base64.b64decode(parcel.arguments[-1]).decode("utf-16-le")
    assert f"-ne'{hashlib.sha256(sent).hexdigest()}'" in bootstrap


@pytest.mark.parametrize("size", [0, 1, 44_000, 45_000, 3_000_000])
def test_a_script_of_any_size_goes_in_chunks_that_fit_old_envelopes(size: int) -> None:
    parcel = delivery.pack(invocation("x" * size))
    assert parcel.chunks
    assert all(0 < len(chunk) <= delivery.CHUNK for chunk in parcel.chunks)
    assert len(" ".join((parcel.command, *parcel.arguments))) < CMD_LIMIT / 2


def test_two_calls_never_share_a_nonce() -> None:
    job = invocation("x")
    assert delivery.pack(job).nonce != delivery.pack(job).nonce


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x'", "a/b", "x" * 65])
def test_an_attachment_with_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        delivery.pack(replace(invocation(""), attachments={name: "text"}))


def framed(text: str) -> bytes:
    raw = text.encode()
    return f"N:{hashlib.sha256(raw).hexdigest()}:{base64.b64encode(raw).decode()}\r\n".encode()


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))), st.data())
def test_an_answer_with_any_byte_missing_is_no_answer(text: str, data: st.DataObject) -> None:
    whole = b"banner\r\n" + framed(text)
    assert delivery.read(whole, "N") == text
    at = data.draw(st.integers(min_value=len(b"banner\r\n"), max_value=len(whole) - 3))
    # Without the last colon an empty text is still empty.
    for damaged in (whole[:at] + whole[at + 1 :], whole[:at]):
        assert delivery.read(damaged, "N") is None or text == ""


def test_an_answer_to_another_call_is_no_answer() -> None:
    assert delivery.read(framed("x").replace(b"N:", b"M:"), "N") is None


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (b"", ""),
        ("schlecht: é\r\n".encode(), "schlecht: é\n"),
        (b"#< CLIXML\r\n", ""),
        (b"#< CLIXML\r\n<Objs broken", "<Objs broken"),
        (b"<Objs><S S='Error'></Objs>", "<Objs><S S='Error'></Objs>"),
    ],
)
def test_stderr_without_whole_clixml_is_shown_as_it_is(stderr: bytes, expected: str) -> None:
    assert plain_text(stderr) == expected


def test_clixml_gives_errors_and_warnings_of_every_document_and_the_lines_between() -> None:
    xmlns = 'xmlns="http://schemas.microsoft.com/powershell/2004/04"'
    first = f'<Objs {xmlns}><Obj S="progress"/><S S="Error">a &lt;b_x000D__x000A_</S></Objs>'
    second = f'<Objs {xmlns}><S S="warning">_xD83D__xDE00_</S><S S="debug">no</S></Objs>'
    assert plain_text(f"#< CLIXML\r\n{first}plain\r\n{second}".encode()) == "a <b\nplain\n😀"
