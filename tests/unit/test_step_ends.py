"""What a host refused, with what to do about it."""

import pytest

from fwfix.drivers.base import Answer
from fwfix.runner.ends import refusal_of
from fwfix.verification import UNDONE


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("locked", "wait until that run has ended"),
        ("record-exists", "make a new one"),
        ("load-failed", "then apply again"),
        ("lost-race", UNDONE.next),
    ],
)
def test_a_refusal_that_says_what_stood_in_the_way_says_the_way_out(code: str, advice: str) -> None:
    reason = refusal_of(Answer(ok=False, code=code, message="no"))
    assert reason is not None
    assert (reason.code, reason.message) == (code, "no")
    assert advice in reason.next
