"""Who may log on, and how, through pywinrm."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import spnego
from spnego.channel_bindings import GssChannelBindings
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from fwfix.lab.windows.wsman import (
    Account,
    AccountBook,
    CertificateWish,
    ChannelBinding,
    TlsIdentity,
    thumbprint,
    write_self_signed,
)

if TYPE_CHECKING:
    from conftest import Connect, Serve

ADMIN = Account(name="Administrator", password="Pässw0rd!")


@pytest.mark.parametrize("encryption", ["auto", "always"])
def test_ntlm_in_tls_with_channel_binding_is_accepted_plain_and_sealed(
    serve: "Serve", connect: "Connect", identity: TlsIdentity, encryption: str
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.STRICT)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), message_encryption=encryption)
    assert protocol.run("echo", ["hi"])[0] == b"hi\r\n"


def test_a_client_without_channel_binding_is_accepted_where_it_is_relaxed(
    serve: "Serve", connect: "Connect", identity: TlsIdentity
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.RELAXED)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), send_cbt=False)
    assert protocol.run("ver")[2] == 0


def test_a_client_without_channel_binding_is_refused_where_it_is_strict(
    serve: "Serve", connect: "Connect", identity: TlsIdentity
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.STRICT)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), send_cbt=False)
    with pytest.raises(InvalidCredentialsError):
        protocol.open_shell()


def test_a_logon_relayed_from_another_certificate_is_refused_even_where_binding_is_relaxed(
    serve: "Serve", identity: TlsIdentity, tmp_path: Path
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.RELAXED)
    other = write_self_signed(tmp_path, "other", CertificateWish(names=("127.0.0.1",)))

    def status(binding: bytes) -> int:
        client = spnego.client(
            ADMIN.name,
            ADMIN.password,
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
            channel_bindings=GssChannelBindings(application_data=binding),
        )
        with requests.Session() as session:
            session.verify = str(identity.certificate)
            session.trust_env = False
            answer = requests.Response()
            token = client.step()
            while token is not None:
                said = f"Negotiate {base64.b64encode(token).decode()}"
                answer = session.post(endpoint, headers={"Authorization": said}, timeout=5)
                offered = answer.headers.get("WWW-Authenticate", "").partition(" ")[2]
                token = client.step(base64.b64decode(offered)) if offered else None
            return answer.status_code

    assert status(identity.binding()) == 200
    assert status(other.binding()) == 401


def test_basic_is_accepted_in_tls_and_refused_without_it(
    serve: "Serve", connect: "Connect", identity: TlsIdentity
) -> None:
    _, secure = serve(tls=identity, basic=True)
    protocol = connect(secure, transport="basic", ca_trust_path=str(identity.certificate))
    assert protocol.run("echo", ["hi"])[0] == b"hi\r\n"
    _, open_to_all = serve(basic=True)
    with pytest.raises(WinRMTransportError) as refused:
        connect(open_to_all, transport="basic").open_shell()
    assert refused.value.code == 500


def test_basic_is_not_even_offered_by_default(
    serve: "Serve", connect: "Connect", identity: TlsIdentity
) -> None:
    _, endpoint = serve(tls=identity)
    answer = requests.post(endpoint, verify=str(identity.certificate), timeout=5)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Negotiate")
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, transport="basic", ca_trust_path=str(identity.certificate)).open_shell()


def test_a_client_certificate_maps_to_its_account_and_to_no_other(
    serve: "Serve", connect: "Connect", identity: TlsIdentity, tmp_path: Path
) -> None:
    mine = write_self_signed(tmp_path, "mine", CertificateWish(names=("me",)))
    stranger = write_self_signed(tmp_path, "stranger", CertificateWish(names=("stranger",)))
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(mine.certificate.read_bytes() + stranger.certificate.read_bytes())
    account = Account(name="cert-user", password="unused", certificate=thumbprint(mine.certificate))
    tls = TlsIdentity(certificate=identity.certificate, key=identity.key, clients=trusted)
    _, endpoint = serve(tls=tls, accounts=[account], certificate=True)

    def shown(who: TlsIdentity) -> Protocol:
        return connect(
            endpoint,
            transport="certificate",
            ca_trust_path=str(identity.certificate),
            cert_pem=str(who.certificate),
            cert_key_pem=str(who.key),
        )

    with pytest.raises(InvalidCredentialsError):
        connect(
            serve(tls=tls, accounts=[account])[1],
            transport="certificate",
            ca_trust_path=str(identity.certificate),
            cert_pem=str(mine.certificate),
            cert_key_pem=str(mine.key),
        ).open_shell()
    assert shown(mine).run("whoami")[0] == b"twin\\cert-user\r\n"
    with pytest.raises(InvalidCredentialsError):
        shown(stranger).open_shell()


@pytest.mark.parametrize("name", [r"CORP\svc", "svc@corp.example", r"corp\SVC"])
def test_a_domain_account_is_known_by_each_of_its_names(
    serve: "Serve", connect: "Connect", name: str
) -> None:
    _, endpoint = serve(accounts=[Account(name="svc", password="pw", domain="CORP")])
    assert connect(endpoint, username=name, password="pw").run("whoami")[0] == b"corp\\svc\r\n"


@pytest.mark.parametrize(
    ("name", "password"),
    [(ADMIN.name, "wrong"), ("nobody", ADMIN.password), (r"OTHER\Administrator", ADMIN.password)],
)
def test_a_wrong_name_or_password_is_refused_and_counted_once(
    serve: "Serve", connect: "Connect", name: str, password: str
) -> None:
    server, endpoint = serve()
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, username=name, password=password).open_shell()
    assert [logon.accepted for logon in server.book.logons] == [False]


def test_an_account_is_locked_across_the_hosts_of_its_domain_after_too_many_failures(
    serve: "Serve", connect: "Connect"
) -> None:
    book = AccountBook([Account(name="svc", password="pw", domain="CORP")], lockout_threshold=3)
    endpoints = [serve(accounts=book)[1] for _ in range(4)]
    for endpoint in endpoints[:3]:
        with pytest.raises(InvalidCredentialsError):
            connect(endpoint, username=r"CORP\svc", password="wrong").open_shell()
    with pytest.raises(InvalidCredentialsError):
        connect(endpoints[3], username=r"CORP\svc", password="pw").open_shell()
    assert len(book.logons) == 4


def test_a_locked_account_is_refused_with_its_right_password(serve: "Serve", connect: "Connect") -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="b", locked=True)])
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, username="a", password="b").open_shell()


def test_somebody_who_is_no_administrator_logs_on_and_is_denied(serve: "Serve", connect: "Connect") -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="b", administrator=False)])
    with pytest.raises(WSManFaultError) as denied:
        connect(endpoint, username="a", password="b").open_shell()
    assert (denied.value.wsman_fault_code, denied.value.fault_subcode) == (5, "w:AccessDenied")
