"""The journal as the runner sees it: one run, steps by name."""

from dataclasses import dataclass, replace
from datetime import datetime

from fwfix.journal import Journal, StepResult, Written
from fwfix.model.outcome import HostReport
from fwfix.model.script import Invocation
from fwfix.runner.context import NOTHING_TO_WAIT_FOR, Log


@dataclass(frozen=True, slots=True)
class JournalLog(Log):
    """Writes the steps of one run into the journal.

    Attributes:
        outcomes: `finish` writes; otherwise somebody else will, in other words.
    """

    journal: Journal
    run_id: str
    outcomes: bool = True

    def hand_in_steps(
        self,
        host: str,
        *steps: str,
        invocation: Invocation | None = None,
        reverts_at: datetime | None = None,
    ) -> Written:
        """Make steps durable before the first of them is taken."""
        return self.journal.hand_in_steps(
            self.run_id, host, steps, invocation=invocation, reverts_at=reverts_at
        )

    def record(self, host: str, result: StepResult) -> None:
        """Write the result of a step; it is durable before the next one is announced."""
        self.journal.record(self.run_id, host, result)

    def hand_in(self, report: HostReport) -> Written:
        """Write the outcome of a host with its evidence."""
        if not self.outcomes:
            return NOTHING_TO_WAIT_FOR
        return self.journal.hand_in_host(self.run_id, report)

    def without_outcomes(self) -> "JournalLog":
        """Return the same without the last word on a host."""
        return replace(self, outcomes=False)


class NoLog(Log):
    """For commands that change nothing and leave nothing behind."""
