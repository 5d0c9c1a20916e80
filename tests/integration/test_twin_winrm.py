"""A Windows twin from outside: any WinRM client, real packets, scheduled tasks, reboots."""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from winrm.exceptions import InvalidCredentialsError
from winrm.protocol import Protocol

from fwfix.lab.linux import Lab, clean
from fwfix.lab.windows.model.clock import HostClock, RealHostClock
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.twin import Twin, TwinSpec
from fwfix.lab.windows.twin_process import RunningTwin, start_twins, windows_entries
from fwfix.lab.windows.wsman import CertificateWish, write_self_signed

pytestmark = pytest.mark.lab

PASSWORD = "correct horse"
BLOCK = (
    "New-NetFirewallRule -Name t -DisplayName t -Direction Inbound -Action Block -Protocol TCP"
    " -LocalPort 9100"
)
TASK = """$x = @'
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
<Triggers><TimeTrigger><StartBoundary>START</StartBoundary><EndBoundary>2099-12-31T00:00:00Z</EndBoundary>
</TimeTrigger><BootTrigger/></Triggers>
<Principals><Principal><UserId>S-1-5-18</UserId></Principal></Principals>
<Settings><DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
<ExecutionTimeLimit>PT0S</ExecutionTimeLimit></Settings>
<Actions><Exec><Command>%SystemRoot%\\System32\\WindowsPowerShell\\v1.0\\powershell.exe</Command>
<Arguments>-NoProfile -NonInteractive -EncodedCommand CODE</Arguments></Exec></Actions></Task>
'@
"""


class Client:
    """A WinRM client with one shell."""

    def __init__(self, url: str, user: str, password: str, *, ca: Path | None = None) -> None:
        self.protocol = Protocol(
            url,
            transport="ntlm",
            username=user,
            password=password,
            proxy=None,
            ca_trust_path=str(ca or ""),
        )
        self.shell = self.protocol.open_shell()

    def run(self, script: str) -> tuple[int, str]:
        """Run a script and return its exit code and output."""
        command = self.protocol.run_command(
            self.shell, "powershell", ["-NoProfile", "-EncodedCommand", encoded(script)]
        )
        out, err, code = self.protocol.get_command_output(self.shell, command)
        self.protocol.cleanup_command(self.shell, command)
        assert b"not in the dialect" not in err, err
        return code, out.decode().strip()


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


def until(condition: Callable[[], bool], *, within: float = 10) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def empty_lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), keep=False) as lab:
        lab.build([])
        yield lab


MakeTwin = Callable[[Knobs], Twin]


@pytest.fixture
def make_twin(empty_lab: Lab) -> Iterator[MakeTwin]:
    with ExitStack() as running:

        def make(knobs: Knobs, clock: HostClock | None = None) -> Twin:
            number = empty_lab.network._next[False]
            member = empty_lab.network.join(f"twin-{number}")
            wish = CertificateWish(names=(member.address, member.address6))
            tls = write_self_signed(empty_lab.network.record.private, f"twin-{number}", wish)
            spec = TwinSpec(
                name=f"twin-{number}",
                netns=member.netns,
                cidr=member.cidr,
                cidr6=member.cidr6,
                password=PASSWORD,
                tls=tls,
                knobs=knobs,
            )
            return running.enter_context(Twin(spec, clock=clock))

        yield make


def client_of(twin: Twin, *, tls: bool = False, address: int = 0) -> Client:
    text = twin.spec.machine.addresses[address]
    host = f"[{text}]" if ":" in text else text
    if not tls:
        return Client(f"http://{host}:5985/wsman", twin.spec.user, PASSWORD)
    assert twin.spec.tls is not None
    return Client(f"https://{host}:5986/wsman", twin.spec.user, PASSWORD, ca=twin.spec.tls.certificate)


def seen(lab: Lab, twin: Twin) -> list[str]:
    return [lab.outside.connect(address, 9100, 0.5) for address in twin.spec.machine.addresses]


@pytest.mark.parametrize("tls", [False, True], ids=["sealed", "tls"])
@pytest.mark.parametrize("address", [0, 1], ids=["ipv4", "ipv6"])
def test_a_rule_made_over_winrm_drops_packets_and_its_removal_lets_them_in(
    empty_lab: Lab, make_twin: MakeTwin, *, tls: bool, address: int
) -> None:
    twin = make_twin(Knobs())
    client = client_of(twin, tls=tls, address=address)
    assert seen(empty_lab, twin) == ["open", "open"]
    assert client.run(BLOCK)[0] == 0
    assert seen(empty_lab, twin) == ["filtered", "filtered"]
    assert client.run("Remove-NetFirewallRule -Name t") == (0, "")
    assert seen(empty_lab, twin) == ["open", "open"]
    assert twin.server.crashes == []


def test_a_new_rule_cuts_an_open_session(empty_lab: Lab, make_twin: MakeTwin) -> None:
    twin = make_twin(Knobs())
    client, address = client_of(twin), twin.spec.machine.addresses[0]
    count = "@(Get-NetTCPConnection -LocalPort 9100 -State Established -ErrorAction SilentlyContinue).Count"
    code = f"import socket, sys; s = socket.create_connection(('{address}', 9100)); print('up', flush=True)\n"
    code += "sys.stdin.readline(); s.settimeout(3); s.sendall(b'x'); s.shutdown(1)\n"
    code += "try: print(s.recv(1))\nexcept TimeoutError: print('cut')"
    argv = ["ip", "netns", "exec", empty_lab.outside.netns, "python3", "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        assert session.stdout.readline() == "up\n"
        assert client.run(count) == (0, "1")
        client.run(BLOCK)
        session.stdin.write("\n")
        session.stdin.flush()
        assert session.stdout.readline() == "cut\n"


@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(gpo_merge_off=True),
        Knobs(user_ports_off=True),
        Knobs(profiles_off=("Private",)),
        Knobs(gpo_profiles_off=("Private",)),
        Knobs(excluded_interfaces=("Ethernet",)),
        Knobs(gpo_rules=(("t", "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=t|"),)),
    ],
    ids=[
        "merge off",
        "user ports off",
        "profile off",
        "profile off by policy",
        "interface excluded",
        "same name",
    ],
)
def test_a_rule_without_effect_drops_nothing(empty_lab: Lab, make_twin: MakeTwin, knobs: Knobs) -> None:
    policy = [("winrm", "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=5985|Name=w|")]
    policy.append(("print", "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=p|"))
    twin = make_twin(replace(knobs, gpo_rules=(*policy, *knobs.gpo_rules)))
    assert client_of(twin).run(BLOCK)[0] == 0
    assert seen(empty_lab, twin) == ["open", "open"]


def test_a_stopped_firewall_service_filters_nothing_and_refuses_rules(
    empty_lab: Lab, make_twin: MakeTwin
) -> None:
    twin = make_twin(Knobs(mpssvc_down=True))
    script = f"try {{ $null = {BLOCK} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"
    assert client_of(twin).run(script)[1] == "Windows System Error 1753,New-NetFirewallRule"
    assert seen(empty_lab, twin) == ["open", "open"]


def test_a_closed_port_stays_silent(empty_lab: Lab, make_twin: MakeTwin) -> None:
    twin = make_twin(Knobs())
    client_of(twin).run(
        "$null = New-NetFirewallRule -DisplayName open -Action Allow -Protocol TCP -LocalPort 9999"
    )
    assert empty_lab.outside.connect(twin.spec.machine.addresses[0], 9999, 0.5) == "filtered"


def test_a_scheduled_task_undoes_the_block_at_its_time_through_the_engine(
    empty_lab: Lab, make_twin: MakeTwin
) -> None:
    clock = RealHostClock()
    twin = make_twin(Knobs(), clock)
    code = encoded(
        "Remove-NetFirewallRule -Name t\n[IO.File]::WriteAllText('C:\\ProgramData\\mark', 'gone')\nexit 7"
    )
    script = TASK.replace("CODE", code).replace("START", "' + $at + '").replace("@'", "'", 1)
    at = "$at = [DateTime]::UtcNow.AddMinutes(10).ToString('yyyy-MM-ddTHH:mm:ssZ')\n"
    script = at + script.replace("\n'@", "'")
    script += (
        "$null = Register-ScheduledTask -TaskName undo -TaskPath '\\fwfix\\' -Xml $x\n" + f"$null = {BLOCK}"
    )
    client = client_of(twin)
    assert client.run(script) == (0, "")
    assert seen(empty_lab, twin) == ["filtered", "filtered"]
    client.protocol.close_shell(client.shell)
    clock.skew += timedelta(minutes=10)  # however long it took to get here, its time is not before now
    twin.host.scheduler.wake()
    until(lambda: seen(empty_lab, twin) == ["open", "open"])
    (task,) = twin.host.scheduler.tasks()
    until(lambda: task.last_result == 7)
    assert twin.host.files.read(r"C:\ProgramData\mark") == b"gone"


def test_a_reboot_ends_shells_keeps_rules_and_starts_boot_tasks(empty_lab: Lab, make_twin: MakeTwin) -> None:
    twin = make_twin(Knobs())
    script = TASK.replace("CODE", encoded("[IO.File]::WriteAllText('C:\\ProgramData\\mark', 'up')"))
    script = script.replace("START", "2099-01-01T00:00:00Z")
    script += (
        "$null = Register-ScheduledTask -TaskName boot -TaskPath '\\fwfix\\' -Xml $x\n" + f"$null = {BLOCK}"
    )
    client = client_of(twin)
    assert client.run(script) == (0, "")
    twin.reboot()
    until(lambda: twin.host.files.is_file(r"C:\ProgramData\mark"))
    assert seen(empty_lab, twin) == ["filtered", "filtered"]
    assert twin.server.shells.open == ()
    assert client_of(twin).run("Remove-NetFirewallRule -Name t") == (0, "")


def test_the_wrong_password_is_refused(make_twin: MakeTwin) -> None:
    twin = make_twin(Knobs())
    with pytest.raises(InvalidCredentialsError):
        Client(f"http://{twin.spec.machine.addresses[0]}:5985/wsman", twin.spec.user, "wrong")


def test_twins_of_a_lab_run_in_one_noted_process_and_go_with_it(lab_possible: None, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    with Lab(directory, keep=False) as lab:
        lab.build([])
        twins = start_twins(lab.network, ["demo-windows-1", "demo-windows-2"])
        entries = windows_entries(lab.network, twins, directory)
        pid = lab.network.record.content["processes"][-1][0]
        for twin, entry in zip(twins, entries, strict=True):
            assert _blocks(
                lab, twin, directory / str(dict(entry.settings)["ca_file"]) if not twin.http else None
            )
            assert (directory / f"{twin.name}.password").stat().st_mode & 0o777 == 0o600
        opened = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        assert not any(text.startswith("pipe:") for text in opened)
        assert json.loads((directory / ".lab/windows/twins.json").read_text())[0]["name"] == "demo-windows-1"
    assert not Path(f"/proc/{pid}").exists()
    clean(directory)


def _blocks(lab: Lab, twin: RunningTwin, ca: Path | None) -> bool:
    url = (
        f"http://{twin.member.address}:5985/wsman"
        if ca is None
        else f"https://{twin.member.address}:5986/wsman"
    )
    code, _ = Client(url, twin.user, twin.password, ca=ca).run(BLOCK)
    return code == 0 and lab.outside.connect(twin.member.address, 9100, 0.5) == "filtered"
