"""The result of a step on its way into the journal: soon as an event, or with the next event of its host."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fwfix.canonical import canonical
from fwfix.journal.records import Texts
from fwfix.journal.transaction import Transaction
from fwfix.report import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A result that nobody waits for; called, it is appended as an event of its own.

    Attributes:
        at: when it was told.
        due: the instant of `time.monotonic()` from which on no other event is waited for.
        texts: what the body refers to, packed already: many results may be due at once.
    """

    run_id: str
    host: str
    at: datetime
    due: float
    body: Mapping[str, object]
    texts: Texts

    def __call__(self, transaction: Transaction) -> None:
        """Append it to the chain of its run."""
        transaction.add_texts(self.texts.by_digest)
        transaction.append(
            run_id=self.run_id,
            at=timestamp(self.at),
            host=self.host,
            kind="step",
            body=canonical(self.body),
        )
