"""The peers: their inventories for the same hosts, and their commands."""

from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

import yaml
from fwfix_commands import FORKS, HERE
from measuring import Contestant

from fwfix.lab.linux import Lab

FULL = "ansible, nearest equivalent"
TWO_RULES = "ansible, two rules"
# What `ansible_full.yml` leaves behind.
_UNDO = """
state=/var/lib/bench-ansible
test -d $state || exit 0
kill -- -"$(cat $state/switch.pid)" 2>/dev/null
sh $state/rollback.sh 2>/dev/null
rm -rf $state /etc/iptables/rules.v4 /etc/iptables/rules.v6
"""


def peers_of(venv: Path, lab: Lab, directory: Path) -> list[Contestant]:
    """Write what Ansible and pyinfra need, and return them."""
    _write_files(lab, directory)
    ansible = [str(venv / "bin" / "ansible-playbook"), "-f", str(FORKS), "-i", str(directory / "ansible.ini")]
    pyinfra = [str(venv / "bin" / "pyinfra"), "--yes", "--parallel", str(FORKS), "--fail-percent", "0"]
    flushed: Callable[[int], None] = lambda _: flush(lab)  # noqa: E731
    return [
        Contestant(
            name=FULL,
            argv=lambda _: [*ansible, str(HERE / "ansible_full.yml")],
            note="switch, test, new connection; once",
            tidy=lambda _: _undo_full(lab),
            full_only=True,
        ),
        Contestant(
            name=TWO_RULES,
            argv=lambda _: [*ansible, str(HERE / "ansible.yml")],
            note="unverified; once",
            tidy=flushed,
            full_only=True,
        ),
        Contestant(
            name="pyinfra, two rules",
            argv=lambda _: [*pyinfra, str(directory / "pyinfra_hosts.py"), str(HERE / "pyinfra_deploy.py")],
            note="unverified; once",
            tidy=flushed,
            full_only=True,
        ),
    ]


def flush(lab: Lab) -> None:
    """Take away every rule on the raw printing port, so that everybody starts from the same rules."""
    for host in lab.hosts:
        for tool in ("iptables", "ip6tables"):
            listed = host.run([tool, "-S", "INPUT"]).stdout
            for line in listed.splitlines():
                if line.startswith("-A") and "--dport 9100" in line and "DROP" in line:
                    host.run([tool, *line.replace("-A ", "-D ", 1).replace('"', "").split()])


def _undo_full(lab: Lab) -> None:
    for host in lab.hosts:
        host.run(["sh", "-c", _UNDO])


def _write_files(lab: Lab, directory: Path) -> None:
    known_hosts, identity = directory / "known_hosts", directory / "identity"
    options = f"-o UserKnownHostsFile={known_hosts} -o IdentityFile={identity}"
    lines = [f"{host.name} ansible_host={host.address} address6={host.address6}" for host in lab.hosts]
    common = ["", "[all:vars]", "ansible_user=root", f"ansible_ssh_common_args={options}"]
    common += ["ansible_python_interpreter=/usr/bin/python3", *_allowed(directory)]
    (directory / "ansible.ini").write_text("\n".join(["[all]", *lines, *common, ""]))
    access = {"ssh_user": "root", "ssh_key": str(identity), "ssh_known_hosts_file": str(known_hosts)}
    hosts = [(host.address, access) for host in lab.hosts]
    (directory / "pyinfra_hosts.py").write_text(f"hosts = {hosts!r}\n")


def _allowed(directory: Path) -> list[str]:
    """Return whom the inventory of fwfix lets in, one variable for each family."""
    policies = yaml.safe_load((directory / "inventory.yaml").read_text())["policies"]
    sources = [ip_interface(source) for policy in policies.values() for source in policy["allow_from"]]
    return [f"allow{source.version}={source.network}" for source in sources]
