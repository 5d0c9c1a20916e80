"""Regular expressions of .NET, translated to Python's where both mean the same, else refused."""

from __future__ import annotations

import functools
import re
import warnings

from fwfix.lab.windows.powershell.instances import NetPattern
from fwfix.lab.windows.powershell.signals import NotInDialect

_GROUP_NAME = re.compile(r"\(\?(?:<(?P<angle>\w+)>|'(?P<quote>\w+)')")
_BACK_NAME = re.compile(r"\\k(?:<(\w+)>|'(\w+)')")
_INLINE = re.compile(r"\(\?([imsnx]*)(-[imsnx]+)?([:)])")
_QUANTIFIER = re.compile(r"\{\d+(,\d*)?\}|[*+?]")
_SAME_ESCAPES = set("dDwWsSbBtrnfav")
_REPLACEMENT = re.compile(r"\$(?:(?P<number>\d+)|\{(?P<name>\w+)\}|(?P<dollar>\$)|(?P<whole>&))")


class _Translator:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.out: list[str] = []
        self.groups: list[str | None] = []  # in Python's order; None for one without a name
        self.back_numbers = False

    def refuse(self, what: str) -> NotInDialect:
        return NotInDialect(f"{what} in the regular expression '{self.source}'")

    def run(self) -> str:
        while self.at < len(self.source):
            char = self.source[self.at]
            if char == "\\":
                self.escape()
            elif char == "[":
                self.char_class()
            elif char == "(":
                self.group()
            elif char == "#" or ord(char) > 0x7F and not char.isalpha():  # noqa: PLR2004, RUF021 - ASCII
                self.out.append(re.escape(char))
                self.at += 1
            else:
                self.quantified(char)
        return "".join(self.out)

    def quantified(self, char: str) -> None:
        match = _QUANTIFIER.match(self.source, self.at)
        if match:
            self.out.append(match.group())
            self.at = match.end()
            following = self.source[self.at : self.at + 1]
            if following and following in "+*":
                raise self.refuse("a nested quantifier")
            if following == "?":
                self.out.append("?")
                self.at += 1
            return
        if char in "{}":
            self.out.append("\\" + char)
        else:
            self.out.append(char)
        self.at += 1

    def escape(self) -> None:
        following = self.source[self.at + 1 : self.at + 2]
        back = _BACK_NAME.match(self.source, self.at)
        if back:
            self.out.append(f"(?P={back[1] or back[2]})")
            self.at = back.end()
            return
        self.at += 2
        if following in _SAME_ESCAPES and following:
            self.out.append("\\" + following)
        elif following == "A":
            self.out.append(r"\A")
        elif following == "z":
            self.out.append(r"\Z")
        elif following == "Z":
            self.out.append(r"(?=\n?\Z)")
        elif following in ("x", "u"):
            self.out.append(self.code(following))
        elif following and following in "123456789":
            self.back_numbers = True
            if self.source[self.at : self.at + 1].isdigit():
                raise self.refuse("this back reference")
            self.out.append("\\" + following)
        elif following and not following.isalnum():
            self.out.append(re.escape(following))
        else:
            raise self.refuse(f"\\{following}")

    def code(self, kind: str) -> str:
        length = 2 if kind == "x" else 4
        digits = self.source[self.at : self.at + length]
        if not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", digits):
            raise self.refuse("this character code")
        self.at += length
        return re.escape(chr(int(digits, 16)))

    def char_class(self) -> None:
        end = self.at + 1
        self.out.append("[")
        if self.source[end : end + 1] == "^":
            self.out.append("^")
            end += 1
        first = True
        while end < len(self.source):
            char = self.source[end]
            if char == "]" and not first:
                break
            if char == "-" and self.source[end + 1 : end + 2] == "[":
                raise self.refuse("a subtraction")
            if char == "[" and self.source[end + 1 : end + 2] == ":":
                raise self.refuse("[:")
            if char == "\\":
                self.at = end
                self.class_escape()
                end = self.at
            else:
                self.out.append("\\" + char if char in "[]&~|" else char)
                end += 1
            first = False
        else:
            raise self.refuse("a class that is not closed")
        self.out.append("]")
        self.at = end + 1

    def class_escape(self) -> None:
        following = self.source[self.at + 1 : self.at + 2]
        self.at += 2
        if following and following in "dDwWsStrnfav":
            self.out.append("\\" + following)
        elif following in ("x", "u"):
            self.out.append(self.code(following))
        elif following and not following.isalnum():
            self.out.append("\\" + following)
        else:
            raise self.refuse(f"\\{following} in a class")

    def group(self) -> None:
        named = _GROUP_NAME.match(self.source, self.at)
        if named:
            name = named["angle"] or named["quote"]
            if name[0].isdigit() or name in self.groups:
                raise self.refuse("this group name")
            self.groups.append(name)
            self.out.append(f"(?P<{name}>")
            self.at = named.end()
            return
        if not self.source.startswith("(?", self.at):
            self.groups.append(None)
            self.out.append("(")
            self.at += 1
            return
        for opening in ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"):
            if self.source.startswith(opening, self.at):
                self.out.append(opening)
                self.at += len(opening)
                return
        self.inline()

    def inline(self) -> None:
        match = _INLINE.match(self.source, self.at)
        if not match or match[2] or set(match[1]) & {"n", "x"} or not match[1]:
            raise self.refuse("this group")
        if match[3] == ")" and self.at:
            raise self.refuse("an option inside")
        self.out.append(match.group())
        self.at = match.end()


@functools.lru_cache(maxsize=512)
def compile_regex(
    source: str, *, ignore_case: bool, multiline: bool = False, single_line: bool = False
) -> NetPattern:
    """Compile a pattern of .NET.

    Raises:
        NotInDialect: it holds something that Python says otherwise or does not know.
    """
    translator = _Translator(source)
    text = translator.run()
    named = [name for name in translator.groups if name]
    if named and len(named) != len(translator.groups) and translator.back_numbers:
        raise translator.refuse("back references with named groups")
    flags = (
        (re.IGNORECASE if ignore_case else 0)
        | (re.MULTILINE if multiline else 0)
        | (re.DOTALL if single_line else 0)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(text, flags)
    except (re.error, FutureWarning, DeprecationWarning) as exc:
        raise NotInDialect(f"the regular expression '{source}' ({exc})") from exc
    without = [i + 1 for i, name in enumerate(translator.groups) if name is None]
    names = [str(i) for i in range(len(without) + 1)] + named
    numbers = [0, *without, *(i + 1 for i, name in enumerate(translator.groups) if name)]
    return NetPattern(compiled, tuple(numbers), tuple(names))


def expand_replacement(pattern: NetPattern, found: re.Match[str], replacement: str) -> str:
    """Return what .NET puts in for one match."""
    at, out = 0, []
    while at < len(replacement):
        if replacement[at] != "$":
            out.append(replacement[at])
            at += 1
            continue
        match = _REPLACEMENT.match(replacement, at)
        if not match:
            if replacement[at + 1 : at + 2] in ("`", "'", "+", "_", "{"):
                raise NotInDialect(f"the replacement '{replacement}'")
            out.append("$")
            at += 1
            continue
        out.append(_replaced(pattern, found, match))
        at = match.end()
    return "".join(out)


def _replaced(pattern: NetPattern, found: re.Match[str], match: re.Match[str]) -> str:
    if match["dollar"]:
        return "$"
    if match["whole"]:
        return found.group()
    name = match["name"] or match["number"]
    if name in pattern.names:
        number = pattern.names.index(name)
    elif name.isdigit() and int(name) < len(pattern.numbers):
        number = int(name)
    elif match["number"] and len(name) > 1:
        raise NotInDialect(f"the replacement {match.group()}")
    else:
        return match.group()
    return found.group(pattern.numbers[number]) or ""


def replace(pattern: NetPattern, text: str, replacement: str) -> str:
    """Replace every match."""
    if "$" not in replacement:
        return pattern.python.sub(lambda _: replacement, text)
    return pattern.python.sub(lambda found: expand_replacement(pattern, found, replacement), text)


def split(pattern: NetPattern, text: str, limit: int = 0) -> list[str]:
    """Split at matches as .NET does: groups that matched are kept, and a match of nothing counts."""
    parts: list[str] = []
    last = 0
    for count, found in enumerate(pattern.python.finditer(text)):
        if limit and count >= limit - 1:
            break
        if not found.group():
            raise NotInDialect("a split at nothing")
        parts.append(text[last : found.start()])
        parts.extend(g for g in found.groups() if g is not None)
        last = found.end()
    parts.append(text[last:])
    return parts


@functools.lru_cache(maxsize=512)
def wildcard(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Compile a pattern of `-like`: `*`, `?`, `[a-z]`, escapes with a backtick."""
    at, out = 0, []
    while at < len(pattern):
        char = pattern[at]
        if char == "`" and at + 1 < len(pattern):
            out.append(re.escape(pattern[at + 1]))
            at += 2
            continue
        if char == "[":
            end = pattern.find("]", at + 2)
            inner = pattern[at + 1 : end]
            if end < 0 or not re.fullmatch(r"[\w.:@/ *?!-]+", inner) or inner[0] in "-!" or "--" in inner:
                raise NotInDialect(f"the wildcard pattern '{pattern}'")
            out.append("[" + inner.replace("\\", "\\\\") + "]")
            at = end + 1
            continue
        out.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
        at += 1
    return re.compile("".join(out), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
