"""Side by side with the peers, in one run, on the same throw-away hosts.

Prints wall time, controller CPU for each host, and ratios to a bare paramiko (pywinrm) loop with as many
connections and commands; as tables on stdout, and as JSON with `--json FILE`. Everybody runs in turns, and
medians are printed. Hosts and controller share this machine's cores, so what a script costs on a host it
costs here: the loop that runs the same scripts is the yardstick. CPU is given whole, and split into start-up
(interpreter, imports, whatever is done once) and what each host adds, by a line through one host and all.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fwfix_commands import FORKS, bare_and_ours, contestants, environment, verdicts
from measuring import Contestant, Figures, race, table, verdict
from peers import FULL, TWO_RULES, peers_of

from fwfix.lab.linux import HostSpec, Lab, requirements, write_inventory
from fwfix.lab.windows.twin_process import start_twins, windows_entries

LINUX_CPU_MS = 12.0
WINDOWS_CPU_MS = 40.0
TIMES_FASTER_THAN_ANSIBLE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Hosts of one platform, and who runs on them."""

    title: str
    hosts: int
    contestants: Callable[[Lab, Path], list[Contestant]]
    cpu_ms: float


def linux(hosts: int, peers: Path | None) -> Course:
    """Return the course of Linux hosts, with the peers where there are any."""
    names = [f"bench-{number}" for number in range(hosts)]

    def build(lab: Lab, directory: Path) -> list[Contestant]:
        lab.build([HostSpec(name=name, user="root", root_logon=True) for name in names])
        write_inventory(lab, directory)
        ours = contestants(directory, names, "bare_loop.py")
        return ours if peers is None else [*ours, *peers_of(peers, lab, directory)]

    return Course(title="Linux hosts", hosts=hosts, contestants=build, cpu_ms=LINUX_CPU_MS)


def windows(hosts: int) -> Course:
    """Return the course of Windows twins, every other one over TLS, the rest sealed."""
    names = [f"bench-windows-{number}" for number in range(hosts)]

    def build(lab: Lab, directory: Path) -> list[Contestant]:
        lab.build([])
        twins = start_twins(lab.network, names)
        write_inventory(lab, directory, others=windows_entries(lab.network, twins, directory))
        return contestants(directory, names, "bare_winrm.py")

    title = "Windows twins (one process on these same cores plays all of them; no Windows is in it)"
    return Course(title=title, hosts=hosts, contestants=build, cpu_ms=WINDOWS_CPU_MS)


def run(course: Course, rounds: int) -> list[Figures]:
    """Build the hosts, measure everybody, and remove the hosts."""
    directory = Path(tempfile.mkdtemp(prefix="fwfix-bench-"))
    try:
        with Lab(directory, keep=False) as lab:
            everybody = course.contestants(lab, directory)
            return race(
                everybody, hosts=course.hosts, rounds=rounds, cwd=directory, env=environment(directory)
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def report(course: Course, figures: Sequence[Figures], rounds: int) -> str:
    """Return tables and verdicts as text."""
    bare, ours = bare_and_ours(figures)
    cores = os.cpu_count()
    lines = [
        f"{course.hosts} {course.title}",
        f"{FORKS} at a time, median of {rounds} rounds, {cores} cores shared by controller and hosts",
        "",
        table(figures, bare=bare, ours=ours),
        "",
        *verdicts(figures, cpu_ms=course.cpu_ms),
    ]
    lines += [against(each, ours) for each in figures if each.name in (FULL, TWO_RULES)]
    return "\n".join(lines)


def against(peer: Figures, ours: Figures) -> str:
    """Return how much faster fwfix apply was; the target is for Ansible doing the same, as far as it can."""
    what = f"times faster than {peer.name}, wall"
    if not peer.ok:
        return f"FAIL  {what}: it failed"
    least = TIMES_FASTER_THAN_ANSIBLE if peer.name == FULL else None
    return verdict(what, peer.wall_s / ours.wall_s, at_least=least, unit=" x")


def main() -> int:
    """Measure; exit 1 where a contestant of ours failed, whatever the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100, help="Linux hosts; 0 for none")
    parser.add_argument("--windows", type=int, default=50, help="Windows twins; 0 for none")
    parser.add_argument("--rounds", type=int, default=3)
    # Everybody starts in a folder of the lab: what is said relative to this one must not change its meaning.
    parser.add_argument(
        "--peers",
        type=lambda text: Path(text).absolute(),
        help="a virtual environment with ansible-core and pyinfra",
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    missing = requirements()
    if missing:
        print("the lab needs: " + ", ".join(missing), file=sys.stderr)
        return 2
    courses = [linux(arguments.hosts, arguments.peers)] if arguments.hosts else []
    courses += [windows(arguments.windows)] if arguments.windows else []
    found: list[tuple[Course, list[Figures]]] = []
    for course in courses:
        found.append((course, run(course, arguments.rounds)))
        print(report(*found[-1], arguments.rounds), end="\n\n", flush=True)
    if arguments.json:
        content = {
            "forks": FORKS,
            "rounds": arguments.rounds,
            "courses": {
                course.title: {"hosts": course.hosts, "measurements": [each.as_json() for each in figures]}
                for course, figures in found
            },
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if all(each.ok for _, figures in found for each in figures if "fwfix" in each.name) else 1


if __name__ == "__main__":
    sys.exit(main())
