"""Who we are, who they are, and what never goes over the wire in clear."""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import AccountStoppedError, AuthError, ConnectError, FwfixError, HostKeyError
from fwfix.executors.accounts import Accounts
from fwfix.lab.windows.wsman import (
    Account,
    AccountBook,
    ChannelBinding,
    Mishap,
    TlsIdentity,
    Trouble,
    thumbprint,
)
from fwfix.model.host import WinrmTransport

if TYPE_CHECKING:
    from conftest import Rig

ADMIN = Account(name="Administrator", password="Pässw0rd!")


def test_one_wrong_password_is_tried_once_in_a_whole_fleet(rig: "Rig") -> None:
    book = AccountBook([replace(ADMIN, domain="CORP")])
    twins = [rig.twin(accounts=book) for _ in range(5)]
    connector = rig.connector("wrong")

    def attempt(number: int) -> FwfixError:
        # Windows does not tell these spellings apart, and neither may the breaker.
        user = "CORP\\Administrator" if number % 2 else "corp\\administrator"
        host = twins[number % 5].host(f"win-{number}", user=user)
        with pytest.raises(AuthError) as caught:
            connector.open(host, deadline=rig.later())
        return caught.value

    with ThreadPoolExecutor(20) as pool:
        errors = list(pool.map(attempt, range(50)))
    assert len(book.logons) == 1
    assert sorted({each.code for each in errors}) == ["account-stopped", "password-rejected"]
    assert all(each.next for each in errors)


def test_a_host_that_took_the_password_goes_on_after_another_refused_it(rig: "Rig") -> None:
    good, bad = rig.twin(), rig.twin(accounts=[replace(ADMIN, password="other")])
    connector = rig.connector()
    executor = connector.open(good.host("good"), deadline=rig.later())
    with pytest.raises(AuthError):
        connector.open(bad.host("bad"), deadline=rig.later())
    with pytest.raises(AccountStoppedError):
        connector.open(rig.twin().host("third"), deadline=rig.later())
    good.server.trouble(Trouble(on={"Command": Mishap.LOST}))
    assert rig.run(executor, "'ok'").stdout == "ok"
    executor.close()


def test_what_another_way_of_connecting_learned_about_an_account_holds_here(rig: "Rig") -> None:
    accounts, twin = Accounts(), rig.twin()
    host = twin.host()
    assert host.winrm.password is not None
    with accounts.attempt("administrator", host.winrm.password, "elsewhere", deadline=rig.later()) as attempt:
        attempt.rejected()
    with pytest.raises(AccountStoppedError):
        rig.connector(accounts=accounts).open(host, deadline=rig.later())
    assert twin.server.requests == 0


def test_an_error_never_shows_the_password(rig: "Rig") -> None:
    with pytest.raises(AuthError) as caught:
        rig.connector("S3cret!").open(rig.twin().host(), deadline=rig.later())
    assert "S3cret!" not in f"{caught.value!r} {caught.value}"


def test_basic_over_http_never_leaves_this_machine(rig: "Rig") -> None:
    twin = rig.twin(basic=True, allow_unencrypted=True)
    for transport in (WinrmTransport.BASIC, WinrmTransport.CERTIFICATE):
        with pytest.raises(ConnectError, match="would not be protected"):
            rig.connector().open(twin.host(transport=transport), deadline=rig.later())
    assert (twin.server.requests, rig.asked) == (0, [])


@pytest.mark.parametrize("binding", ChannelBinding)
def test_ntlm_inside_tls_with_an_authority_and_a_name(
    rig: "Rig", identity: TlsIdentity, binding: ChannelBinding
) -> None:
    twin = rig.twin(tls=identity, channel_binding=binding)
    answer = rig.once(twin, "'ok'", ca_file=identity.certificate, server_name="win-1.corp.example")
    assert answer.stdout == "ok"


def test_basic_and_a_client_certificate_inside_tls(
    rig: "Rig", identity: TlsIdentity, client_identity: TlsIdentity
) -> None:
    account = replace(ADMIN, certificate=thumbprint(client_identity.certificate))
    tls = replace(identity, clients=client_identity.certificate)
    twin = rig.twin(accounts=[account], tls=tls, basic=True, certificate=True)
    trust = {"ca_file": identity.certificate}
    assert rig.once(twin, "'ok'", transport=WinrmTransport.BASIC, **trust).stdout == "ok"
    # Some programs take a password from here, in place of the certificate.
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    shown = {"cert_file": client_identity.certificate, "key_file": client_identity.key}
    certificate = {"transport": WinrmTransport.CERTIFICATE, "user": None, "password": None}
    assert rig.once(twin, "'ok'", **certificate, **shown, **trust).stdout == "ok"
    logons = twin.server.book.logons
    assert len({logon.via for logon in logons}) == 2
    assert [logon.accepted for logon in logons] == [True] * len(logons)


def test_a_kind_of_logon_that_the_host_does_not_take_is_no_rejected_password(
    rig: "Rig", identity: TlsIdentity
) -> None:
    twin = rig.twin(tls=identity)
    connector = rig.connector()
    host = twin.host(transport=WinrmTransport.BASIC, ca_file=identity.certificate)
    with pytest.raises(AuthError) as caught:
        connector.open(host, deadline=rig.later())
    assert caught.value.code == "logon-not-offered"
    connector.open(twin.host(ca_file=identity.certificate), deadline=rig.later()).close()


def test_a_pinned_certificate_needs_no_authority_and_no_name(rig: "Rig", identity: TlsIdentity) -> None:
    twin = rig.twin(tls=identity)
    pin = thumbprint(identity.certificate)
    assert rig.once(twin, "'ok'", fingerprint=pin, server_name="any.name").stdout == "ok"


@pytest.mark.parametrize(
    "trust",
    [
        {},
        {"fingerprint": "0" * 64},
        {"ca_file": True, "server_name": "other.example"},
        {"ca_file": True, "fingerprint": "0" * 64},
    ],
)
def test_a_server_that_cannot_prove_itself_gets_no_logon(
    rig: "Rig", identity: TlsIdentity, trust: dict[str, object]
) -> None:
    twin = rig.twin(tls=identity)
    settings = {**trust, **({"ca_file": identity.certificate} if "ca_file" in trust else {})}
    with pytest.raises(HostKeyError) as caught:
        rig.connector().open(twin.host(**settings), deadline=rig.later())
    # Whose name alone is wrong needs no other trust.
    assert ("name that stands in the certificate" in caught.value.next) == ("server_name" in trust)
    assert (twin.server.requests, twin.server.book.logons) == (0, ())


def test_the_environment_decides_neither_proxy_nor_trust_nor_account(
    rig: "Rig", identity: TlsIdentity, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = proxy
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, address)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(identity.certificate))
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    with pytest.raises(HostKeyError):
        rig.once(rig.twin(tls=identity), "'ok'")
    twin = rig.twin()
    assert rig.once(twin, "'ok'").stdout == "ok"
    assert {logon.name for logon in twin.server.book.logons} == {"Administrator"}
    assert asked == []


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_proxy_is_used_where_the_inventory_names_one(
    rig: "Rig", identity: TlsIdentity, proxy: tuple[str, list[str]], *, encrypted: bool
) -> None:
    address, asked = proxy
    twin = rig.twin(tls=identity if encrypted else None)
    trust = {"ca_file": identity.certificate} if encrypted else {}
    executor = rig.open(twin, proxy=address, **trust)
    assert rig.run(executor, "'ok'").stdout == "ok"
    assert executor.peer is None
    executor.close()
    assert asked == [f"CONNECT 127.0.0.1:{twin.port} HTTP/1.1"]


def test_a_proxy_that_refuses_is_told_from_the_host(rig: "Rig") -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectError, match=f"The proxy {address}"):
            rig.open(rig.twin(), proxy=address)


def test_a_jump_host_carries_it_all_and_nothing_stays_behind(rig: "Rig", identity: TlsIdentity) -> None:
    twin = rig.twin(tls=identity)
    asked: list[tuple[str, str, int]] = []

    def tunnel(jump: str, address: str, port: int, *, deadline: float) -> socket.socket:
        asked.append((jump, address, port))
        return socket.create_connection((twin.address, twin.port))

    connector = rig.connector(tunnel=tunnel)
    host = twin.host(jump="bastion-01", ca_file=identity.certificate, server_name="win-1.corp.example")
    hidden = replace(host, address="10.99.0.1")
    executor = connector.open(hidden, deadline=rig.later())
    assert rig.run(executor, f"'{'x' * 100_000}'").stdout == "x" * 100_000
    assert executor.peer is None
    executor.close()
    assert asked == [("bastion-01", "10.99.0.1", twin.port)]


def test_kerberos_without_its_extra_says_what_to_install(rig: "Rig", monkeypatch: pytest.MonkeyPatch) -> None:
    from winrm import transport

    # What pywinrm finds out when it is imported.
    monkeypatch.setattr(transport, "HAVE_KERBEROS", False)
    twin = rig.twin()
    host = twin.host(transport=WinrmTransport.KERBEROS, user=None, password=None)
    with pytest.raises(AuthError, match="kerberos") as caught:
        rig.connector().open(host, deadline=rig.later())
    assert caught.value.code == "kerberos-missing"
    assert "fwfix[kerberos]" in caught.value.next
