"""Ask before anything changes; without a terminal somebody must have said --yes."""

import sys

import typer

from fwfix.errors import RefusedError, UsageError


def require_consent(*, yes: bool, command: str) -> None:
    """Refuse at once where nobody can be asked; call it before anything else.

    Raises:
        UsageError: there is no terminal and no `--yes`.
    """
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{command} changes hosts and there is no terminal to ask on", next="Say --yes if you mean it."
        )


def ask(question: str, *, yes: bool) -> None:
    """Ask on the terminal, so that stdout stays what programs read.

    Raises:
        RefusedError: the answer was no; no host was touched.
    """
    if yes:
        return
    if not typer.confirm(question, default=False, err=True):
        raise RefusedError("nothing was changed: you said no")
