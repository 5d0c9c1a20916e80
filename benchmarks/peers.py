"""The peers: their inventories for the same hosts, and their commands."""

from collections.abc import Callable
from pathlib import Path

from fwfix_commands import FORKS, HERE
from measuring import Contestant

from fwfix.lab.linux import Lab


def peers_of(venv: Path, lab: Lab, directory: Path) -> list[Contestant]:
    """Write what Ansible and pyinfra need, and return them."""
    _write_files(lab, directory)
    ansible = [str(venv / "bin" / "ansible-playbook"), "-f", str(FORKS), "-i", str(directory / "ansible.ini")]
    pyinfra = [str(venv / "bin" / "pyinfra"), "--yes", "--parallel", str(FORKS), "--fail-percent", "0"]
    flushed: Callable[[int], None] = lambda _: flush(lab)  # noqa: E731
    return [
        Contestant(
            name="ansible",
            argv=lambda _: [*ansible, str(HERE / "ansible.yml")],
            note="two rules, unverified; once",
            tidy=flushed,
            full_only=True,
        ),
        Contestant(
            name="pyinfra",
            argv=lambda _: [*pyinfra, str(directory / "pyinfra_hosts.py"), str(HERE / "pyinfra_deploy.py")],
            note="the same",
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


def _write_files(lab: Lab, directory: Path) -> None:
    known_hosts, identity = directory / "known_hosts", directory / "identity"
    options = f"-o UserKnownHostsFile={known_hosts} -o IdentityFile={identity}"
    lines = [f"{host.name} ansible_host={host.address}" for host in lab.hosts]
    common = ["", "[all:vars]", "ansible_user=root", f"ansible_ssh_common_args={options}"]
    python = "ansible_python_interpreter=/usr/bin/python3"
    (directory / "ansible.ini").write_text("\n".join(["[all]", *lines, *common, python, ""]))
    access = {"ssh_user": "root", "ssh_key": str(identity), "ssh_known_hosts_file": str(known_hosts)}
    hosts = [(host.address, access) for host in lab.hosts]
    (directory / "pyinfra_hosts.py").write_text(f"hosts = {hosts!r}\n")
