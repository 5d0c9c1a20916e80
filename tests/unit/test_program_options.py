"""The program's own options stand before the command, and who writes them behind it is told so."""

import pytest
from typer.testing import CliRunner

from fwfix.cli.main import app
from fwfix.errors import UsageError


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["apply", "--state-dir", "elsewhere"], "fwfix --state-dir DIR apply ..."),
        (["runs", "list", "--no-color"], "fwfix --no-color runs ..."),
        (["plan", "--log-level=debug"], "fwfix --log-level LEVEL plan ..."),
    ],
)
def test_an_option_of_the_program_behind_a_command_names_where_it_goes(words: list[str], right: str) -> None:
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, UsageError)
    assert "before the command" in found.exception.message
    assert found.exception.next == right


def test_an_option_that_there_is_nowhere_is_refused_with_what_comes_near() -> None:
    found = CliRunner().invoke(app, ["apply", "--stop-aftr", "1"])
    assert found.exit_code == 2
    assert "--stop-after" in found.output
