"""How the hosts of a run are split into waves: counts and percentages, cumulative (contract 2). Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from fwfix.errors import UsageError
from fwfix.model.host import Host

# Hosts with the same value of this label stand in for each other: cluster nodes, pairs of print servers.
SPREAD = "spread"

_STEP = re.compile(r"(\d{1,7})(%?)", re.ASCII)
_ONE_BY_ONE = 20
_PERCENT = 100


def default_waves(count: int) -> str:
    """Return the steps for so many hosts when nobody asked for others."""
    if count <= 1:
        return "100%"
    return "1,100%" if count <= _ONE_BY_ONE else "1,5%,25%,100%"


def split_waves(names: Sequence[str], spec: str | None = None) -> tuple[tuple[str, ...], ...]:
    """Split hosts, in their order, into waves; a step that adds no host falls away.

    Hosts that no step reaches make a last wave of their own.

    Args:
        names: the hosts that have something to change.
        spec: such as `1,5%,25%,100%`; None for the default.

    Raises:
        UsageError: a step is neither a count nor a percentage.
    """
    if not names:
        return ()
    ends = wave_ends(len(names), default_waves(len(names)) if spec is None else spec)
    starts = (0, *ends[:-1])
    return tuple(tuple(names[start:end]) for start, end in zip(starts, ends, strict=True) if end > start)


def spread_waves(hosts: Sequence[Host], spec: str | None = None) -> tuple[tuple[str, ...], ...]:
    """Split hosts into waves, in their order, so that no two with the same label `spread` share one.

    No wave is larger for it; hosts that fit into none make further waves.

    Args:
        hosts: those that have something to change.
        spec: as for `split_waves`.

    Raises:
        UsageError: as for `split_waves`.
    """
    sizes = [len(wave) for wave in split_waves([host.name for host in hosts], spec)]
    waves: list[list[str]] = [[] for _ in sizes]
    latest: dict[str, int] = {}
    first = 0
    for host in hosts:
        label = host.labels.get(SPREAD)
        number = first if label is None else max(first, latest.get(label, -1) + 1)
        while number < len(waves) and len(waves[number]) >= sizes[number]:
            number += 1
        if number == len(waves):
            waves.append([])
            sizes.append(max(sizes))
        waves[number].append(host.name)
        if label is not None:
            latest[label] = number
        while first < len(waves) and len(waves[first]) >= sizes[first]:
            first += 1
    return tuple(tuple(wave) for wave in waves if wave)


def in_turns(hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Order hosts so that every stretch of them holds of each group as much as the group's share.

    A host counts for the first of its groups. Without groups, or with one, the order stays as it is.
    """
    sizes = Counter(_group(host) for host in hosts)
    seen: Counter[str] = Counter()
    turns: list[tuple[float, int]] = []
    for position, host in enumerate(hosts):
        group = _group(host)
        turns.append(((seen[group] + 0.5) / sizes[group], position))
        seen[group] += 1
    return tuple(hosts[position] for _, position in sorted(turns))


def _group(host: Host) -> str:
    return host.groups[0] if host.groups else ""


def wave_ends(count: int, spec: str) -> tuple[int, ...]:
    """Return how many hosts have been started at the end of each wave.

    Raises:
        UsageError: as for `split_waves`.
    """
    ends: list[int] = []
    for part in spec.split(","):
        ends.append(max(_end(part.strip(), count, spec), ends[-1] if ends else 0))
    return tuple(dict.fromkeys(end for end in (*ends, count) if end))


def _end(part: str, count: int, spec: str) -> int:
    found = _STEP.fullmatch(part)
    number = int(found.group(1)) if found else 0
    percent = bool(found and found.group(2))
    if found is None or number == 0 or (percent and number > _PERCENT):
        raise UsageError(
            f"--waves {spec}: {part!r} is neither a number of hosts nor a percentage",
            next="Write steps such as 1,5%,25%,100%.",
        )
    return min(count, -(-count * number // _PERCENT) if percent else number)
