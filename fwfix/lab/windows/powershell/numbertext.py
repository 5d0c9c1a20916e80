"""Numbers in text."""

import re

from fwfix.lab.windows.powershell.literals import fit_integer
from fwfix.lab.windows.powershell.signals import NotInDialect

Value = object
INTEGER = re.compile(r"[+-]?[0-9]+")
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-f]{1,7}", re.IGNORECASE)
# A text of this form could be a number to PowerShell.
_MAYBE_NUMBER = re.compile(
    r"[+-]?([0-9][0-9,_]*\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?u?[ysldn]?([kmgtp]b)?|[+-]?0[xb]\w+|\(.*\)|.*[$%\u00a4].*",
    re.IGNORECASE,
)


def maybe_number(text: str) -> bool:
    """Say whether PowerShell might read a number where this engine does not."""
    lowered = text.strip().lower()
    if lowered in ("nan", "infinity", "-infinity", "+infinity", "\u221e"):
        return True
    return any(c.isdigit() for c in text) and bool(_MAYBE_NUMBER.fullmatch(text))


def text_to_number(text: str) -> Value:
    """Return the number that a text says, None if it says none.

    Raises:
        NotInDialect: a form that PowerShell might understand.
    """
    stripped = text.strip()
    if not stripped:
        if text:
            raise NotInDialect("blanks as a number")
        return 0
    if INTEGER.fullmatch(stripped):
        return fit_integer(int(stripped))
    if REAL.fullmatch(stripped):
        return float(stripped)
    if _HEX.fullmatch(stripped):
        return int(stripped, 16)
    if maybe_number(stripped):
        raise NotInDialect(f"'{stripped}' as a number")
    return None
