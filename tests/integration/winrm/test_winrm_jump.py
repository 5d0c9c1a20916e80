"""Through a real sshd: the connection to a jump host is the one that the SSH executor shares."""

import contextlib
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.cli.session import make_connector
from fwfix.drivers.base import Stamp
from fwfix.errors import ConnectError
from fwfix.executors.ssh import SshConnector
from fwfix.lab.linux import Lab
from fwfix.lab.windows.wsman import Account
from fwfix.model.host import Host, Platform, SshSettings
from fwfix.model.script import Invocation, Script
from fwfix.output.observe import Nobody
from fwfix.runner.context import Log, RunContext
from fwfix.secret_store import SecretStore
from fwfix.secrets import Secret, SecretKind, SecretRef

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab


def bastion(lab: Lab, folder: Path) -> Host:
    of = lab["demo-linux-1"]
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(of.known_hosts)
    ssh = SshSettings(user=of.user, identity_file=of.identity_file, known_hosts=known_hosts)
    return Host(name="bastion-01", address=of.address, platform=Platform.LINUX, ssh=ssh)


def refuse(_ref: SecretRef, _host: Host, *, user: str, purpose: str) -> Secret:
    raise AssertionError("no secret is needed")


def test_windows_hosts_behind_one_jump_host_share_one_connection_to_it(
    lab: Lab, rig: "Rig", tmp_path: Path
) -> None:
    jump = bastion(lab, tmp_path)
    (tmp_path / "config").write_text("")
    ssh = SshConnector(hosts={"bastion-01": jump}, resolve=refuse, ssh_config=tmp_path / "config")
    asking = ssh.open(jump, deadline=rig.later())
    ask = Invocation(script=Script(name="ask", text='echo "$SSH_CONNECTION"', changes=False))
    ours = asking.run(ask, deadline=rig.later()).stdout.split()[0]
    asking.close()

    def logons() -> int:
        syslog = lab["demo-linux-1"].run(["cat", "/var/log/syslog"]).stdout
        return syslog.count("Accepted publickey")

    before = logons()
    connector = rig.connector(tunnel=ssh.tunnel)
    for _ in range(3):
        twin = rig.twin(address=ours)
        executor = connector.open(twin.host(jump="bastion-01"), deadline=rig.later())
        assert executor.peer is None
        assert rig.run(executor, f"'{'é' * 100_000}'").stdout == "é" * 100_000
        executor.close()
        assert twin.server.shells.open == ()
    with pytest.raises(ConnectError) as caught:
        connector.open(twin.host(jump="bastion-01", port=9), deadline=rig.later(5))
    assert caught.value.next
    ssh.close()
    assert logons() == before + 1


def test_a_person_who_is_slow_to_answer_for_the_jump_host_costs_no_connect_timeout(
    lab: Lab, rig: "Rig", tmp_path: Path
) -> None:
    """So is a program that knows the host's own password."""
    of = lab["demo-linux-1"]
    jump = bastion(lab, tmp_path)
    known = replace(jump.ssh, identity_file=None, password=SecretRef(kind=SecretKind.PROMPT))
    jump = replace(jump, ssh=known)
    questions: list[str] = []

    def person(question: str) -> str:
        questions.append(question)
        time.sleep(4)
        return of.password

    words = ("sh", "-c", "sleep 4; echo from-a-program")
    password = SecretRef(kind=SecretKind.COMMAND, argument="sh", command=words)
    account = Account(name="Administrator", password="from-a-program")
    twin = rig.twin(address=str(lab.network.address), accounts=[account])
    host = twin.host(jump=jump.name, password=password)
    connector = make_connector({each.name: each for each in (jump, host)}, SecretStore(ask=person))
    context = RunContext(
        run_id="r",
        connector=connector,
        drivers={},
        log=Log(),
        observer=Nobody(),
        stamp=Stamp(operator="me", controller="here"),
        connect_timeout=timedelta(seconds=3),
    )
    with contextlib.closing(connector), contextlib.closing(context.open(host)) as executor:
        assert rig.run(executor, "'hello'").stdout == "hello"
    assert questions == ["password of ops: "]
