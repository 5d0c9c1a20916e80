"""The one way for a value into a Windows script: a single-quoted PowerShell string."""

import unicodedata

from fwfix.errors import RenderError

# PowerShell takes every one of them for the other: an undoubled one of any kind ends the string.
_QUOTES = "'\u2018\u2019\u201a\u201b"


def quote_for_powershell(value: object) -> str:
    """Quote one value for PowerShell.

    Raises:
        RenderError: it holds a control character or half of a surrogate pair, which no value of ours has.
    """
    text = str(value)
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise RenderError(f"{text!r} cannot be a string in a PowerShell script.")
    return literal(text)


def literal(text: str) -> str:
    """Write any text as a single-quoted string, in which whatever would end it is doubled."""
    for quote in _QUOTES:
        text = text.replace(quote, quote * 2)
    return f"'{text}'"


def here_string(text: str) -> str:
    """Write a whole file as a single-quoted here-string; its lines end as they do in the script.

    Raises:
        RenderError: a line of it would end the string.
    """
    lines = text.splitlines()
    if any(line.lstrip()[:1] in _QUOTES and line.lstrip()[1:2] == "@" for line in lines if line.strip()):
        raise RenderError("A file for a host has a line that begins like the end of a here-string.")
    body = "\n".join(lines)
    return f"@'\n{body}\n'@"
