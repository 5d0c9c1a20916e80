"""Hide strings and comments of a script behind plain ASCII, so that the grammar sees only structure.

The grammar of tree-sitter does not know PowerShell's typographic quotes, takes `1..3 | f` for a command and
wants a new line where PowerShell does not. The masked text has none of these; every character of it remembers
where it came from.
"""

import re
from dataclasses import dataclass, field

from fwfix.lab.windows.powershell.signals import NotInDialect, ParseFailure

SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
DOUBLE_QUOTES = '"\u201c\u201d\u201e'
DASHES = "\u2013\u2014\u2015"
_NUMBER_START = re.compile(
    r"(0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)(l|d)?([kmgtp]b)?(?!\w)|[0-9]+", re.IGNORECASE
)
_NUMBER_THEN_BLOCK = re.compile(r"[0-9][0-9a-zA-Z.]*[ \t]*\{")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIST_WORD = re.compile(r"[A-Za-z_*][\w.:/\\*-]*")
# Words that the grammar lacks or treats apart, and others of the same length and place that it knows.
_SHOWN_AS = {
    ".foreach": "foreacx", "-cin": "ceq", "-iin": "ieq", "-cnotin": "cmatch", "-inotin": "imatch",
}  # fmt: skip
_EXPRESSION_AFTER = {"in", "return", "throw", "exit"}
_OPENERS = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StringToken:
    """A string literal of the source: where its content stands and how to read it.

    `word`: a bare word of a list of arguments, hidden because the grammar does not take it there.
    """

    expandable: bool
    here: bool
    start: int
    end: int
    word: bool = False


@dataclass(slots=True, kw_only=True)
class Masked:
    """The text for the grammar, with the way back to the source.

    Attributes:
        origin: for each character of `text`, its offset in the source; -1 for one that was put in.
        strings: string literals by offset of their first character in the source.
    """

    source: str
    text: str = ""
    origin: list[int] = field(default_factory=list)
    strings: dict[int, StringToken] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    char: str
    switch_body: bool = False
    hash_literal: bool = False
    parameters: bool = False
    condition: bool = False  # a block that is the condition of a clause
    condition_seen: bool = False  # of a switch body: its next block is what the clause runs


class _Masker:
    """One pass over a source text."""

    def __init__(self, source: str, first_line: int) -> None:
        self.source = source
        self.first_line = first_line
        self.pos = 0
        self.out: list[str] = []
        self.origin: list[int] = []
        self.strings: dict[int, StringToken] = {}
        self.stack: list[_Open] = []
        self.previous = "\n"  # last character that is no blank
        self.word = ""  # the word that ends just here, else ""
        self.pending_switch: int | None = None
        self.pending_param = False

    def refuse(self, reason: str) -> NotInDialect:
        line = self.first_line + self.source.count("\n", 0, self.pos)
        return NotInDialect(reason, line=line, text=self.source[self.pos : self.pos + 40].split("\n")[0])

    def incomplete(self, what: str) -> ParseFailure:
        return ParseFailure(what, line=self.first_line + self.source.count("\n", 0, self.pos))

    def emit(self, char: str, at: int) -> None:
        self.out.append(char)
        self.origin.append(at)

    def blank(self, start: int, end: int) -> None:
        for at in range(start, end):
            self.emit(" ", at)
        self.pos = end

    def run(self, closer: str = "") -> Masked:
        """Mask until the end, or until an unmatched `closer`."""
        while self.pos < len(self.source):
            char = self.source[self.pos]
            if closer and char == closer and not self.stack:
                break
            self.step(char)
        if self.stack:
            raise self.incomplete(f"missing closing '{_OPENERS[self.stack[-1].char]}'")
        text = "".join(self.out)
        return Masked(source=self.source, text=text, origin=self.origin, strings=self.strings)

    def step(self, char: str) -> None:  # noqa: C901 - one line a case
        if char in " \t\r\u00a0\ufeff":
            self.word = ""
            self.blank(self.pos, self.pos + 1)
        elif char == "`":
            self.continuation()
        elif char == "#" or self.source.startswith("<#", self.pos):
            self.comment()
        elif char in SINGLE_QUOTES or char in DOUBLE_QUOTES:
            self.string(self.pos, here=False)
        elif char == "@" and self.source[self.pos + 1 : self.pos + 2] in (*SINGLE_QUOTES, *DOUBLE_QUOTES):
            self.string(self.pos + 1, here=True)
        elif char == "$":
            self.dollar()
        elif char in "({[":
            self.open(char)
        elif char in ")}]":
            self.close(char)
        elif char == "*" and self.list_word():
            pass
        elif (char.isalpha() and char.isascii()) or char == "_":
            self.take_word()
        elif char.isdigit() and char.isascii():
            self.number()
        else:
            self.other(char)

    def other(self, char: str) -> None:
        if char in DASHES:
            plain = "-"
        elif char == "\n" or (char.isascii() and char.isprintable()):
            plain = char
        elif char.isalpha():
            plain = "z"
        else:
            raise self.refuse("a character that is not known outside strings")
        self.emit(plain, self.pos)
        self.pos += 1
        self.previous = plain
        self.word = ""

    def continuation(self) -> None:
        match = re.compile(r"`\r?\n").match(self.source, self.pos)
        if not match:
            raise self.refuse("a backtick outside strings")
        self.word = ""
        self.blank(self.pos, match.end())

    def comment(self) -> None:
        before = self.source[self.pos - 1] if self.pos else "\n"
        if not (
            before.isspace() or before in ";(){}[]|&,=" or before in SINGLE_QUOTES or before in DOUBLE_QUOTES
        ):
            if self.source[self.pos] == "<":
                raise self.refuse("a comment inside a word")
            raise self.refuse("a # inside a word")
        if self.source[self.pos] == "<":
            end = self.source.find("#>", self.pos + 2)
            if end < 0:
                raise self.incomplete("the terminator '#>' is missing")
            self.blank(self.pos, end + 2)
            return
        end = self.source.find("\n", self.pos)
        if re.match(r"#requires\b", self.source[self.pos :], re.IGNORECASE):
            raise self.refuse("#requires")
        self.blank(self.pos, len(self.source) if end < 0 else end)

    def take_word(self) -> None:
        if self.list_word():
            return
        match = _WORD.match(self.source, self.pos)
        assert match is not None
        starts = self.previous in "\n;{}(|=" or (self.previous == ")" and not self.stack)
        glued = self.pos > 0 and self.source[self.pos - 1] in ".:-/\\$@%"
        lowered = match.group().lower()
        if starts and not glued:
            if lowered == "switch":
                self.pending_switch = len(self.stack)
            self.pending_param = lowered == "param"
        elif lowered == "param" and self.previous == "]":
            self.pending_param = True
        shown = _SHOWN_AS.get(self.source[self.pos - 1 : self.pos] + lowered, match.group())
        for at in range(self.pos, match.end()):
            self.emit(shown[at - self.pos], at)
        self.word = "" if glued else lowered
        self.previous = "a"
        self.pos = match.end()
        self.last_word = self.word

    last_word = ""

    def list_word(self) -> bool:
        """Hide a bare word before or after a comma, as in `-Name a, b`; names in an attribute are none."""
        match = _LIST_WORD.match(self.source, self.pos)
        before = self.source[self.pos - 1 : self.pos]
        if not match or before not in (" ", "\t", ",") or self.previous in "\n;{}(|=&":
            return False
        follows = re.compile(r"[ \t]*,").match(self.source, match.end()) is not None
        attribute = len(self.stack) > 1 and self.stack[-1].char == "(" and self.stack[-2].char == "["
        ends = self.source[match.end() : match.end() + 1]
        if attribute or not (follows or self.previous == ",") or (ends and ends not in " \t\r\n,;|)}"):
            return False
        self.strings[self.pos] = StringToken(
            expandable=False, here=False, start=self.pos, end=match.end(), word=True
        )
        self.emit("'", self.pos)
        for at in range(self.pos + 1, match.end()):
            self.emit("x", at)
        self.emit("'", -1)
        self.pos = match.end()
        self.previous = "'"
        self.word = ""
        return True

    def number(self) -> None:
        match = _NUMBER_START.match(self.source, self.pos)
        assert match is not None
        starts = self.previous in "\n;{(|=" or (self.previous == "a" and self.last_word in _EXPRESSION_AFTER)
        separate = self.pos == 0 or self.source[self.pos - 1] in " \t\r\n;{(|="
        if starts and separate and not _NUMBER_THEN_BLOCK.match(self.source, self.pos):
            self.emit("+", -1)
        for at in range(self.pos, match.end()):
            self.emit(self.source[at] if self.source[at].isdigit() else "1", at)
        self.previous = "0"
        self.word = ""
        self.pos = match.end()

    def dollar(self) -> None:
        self.word = ""
        if self.source.startswith("${", self.pos):
            end = self.source.find("}", self.pos)
            inside = self.source[self.pos + 2 : end]
            if end < 0 or not inside or "`" in inside or "{" in inside:
                raise self.refuse("a variable name in braces")
            self.emit("$", self.pos)
            self.emit("{", self.pos + 1)
            for at in range(self.pos + 2, end):
                self.emit("x", at)
            self.emit("}", end)
            self.pos = end + 1
            self.previous = "$"
            return
        match = re.compile(r"\$(\w+:)?\w+|\$[?$^]").match(self.source, self.pos)
        end = match.end() if match else self.pos + 1
        if match and self.source[end : end + 1] == "?" and self.source[self.pos + 1] != "?":
            raise self.refuse("a ? in or after a variable name")
        for at in range(self.pos, end):
            char = self.source[at]
            self.emit(char if char.isascii() else "z", at)
        self.pos = end
        self.previous = "$"

    def open(self, char: str) -> None:
        opened = _Open(char, hash_literal=char == "{" and self.source[self.pos - 1 : self.pos] == "@")
        if char == "{" and self.pending_switch == len(self.stack):
            opened.switch_body = True
            self.pending_switch = None
        if char == "(" and self.pending_param and self.previous == "a":
            opened.parameters = True
        self.pending_param = False
        inside = self.stack[-1] if self.stack else None
        if char == "{" and inside is not None and inside.switch_body:
            opened.condition = not inside.condition_seen and self.previous in "{;}\n"
        self.stack.append(opened)
        self.emit(char, self.pos)
        self.pos += 1
        self.previous = char
        self.word = ""

    def close(self, char: str) -> None:
        if not self.stack or _OPENERS[self.stack[-1].char] != char:
            raise self.incomplete(f"unexpected token '{char}'")
        closed = self.stack.pop()
        if char == "}" and self.previous == "{" and not closed.switch_body and not closed.hash_literal:
            self.emit(";", -1)
        self.emit(char, self.pos)
        self.pos += 1
        self.previous = char
        self.word = ""
        following = re.compile(r"[ \t\r]*").sub("", self.source[self.pos : self.pos + 200], count=1)[:1]
        inside = self.stack[-1] if self.stack else None
        clause = char == "}" and inside is not None and inside.switch_body and not closed.condition
        if inside is not None and inside.switch_body and char == "}":
            inside.condition_seen = closed.condition
        parameters = closed.parameters and inside is not None and following not in ("\n", ";", "}", "")
        if clause or parameters:
            self.emit(";", -1)

    def string(self, quote_at: int, *, here: bool) -> None:
        start = self.pos
        quote = self.source[quote_at]
        family = SINGLE_QUOTES if quote in SINGLE_QUOTES else DOUBLE_QUOTES
        if here:
            content, end = self.here_string(quote_at, family)
        else:
            content, end = (quote_at + 1, 0), quote_at + 1
            end = self.closing_quote(quote_at + 1, family)
            content = (quote_at + 1, end - 1)
        self.strings[start] = StringToken(
            expandable=family is DOUBLE_QUOTES, here=here, start=content[0], end=content[1]
        )
        self.emit("'", start)
        for at in range(start + 1, end - 1):
            self.emit("x", at)
        self.emit("'", end - 1)
        self.pos = end
        self.previous = "'"
        self.word = ""

    def here_string(self, quote_at: int, family: str) -> tuple[tuple[int, int], int]:
        header = re.compile(r"[ \t\r]*\n").match(self.source, quote_at + 1)
        if not header:
            raise self.incomplete("no characters are allowed after a here-string header")
        begin = header.end()
        closing = re.compile(r"(\r?\n)[" + family + "]@")
        empty = re.compile("[" + family + "]@").match(self.source, begin)
        if empty:
            return (begin, begin), empty.end()
        match = closing.search(self.source, begin)
        if not match:
            raise self.incomplete("the string is missing the terminator")
        return (begin, match.start()), match.end()

    def closing_quote(self, at: int, family: str) -> int:
        """Return the offset after the closing quote of the string whose content starts at `at`."""
        while at < len(self.source):
            char = self.source[at]
            if char in family:
                if self.source[at + 1 : at + 2] and self.source[at + 1] in family:
                    at += 2
                    continue
                return at + 1
            if family is DOUBLE_QUOTES and char == "`":
                at += 2
                continue
            if family is DOUBLE_QUOTES and self.source.startswith("$(", at):
                at = closing_bracket(self.source, at + 2, ")", self.first_line) + 1
                continue
            at += 1
        raise self.incomplete("the string is missing the terminator")


def closing_bracket(source: str, start: int, closer: str, first_line: int) -> int:
    """Return the offset of the `closer` that ends what starts at `start`."""
    masker = _Masker(source, first_line)
    masker.pos = start
    masker.run(closer)
    if masker.pos >= len(source):
        raise ParseFailure(f"missing closing '{closer}'", line=first_line + source.count("\n", 0, start))
    return masker.pos


def mask(source: str, first_line: int = 1) -> Masked:
    """Mask a script.

    Raises:
        NotInDialect: a token that is not known.
        ParseFailure: a string, comment or bracket that is not closed.
    """
    return _Masker(source, first_line).run()
