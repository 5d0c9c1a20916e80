"""Run contestants as whole processes, round by round, and say what they needed."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ONE = 1
_TAIL = 600


def nothing(hosts: int) -> None:
    """Prepare and tidy up nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way of doing the work.

    Attributes:
        argv: the command for a number of hosts.
        prepare: what has to be there first; not measured.
        tidy: takes away what it left, so that everybody starts from the same rules; not measured.
        full_only: takes too long to be measured with one host and in every round.
    """

    name: str
    argv: Callable[[int], Sequence[str]]
    note: str = ""
    prepare: Callable[[int], None] = nothing
    tidy: Callable[[int], None] = nothing
    full_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process; its CPU is what the operating system accounts to it and to its children."""

    hosts: int
    wall_s: float
    cpu_s: float
    ok: bool


@dataclass(slots=True, kw_only=True)
class Figures:
    """Everything measured of one contestant."""

    name: str
    note: str
    hosts: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(sample.ok for sample in self.samples)

    @property
    def wall_s(self) -> float:
        """Median with all hosts."""
        return statistics.median(sample.wall_s for sample in self._with(self.hosts))

    @property
    def cpu_ms_per_host(self) -> float:
        """Median with all hosts, start-up included."""
        return self._cpu_s(self.hosts) * 1000 / self.hosts

    @property
    def cpu_ms_per_further_host(self) -> float | None:
        """Slope of the line through one host and all hosts."""
        if self.hosts == ONE or not self._with(ONE):
            return None
        return (self._cpu_s(self.hosts) - self._cpu_s(ONE)) * 1000 / (self.hosts - ONE)

    @property
    def start_up_cpu_ms(self) -> float | None:
        """Where that line meets no host: interpreter, imports, and whatever is done once."""
        slope = self.cpu_ms_per_further_host
        return None if slope is None else self._cpu_s(ONE) * 1000 - slope

    def as_json(self) -> dict[str, object]:
        derived = ("ok", "wall_s", "cpu_ms_per_host", "cpu_ms_per_further_host", "start_up_cpu_ms")
        return asdict(self) | {name: getattr(self, name) for name in derived}

    def _cpu_s(self, hosts: int) -> float:
        return statistics.median(sample.cpu_s for sample in self._with(hosts))

    def _with(self, hosts: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.hosts == hosts]


def measure(name: str, argv: Sequence[str], *, hosts: int, cwd: Path, env: dict[str, str]) -> Sample:
    """Run one process and wait for it."""
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            tail = said.read().decode(errors="replace")[-_TAIL:]
            print(f"{name} ended with {process.returncode}:\n{tail}", file=sys.stderr)
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(hosts=hosts, wall_s=wall, cpu_s=cpu, ok=process.returncode == 0)


def race(
    contestants: Sequence[Contestant], *, hosts: int, rounds: int, cwd: Path, env: dict[str, str]
) -> list[Figures]:
    """Let everybody run in turns, so that a disturbed minute hits all of them; with one host and with all."""
    found = {each.name: Figures(name=each.name, note=each.note, hosts=hosts) for each in contestants}
    for number in range(rounds):
        for count in dict.fromkeys((ONE, hosts)):
            for each in contestants:
                if each.full_only and (number or count != hosts):
                    continue
                print(f"round {number + 1} of {rounds}, {count} hosts: {each.name}", file=sys.stderr)
                each.prepare(count)
                sample = measure(each.name, each.argv(count), hosts=count, cwd=cwd, env=env)
                found[each.name].samples.append(sample)
                each.tidy(count)
    return list(found.values())


def table(figures: Sequence[Figures], *, bare: Figures, ours: Figures) -> str:
    """Return the medians as text."""
    rows = [("", "wall s", "x bare", "x fwfix apply", "CPU ms/host", "= start-up ms", "+ ms/host", "")]
    rows += [
        (
            each.name if each.ok else f"{each.name} (FAILED)",
            f"{each.wall_s:.2f}",
            f"{each.wall_s / bare.wall_s:.2f}",
            f"{each.wall_s / ours.wall_s:.2f}",
            f"{each.cpu_ms_per_host:.1f}",
            _number(each.start_up_cpu_ms),
            _number(each.cpu_ms_per_further_host),
            each.note,
        )
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def verdict(
    what: str, value: float, *, unit: str, at_most: float | None = None, at_least: float | None = None
) -> str:
    """Return whether a target is met, as a line; without a target, what was measured."""
    if at_most is not None:
        word, target = "pass" if value <= at_most else "FAIL", f", target <= {at_most:g}{unit}"
    elif at_least is not None:
        word, target = "pass" if value >= at_least else "FAIL", f", target >= {at_least:g}{unit}"
    else:
        word, target = "    ", ""
    return f"{word}  {what}: {value:.2f}{unit}{target}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
