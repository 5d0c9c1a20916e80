"""What every executor does, the test double included."""

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fwfix.errors import ConnectError, FwfixError, LostError
from fwfix.executors.base import Connector, Executor
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.lab.linux import HostSpec, Lab
from fwfix.model.host import Become, Host, Platform, SshSettings, WinrmSettings
from fwfix.model.script import Invocation, Result, Script
from fwfix.secrets import Secret, SecretKind, SecretRef


@dataclass(frozen=True, kw_only=True)
class Job:
    """One script, in the language of every executor's hosts."""

    sh: Invocation
    powershell: Invocation


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One executor under test: its connector, a host that answers, and one that is not there."""

    connector: Connector
    host: Host
    absent: Host
    close: Callable[[], None] = lambda: None

    def job(self, job: Job) -> Invocation:
        """Return a script that the host understands."""
        return job.sh if self.host.platform is Platform.LINUX else job.powershell

    def open(self) -> Executor:
        return self.connector.open(self.host, deadline=time.monotonic() + 20)


def named(name: str, text: str, *arguments: str) -> Invocation:
    return Invocation(script=Script(name=name, text=text, changes=True), arguments=arguments)


ECHO = Job(
    sh=named("echo", "printf '%s\\n' \"$@\"; echo oops >&2; exit 3", "a", "", "b,c"),
    powershell=named(
        "echo", "$FwfixArguments; ''; [Console]::Error.WriteLine('oops'); exit 3", "a", "", "b,c"
    ),
)
HANG = Job(sh=named("hang", "sleep 30"), powershell=named("hang", "Start-Sleep -Seconds 30"))
QUIET = Job(sh=named("quiet", ":"), powershell=named("quiet", "$null = 1"))
UNICODE = Job(
    sh=named("unicode", "printf 'é€😀 no newline'"), powershell=named("unicode", "'é€😀 no newline'")
)


def hang(_host: Host, _invocation: Invocation) -> Result:
    raise LostError("no answer", next="Ask again.")


def scripted(_lab: Callable[[], Lab], _directory: Path) -> Subject:
    host = Host(name="there", address="192.0.2.1", platform=Platform.LINUX)
    absent = Host(name="absent", address="192.0.2.2", platform=Platform.LINUX)
    connector = ScriptedConnector(
        {
            ("*", "echo"): answered("a\n\nb,c\n", stderr="oops\n", exit_code=3),
            ("*", "quiet"): answered(),
            ("*", "unicode"): answered("é€😀 no newline"),
            ("*", "hang"): hang,
        },
        unreachable={"absent": ConnectError("nobody there", next="Look.")},
    )
    return Subject(connector=connector, host=host, absent=absent)


def over_ssh(lab: Callable[[], Lab], directory: Path) -> Subject:
    from fwfix.executors.ssh import SshConnector

    there = lab()["there"]
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(there.known_hosts)
    ref = SecretRef(kind=SecretKind.ENV, argument="PASSWORD")

    def resolve(_ref: SecretRef, _host: Host, *, user: str, purpose: str) -> Secret:
        return Secret(there.password)

    def host(name: str, port: int) -> Host:
        settings = SshSettings(
            user=there.user,
            port=port,
            identity_file=there.identity_file,
            known_hosts=known_hosts,
            become=Become.SUDO,
            become_password=ref,
        )
        return Host(name=name, address=there.address, platform=Platform.LINUX, ssh=settings)

    (directory / "config").write_text("")
    connector = SshConnector(hosts={}, resolve=resolve, ssh_config=directory / "config")
    return Subject(connector=connector, host=host("there", 22), absent=host("absent", 9))


def over_winrm(_lab: Callable[[], Lab], _directory: Path) -> Subject:
    from fwfix.executors.winrm import WinrmConnector
    from fwfix.lab.windows.cmd import PowerShellProgram, standard_programs
    from fwfix.lab.windows.cmd.small_engine import SmallEngine
    from fwfix.lab.windows.powershell.hosts import Host as EngineHost
    from fwfix.lab.windows.wsman import Account, Listener, WsmanServer

    powershell = PowerShellProgram(SmallEngine(host=EngineHost()))
    server = WsmanServer(
        accounts=[Account(name="ops", password="pw")],
        programs=standard_programs().having({"powershell.exe": powershell}),
    )
    address, port = server.serve([Listener()])[0]
    ref = SecretRef(kind=SecretKind.ENV, argument="PASSWORD")

    def resolve(_ref: SecretRef, _host: Host, *, user: str, purpose: str) -> Secret:
        return Secret("pw")

    def host(name: str, port: int) -> Host:
        settings = WinrmSettings(user="ops", password=ref, scheme="http", port=port)
        return Host(name=name, address=address, platform=Platform.WINDOWS, winrm=settings)

    return Subject(
        connector=WinrmConnector(resolve=resolve),
        host=host("there", port),
        absent=host("absent", 9),
        close=server.close,
    )


@pytest.fixture(params=[scripted, pytest.param(over_ssh, marks=pytest.mark.lab), over_winrm])
def subject(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    labs: list[Lab] = []

    def lab() -> Lab:
        request.getfixturevalue("lab_possible")
        labs.append(Lab(tmp_path_factory.mktemp("lab"), keep=False))
        labs[-1].build([HostSpec(name="there")])
        return labs[-1]

    made: Subject = request.param(lab, tmp_path)
    yield made
    made.connector.close()
    made.close()
    for each in labs:
        each.close()


def later(seconds: float = 20) -> float:
    return time.monotonic() + seconds


def test_an_answer_has_exit_code_and_both_outputs(subject: Subject) -> None:
    executor = subject.open()
    result = executor.run(subject.job(ECHO), deadline=later())
    executor.close()
    assert (result.exit_code, result.stdout, result.stderr) == (3, "a\n\nb,c\n", "oops\n")
    assert result.took_ms >= 0


def test_an_empty_answer_is_an_answer(subject: Subject) -> None:
    executor = subject.open()
    result = executor.run(subject.job(QUIET), deadline=later())
    executor.close()
    assert (result.exit_code, result.stdout) == (0, "")


def test_output_is_exact(subject: Subject) -> None:
    executor = subject.open()
    assert executor.run(subject.job(UNICODE), deadline=later()).stdout == "é€😀 no newline"
    executor.close()


def test_one_connection_runs_many_scripts_and_two_connections_are_two(subject: Subject) -> None:
    first, second = subject.open(), subject.open()
    assert first is not second
    for executor in (first, second, first):
        assert executor.run(subject.job(QUIET), deadline=later()).exit_code == 0
    first.close()
    assert second.run(subject.job(QUIET), deadline=later()).exit_code == 0
    second.close()


def test_no_answer_is_lost_and_never_a_result(subject: Subject) -> None:
    executor = subject.open()
    started = time.monotonic()
    with pytest.raises(LostError) as caught:
        executor.run(subject.job(HANG), deadline=later(1))
    assert time.monotonic() - started < 3
    assert caught.value.next
    executor.close()


def test_a_host_that_is_not_there_is_a_connect_error_before_the_deadline(subject: Subject) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        subject.connector.open(subject.absent, deadline=later(1))
    assert time.monotonic() - started < 3
    assert caught.value.next


def test_closing_twice_does_nothing_and_a_closed_connection_runs_nothing(subject: Subject) -> None:
    executor = subject.open()
    executor.close()
    executor.close()
    with pytest.raises(FwfixError):
        executor.run(subject.job(QUIET), deadline=later(2))
    subject.connector.close()
    subject.connector.close()


def our_threads() -> set[threading.Thread]:
    """Return every thread but those of the Windows twin, which is the far end."""
    return {each for each in threading.enumerate() if not each.name.startswith(("wsman-", "command-"))}


def test_nothing_is_left_after_closing(subject: Subject) -> None:
    before = our_threads()
    executors = [subject.open() for _ in range(3)]
    for executor in executors:
        executor.run(subject.job(QUIET), deadline=later())
        executor.close()
    subject.connector.close()
    assert our_threads() <= before


def test_an_argument_is_never_read_by_a_shell() -> None:
    for text in ("a b", "$(x)", "'", "\\", "!", "*", "\n"):
        assert shlex.quote(text) != text
        with pytest.raises(ValueError, match="plain argument"):
            named("x", ":", text)
