"""When a run stops: how many hosts may fail, and how many may stay silent. Pure."""

import math
import re
from dataclasses import dataclass

from fwfix.errors import UsageError
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import Reason
from fwfix.model.wording import plural

_LIMIT = re.compile(r"(\d{1,6})(%?)", re.ASCII)


def parse_limit(text: str, *, hosts: int, option: str) -> int:
    """Turn `3` or `10%` into a number of hosts; percentages round up.

    Raises:
        UsageError: it is neither.
    """
    match = _LIMIT.fullmatch(text.strip())
    if match is None or (match[2] and int(match[1]) > 100):  # noqa: PLR2004 - per cent
        raise UsageError(
            f"{option} {text!r} is neither a number of hosts nor a percentage", next="write 3 or 10%"
        )
    number = int(match[1])
    return math.ceil(hosts * number / 100) if match[2] else number


def was_started(report: HostReport) -> bool:
    """Tell whether anything may have been changed on the host."""
    return any(step.step == "arm" for step in report.steps)


@dataclass(slots=True)
class Limits:
    """Counts failures and says when it is enough.

    Attributes:
        run_id: whose hosts they are.
        max_fail: failed at or after `arm`, reverted or unknown hosts that are still tolerated.
        max_unreachable: hosts that failed untouched and are still tolerated.
    """

    run_id: str
    max_fail: int
    max_unreachable: int
    failed: int = 0
    unreachable: int = 0

    def count(self, report: HostReport) -> None:
        """Count one host by its outcome."""
        if report.outcome is Outcome.FAILED and not was_started(report):
            self.unreachable += 1
        elif report.outcome in (Outcome.FAILED, Outcome.REVERTED, Outcome.UNKNOWN):
            self.failed += 1

    @property
    def exceeded(self) -> Reason | None:
        """Why the run stops, if it does."""
        if self.failed > self.max_fail:
            return Reason(
                code="wave-stopped",
                message=f"failed, reverted or unknown: {plural(self.failed, 'host')};"
                f" --max-fail allows {self.max_fail}",
                next=f"look at what failed, then go on with fwfix apply --continue {self.run_id}",
            )
        if self.unreachable > self.max_unreachable:
            return Reason(
                code="wave-stopped",
                message=f"out of reach, or refused: {plural(self.unreachable, 'host')};"
                f" --max-unreachable allows {self.max_unreachable}",
                next="repair them, leave them out with --limit, or allow more with --max-unreachable",
            )
        return None
