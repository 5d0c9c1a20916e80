"""Side by side with the peers, in one run, on the same throw-away hosts.

Prints wall time, controller CPU for each host, and ratios to a bare paramiko loop with as many connections
and commands; as a table on stdout, and as JSON with `--json FILE`. Hosts and controller share this machine's
cores, so what a script costs on a host it costs here: the loop that runs the same scripts is the yardstick.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fwfix.lab.linux import HostSpec, Lab, requirements, write_inventory

HERE = Path(__file__).parent
FORKS = 50
# What fwfix does on a host that is applied: observe, arm, apply; then, on a new connection, look and confirm.
CONNECTIONS = (3, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One contestant on all hosts."""

    name: str
    hosts: int
    wall_s: float
    cpu_s: float
    ok: bool
    note: str = ""

    @property
    def cpu_ms_per_host(self) -> float:
        return self.cpu_s * 1000 / self.hosts


def measure(
    name: str, argv: Sequence[str], *, hosts: int, cwd: Path, env: dict[str, str], note: str = ""
) -> Measurement:
    """Run a contestant as a whole process; its CPU is what the operating system accounts to it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        tail = (done.stdout + done.stderr)[-600:]
        print(f"{name} ended with {done.returncode}:\n{tail}", file=sys.stderr)
    return Measurement(name=name, hosts=hosts, wall_s=wall, cpu_s=cpu, ok=done.returncode == 0, note=note)


def flush(lab: Lab) -> None:
    """Take away what a peer left, so that everybody starts from the same rules."""
    for host in lab.hosts:
        for tool in ("iptables", "ip6tables"):
            for _ in range(4):
                listed = host.run([tool, "-S", "INPUT"]).stdout
                ours = [line for line in listed.splitlines() if "bench" in line]
                for line in ours:
                    host.run([tool, *line.replace("-A ", "-D ", 1).replace('"', "").split()])
                if not ours:
                    break


def contestants(directory: Path, peers: Path | None) -> list[tuple[str, list[str], str]]:
    """Return name, command and note of everybody, in the order in which they run."""
    fwfix = [sys.executable, "-m", "fwfix", "--state-dir", str(directory / "state")]
    inventory = ["-i", str(directory / "inventory.yaml"), "--yes", "--forks", str(FORKS), "--json"]
    loop = [sys.executable, str(HERE / "bare_loop.py"), str(directory)]
    found = [
        ("bare loop, same scripts", [*loop, str(directory / "plan.json")], "unverified, unrecorded"),
        ("bare loop, idle commands", loop, "as many connections and commands"),
        ("fwfix apply", [*fwfix, "apply", *inventory, "--waves", "100%"], "verified and confirmed"),
        ("fwfix rollback", [*fwfix, "rollback", "-l", "all", "--yes", "--json"], "verified"),
    ]
    if peers is None:
        return found
    ansible = [
        str(peers / "bin" / "ansible-playbook"),
        "-f",
        str(FORKS),
        "-i",
        str(directory / "ansible.ini"),
    ]
    pyinfra = [str(peers / "bin" / "pyinfra"), "--yes", "--parallel", str(FORKS), "--fail-percent", "0"]
    return [
        *found,
        ("ansible", [*ansible, str(HERE / "ansible.yml")], "two rules, unverified"),
        (
            "pyinfra",
            [*pyinfra, str(directory / "pyinfra_hosts.py"), str(HERE / "pyinfra_deploy.py")],
            "the same",
        ),
    ]


def write_peer_files(lab: Lab, directory: Path) -> None:
    """Write the peers' own inventories for the same hosts."""
    options = f"-o UserKnownHostsFile={directory / 'known_hosts'} -o IdentityFile={directory / 'identity'}"
    lines = [f"{host.name} ansible_host={host.address}" for host in lab.hosts]
    common = ["", "[all:vars]", "ansible_user=root", f"ansible_ssh_common_args={options}"]
    python = "ansible_python_interpreter=/usr/bin/python3"
    (directory / "ansible.ini").write_text("\n".join(["[all]", *lines, *common, python, ""]))
    hosts = [
        (
            host.address,
            {
                "ssh_user": "root",
                "ssh_key": str(directory / "identity"),
                "ssh_known_hosts_file": str(directory / "known_hosts"),
            },
        )
        for host in lab.hosts
    ]
    (directory / "pyinfra_hosts.py").write_text(f"hosts = {hosts!r}\n")


def _fwfix(directory: Path, *words: str) -> None:
    argv = [sys.executable, "-m", "fwfix", "--state-dir", str(directory / "other-state"), *words]
    subprocess.run(
        argv, cwd=directory, env=environment(directory), check=True, capture_output=True, text=True
    )


def save_plan(directory: Path) -> None:
    """Save the plan whose scripts the bare loop runs."""
    _fwfix(directory, "plan", "-i", str(directory / "inventory.yaml"), "-o", str(directory / "plan.json"))


def undo_plan(directory: Path) -> None:
    """Take away what the bare loop has put in force, by the hosts' own records."""
    run_id = json.loads((directory / "plan.json").read_text())["run_id"]
    _fwfix(directory, "rollback", run_id, "-i", str(directory / "inventory.yaml"), "--yes")


def environment(directory: Path) -> dict[str, str]:
    """Return the environment of every contestant."""
    ansible = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_FORKS": str(FORKS),
        "ANSIBLE_LOCAL_TEMP": str(directory / "ansible"),
        "ANSIBLE_NOCOWS": "1",
    }
    return {**os.environ, **ansible, "HOME": str(directory)}


def table(measurements: Sequence[Measurement]) -> str:
    """Return the figures as text."""
    bare, ours = measurements[0], next(each for each in measurements if each.name == "fwfix apply")
    rows = [("", "wall s", "x bare", "x fwfix apply", "CPU ms/host", "")]
    rows += [
        (
            each.name if each.ok else f"{each.name} (FAILED)",
            f"{each.wall_s:.1f}",
            f"{each.wall_s / bare.wall_s:.2f}",
            f"{each.wall_s / ours.wall_s:.2f}",
            f"{each.cpu_ms_per_host:.1f}",
            each.note,
        )
        for each in measurements
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    """Measure everybody once; exit 1 where a contestant of ours failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--peers", type=Path, help="a virtual environment with ansible-core and pyinfra")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    missing = requirements()
    if missing:
        print("the lab needs: " + ", ".join(missing), file=sys.stderr)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="fwfix-bench-"))
    measurements: list[Measurement] = []
    try:
        with Lab(directory, keep=False) as lab:
            lab.build(
                [HostSpec(name=f"bench-{n}", user="root", root_logon=True) for n in range(arguments.hosts)]
            )
            write_inventory(lab, directory)
            write_peer_files(lab, directory)
            save_plan(directory)
            for name, argv, note in contestants(directory, arguments.peers):
                found = measure(
                    name, argv, hosts=arguments.hosts, cwd=directory, env=environment(directory), note=note
                )
                measurements.append(found)
                if name.startswith("bare loop, same"):
                    undo_plan(directory)
                elif "fwfix" not in name:
                    flush(lab)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(
        f"{arguments.hosts} hosts, {FORKS} at a time, {os.cpu_count()} cores shared by controller and hosts\n"
    )
    print(table(measurements))
    if arguments.json:
        figures = [asdict(each) | {"cpu_ms_per_host": each.cpu_ms_per_host} for each in measurements]
        arguments.json.write_text(json.dumps({"forks": FORKS, "measurements": figures}, indent=2) + "\n")
    return 0 if all(each.ok for each in measurements if "fwfix" in each.name) else 1


if __name__ == "__main__":
    sys.exit(main())
