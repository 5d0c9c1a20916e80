"""The one way for a value into a Windows script: whatever it is, PowerShell has exactly that value."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import jinja2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fwfix.errors import RenderError
from fwfix.lab.windows.powershell import DESKTOP_5_1, EDITIONS, Engine, Host
from fwfix.lab.windows.pwsh import RealEngine
from fwfix.lint.powershell import check_powershell
from fwfix.rendering.environment import make_environment
from fwfix.rendering.powershell import here_string, quote_for_powershell

RECORDING = json.loads((Path(__file__).parent / "data" / "powershell_behaviour.json").read_text("utf-8"))
SINGLE, DOUBLE = "'\u2018\u2019\u201a\u201b", '"\u201c\u201d\u201e'
# Whatever means something to PowerShell, some of it only outside of a string, and some that only looks so.
HOSTILE = (
    f"{SINGLE}{DOUBLE}`$(){{}}[]@#;|&%,*?!=+-\u2013\u2014\u2015<>\\/.: \u00a0\ufeff\u200b"
    "axzX09\u00df\U0001f5a8"
)
REFUSED = "\0\t\n\r\v\f\x1b\x7f\x85\u2028\u2029\ud800\udfff"
KNOWN = (
    "", " ", "it's", "''", "a\u2018b\u2019c", "'a'\u2019b'", "$x", "$(exit 9)", "@(exit 9)", "`", "`n", "a`",
    '"', '""', "${env:ProgramData}", "$($null)", "; exit 9", "'; exit 9; '", "\u2019; exit 9 #",
    "\u201c$(exit 9)\u201d", "# not a comment", "<# nor this #>", "'@", "@'", "\u2019@", "-Name",
    "\u2013Name", "--%", "*[a]*", "9100", "8610-8614", "C:\\ProgramData\\fwfix\\",
)  # fmt: skip
# Recorded scripts that are nothing but one string in single quotes, whose value is what they print.
LITERALS = (
    "str-single-doubled", "str-single-literal", "quote-typographic-doubled-left",
    "quote-typographic-doubled-low", "quote-hash-and-brace-in-single", "quote-ascii-then-typographic-pair",
)  # fmt: skip
# This one pairs quotes of two kinds, which the filter never does.
MIXED = "quote-ascii-then-typographic-pair"


def quoting(snippet: dict[str, str]) -> bool:
    return any(character in snippet["script"] for character in SINGLE + DOUBLE + "`")


SNIPPETS = {each["id"]: each for each in RECORDING["snippets"]}
QUOTING = [name for name, each in SNIPPETS.items() if quoting(each)]


def template(*values: str) -> str:
    """Render values as templates do: an argument, an element of a list, an entry of a table."""
    source = (
        "function Show-It {\n    param([string]$Text)\n    Write-Output $Text\n}\n"
        "{% for value in values %}\n"
        '[Console]::Out.Write((Show-It {{ value | ps }}) + "`n")\n'
        "[Console]::Out.Write((@({{ value | ps }}, 'b')[0]) + \"`n\")\n"
        "[Console]::Out.Write((@{ Key = {{ value | ps }} })['Key'] + \"`n\")\n"
        "{% endfor %}\n"
    )
    environment = make_environment(jinja2.DictLoader({"x": source}))
    return environment.get_template("x").render(values=values)


def said(values: Iterable[str], engine: Engine | RealEngine) -> list[str]:
    ended = engine.run(template(*values))
    assert ended.refusal is None, str(ended.refusal)
    assert (ended.exit_code, ended.stderr) == (0, b"")
    return ended.stdout.decode().split("\n")[:-1]


def thrice(values: Iterable[str]) -> list[str]:
    return [value for value in values for _ in range(3)]


@pytest.mark.parametrize("name", QUOTING)
def test_the_text_of_a_recorded_snippet_is_a_value_and_is_never_run(name: str) -> None:
    lines = SNIPPETS[name]["script"].splitlines()
    assert said(lines, Engine(edition=DESKTOP_5_1, host=Host())) == thrice(lines)
    assert check_powershell(template(*lines)) == ()


@pytest.mark.parametrize("name", LITERALS)
def test_what_the_real_engine_made_of_a_literal_comes_back_from_the_filter(name: str) -> None:
    value = SNIPPETS[name]["stdout"].removesuffix("\n")
    assert said([value], Engine(edition=DESKTOP_5_1, host=Host())) == thrice([value])
    assert (quote_for_powershell(value) == SNIPPETS[name]["script"]) is (name != MIXED)


def test_most_recorded_snippets_have_quotes() -> None:
    assert len(QUOTING) > 200


def test_every_value_comes_back_exactly(make_engine: Callable[..., Engine | RealEngine]) -> None:
    values = [*KNOWN, *(line for name in QUOTING for line in SNIPPETS[name]["script"].splitlines()), HOSTILE]
    assert said(values, make_engine(edition=DESKTOP_5_1, host=Host())) == thrice(values)


@pytest.mark.parametrize("version", sorted(EDITIONS))
@given(value=st.text(st.sampled_from(HOSTILE), max_size=30) | st.text(max_size=30))
def test_whatever_passes_the_filter_is_that_value(version: str, value: str) -> None:
    try:
        quoted = quote_for_powershell(value)
    except RenderError:
        assume(False)
    assert quoted[0] == quoted[-1] == "'"
    assert said([value], Engine(edition=EDITIONS[version], host=Host())) == thrice([value])


@given(st.text(st.sampled_from(HOSTILE)), st.sampled_from(REFUSED), st.text(st.sampled_from(HOSTILE)))
def test_control_characters_line_breaks_and_halves_of_pairs_are_refused(
    before: str, refused: str, after: str
) -> None:
    with pytest.raises(RenderError):
        quote_for_powershell(before + refused + after)


@pytest.mark.parametrize("quote", SINGLE)
def test_every_quote_that_powershell_takes_for_the_end_is_doubled(quote: str) -> None:
    assert quote_for_powershell(f"a{quote};exit") == f"'a{quote}{quote};exit'"


def test_an_undoubled_quote_of_any_kind_would_have_ended_the_string() -> None:
    for quote in SINGLE:
        ended = Engine(edition=DESKTOP_5_1, host=Host()).run(f"Write-Output 'a{quote}; exit 9 #'")
        assert ended.exit_code == 9 or ended.refusal is not None


@given(st.lists(st.text(st.sampled_from(HOSTILE), max_size=12), min_size=1, max_size=5))
def test_a_file_in_a_here_string_is_that_file_or_is_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        written = here_string(text)
    except RenderError:
        assert any(line.strip()[:1] in tuple(SINGLE) and line.strip()[1:2] == "@" for line in lines)
        return
    ended = Engine(edition=DESKTOP_5_1, host=Host()).run(f"$x = {written}\n[Console]::Out.Write($x)")
    assert ended.refusal is None, str(ended.refusal)
    # A last line that is empty is no line to Python.
    assert ended.stdout.decode() == "\n".join(text.splitlines())


def test_a_file_that_would_end_its_own_here_string_is_refused() -> None:
    with pytest.raises(RenderError):
        here_string("one\n'@ + (exit 1)\n")
