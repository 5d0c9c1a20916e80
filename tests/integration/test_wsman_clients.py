"""Real WinRM clients against the twin: pywinrm over every transport, pypsrp's shell."""

import base64
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import requests
import spnego
import winrm
from spnego.channel_bindings import GssChannelBindings
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from fwfix.lab.windows.cmd import Invocation, Machine, standard_programs
from fwfix.lab.windows.wsman import (
    Account,
    AccountBook,
    CertificateWish,
    ChannelBinding,
    Listener,
    Mishap,
    Quotas,
    TlsIdentity,
    Trouble,
    WsmanConfig,
    WsmanServer,
    thumbprint,
    write_self_signed,
)

Serve = Callable[..., tuple[WsmanServer, str]]
Connect = Callable[..., Protocol]

ADMIN = Account(name="Administrator", password="Pässw0rd!")
QUICK = Quotas(max_timeout=dt.timedelta(seconds=1))


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


@pytest.fixture
def serve() -> Iterator[Serve]:
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
    opened: list[Protocol] = []

    def build(endpoint: str, **changes: object) -> Protocol:
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
        protocol = Protocol(endpoint, **{**settings, **changes})
        opened.append(protocol)
        return protocol

    yield build
    for protocol in opened:
        protocol.transport.close_session()


def run(protocol: Protocol, command: str, arguments: Iterable[str] = ()) -> tuple[bytes, bytes, int]:
    shell = protocol.open_shell()
    try:
        running = protocol.run_command(shell, command, arguments)
        result = protocol.get_command_output(shell, running)
        protocol.cleanup_command(shell, running)
        return result
    finally:
        protocol.close_shell(shell, close_session=False)


def test_a_command_runs_over_sealed_ntlm_in_eight_requests_on_one_connection(
    serve: Serve, connect: Connect
) -> None:
    server, endpoint = serve(machine=Machine(name="PRINT01"))
    assert run(connect(endpoint, message_encryption="always"), "hostname") == (b"PRINT01\r\n", b"", 0)
    # Three of the logon, then Create, Command, Receive, Signal, Delete.
    assert server.requests == 8
    assert server.shells.open == ()


def test_pywinrms_session_runs_a_command(serve: Serve) -> None:
    _, endpoint = serve()
    session = winrm.Session(
        endpoint, auth=(ADMIN.name, ADMIN.password), transport="ntlm", proxy=None, ca_trust_path=None
    )
    answer = session.run_cmd("ipconfig", ["/all"])
    session.protocol.transport.close_session()
    assert (answer.status_code, answer.std_err) == (0, b"")
    assert b"Windows IP Configuration" in answer.std_out


@pytest.mark.parametrize("encryption", ["auto", "always"])
def test_ntlm_in_tls_with_channel_binding_is_accepted_plain_and_sealed(
    serve: Serve, connect: Connect, identity: TlsIdentity, encryption: str
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.STRICT)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), message_encryption=encryption)
    assert run(protocol, "echo", ["hi"])[0] == b"hi\r\n"


def test_a_client_without_channel_binding_is_accepted_where_it_is_relaxed(
    serve: Serve, connect: Connect, identity: TlsIdentity
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.RELAXED)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), send_cbt=False)
    assert run(protocol, "ver")[2] == 0


def test_a_client_without_channel_binding_is_refused_where_it_is_strict(
    serve: Serve, connect: Connect, identity: TlsIdentity
) -> None:
    _, endpoint = serve(tls=identity, channel_binding=ChannelBinding.STRICT)
    protocol = connect(endpoint, ca_trust_path=str(identity.certificate), send_cbt=False)
    with pytest.raises(InvalidCredentialsError):
        protocol.open_shell()


def test_a_logon_relayed_from_another_certificate_is_refused_even_where_binding_is_relaxed(
    serve: Serve, identity: TlsIdentity, tmp_path: Path
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
    serve: Serve, connect: Connect, identity: TlsIdentity
) -> None:
    _, secure = serve(tls=identity, basic=True)
    protocol = connect(secure, transport="basic", ca_trust_path=str(identity.certificate))
    assert run(protocol, "echo", ["hi"])[0] == b"hi\r\n"
    _, open_to_all = serve(basic=True)
    with pytest.raises(WinRMTransportError) as refused:
        connect(open_to_all, transport="basic").open_shell()
    assert refused.value.code == 500


def test_basic_is_not_even_offered_by_default(serve: Serve, connect: Connect, identity: TlsIdentity) -> None:
    _, endpoint = serve(tls=identity)
    answer = requests.post(endpoint, verify=str(identity.certificate), timeout=5)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Negotiate")
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, transport="basic", ca_trust_path=str(identity.certificate)).open_shell()


def test_a_client_certificate_maps_to_its_account_and_to_no_other(
    serve: Serve, connect: Connect, identity: TlsIdentity, tmp_path: Path
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

    assert run(shown(mine), "whoami")[0] == b"twin\\cert-user\r\n"
    with pytest.raises(InvalidCredentialsError):
        shown(stranger).open_shell()


@pytest.mark.parametrize("name", [r"CORP\svc", "svc@corp.example", r"corp\SVC"])
def test_a_domain_account_is_known_by_each_of_its_names(serve: Serve, connect: Connect, name: str) -> None:
    _, endpoint = serve(accounts=[Account(name="svc", password="pw", domain="CORP")])
    assert run(connect(endpoint, username=name, password="pw"), "whoami")[0] == b"corp\\svc\r\n"


@pytest.mark.parametrize(
    ("name", "password"),
    [(ADMIN.name, "wrong"), ("nobody", ADMIN.password), (r"OTHER\Administrator", ADMIN.password)],
)
def test_a_wrong_name_or_password_is_refused_and_counted_once(
    serve: Serve, connect: Connect, name: str, password: str
) -> None:
    server, endpoint = serve()
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, username=name, password=password).open_shell()
    assert [logon.accepted for logon in server.book.logons] == [False]


def test_an_account_is_locked_across_the_hosts_of_its_domain_after_too_many_failures(
    serve: Serve, connect: Connect
) -> None:
    book = AccountBook([Account(name="svc", password="pw", domain="CORP")], lockout_threshold=3)
    endpoints = [serve(accounts=book)[1] for _ in range(4)]
    for endpoint in endpoints[:3]:
        with pytest.raises(InvalidCredentialsError):
            connect(endpoint, username=r"CORP\svc", password="wrong").open_shell()
    with pytest.raises(InvalidCredentialsError):
        connect(endpoints[3], username=r"CORP\svc", password="pw").open_shell()
    assert len(book.logons) == 4


def test_a_locked_account_is_refused_with_its_right_password(serve: Serve, connect: Connect) -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="b", locked=True)])
    with pytest.raises(InvalidCredentialsError):
        connect(endpoint, username="a", password="b").open_shell()


def test_somebody_who_is_no_administrator_logs_on_and_is_denied(serve: Serve, connect: Connect) -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="b", administrator=False)])
    with pytest.raises(WSManFaultError) as denied:
        connect(endpoint, username="a", password="b").open_shell()
    assert (denied.value.wsman_fault_code, denied.value.fault_subcode) == (5, "w:AccessDenied")


def test_input_of_many_chunks_arrives_whole(serve: Serve, connect: Connect) -> None:
    _, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    running = protocol.run_command(shell, "length")
    for part in range(20):
        protocol.send_command_input(shell, running, b"y" * 60_000, end=part == 19)
    assert protocol.get_command_output(shell, running) == (b"1200000\r\n", b"", 0)


def test_output_larger_than_an_envelope_comes_in_portions_and_whole(serve: Serve, connect: Connect) -> None:
    _, endpoint = serve()
    assert run(connect(endpoint), "flood") == (b"x" * 3_000_000, b"", 7)


def test_several_commands_run_side_by_side_in_one_shell(serve: Serve, connect: Connect) -> None:
    server, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell(env_vars={"GREETING": "hi & echo there"}, codepage=65001)
    waiting = protocol.run_command(shell, "length")
    assert set(server.shells.open[0].processes.running.values()) == {"cmd.exe", "length.exe"}
    quick = protocol.run_command(shell, "echo", ["%GREETING%"])
    assert protocol.get_command_output(shell, quick)[0] == b"hi \r\nthere\r\n"
    protocol.send_command_input(shell, waiting, b"123", end=True)
    assert protocol.get_command_output(shell, waiting)[0] == b"3\r\n"


def test_a_command_that_says_nothing_times_out_and_goes_on(serve: Serve, connect: Connect) -> None:
    server, endpoint = serve(quotas=QUICK)
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    running = protocol.run_command(shell, "length")
    with pytest.raises(WinRMOperationTimeoutError):
        protocol.get_command_output_raw(shell, running)
    protocol.send_command_input(shell, running, b"", end=True)
    assert protocol.get_command_output(shell, running) == (b"0\r\n", b"", 0)
    assert server.book.logons[0].accepted


@pytest.mark.parametrize("how", ["terminate", "delete", "close"])
def test_everything_of_a_command_ends_with_it(serve: Serve, connect: Connect, how: str) -> None:
    server, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    running = protocol.run_command(shell, "cmd /c cmd /c ping -n 600 127.0.0.1")
    processes = server.shells.open[0].processes
    wait_for(lambda: sorted(processes.running.values()) == ["cmd.exe", "cmd.exe", "cmd.exe", "ping.exe"])
    if how == "terminate":
        protocol.cleanup_command(shell, running)
    elif how == "delete":
        protocol.close_shell(shell)
    else:
        server.close()
    wait_for(lambda: not processes.running)


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_an_idle_shell_is_closed_and_then_unknown(serve: Serve, connect: Connect) -> None:
    server, endpoint = serve(quotas=Quotas(idle_timeout=dt.timedelta(milliseconds=300)))
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    protocol.run_command(shell, "length")
    processes = server.shells.open[0].processes
    wait_for(lambda: server.shells.open == () and not processes.running)
    with pytest.raises(WSManFaultError) as gone:
        protocol.run_command(shell, "ver")
    assert (gone.value.wsman_fault_code, gone.value.fault_subcode) == (2150858843, "w:InvalidSelectors")


@pytest.mark.parametrize(
    ("quotas", "code"),
    [
        (Quotas(max_shells_per_user=1), 2150859173),
        (Quotas(max_concurrent_operations_per_user=2), 2150859174),
    ],
)
def test_a_used_up_quota_is_the_fault_of_windows(
    serve: Serve, connect: Connect, quotas: Quotas, code: int
) -> None:
    _, endpoint = serve(quotas=quotas)
    protocol = connect(endpoint)

    def use() -> None:
        shell = protocol.open_shell()
        protocol.run_command(shell, "length")
        protocol.run_command(shell, "length")

    use()
    with pytest.raises(WSManFaultError) as refused:
        use()
    assert (refused.value.wsman_fault_code, refused.value.fault_subcode) == (code, "w:QuotaLimit")


def test_a_shell_with_all_its_processes_starts_no_other(serve: Serve, connect: Connect) -> None:
    server, endpoint = serve(quotas=Quotas(max_processes_per_shell=2))
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    protocol.run_command(shell, "length")
    wait_for(lambda: len(server.shells.open[0].processes.running) == 2)
    with pytest.raises(WSManFaultError) as refused:
        protocol.run_command(shell, "hostname")
    assert (refused.value.wsman_fault_code, refused.value.fault_subcode) == (2147944216, "w:InternalError")


def test_the_quota_of_users_counts_owners_of_shells(serve: Serve, connect: Connect) -> None:
    names = ["a", "b"]
    _, endpoint = serve(
        accounts=[Account(name=name, password="pw") for name in names], quotas=Quotas(max_concurrent_users=1)
    )
    first, second = [connect(endpoint, username=name, password="pw") for name in names]
    shell = first.open_shell()
    with pytest.raises(WSManFaultError) as refused:
        second.open_shell()
    assert refused.value.wsman_fault_code == 2150859179
    first.close_shell(shell)
    second.open_shell()


def test_the_shell_of_another_user_is_denied(serve: Serve, connect: Connect) -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="pw"), Account(name="b", password="pw")])
    shell = connect(endpoint, username="a", password="pw").open_shell()
    with pytest.raises(WSManFaultError) as denied:
        connect(endpoint, username="b", password="pw").run_command(shell, "ver")
    assert denied.value.wsman_fault_code == 5


@pytest.mark.parametrize(
    ("mishap", "request_number"),
    [
        *(
            (mishap, number)
            for mishap in (Mishap.LOST, Mishap.UNANSWERED, Mishap.RESET)
            for number in range(1, 9)
        ),
        # The answers of the logon have no body that could be cut.
        *((Mishap.CUT, number) for number in range(4, 9)),
    ],
)
def test_a_connection_dropped_at_any_request_leaves_a_server_that_answers(
    serve: Serve, connect: Connect, mishap: Mishap, request_number: int
) -> None:
    server, endpoint = serve()
    server.trouble(Trouble(at={request_number: mishap}))
    with pytest.raises((requests.RequestException, WinRMTransportError)):
        run(connect(endpoint), "hostname")
    server.trouble(Trouble())
    assert run(connect(endpoint), "hostname")[0] == b"TWIN\r\n"


def test_a_body_sealed_for_a_dropped_connection_is_refused_and_the_shell_survives(
    serve: Serve, connect: Connect
) -> None:
    server, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    server.trouble(Trouble(on={"Command": Mishap.LOST}))
    with pytest.raises(requests.ConnectionError):
        protocol.run_command(shell, "hostname")
    with pytest.raises(WinRMTransportError) as stale:
        protocol.run_command(shell, "hostname")
    assert stale.value.code == 400
    protocol.transport.close_session()
    protocol.transport.encryption = None
    running = protocol.run_command(shell, "hostname")
    assert protocol.get_command_output(shell, running)[0] == b"TWIN\r\n"


def test_a_hung_request_hangs_until_the_client_gives_up_and_a_slow_one_only_takes_long(
    serve: Serve, connect: Connect
) -> None:
    server, endpoint = serve()
    server.trouble(Trouble(on={"Create": Mishap.HANG}))
    impatient = connect(endpoint, operation_timeout_sec=1, read_timeout_sec=2)
    with pytest.raises(requests.ReadTimeout):
        impatient.open_shell()
    assert server.shells.open == ()
    server.trouble(Trouble(delays={"Create": dt.timedelta(seconds=0.5)}))
    started = time.monotonic()
    connect(endpoint).open_shell()
    assert time.monotonic() - started >= 0.5


def test_many_twins_in_one_process_keep_their_accounts_and_shells_apart(
    serve: Serve, connect: Connect
) -> None:
    twins = [serve(accounts=[Account(name="me", password=f"pw{each}")]) for each in range(20)]
    for number, (server, endpoint) in enumerate(twins):
        connect(endpoint, username="me", password=f"pw{number}").open_shell()
        with pytest.raises(InvalidCredentialsError):
            connect(endpoint, username="me", password=f"pw{number + 1}").open_shell()
        assert len(server.shells.open) == 1


@pytest.mark.parametrize(
    ("auth", "scheme"), [("negotiate", "http"), ("ntlm", "http"), ("negotiate", "https"), ("basic", "https")]
)
def test_pypsrps_shell_runs_a_process(serve: Serve, identity: TlsIdentity, auth: str, scheme: str) -> None:
    pytest.importorskip("pypsrp", reason="pypsrp, the second independent client, is not installed")
    from pypsrp.shell import Process, SignalCode, WinRS
    from pypsrp.wsman import WSMan

    _, endpoint = serve(tls=identity if scheme == "https" else None, basic=True)
    port = int(endpoint.split(":")[2].split("/")[0])
    client = WSMan(
        "127.0.0.1",
        port=port,
        username=ADMIN.name,
        password=ADMIN.password,
        ssl=scheme == "https",
        auth=auth,
        cert_validation=str(identity.certificate),
        no_proxy=True,
    )
    variables = {"1234": "5678", r"_-(){}[]<>*+-/\?!@#$^&|;:i,.`~0": "x"}
    with (
        client,
        WinRS(client, environment=variables, working_directory="C:\\Windows", idle_time_out=60) as shell,
    ):
        assert shell.idle_time_out == "PT60.000S"
        process = Process(shell, "cmd.exe", ["/c echo out && echo err>&2 && cd && set && exit 1"])
        process.invoke()
        process.signal(SignalCode.CTRL_C)
        lines = process.stdout.decode().splitlines()
        assert (process.rc, process.stderr, lines[:2]) == (1, b"err \r\n", ["out ", "C:\\Windows"])
        assert {f"{name}={value}" for name, value in variables.items()} <= set(lines)
