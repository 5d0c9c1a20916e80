"""Ask a Linux host to test ports of another host."""

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from fwfix.errors import AnswerError
from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.policy import Address, Family
from fwfix.model.script import Invocation, Result
from fwfix.rendering.environment import Renderer


def connect_invocation(renderer: Renderer, targets: Sequence[Target], *, seconds: int) -> Invocation:
    """Return the script that tests targets from the host on which it runs; it changes nothing."""
    script = renderer.render("linux/connect.sh.j2", script_name="connect", changes=False)
    return Invocation(script=script, arguments=(str(seconds), "+".join(_name(each) for each in targets)))


def read_readings(
    result: Result, targets: Sequence[Target]
) -> tuple[tuple[Reading, ...], Mapping[Family, Address]]:
    """Return what the vantage saw, and its own addresses as the tested host sees them.

    Raises:
        AnswerError: it is not an answer of that script.
    """
    by_name = {_name(target): target for target in targets}
    readings: list[Reading] = []
    sources: dict[Family, Address] = {}
    for item in _items(result):
        target = by_name.get(str(item.get("target")))
        if target is None:
            continue
        readings.append(
            Reading(
                target=target,
                result=ProbeResult(str(item.get("result"))),
                settled=True,
                detail=str(item.get("detail", "")),
                took_ms=result.took_ms,
            )
        )
        if item.get("source"):
            sources[target.family] = ip_address(str(item["source"]))
    return tuple(readings), sources


def _items(result: Result) -> Sequence[Mapping[str, object]]:
    try:
        answer = json.loads(result.stdout)
        items = answer.get("readings", [])
    except (ValueError, AttributeError) as exc:
        raise AnswerError(f"the connect script answered something else: {result.stdout[:200]!r}") from exc
    return [item for item in items if isinstance(item, dict)]


def _name(target: Target) -> str:
    return f"{target.protocol},{target.address},{target.port}"
