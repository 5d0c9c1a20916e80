"""Log on the way the user does, and never twice with a rejected password."""

import base64
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.drivers.base import Stamp
from fwfix.errors import (
    AccountStoppedError,
    AuthError,
    ConnectError,
    FwfixError,
    PrivilegeError,
    SecretError,
    UnreachableError,
)
from fwfix.executors.ssh import SshConnector
from fwfix.lab.linux import HostSpec, Lab
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import Host
from fwfix.output.observe import Nobody
from fwfix.runner.context import RunContext
from fwfix.runner.log import NoLog
from fwfix.secrets import SecretKind, SecretRef

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def log_lines(lab_host: LabHost, text: str) -> int:
    return lab_host.run(["cat", "/var/log/syslog"]).stdout.count(text)


def refusals(rig: "Rig", hosts: Iterable[LabHost], text: str) -> int:
    """Return how often hosts logged a refusal; the log may be a moment behind the refusal itself."""
    hosts = tuple(hosts)

    def logged() -> int:
        return sum(log_lines(each, text) for each in hosts)

    rig.eventually(lambda: logged() > 0, f"nobody logged {text!r}")
    return logged()


def keygen(*arguments: object) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, timeout=20
    )


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
    yield str(path)
    process.terminate()
    process.wait()


def add_to(agent: str, key: Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": agent}
    subprocess.run(["ssh-add", "-q", key], env=environment, check=True, timeout=20, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def stuck_agent(path: Path, blob: bytes) -> Iterator[None]:
    """Be an agent that names one key and never signs with it."""
    listing = b"\x0c" + (1).to_bytes(4, "big") + len(blob).to_bytes(4, "big") + blob + bytes(4)
    connections: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                if connection.recv(5)[4:] == b"\x0b":
                    connection.sendall(len(listing).to_bytes(4, "big") + listing)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def authorize(lab_host: LabHost, public: Path) -> None:
    path = f"/home/{lab_host.user}/.ssh/authorized_keys"
    lab_host.run(["tee", "-a", path], input=public.read_text())


def test_a_password_logs_on_where_no_key_is_there(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="password")])["password"]
    host = rig.host(lab_host, identity_file=None, password=rig.ref(lab_host.password))
    assert rig.run(host, "id -un").stdout == "root\n"
    assert rig.asked == [
        ("password", "ops", "password"),
        ("password", "ops", "sudo password"),
    ]


PROMPT = SecretRef(kind=SecretKind.PROMPT)


def surroundings(connector: SshConnector, *, connect_timeout: timedelta) -> RunContext:
    return RunContext(
        run_id="r",
        connector=connector,
        drivers={},
        log=NoLog(),
        observer=Nobody(),
        stamp=Stamp(operator="me", controller="here"),
        connect_timeout=connect_timeout,
    )


def test_a_person_who_is_slow_to_answer_costs_no_host_its_connect_timeout(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    names = ("one", "two", "three")
    lab = make_lab([HostSpec(name=name, password="shared") for name in names])
    settings = {"identity_file": None, "password": PROMPT, "become_password": PROMPT}
    hosts = [rig.host(lab[name], **settings) for name in names]
    questions: list[str] = []

    def person(question: str) -> str:
        questions.append(question)
        time.sleep(4)  # longer than the connect timeout, once for each of two secrets
        return "shared"

    rig.person = person
    context = surroundings(rig.connector(*hosts), connect_timeout=timedelta(seconds=3))

    def work(host: Host) -> str:
        with contextlib.closing(context.open(host)) as executor:
            return executor.run(rig.script("id -un"), deadline=rig.soon()).stdout

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(work, hosts)) == ["root\n"] * 3
    assert sorted(questions) == ["password of ops: ", "sudo password of ops: "]


def test_a_program_that_is_slow_to_answer_runs_once_and_costs_no_host_its_connect_timeout(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path
) -> None:
    """Also where it opens the jump host."""
    lab = make_lab([HostSpec(name=name, password="shared") for name in ("jump", "one", "two")])
    words = ("sh", "-c", f"echo ran >>{tmp_path}/log; sleep 4; echo shared")
    slow = SecretRef(kind=SecretKind.COMMAND, argument="sh", command=words)
    settings = {"identity_file": None, "password": slow, "become_password": slow}
    jump = rig.host(lab["jump"], **settings)
    hosts = [rig.host(lab[name], **settings, jump="jump") for name in ("one", "two")]
    context = surroundings(rig.connector(jump, *hosts), connect_timeout=timedelta(seconds=3))
    assert not (tmp_path / "log").exists()

    def work(host: Host) -> str:
        with contextlib.closing(context.open(host)) as executor:
            return executor.run(rig.script("id -un"), deadline=rig.soon()).stdout

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, hosts)) == ["root\n"] * 2
    assert (tmp_path / "log").read_text() == "ran\n"


def test_a_program_that_gives_no_secret_fails_the_host_before_it_is_contacted(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    lab_host = make_lab([HostSpec(name="untouched")])["untouched"]
    broken = SecretRef(kind=SecretKind.COMMAND, argument="false", command=("false",))
    host = rig.host(lab_host, become_password=broken)
    context = surroundings(rig.connector(host), connect_timeout=timedelta(seconds=3))
    with pytest.raises(SecretError, match="the command false ended with exit status 1"):
        context.open(host)
    assert log_lines(lab_host, "Accepted") == 0


def test_a_passphrase_is_asked_for_beforehand_where_a_key_needs_it_and_else_never(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, agent: str
) -> None:
    lab_host = make_lab([HostSpec(name="phrase", sudo="nopasswd")])["phrase"]
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    authorize(lab_host, tmp_path / "key.pub")
    add_to(agent, tmp_path / "key")
    host = rig.host(lab_host, identity_file=tmp_path / "key", passphrase=PROMPT)
    rig.connector(host).prepare(host, deadline=rig.soon())  # it is not encrypted
    keygen("-p", "-N", "secret", "-f", tmp_path / "key")
    rig.ssh_config.write_text(f"IdentityAgent {agent}\n")
    rig.connector(host).prepare(host, deadline=rig.soon())  # the agent holds it
    rig.ssh_config.write_text("IdentityAgent none\n")
    questions: list[str] = []
    rig.person = lambda question: questions.append(question) or "secret"  # type: ignore[func-returns-value]
    connector = rig.connector(host)
    connector.prepare(host, deadline=rig.soon())
    assert questions == ["passphrase of ops: "]
    rig.person = pytest.fail
    connector.open(host, deadline=rig.soon()).close()


def test_a_rejected_password_is_tried_once_in_a_whole_run(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name=f"host-{number}") for number in range(4)])
    wrong = rig.ref("wrong")
    hosts = [rig.host(lab[f"host-{n}"], identity_file=None, password=wrong) for n in range(4)]
    connector = rig.connector(*hosts)

    def attempt(number: int) -> AuthError:
        with pytest.raises(AuthError) as caught:
            connector.open(hosts[number], deadline=rig.soon(20))
        return caught.value

    with ThreadPoolExecutor(4) as threads:
        errors = list(threads.map(attempt, range(4)))
    assert sorted(type(error).__name__ for error in errors) == ["AccountStoppedError"] * 3 + ["AuthError"]
    assert refusals(rig, [lab[f"host-{n}"] for n in range(4)], "Failed password") == 1
    with pytest.raises(AccountStoppedError):
        connector.open(hosts[0], deadline=rig.soon())


def test_a_password_that_differs_by_host_stops_that_host_only(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="bad"), HostSpec(name="good")])
    bad = rig.host(lab["bad"], identity_file=None, password=rig.ref("wrong", differs=True))
    good = rig.host(lab["good"], identity_file=None, password=rig.ref(lab["good"].password, differs=True))
    connector = rig.connector(bad, good)
    for expected in (AuthError, AccountStoppedError):
        with pytest.raises(expected):
            connector.open(bad, deadline=rig.soon())
    connector.open(good, deadline=rig.soon()).close()
    assert refusals(rig, [lab["bad"]], "Failed password") == 1


def test_a_password_rejected_by_sudo_is_tried_once_in_a_whole_run(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name=f"host-{number}") for number in range(3)])
    wrong = rig.ref("wrong")
    hosts = [rig.host(lab[f"host-{n}"], become_password=wrong) for n in range(3)]
    connector = rig.connector(*hosts)

    def touch(number: int) -> None:
        with contextlib.closing(connector.open(hosts[number], deadline=rig.soon(20))) as executor:
            executor.run(rig.script("touch /tmp/it-ran"), deadline=rig.soon(20))

    def attempt(number: int) -> FwfixError:
        with pytest.raises((ConnectError, PrivilegeError)) as caught:
            touch(number)
        return caught.value

    with ThreadPoolExecutor(3) as threads:
        codes = sorted(error.code for error in threads.map(attempt, range(3)))
    assert codes == ["account-stopped", "account-stopped", "sudo-password-rejected"]
    assert refusals(rig, [lab[f"host-{n}"] for n in range(3)], "authentication failure") == 1
    for number in range(3):
        assert lab[f"host-{number}"].run(["ls", "-A", "/tmp"]).stdout == ""


def test_a_host_that_did_not_ask_for_the_password_proves_nothing(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="open", sudo="nopasswd"), HostSpec(name="asks")])
    wrong = rig.ref("wrong")
    asks_nothing, asks = (rig.host(lab[name], become_password=wrong) for name in ("open", "asks"))
    connector = rig.connector(asks_nothing, asks)
    with contextlib.closing(connector.open(asks_nothing, deadline=rig.soon())) as executor:
        assert executor.run(rig.script("id -un"), deadline=rig.soon()).stdout == "root\n"
    refused = connector.open(asks, deadline=rig.soon())
    with contextlib.closing(refused), pytest.raises(PrivilegeError):
        refused.run(rig.script("true"), deadline=rig.soon())
    with pytest.raises(AccountStoppedError):
        connector.open(asks_nothing, deadline=rig.soon())


def test_a_host_that_took_the_password_goes_on_after_another_rejected_it(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    lab = make_lab([HostSpec(name="armed"), HostSpec(name="other", password="another")])
    shared = rig.ref(lab["armed"].password)
    armed, other = (rig.host(lab[name], become_password=shared) for name in ("armed", "other"))
    connector = rig.connector(armed, other)
    with contextlib.closing(connector.open(armed, deadline=rig.soon())) as executor:
        executor.run(rig.script("true"), deadline=rig.soon())
        refused = connector.open(other, deadline=rig.soon())
        with contextlib.closing(refused), pytest.raises(PrivilegeError):
            refused.run(rig.script("true"), deadline=rig.soon())
        assert executor.run(rig.script("echo confirm"), deadline=rig.soon()).stdout == "confirm\n"
        connector.open(armed, deadline=rig.soon()).close()
    with pytest.raises(AccountStoppedError):
        connector.open(other, deadline=rig.soon())


def test_a_host_that_took_the_password_holds_no_other_while_its_script_runs(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    lab_host = make_lab([HostSpec(name="slow")])["slow"]
    host = rig.host(lab_host)
    connector = rig.connector(host)
    with (
        contextlib.closing(connector.open(host, deadline=rig.soon())) as slow,
        contextlib.closing(connector.open(host, deadline=rig.soon())) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        waits = rig.script("touch /tmp/began; until test -e /tmp/go; do sleep 0.05; done")
        waiting = threads.submit(slow.run, waits, deadline=rig.soon(20))
        rig.eventually(lambda: "began" in lab_host.run(["ls", "/tmp"]).stdout, "it never began", seconds=10)
        other.run(rig.script("touch /tmp/go"), deadline=rig.soon())
        assert waiting.result().exit_code == 0


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa -b 384", "rsa -b 2048", "rsa -m PEM"])
def test_every_kind_of_key_file_works_with_and_without_passphrase(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, kind: str
) -> None:
    lab_host = make_lab([HostSpec(name="keys")])["keys"]
    key, passphrase = tmp_path / "key", "Pässword 'x'"
    keygen("-t", *kind.split(), "-N", "", "-f", key)
    authorize(lab_host, tmp_path / "key.pub")
    rig.open(rig.host(lab_host, identity_file=key)).close()
    keygen("-p", "-N", passphrase, "-f", key)
    rig.open(rig.host(lab_host, identity_file=key, passphrase=rig.ref(passphrase))).close()
    with pytest.raises(AuthError, match="is encrypted"):
        rig.open(rig.host(lab_host, identity_file=key))
    with pytest.raises(AuthError, match="does not open"):
        rig.open(rig.host(lab_host, identity_file=key, passphrase=rig.ref("no")))


def test_the_agent_signs_for_many_connections_at_once(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, agent: str
) -> None:
    lab_host = make_lab([HostSpec(name="agent", sshd_config="MaxStartups 100")])["agent"]
    for number in range(3):
        keygen("-t", "ed25519", "-N", "", "-f", tmp_path / f"key{number}")
        add_to(agent, tmp_path / f"key{number}")
    authorize(lab_host, tmp_path / "key2.pub")
    rig.ssh_config.write_text(f"IdentityAgent {agent}\n")
    host = rig.host(lab_host, identity_file=None)
    connector = rig.connector(host)
    with ThreadPoolExecutor(12) as threads:
        for executor in threads.map(lambda _: connector.open(host, deadline=rig.soon(20)), range(24)):
            executor.close()


def test_an_agent_that_never_signs_holds_nobody_beyond_the_deadline(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path
) -> None:
    lab_host = make_lab([HostSpec(name="stuck")])["stuck"]
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    blob = base64.b64decode((tmp_path / "key.pub").read_text().split()[1])
    with stuck_agent(tmp_path / "agent", blob):
        rig.ssh_config.write_text(f"IdentityAgent {tmp_path}/agent\n")
        host = rig.host(lab_host, identity_file=None)
        connector = rig.connector(host)
        started = time.monotonic()

        def attempt(_: int) -> None:
            with pytest.raises(UnreachableError, match="did not answer the logon in time"):
                connector.open(host, deadline=rig.soon(2))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(attempt, range(8)))
        connector.close()
        assert time.monotonic() - started < 5
        rig.eventually(lambda: not rig.left("threads"), "threads are left", seconds=2)


def test_an_encrypted_key_that_the_agent_holds_needs_no_passphrase(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, agent: str
) -> None:
    lab_host = make_lab([HostSpec(name="agent")])["agent"]
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    add_to(agent, tmp_path / "key")
    authorize(lab_host, tmp_path / "key.pub")
    keygen("-p", "-N", "secret", "-f", tmp_path / "key")
    rig.ssh_config.write_text(f"IdentityAgent {agent}\nIdentitiesOnly yes\n")
    rig.open(rig.host(lab_host, identity_file=tmp_path / "key")).close()


def test_a_user_certificate_logs_on(make_lab: MakeLab, rig: "Rig", tmp_path: Path) -> None:
    lab_host = make_lab([HostSpec(name="cert", sshd_config="TrustedUserCAKeys /etc/ssh/users.pub")])["cert"]
    for name in ("ca", "key"):
        keygen("-t", "ed25519", "-N", "", "-f", tmp_path / name)
    lab_host.run(["tee", "/etc/ssh/users.pub"], input=(tmp_path / "ca.pub").read_text())
    keygen("-s", tmp_path / "ca", "-I", "me", "-n", "ops", tmp_path / "key.pub")
    rig.open(rig.host(lab_host, identity_file=tmp_path / "key")).close()
    (tmp_path / "key-cert.pub").rename(tmp_path / "elsewhere.pub")
    with pytest.raises(AuthError):
        rig.open(rig.host(lab_host, identity_file=tmp_path / "key"))
    rig.ssh_config.write_text(f"CertificateFile {tmp_path}/elsewhere.pub\n")
    rig.open(rig.host(lab_host, identity_file=tmp_path / "key")).close()


def test_a_host_may_ask_for_key_and_password(make_lab: MakeLab, rig: "Rig") -> None:
    spec = HostSpec(name="both", sshd_config="AuthenticationMethods publickey,password")
    lab_host = make_lab([spec])["both"]
    rig.open(rig.host(lab_host, password=rig.ref(lab_host.password))).close()
    with pytest.raises(AuthError, match="password"):
        rig.open(rig.host(lab_host))


def test_no_usable_way_in_says_what_the_host_takes(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="locked")])["locked"]
    with pytest.raises(AuthError, match=r"no usable key.*password, publickey"):
        rig.open(rig.host(lab_host, identity_file=None))
    with pytest.raises(AuthError, match="does not exist"):
        rig.open(rig.host(lab_host, identity_file=Path("/nowhere")))


def test_ten_wrong_keys_in_the_agent_do_not_eat_the_attempt_of_the_password(
    make_lab: MakeLab, rig: "Rig", tmp_path: Path, agent: str
) -> None:
    lab_host = make_lab([HostSpec(name="many")])["many"]
    for number in range(8):
        keygen("-t", "ed25519", "-N", "", "-f", tmp_path / f"key{number}")
        add_to(agent, tmp_path / f"key{number}")
    rig.ssh_config.write_text(f"IdentityAgent {agent}\n")
    rig.open(rig.host(lab_host, identity_file=None, password=rig.ref(lab_host.password))).close()
    with pytest.raises(AuthError, match="MaxAuthTries"):
        rig.open(rig.host(lab_host, identity_file=None))
