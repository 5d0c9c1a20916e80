"""Logons by ticket: a real KDC, real GSSAPI on both sides, and what goes wrong between them."""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import AuthError, ConnectError, UnreachableError
from fwfix.lab.windows.wsman import (
    Account,
    AccountBook,
    CertificateWish,
    ChannelBinding,
    Mishap,
    TlsIdentity,
    Trouble,
    write_self_signed,
)
from fwfix.model.host import WinrmTransport

if TYPE_CHECKING:
    from conftest import Realm, Rig, Twin

SERVER = "win-1.corp.example"
OPS = Account(name="ops", domain="CORP", password="unused")
BY_TICKET = {"transport": WinrmTransport.KERBEROS, "user": None, "password": None, "server_name": SERVER}


MakeTwin = Callable[..., "Twin"]


def logons(twin: "Twin") -> list[tuple[str, str, bool]]:
    return [(each.name, each.via, each.accepted) for each in twin.server.book.logons]


def test_a_ticket_opens_a_shell_over_http_where_nothing_but_sealed_messages_is_read(
    rig: "Rig", make_twin: MakeTwin
) -> None:
    twin = make_twin()
    executor = rig.open(twin, **BY_TICKET)
    assert rig.run(executor, "'ok'").stdout == "ok"
    assert rig.run(executor, f"'{'é€😀' * 20_000}'").stdout == "é€😀" * 20_000
    executor.close()
    assert logons(twin) == [("ops", "kerberos", True)]


@pytest.mark.parametrize("binding", ChannelBinding)
def test_inside_tls_the_very_first_message_is_bound_to_the_certificate(
    rig: "Rig", make_twin: MakeTwin, identity: TlsIdentity, binding: ChannelBinding
) -> None:
    twin = make_twin(tls=identity, channel_binding=binding)
    executor = rig.open(twin, **BY_TICKET, ca_file=identity.certificate)
    # Without a logon of its own: the ticket goes with the message that opens the shell.
    assert twin.server.requests == 1
    assert rig.run(executor, "'ok'").stdout == "ok"
    executor.close()
    assert logons(twin) == [("ops", "kerberos", True)]


def carry_both_ways(client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
    """Carry bytes until either side ends, in one thread: no two may use a TLS connection at once."""
    others = {client: server, server: client}
    while True:
        ready = [each for each in others if each.pending()] or select.select([*others], [], [], 10)[0]
        for each in ready:
            each.settimeout(0)
            try:
                data = each.recv(65536)
            except ssl.SSLWantReadError:
                continue
            except OSError:
                return
            if not data:
                return
            others[each].settimeout(10)
            others[each].sendall(data)
        if not ready:
            return


@pytest.fixture
def middleman(tmp_path: Path, identity: TlsIdentity) -> Iterator[tuple[Callable[[int], int], TlsIdentity]]:
    """Return somebody who ends TLS on the way to a port, and the certificate that he shows."""
    shown = write_self_signed(tmp_path, "middle", CertificateWish(names=(SERVER,)))
    listening = socket.create_server(("127.0.0.1", 0))
    trusting = ssl.create_default_context(cafile=str(identity.certificate))
    threads: list[threading.Thread] = []

    def serve(port: int) -> None:
        plain, _ = listening.accept()
        onward = socket.create_connection(("127.0.0.1", port))
        with (
            shown.context().wrap_socket(plain, server_side=True) as client,
            trusting.wrap_socket(onward, server_hostname=SERVER) as server,
        ):
            carry_both_ways(client, server)

    def stand_before(port: int) -> int:
        threads.append(threading.Thread(target=serve, args=(port,)))
        threads[0].start()
        own: int = listening.getsockname()[1]
        return own

    yield stand_before, shown
    for thread in threads:
        thread.join(10)
    listening.close()


def test_a_ticket_that_was_meant_for_another_tls_channel_opens_nothing(
    rig: "Rig",
    make_twin: MakeTwin,
    identity: TlsIdentity,
    middleman: tuple[Callable[[int], int], TlsIdentity],
) -> None:
    stand_before, shown = middleman
    twin = make_twin(tls=identity)
    host = replace(twin, port=stand_before(twin.port)).host(**BY_TICKET, ca_file=shown.certificate)
    with pytest.raises(AuthError) as caught:
        rig.connector().open(host, deadline=rig.later())
    assert caught.value.code == "ticket-rejected"
    assert logons(twin) == []


def test_user_chooses_among_the_tickets_of_several_people_and_no_password_is_asked_for(
    rig: "Rig", realm: "Realm", make_twin: MakeTwin, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = tmp_path / "everybody"
    everybody.mkdir(mode=0o700)
    monkeypatch.setenv("KRB5CCNAME", f"DIR:{everybody}")
    for name in ("ops", "second"):
        realm.kinit(name, f"DIR::{everybody}/tkt{name}")
    twin = make_twin(accounts=[OPS, replace(OPS, name="second")])
    for user in ("ops@CORP.EXAMPLE", "second", "ops"):
        given = twin.host().winrm.password
        assert rig.once(twin, "'ok'", **{**BY_TICKET, "user": user, "password": given}).stdout == "ok"
    assert [name for name, _, _ in logons(twin)] == ["ops", "second", "ops"]
    assert rig.asked == []


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("action", ["Command", "Receive"])
def test_a_dropped_connection_is_opened_once_more_with_a_new_message_of_the_same_ticket(
    rig: "Rig", make_twin: MakeTwin, identity: TlsIdentity, action: str, *, encrypted: bool
) -> None:
    twin = make_twin(tls=identity if encrypted else None)
    trust = {"ca_file": identity.certificate} if encrypted else {}
    executor = rig.open(twin, **BY_TICKET, **trust)
    twin.server.trouble(Trouble(on={action: Mishap.LOST}))
    assert rig.run(executor, "count.exe; 'ok'").stdout == "ok"
    executor.close()
    assert twin.ran.count == 1
    assert logons(twin) == [("ops", "kerberos", True)] * 2


def _refused(rig: "Rig", twin: "Twin", **winrm: object) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        rig.connector().open(twin.host(**{**BY_TICKET, **winrm}), deadline=rig.later())
    assert caught.value.next
    return caught.value


Spoil = Callable[["Realm", Path, pytest.MonkeyPatch], None]


def no_ticket(_realm: "Realm", cache: Path, _patch: pytest.MonkeyPatch) -> None:
    cache.unlink()


def later(seconds: int) -> Spoil:
    return lambda realm, cache, _patch: realm.shift_clock(cache, seconds)


def configured(old: str, new: str) -> Spoil:
    def rewrite(realm: "Realm", cache: Path, patch: pytest.MonkeyPatch) -> None:
        changed = cache.with_name("krb5.conf")
        text = realm.config.read_text()
        assert old in text
        changed.write_text(text.replace(old, new))
        patch.setenv("KRB5_CONFIG", str(changed))

    return rewrite


def untouched(_realm: "Realm", _cache: Path, _patch: pytest.MonkeyPatch) -> None:
    return


@pytest.mark.parametrize(
    ("spoil", "winrm", "code", "advice"),
    [
        (no_ticket, {}, "kerberos-ticket", "kinit"),
        (untouched, {"user": "second@CORP.EXAMPLE"}, "kerberos-ticket", "kinit"),
        (later(48 * 3600), {}, "kerberos-ticket", "kinit again"),
        (later(3600), {}, "kerberos-clock", "clock"),
        (later(-3600), {}, "kerberos-clock", "clock"),
        (untouched, {"server_name": "win-9.corp.example"}, "kerberos-name", "server_name"),
        (untouched, {"server_name": None}, "kerberos-name", "server_name"),
        (configured("  CORP.EXAMPLE = {", "  OTHER = {"), {}, "kerberos-realm", "krb5.conf"),
        (configured("default_realm", "#"), {"user": "ops"}, "kerberos-realm", "name@REALM"),
        (configured("127.0.0.1:", "127.0.0.9:"), {}, "kerberos-kdc", "KDC"),
    ],
    ids=[
        "no ticket", "ticket of somebody else", "expired", "our clock is ahead", "our clock is behind",
        "unknown name", "an address", "unknown realm", "no default realm", "no KDC",
    ],
)  # fmt: skip
def test_without_a_usable_ticket_the_host_hears_nothing_and_the_error_says_what_to_do(
    rig: "Rig",
    realm: "Realm",
    make_twin: MakeTwin,
    *,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Spoil,
    winrm: dict[str, object],
    code: str,
    advice: str,
) -> None:
    spoil(realm, cache, monkeypatch)
    twin = make_twin()
    error = _refused(rig, twin, **winrm)
    assert (error.code, advice in error.next) == (code, True), error
    assert isinstance(error, UnreachableError if code == "kerberos-kdc" else AuthError)
    assert twin.server.requests == 0


def test_a_silent_kdc_holds_nobody_beyond_the_deadline(
    rig: "Rig", realm: "Realm", make_twin: MakeTwin, *, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = make_twin()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        configured(f"127.0.0.1:{realm.port}", f"127.0.0.1:{udp.getsockname()[1]}")(realm, cache, monkeypatch)
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="no KDC answered in time") as caught:
            rig.connector().open(twin.host(**BY_TICKET), deadline=rig.later(2))
        assert time.monotonic() - began < 15
    assert caught.value.code == "kerberos-kdc"


def test_a_host_that_does_not_know_the_user_rejects_the_ticket(rig: "Rig", make_twin: MakeTwin) -> None:
    twin = make_twin(accounts=AccountBook([replace(OPS, name="somebody")]))
    assert _refused(rig, twin).code == "ticket-rejected"
    assert set(logons(twin)) == {("ops", "kerberos", False)}


def test_a_host_whose_clock_is_off_rejects_the_ticket(
    rig: "Rig", realm: "Realm", make_twin: MakeTwin, cache: Path
) -> None:
    twin = make_twin()
    rig.open(twin, **BY_TICKET).close()
    # The ticket for the host is in the cache by now: the KDC, whose clock is right, is not asked again.
    realm.shift_clock(cache, 3600)
    error = _refused(rig, twin)
    assert (error.code, "clock" in error.next) == ("ticket-rejected", True)


def test_a_host_with_other_keys_than_the_kdc_thinks_rejects_the_ticket(
    rig: "Rig", realm: "Realm", make_twin: MakeTwin, tmp_path: Path
) -> None:
    other = "win-2.corp.example"
    stale = tmp_path / "stale.keytab"
    principal = f"HTTP/{other}"
    realm.administer(
        f"addprinc -randkey {principal}", f"ktadd -k {stale} {principal}", f"cpw -randkey {principal}"
    )
    twin = make_twin(keytab=stale)
    assert _refused(rig, twin, server_name=other).code == "ticket-rejected"


def test_a_host_outside_of_the_realm_rejects_the_ticket_and_still_takes_passwords(
    rig: "Rig", make_twin: MakeTwin
) -> None:
    twin = make_twin(keytab=None, accounts=[Account(name="Administrator", password="Pässw0rd!")])
    assert _refused(rig, twin).code == "ticket-rejected"
    assert rig.once(twin, "'ok'").stdout == "ok"


def test_a_host_in_the_realm_still_takes_passwords(rig: "Rig", make_twin: MakeTwin) -> None:
    twin = make_twin(accounts=[OPS, Account(name="Administrator", password="Pässw0rd!")])
    assert rig.once(twin, "'ok'").stdout == "ok"
    assert logons(twin) == [("Administrator", "negotiate", True)]
