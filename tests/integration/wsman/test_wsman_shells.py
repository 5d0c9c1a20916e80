"""Shells and their commands, through pywinrm and pypsrp."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import winrm
from winrm.exceptions import (
    WinRMOperationTimeoutError,
    WSManFaultError,
)

from fwfix.lab.windows.cmd import Machine
from fwfix.lab.windows.wsman import (
    Account,
    Quotas,
    TlsIdentity,
)

if TYPE_CHECKING:
    from conftest import Connect, Serve, WaitFor

ADMIN = Account(name="Administrator", password="Pässw0rd!")
QUICK = Quotas(max_timeout=dt.timedelta(seconds=1))


def test_a_command_runs_over_sealed_ntlm_in_eight_requests_on_one_connection(
    serve: "Serve", connect: "Connect"
) -> None:
    server, endpoint = serve(machine=Machine(name="PRINT01"))
    assert connect(endpoint, message_encryption="always").run("hostname") == (b"PRINT01\r\n", b"", 0)
    # Three of the logon, then Create, Command, Receive, Signal, Delete.
    assert server.requests == 8
    assert server.shells.open == ()


def test_pywinrms_session_runs_a_command(serve: "Serve") -> None:
    _, endpoint = serve()
    session = winrm.Session(
        endpoint, auth=(ADMIN.name, ADMIN.password), transport="ntlm", proxy=None, ca_trust_path=None
    )
    answer = session.run_cmd("ipconfig", ["/all"])
    session.protocol.transport.close_session()
    assert (answer.status_code, answer.std_err) == (0, b"")
    assert b"Windows IP Configuration" in answer.std_out


def test_input_of_many_chunks_arrives_whole(serve: "Serve", connect: "Connect") -> None:
    _, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    running = protocol.run_command(shell, "length")
    for part in range(20):
        protocol.send_command_input(shell, running, b"y" * 60_000, end=part == 19)
    assert protocol.get_command_output(shell, running) == (b"1200000\r\n", b"", 0)


def test_output_larger_than_an_envelope_comes_in_portions_and_whole(
    serve: "Serve", connect: "Connect"
) -> None:
    _, endpoint = serve()
    assert connect(endpoint).run("flood") == (b"x" * 3_000_000, b"", 7)


def test_several_commands_run_side_by_side_in_one_shell(
    serve: "Serve", connect: "Connect", wait_for: "WaitFor"
) -> None:
    server, endpoint = serve()
    protocol = connect(endpoint)
    shell = protocol.open_shell(env_vars={"GREETING": "hi & echo there"}, codepage=65001)
    waiting = protocol.run_command(shell, "length")
    processes = server.shells.open[0].processes
    wait_for(lambda: sorted(processes.running.values()) == ["cmd.exe", "length.exe"])
    quick = protocol.run_command(shell, "echo", ["%GREETING%"])
    assert protocol.get_command_output(shell, quick)[0] == b"hi \r\nthere\r\n"
    protocol.send_command_input(shell, waiting, b"123", end=True)
    assert protocol.get_command_output(shell, waiting)[0] == b"3\r\n"


def test_a_command_that_says_nothing_times_out_and_goes_on(serve: "Serve", connect: "Connect") -> None:
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
def test_everything_of_a_command_ends_with_it(
    serve: "Serve", connect: "Connect", how: str, wait_for: "WaitFor"
) -> None:
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


def test_an_idle_shell_is_closed_and_then_unknown(
    serve: "Serve", connect: "Connect", wait_for: "WaitFor"
) -> None:
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
    serve: "Serve", connect: "Connect", quotas: Quotas, code: int
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


def test_a_shell_with_all_its_processes_starts_no_other(
    serve: "Serve", connect: "Connect", wait_for: "WaitFor"
) -> None:
    server, endpoint = serve(quotas=Quotas(max_processes_per_shell=2))
    protocol = connect(endpoint)
    shell = protocol.open_shell()
    protocol.run_command(shell, "length")
    wait_for(lambda: len(server.shells.open[0].processes.running) == 2)
    with pytest.raises(WSManFaultError) as refused:
        protocol.run_command(shell, "hostname")
    assert (refused.value.wsman_fault_code, refused.value.fault_subcode) == (2147944216, "w:InternalError")


def test_the_quota_of_users_counts_owners_of_shells(serve: "Serve", connect: "Connect") -> None:
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


def test_the_shell_of_another_user_is_denied(serve: "Serve", connect: "Connect") -> None:
    _, endpoint = serve(accounts=[Account(name="a", password="pw"), Account(name="b", password="pw")])
    shell = connect(endpoint, username="a", password="pw").open_shell()
    with pytest.raises(WSManFaultError) as denied:
        connect(endpoint, username="b", password="pw").run_command(shell, "ver")
    assert denied.value.wsman_fault_code == 5


@pytest.mark.parametrize(
    ("auth", "scheme"), [("negotiate", "http"), ("ntlm", "http"), ("negotiate", "https"), ("basic", "https")]
)
def test_pypsrps_shell_runs_a_process(serve: "Serve", identity: TlsIdentity, auth: str, scheme: str) -> None:
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
