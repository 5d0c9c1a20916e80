"""The id of a run: its UTC start to the second, `-`, and four random hex digits."""

import re
from datetime import UTC, datetime

RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}", re.ASCII)
_FORMAT = "%Y%m%dT%H%M%SZ"


def make_run_id(started_at: datetime, random: int) -> str:
    """Make a run id from an aware instant and a random number (its lowest 16 bits count)."""
    return f"{started_at.astimezone(UTC).strftime(_FORMAT)}-{random & 0xFFFF:04x}"


def is_run_id(text: str) -> bool:
    """Tell whether a text is a run id and nothing else."""
    return RUN_ID.fullmatch(text) is not None


def run_started_at(run_id: str) -> datetime:
    """Read the instant at which a run started from its id.

    Raises:
        ValueError: it is not a run id.
    """
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id such as 20261121T220003Z-4f2a")
    return datetime.strptime(run_id[:16], _FORMAT).replace(tzinfo=UTC)
