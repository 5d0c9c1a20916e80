"""The doctor on Windows: one trouble, one step that fails, and a command that mends it."""

import base64
import datetime as dt
import hashlib
import json
import re
import socket
import ssl
import threading
from contextlib import closing
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.drivers.windows import WindowsDriver
from fwfix.executors.recording import Recorder, answers_of
from fwfix.executors.redaction import traces
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.wsman import CertificateWish, TlsIdentity, write_self_signed
from fwfix.model.host import WinrmTransport
from fwfix.model.script import Result
from fwfix.rendering.environment import Renderer
from fwfix.runner.doctor import Status

if TYPE_CHECKING:
    from conftest import Clinic

PASSWORD = "Pässw0rd & <more> 'quoted'!"
HAZARD = "hazard:rule-would-not-be-enforced"


def identity(folder: Path, *names: str, valid_for: dt.timedelta = dt.timedelta(days=9)) -> TlsIdentity:
    return write_self_signed(folder, "server", CertificateWish(names=names, valid_for=valid_for))


def test_every_step_of_a_good_host_is_ok_over_http_and_https(clinic: "Clinic", tmp_path: Path) -> None:
    for tls in (None, identity(tmp_path, "127.0.0.1")):
        found = clinic.examine(clinic.windows(tls=tls))
        assert (found.failed, found.not_tried) == ([], set()), found
        assert ("TLS" in found["encryption"].message) is True
        assert "PowerShell 5.1" in found["powershell"].message


def test_nothing_on_the_host_changes(clinic: "Clinic") -> None:
    host, model = clinic.windows(), clinic.models[0]

    def looks() -> tuple[str, list[str]]:
        return str(model.firewall.policy()), model.files.names(r"C:\ProgramData")

    before = looks()
    clinic.examine(host)
    assert looks() == before


def test_a_name_that_does_not_resolve(clinic: "Clinic") -> None:
    found = clinic.examine(clinic.host(5986, address="no-such-host.invalid"))
    assert found.failed == ["address"]
    assert "getent ahosts no-such-host.invalid" in found["address"].next
    assert found["port"].message == "needs address"
    assert {"port", "encryption", "logon", "firewall"} <= found.not_tried


def test_a_closed_port(clinic: "Clinic") -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        found = clinic.examine(clinic.host(unused.getsockname()[1]))
    assert found.failed == ["port"]
    assert "is closed" in found["port"].message
    assert (found["port"].on, "winrm enumerate" in found["port"].next) == ("win-1", True)


def test_a_filtered_port(clinic: "Clinic") -> None:
    with closing(socket.socket()) as full, closing(socket.socket()) as first:
        # A full queue drops further SYNs as a filter does.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        found = clinic.examine(clinic.host(full.getsockname()[1]), seconds=0.5)
    assert found.failed == ["port"]
    assert "filtered" in found["port"].message
    admit, _, look = found["port"].next.partition("; ")
    assert admit.startswith("New-NetFirewallRule ")
    # Such a rule does nothing in shielded mode, or where local rules are not merged: named, not claimed.
    look, _, why = look.partition("   # ")
    assert look.startswith("Get-NetFirewallProfile -PolicyStore ActiveStore | ")
    assert "what may stand in the way" in why
    assert "Set-NetFirewallProfile -All -AllowInboundRules True" in why
    assert "group policy ignores local rules" in why


def test_tls_on_a_port_of_http(clinic: "Clinic") -> None:
    plain = clinic.windows()
    found = clinic.examine(clinic.host(plain.winrm.port or 0, scheme="https"))
    assert found.failed == ["encryption"]
    assert "speaks plain http" in found["encryption"].message


def test_http_on_a_port_of_tls(clinic: "Clinic", tmp_path: Path) -> None:
    secure = clinic.windows(tls=identity(tmp_path, "127.0.0.1"))
    found = clinic.examine(clinic.host(secure.winrm.port or 0, scheme="http"))
    assert found.failed == ["encryption"]
    assert "winrm.scheme: https" in found["encryption"].next
    assert clinic.servers[0].book.logons == ()


def test_an_unknown_authority_and_how_to_pin_it(clinic: "Clinic", tmp_path: Path) -> None:
    tls = identity(tmp_path, "127.0.0.1")
    port = clinic.windows(tls=tls).winrm.port or 0
    found = clinic.examine(clinic.host(port, scheme="https"))
    assert found.failed == ["encryption"]
    assert "authority" in found["encryption"].message
    told = found["encryption"].next.partition("fingerprint: ")[2].partition(",")[0]
    pinned = clinic.host(port, scheme="https", fingerprint=told)
    assert clinic.examine(pinned).failed == []
    digest = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
    assert hashlib.sha1(digest).hexdigest().upper() in found["encryption"].next


def test_an_expired_certificate(clinic: "Clinic", tmp_path: Path) -> None:
    tls = identity(tmp_path, "127.0.0.1", valid_for=dt.timedelta(minutes=-30))
    found = clinic.examine(clinic.windows(tls=tls))
    assert found.failed == ["encryption"]
    assert "expired at" in found["encryption"].message
    assert "New-SelfSignedCertificate" in found["encryption"].next


def test_a_certificate_that_is_not_valid_yet(clinic: "Clinic", tmp_path: Path) -> None:
    wish = CertificateWish(names=("127.0.0.1",), valid_in=dt.timedelta(hours=2))
    found = clinic.examine(clinic.windows(tls=write_self_signed(tmp_path, "server", wish)))
    assert found.failed == ["encryption"]
    assert "valid only from" in found["encryption"].message
    assert found["encryption"].next == "date -u"


def test_a_certificate_for_another_name(clinic: "Clinic", tmp_path: Path) -> None:
    found = clinic.examine(clinic.windows(tls=identity(tmp_path, "win-1.corp.example")))
    assert found.failed == ["encryption"]
    assert "winrm.server_name: win-1.corp.example" in found["encryption"].next


def test_another_certificate_than_the_pinned_one(clinic: "Clinic", tmp_path: Path) -> None:
    port = clinic.windows(tls=identity(tmp_path, "127.0.0.1")).winrm.port or 0
    found = clinic.examine(clinic.host(port, scheme="https", fingerprint="ab" * 32))
    assert found.failed == ["encryption"]
    assert "than the pinned" in found["encryption"].message


def test_something_else_than_winrm(clinic: "Clinic") -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def chat() -> None:
            for _ in range(3):
                connected, _ = server.accept()
                with connected:
                    connected.sendall(b"220 mail.example ESMTP\r\n")

        talker = threading.Thread(target=chat, daemon=True)
        talker.start()
        found = clinic.examine(clinic.host(server.getsockname()[1], scheme="http"))
        talker.join(5)
    assert found.failed == ["service"]
    assert "not WinRM" in found["service"].message


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_fails_for_kerberos_before_a_logon_is_tried(clinic: "Clinic", hours: int) -> None:
    then = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours), usegmt=True)
    answer = f"HTTP/1.1 401 \r\nDate: {then}\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            for _ in range(2):  # one for the port, one for the greeting
                connected, _ = server.accept()
                with connected:
                    heard.append(connected.recv(65536))
                    connected.sendall(answer.encode())

        service = threading.Thread(target=serve, daemon=True)
        service.start()
        wrong = clinic.host(
            server.getsockname()[1], scheme="http", transport=WinrmTransport.KERBEROS, user="ops@CORP.EXAMPLE"
        )
        found = clinic.examine(wrong)
        service.join(5)
    assert found.failed == ["clock"]
    assert f"{'ahead' if hours > 0 else 'behind'}: Kerberos takes 5 minutes" in found["clock"].message
    assert (found["clock"].next, found["clock"].on) == ("w32tm /resync /force", "win-1")
    assert found["logon"].status is Status.NOT_TRIED
    assert b"Authorization" not in b"".join(heard)


def test_behind_a_proxy_the_proxy_looks_the_name_up(
    clinic: "Clinic", proxy: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = proxy
    tls = identity(tmp_path, "127.0.0.1")
    direct = clinic.windows(tls=tls)
    behind = clinic.host(direct.winrm.port or 0, scheme="https", ca_file=tls.certificate, proxy=address)
    found = clinic.examine(behind)
    assert (found.failed, found.not_tried) == ([], {"address"}), found
    assert found["address"].message == f"{address} looks it up"
    assert set(asked) == {f"CONNECT 127.0.0.1:{direct.winrm.port} HTTP/1.1"}


def test_a_proxy_that_does_not_answer_is_named(clinic: "Clinic") -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{unused.getsockname()[1]}"
        found = clinic.examine(clinic.host(5986, address="win-1.corp.example", proxy=gone))
    assert found.failed == ["port"]
    assert gone in found["port"].message


def test_a_kind_of_logon_that_is_not_offered_costs_no_attempt(clinic: "Clinic", tmp_path: Path) -> None:
    tls = identity(tmp_path, "127.0.0.1")
    port = clinic.windows(tls=tls).winrm.port or 0
    basic = clinic.host(port, transport=WinrmTransport.BASIC, scheme="https", ca_file=tls.certificate)
    found = clinic.examine(basic)
    assert found.failed == ["service"]
    assert "Service\\Auth\\Basic" in found["service"].next
    assert clinic.servers[0].book.logons == ()


def test_a_wrong_password_is_tried_once_and_the_log_of_the_host_is_named(clinic: "Clinic") -> None:
    found = clinic.examine(clinic.windows(), password="wrong")
    assert found.failed == ["logon"]
    assert "4625" in found["logon"].next
    assert "locked" in found["logon"].message
    assert len(clinic.servers[0].book.logons) == 1


@pytest.mark.parametrize(
    ("knobs", "step", "command"),
    [
        (Knobs(constrained=True), "language", "Get-AppLockerPolicy"),
        (Knobs(mpssvc_down=True), "services", "Start-Service MpsSvc"),
        (Knobs(profiles_off=("Private",)), "profiles", "Set-NetFirewallProfile -Name Private -Enabled True"),
        (Knobs(excluded_interfaces=("Ethernet",)), "profiles", "-DisabledInterfaceAliases NotConfigured"),
        (Knobs(gpo_merge_off=True), "group-policy", "gpresult"),
        (Knobs(user_ports_off=True), "group-policy", "gpresult"),
    ],
)
def test_each_trouble_inside_has_its_own_step(
    clinic: "Clinic", knobs: Knobs, step: str, command: str
) -> None:
    found = clinic.examine(clinic.windows(knobs))
    assert found.failed[0] == step
    assert command in found[step].next
    assert found[step].on == "win-1"
    assert set(found.failed) <= {step, HAZARD}


def test_an_account_without_rights(clinic: "Clinic") -> None:
    found = clinic.examine(clinic.windows(Knobs(not_admin=True)))
    assert found.failed in (["shell"], ["elevation"])
    assert "LocalAccountTokenFilterPolicy" in found[found.failed[0]].next


def test_a_signed_only_policy_and_a_shield_are_told_and_stop_nothing(clinic: "Clinic") -> None:
    found = clinic.examine(clinic.windows(Knobs(execution_policy="AllSigned", shielded=True)))
    assert "AllSigned" in found["execution-policy"].message
    assert "shielded" in found["profiles"].message


def test_a_recording_of_a_real_logon_holds_envelopes_that_replay_and_no_secret(clinic: "Clinic") -> None:
    clinic.recorder, host = Recorder(), clinic.windows()
    clinic.examine(host)
    document = clinic.recorder.document([host], [PASSWORD])
    text = json.dumps(document)
    assert [trace for trace in traces(PASSWORD) if trace in text] == []
    assert "uthorization" not in text
    assert "NTLMSSP" not in text
    entry = json.loads(text)["hosts"][0]
    assert {each["direction"] for each in entry["envelopes"]} == {"sent", "received"}
    verbs = [word for word in ("Create", "Command", "Send", "Receive", "Signal", "Delete") if word in text]
    assert verbs == ["Create", "Command", "Send", "Receive", "Signal", "Delete"]
    (answer,) = answers_of(json.loads(text))["win-1", "observe"]
    assert isinstance(answer, Result)
    observation = WindowsDriver(Renderer()).read_observation(answer)
    assert [listener.port for listener in observation.listeners] == [9100]
    assert set(observation.identity) <= {"0", "-"}
    # What stands in the envelopes is the same answer: a pinned fixture agrees with itself.
    assert framed_answer(entry["envelopes"]) == answer.stdout


def framed_answer(envelopes: list[dict[str, object]]) -> str:
    streams = [
        found
        for each in envelopes
        if each["direction"] == "received"
        for found in re.findall(r'Name="stdout"[^>]*>([^<]+)<', str(each["body"]))
    ]
    said = b"".join(base64.b64decode(each) for each in streams).decode()
    _, digest, encoded = said.splitlines()[-1].split(":")
    raw = base64.b64decode(encoded)
    assert hashlib.sha256(raw).hexdigest() == digest
    return raw.decode()
