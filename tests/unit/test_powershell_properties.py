"""Laws that hold for any value: quoting, JSON there and back, numbers and text."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.lab.windows.powershell import CORE_7, DESKTOP_5_1, Edition, Engine

_QUOTES = "'\u2018\u2019\u201a\u201b"
_TEXT = st.text(
    st.one_of(
        st.sampled_from(_QUOTES + '\u201c\u201d\u201e"`$#{}()[]@;|&%\n\t -'),
        st.characters(exclude_categories=("Cs",), exclude_characters="\r"),
    ),
    max_size=30,
)


def _quoted(text: str) -> str:
    return "'" + "".join(c * 2 if c in _QUOTES else c for c in text) + "'"


def _run(script: str, edition: Edition = CORE_7) -> str:
    result = Engine(edition=edition).run(script)
    assert result.refusal is None, str(result.refusal)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode("utf-8")


def _through_base64(expression: str) -> str:
    script = f"[Console]::Out.Write([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes({expression})))"
    return base64.b64decode(_run(script)).decode("utf-8")


@settings(deadline=None, max_examples=60)
@given(_TEXT)
def test_a_single_quoted_text_with_each_quote_doubled_is_that_text(text: str) -> None:
    assert _through_base64(_quoted(text)) == text


@settings(deadline=None, max_examples=40)
@given(_TEXT)
def test_a_quoted_text_stays_whole_as_an_argument_and_in_a_table(text: str) -> None:
    script = f"(& {{ param($x) (@{{ k = $x }})['k'] }} {_quoted(text)})"
    assert _through_base64(script) == text


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        _TEXT.filter(lambda t: t[:1] not in tuple("0123456789/")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), inner, max_size=4),
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=60)
@given(_JSON)
@pytest.mark.parametrize("edition", [CORE_7, DESKTOP_5_1])
def test_json_read_and_written_again_says_the_same(edition: Edition, value: object) -> None:
    wrapped = json.dumps({"v": value})
    script = f"$o = {_quoted(wrapped)} | ConvertFrom-Json; ConvertTo-Json -InputObject $o -Compress -Depth 50"
    assert json.loads(_run(script, edition)) == {"v": value}


@settings(deadline=None, max_examples=60)
@given(st.integers(-(2**31), 2**31 - 1))
def test_an_integer_survives_text_and_hexadecimal(number: int) -> None:
    assert _run(f"[int]'{number}' -eq {number}; [string]({number}) -ceq '{number}'") == "True\nTrue\n"
    assert _run(f"[Convert]::ToInt32(('{{0:x}}' -f {number}), 16)") == f"{number}\n"


@settings(deadline=None, max_examples=60)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_integers_add_exactly_and_divide_with_the_rest_of_the_left_sign(left: int, right: int) -> None:
    assert _run(f"'{{0:F0}}' -f (({left}) + ({right}))") == f"{left + right}\n"
    if right:
        rest = abs(left) % abs(right) * (1 if left >= 0 else -1)
        assert _run(f"({left}) % ({right})") == f"{rest}\n"


@settings(deadline=None, max_examples=40)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_written_so_that_it_reads_back_the_same(number: float) -> None:
    assert float(_run(f"[double]'{number!r}'")) == number


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_no_text_at_all_crashes_the_engine(script: str) -> None:
    Engine().run(script, deadline=5)
