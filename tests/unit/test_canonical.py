"""What is hashed is written as Python's own encoder writes it, whatever is in it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.canonical import canonical


class Colour(StrEnum):
    RED = "red"


@dataclass
class Point:
    x: int


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.characters(codec=None)
    | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers(), inner)
    ),
)


@given(VALUES)
def test_every_value_is_written_as_python_writes_it(value: object) -> None:
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@pytest.mark.parametrize("number", [1e-5, 9.7e-7, 0.0001, 1e16, 1.5e300, 5e-324, -0.0, 2**64, 10**40])
def test_numbers_are_written_as_python_writes_them(number: float) -> None:
    assert canonical([number]) == f"[{number!r}]"


@pytest.mark.parametrize(
    "text", ["\x7f", "\x1b[2J", "\b\f\n\r\t\x00", "gr\u00fcn", "\ud800", "\U0001f5a8", '\\"/']
)
def test_texts_are_written_as_python_writes_them(text: str) -> None:
    assert canonical({text: text}) == json.dumps({text: text}, separators=(",", ":"))


@pytest.mark.parametrize("value", [{1}, Point(x=1), datetime(2026, 11, 21, tzinfo=UTC), b"a", object()])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical({"key": value})
