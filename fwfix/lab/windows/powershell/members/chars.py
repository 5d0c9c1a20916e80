"""System.Char."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.members.strings import BLANKS, lower, upper
from fwfix.lab.windows.powershell.members.tables import static
from fwfix.lab.windows.powershell.values import Char, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_C = "System.Char"


@static(_C, "IsDigit", "char")
def _is_digit(engine: Core, char: Char) -> Value:
    del engine
    return unicodedata.category(char.value) == "Nd"


@static(_C, "IsLetter", "char")
def _is_letter(engine: Core, char: Char) -> Value:
    del engine
    return unicodedata.category(char.value)[0] == "L"


@static(_C, "IsLetterOrDigit", "char")
def _is_alnum(engine: Core, char: Char) -> Value:
    del engine
    return unicodedata.category(char.value) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")


@static(_C, "IsWhiteSpace", "char")
def _is_blank(engine: Core, char: Char) -> Value:
    del engine
    return char.value in BLANKS


@static(_C, "ToUpperInvariant", "char")
def _char_upper(engine: Core, char: Char) -> Value:
    del engine
    return Char(upper(char.value))


@static(_C, "ToLowerInvariant", "char")
def _char_lower(engine: Core, char: Char) -> Value:
    del engine
    return Char(lower(char.value))
