"""Through jump hosts and ProxyCommand, as the inventory or ssh_config says."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import AccountStoppedError, AuthError, ConnectError, HostKeyError, UnreachableError
from fwfix.executors.ssh import SshConnector
from fwfix.lab.linux import HostSpec, Lab
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import Host

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


@pytest.fixture(scope="module")
def chain(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    with Lab(tmp_path_factory.mktemp("lab"), keep=False) as lab:
        lab.build(
            [
                HostSpec(name="outer"),
                HostSpec(name="inner", ssh_ports=(2222,)),
                HostSpec(name="target"),
                HostSpec(name="behind", behind="outer"),
            ]
        )
        yield lab


def logons(lab_host: LabHost) -> int:
    return lab_host.run(["cat", "/var/log/syslog"]).stdout.count("Accepted publickey")


def opened(rig: "Rig", *hosts: Host) -> str:
    """Log on to the last host through the others; return where the host saw us come from."""
    connector = rig.connector(*hosts)
    executor = connector.open(hosts[-1], deadline=rig.soon())
    assert executor.peer is None
    seen = executor.run(rig.script('echo "$SSH_CONNECTION"'), deadline=rig.soon()).stdout
    executor.close()
    return seen.split()[0]


def test_a_host_that_only_its_jump_host_can_reach_is_reached(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"])
    behind = rig.host(chain["behind"], jump="outer")
    assert opened(rig, outer, behind)
    with pytest.raises(ConnectError):
        rig.open(rig.host(chain["behind"]), seconds=1)


def test_two_jump_hosts_in_a_row(chain: Lab, rig: "Rig") -> None:
    hosts = (
        rig.host(chain["outer"]),
        rig.host(chain["inner"], jump="outer"),
        rig.host(chain["target"], jump="inner"),
    )
    assert opened(rig, *hosts) == chain["inner"].address


def test_many_hosts_share_one_connection_to_their_jump_host(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"])
    target = rig.host(chain["target"], jump="outer")
    before = logons(chain["outer"])
    connector = rig.connector(outer, target)
    with ThreadPoolExecutor(20) as threads:
        executors = list(threads.map(lambda _: connector.open(target, deadline=rig.soon(30)), range(20)))
        for executor in executors:
            assert executor.run(rig.script("echo ok"), deadline=rig.soon(20)).stdout == "ok\n"
            executor.close()
    assert logons(chain["outer"]) == before + 1


def test_a_jump_host_that_went_away_is_opened_again(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"])
    target = rig.host(chain["target"], jump="outer")
    connector = rig.connector(outer, target)
    connector.open(target, deadline=rig.soon()).close()
    chain["outer"].run(["pkill", "-9", "-f", "^sshd: ops"])
    chain["outer"].run(["pkill", "-9", "-f", "^sshd: root"])
    deadline = rig.soon()
    while True:  # the end of the old connection may not have been heard yet
        try:
            connector.open(target, deadline=deadline).close()
        except UnreachableError:
            assert time.monotonic() < deadline
            continue
        break


def test_a_default_that_names_the_jump_host_holds_for_it_too(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"], jump="outer")
    assert opened(rig, outer, rig.host(chain["target"], jump="outer")) == chain["outer"].address
    rig.open(outer).close()


def test_a_circle_of_jump_hosts_is_an_error(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"], jump="target")
    target = rig.host(chain["target"], jump="outer")
    with pytest.raises(ConnectError, match="circle: target -> outer -> target"):
        rig.connector(outer, target).open(target, deadline=rig.soon())


def test_the_error_of_a_jump_host_names_it_and_is_told_to_all_who_wait(
    chain: Lab, rig: "Rig", tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    outer = rig.host(chain["outer"], known_hosts=empty)
    target = rig.host(chain["target"], jump="outer")
    connector = rig.connector(outer, target)
    with pytest.raises(HostKeyError, match="The jump host outer: "):
        connector.open(target, deadline=rig.soon())


def test_a_rejected_password_of_a_jump_host_stops_its_account(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"], identity_file=None, password=rig.ref("wrong"))
    targets = [replace(rig.host(chain["target"], jump="outer"), name=f"target-{n}") for n in range(3)]
    connector = rig.connector(outer, *targets)
    for target, expected in zip(targets, (AuthError, AccountStoppedError, AccountStoppedError), strict=True):
        with pytest.raises(expected, match="outer"):
            connector.open(target, deadline=rig.soon())
    failures = chain["outer"].run(["cat", "/var/log/syslog"]).stdout.count("Failed password")
    assert failures == 1


def test_a_host_that_the_jump_host_cannot_reach_is_unreachable(chain: Lab, rig: "Rig") -> None:
    outer = rig.host(chain["outer"])
    nowhere = rig.host(chain["target"], address="127.0.0.1", jump="outer", port=9)
    with pytest.raises(UnreachableError, match="jump host did not reach"):
        rig.connector(outer, nowhere).open(nowhere, deadline=rig.soon())


def test_a_jump_host_that_forbids_forwarding_says_so(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="strict", sshd_config="AllowTcpForwarding no"), HostSpec(name="end")])
    strict, end = rig.host(lab["strict"]), rig.host(lab["end"], jump="strict")
    with pytest.raises(UnreachableError, match="AllowTcpForwarding"):
        rig.connector(strict, end).open(end, deadline=rig.soon())


def write_config(rig: "Rig", chain: Lab, text: str) -> None:
    known = rig.directory / "config_known_hosts"
    known.write_text("".join(chain[name].known_hosts for name in ("outer", "inner", "target")))
    rig.ssh_config.write_text(
        f"{text}\nHost *\nUser ops\nIdentityFile {chain['outer'].identity_file}\nUserKnownHostsFile {known}\n"
    )


def bare(rig: "Rig", lab_host: LabHost, **ssh: object) -> Host:
    """Leave everything but the address and sudo to ssh_config."""
    return rig.host(lab_host, user=None, port=None, identity_file=None, known_hosts=None, **ssh)


def test_proxy_jump_of_ssh_config_is_honoured_hop_by_hop(chain: Lab, rig: "Rig") -> None:
    write_config(
        rig,
        chain,
        f"Host outer\nHostName {chain['outer'].address}\n"
        f"Host {chain['target'].address}\nProxyJump outer,ops@{chain['inner'].address}:2222",
    )
    assert opened(rig, bare(rig, chain["target"])) == chain["inner"].address


def test_a_jump_may_be_a_name_of_ssh_config(chain: Lab, rig: "Rig") -> None:
    write_config(rig, chain, f"Host bastion\nHostName {chain['inner'].address}\nPort 2222")
    assert opened(rig, bare(rig, chain["target"], jump="bastion")) == chain["inner"].address


def test_the_inventory_wins_over_ssh_config(chain: Lab, rig: "Rig") -> None:
    rig.ssh_config.write_text("Host *\nUser nobody\nPort 9\nIdentityFile /nowhere\nProxyJump nowhere\n")
    outer = rig.host(chain["outer"], port=22, jump="outer")
    with pytest.raises(AuthError, match="/nowhere"):
        rig.open(replace(outer, ssh=replace(outer.ssh, identity_file=None)))
    rig.ssh_config.write_text("Host *\nUser nobody\nPort 9\nProxyCommand false\n")
    rig.open(outer).close()


PROXY = """exec 2>/dev/null
{python} -c "
import socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while d := s.recv(65536):
        sys.stdout.buffer.write(d); sys.stdout.buffer.flush()
threading.Thread(target=back, daemon=True).start()
while d := sys.stdin.buffer.raw.read(65536):
    s.sendall(d)
" "$1" "$2"
"""


def test_a_proxy_command_is_run_and_ended(chain: Lab, rig: "Rig", tmp_path: Path) -> None:
    import sys

    proxy = tmp_path / "proxy"
    proxy.write_text(PROXY.format(python=sys.executable))
    write_config(rig, chain, f"Host {chain['target'].address}\nProxyCommand sh {proxy} %h %p")
    assert opened(rig, bare(rig, chain["target"]))


def test_a_proxy_command_that_fails_is_quoted(chain: Lab, rig: "Rig") -> None:
    write_config(
        rig, chain, f"Host {chain['target'].address}\nProxyCommand sh -c 'echo no $((1+1)) way >&2; exit 3'"
    )
    with pytest.raises(UnreachableError, match="no 2 way"):
        rig.open(bare(rig, chain["target"]), seconds=3)
    write_config(rig, chain, f"Host {chain['target'].address}\nProxyCommand sleep 60")
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="ProxyCommand"):
        rig.open(bare(rig, chain["target"]), seconds=1)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "line",
    [
        "PKCS11Provider /usr/lib/x.so",
        "ProxyUseFdpass yes\nProxyCommand true",
        "KnownHostsCommand /bin/true",
        "RemoteCommand /bin/true",
        "SessionType none",
        "ProxyCommand nc %Z",
    ],
)
def test_a_setting_that_cannot_be_honoured_is_an_error(chain: Lab, rig: "Rig", line: str) -> None:
    rig.ssh_config.write_text(line + "\n")
    with pytest.raises(ConnectError) as caught:
        rig.open(rig.host(chain["target"]))
    assert caught.value.code == "ssh-config" or "ssh_config" in str(caught.value)


def test_a_host_name_that_leads_away_from_an_address_is_an_error(chain: Lab, rig: "Rig") -> None:
    rig.ssh_config.write_text(f"HostName {chain['outer'].address}\n")
    with pytest.raises(ConnectError, match="leads to"):
        rig.open(rig.host(chain["target"]))
    rig.open(rig.host(chain["outer"], address="some-name")).close()


def test_a_host_key_alias_names_the_key(chain: Lab, rig: "Rig") -> None:
    known = rig.directory / "aliased"
    known.write_text(f"the-alias {chain['inner'].host_key}\n")
    rig.ssh_config.write_text("HostKeyAlias the-alias\n")
    rig.open(rig.host(chain["inner"], known_hosts=known)).close()


def test_forty_logons_to_one_sshd_that_takes_ten_at_once_all_succeed(make_lab: MakeLab, rig: "Rig") -> None:
    lab_host = make_lab([HostSpec(name="crowd", sshd_config="MaxStartups 10:100:10")])["crowd"]
    host = rig.host(lab_host)
    connector: SshConnector = rig.connector(host)
    with ThreadPoolExecutor(40) as threads:
        executors = list(threads.map(lambda _: connector.open(host, deadline=rig.soon(60)), range(40)))
        for executor in executors:
            executor.close()
    assert logons(lab_host) == 40
