"""The chain of digests that makes a later edit visible."""

import hashlib
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii as quoted

from fwfix.canonical import canonical
from fwfix.journal.values import ChainFault, Event


def sha256(text: str) -> str:
    """Return the digest of a text; lone surrogates count as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(
    *, run_id: str, seq: int, at: str, host: str | None, kind: str, body: str, previous: str
) -> str:
    """Return the digest of one event; `body` is canonical JSON already."""
    # What `canonical` makes of a list of these; text by text takes half the time, and events are many.
    whose = "null" if host is None else quoted(host)
    texts = f"{quoted(at)},{whose},{quoted(kind)},{quoted(body)},{quoted(previous)}"
    return sha256(f"[{quoted(run_id)},{seq},{texts}]")


def find_faults(run_id: str, events: Iterable[Event], *, count: int, head: str) -> Iterator[ChainFault]:
    """Compare a run's events with their digests, and their end with what the run says it is."""
    previous, expected = "", 0
    for event in events:
        expected += 1
        if event.seq != expected:
            yield ChainFault(run_id=run_id, seq=expected, message=f"event {expected} is missing")
            expected = event.seq
        elif event.previous != previous:
            yield ChainFault(run_id=run_id, seq=event.seq, message="it does not follow the event before it")
        computed = digest_of(
            run_id=run_id,
            seq=event.seq,
            at=event.at,
            host=event.host,
            kind=event.kind,
            body=canonical(event.body),
            previous=event.previous,
        )
        if computed != event.digest:
            yield ChainFault(run_id=run_id, seq=event.seq, message="it was changed after it was written")
        previous = event.digest
    if (expected, previous) != (count, head):
        yield ChainFault(
            run_id=run_id, seq=None, message=f"the history ends at event {expected}, not at {count}"
        )
