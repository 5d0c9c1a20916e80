"""What both benchmarks ask of fwfix: the measured commands, and the plan whose scripts the bare loops run."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measuring import Contestant, Figures, verdict

HERE = Path(__file__).parent
FORKS = 50
SAME_SCRIPTS = "bare loop, same scripts"
APPLY = "fwfix apply"
_PLAN = "plan.json"


def environment(directory: Path) -> dict[str, str]:
    """Return the environment of every contestant."""
    ansible = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_FORKS": str(FORKS),
        "ANSIBLE_LOCAL_TEMP": str(directory / "ansible"),
        "ANSIBLE_NOCOWS": "1",
    }
    # Without compiled modules everybody in Python would be measured compiling.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **ansible, "HOME": str(directory)}


def contestants(directory: Path, names: Sequence[str], loop: str) -> list[Contestant]:
    """Return the bare loops of a file beside this one, and fwfix."""
    fwfix = [sys.executable, "-m", "fwfix", "--state-dir", str(directory / "state")]
    inventory = ["-i", str(directory / "inventory.yaml")]
    report = ["--yes", "--json", "--forks", str(FORKS)]

    def limit(hosts: int) -> str:
        return "all" if hosts == len(names) else ",".join(names[:hosts])

    def bare(hosts: int, *plan: str) -> list[str]:
        only = [] if hosts == len(names) else ["--only", names[0]]
        return [sys.executable, str(HERE / loop), str(directory), *plan, *only]

    return [
        Contestant(
            name="fwfix inventory check",
            argv=lambda _: [*fwfix, "inventory", "check", *inventory],
            note="start-up and inventory; contacts no host",
        ),
        Contestant(
            name=SAME_SCRIPTS,
            argv=lambda hosts: bare(hosts, str(directory / _PLAN)),
            note="unverified, unrecorded",
            prepare=lambda hosts: _save_plan(directory, limit(hosts)),
            tidy=lambda _: _undo_plan(directory),
        ),
        Contestant(name="bare loop, idle commands", argv=bare, note="as many connections and commands"),
        Contestant(
            name=APPLY,
            argv=lambda hosts: [
                *fwfix,
                "apply",
                *inventory,
                *report,
                "-l",
                limit(hosts),
                "--waves",
                "100%",
            ],
            note="verified and confirmed",
        ),
        Contestant(
            name="fwfix rollback",
            argv=lambda hosts: [*fwfix, "rollback", "-l", limit(hosts), *report],
            note="verified",
        ),
    ]


def bare_and_ours(figures: Sequence[Figures]) -> tuple[Figures, Figures]:
    """Return the yardstick and what is held against it."""
    by_name = {each.name: each for each in figures}
    return by_name[SAME_SCRIPTS], by_name[APPLY]


def verdicts(figures: Sequence[Figures], *, cpu_ms: float) -> list[str]:
    """Return how fwfix apply stands against its targets."""
    bare, ours = bare_and_ours(figures)
    lines = [
        verdict("apply against the bare loop, wall", ours.wall_s / bare.wall_s, at_most=1.3, unit=" x"),
        verdict("controller CPU of apply per host", ours.cpu_ms_per_host, at_most=cpu_ms, unit=" ms"),
    ]
    own = ours.cpu_ms_per_further_host
    if own is not None:
        lines.append(verdict("the same without start-up", own, at_most=cpu_ms, unit=" ms"))
    return lines


def _fwfix(directory: Path, *words: str) -> None:
    argv = [sys.executable, "-m", "fwfix", "--state-dir", str(directory / "other-state"), *words]
    done = subprocess.run(
        argv, cwd=directory, env=environment(directory), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{words[0]} between the rounds failed: {done.stderr[-2000:]}")


def _save_plan(directory: Path, limit: str) -> None:
    """Save the plan whose scripts the bare loop runs; one serves once."""
    _fwfix(
        directory, "plan", "-i", str(directory / "inventory.yaml"), "-l", limit, "-o", str(directory / _PLAN)
    )


def _undo_plan(directory: Path) -> None:
    """Take away what the bare loop has put in force, by the hosts' own records."""
    plan = json.loads((directory / _PLAN).read_text())
    limit = ",".join(host["host"]["name"] for host in plan["hosts"])
    inventory = str(directory / "inventory.yaml")
    _fwfix(directory, "rollback", plan["run_id"], "-i", inventory, "-l", limit, "--yes")
