"""The journal: durable before the step that it announces, and readable after any crash."""

from fwfix.journal.book import Journal
from fwfix.journal.values import (
    ChainFault,
    Event,
    HostEntry,
    InForce,
    RunEntry,
    RunStart,
    RunState,
    StepResult,
)
from fwfix.journal.writer import Written

__all__ = [
    "ChainFault",
    "Event",
    "HostEntry",
    "InForce",
    "Journal",
    "RunEntry",
    "RunStart",
    "RunState",
    "StepResult",
    "Written",
]
