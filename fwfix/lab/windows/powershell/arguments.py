"""A command's arguments, read as PowerShell's tokenizer reads them in argument mode."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.expandable import ExpandableParser
from fwfix.lab.windows.powershell.literals import parse_number
from fwfix.lab.windows.powershell.nodes import (
    Argument,
    ArrayLiteral,
    Expandable,
    Expression,
    Literal,
    Redirection,
    Variable,
)
from fwfix.lab.windows.powershell.signals import NotInDialect

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.expressions import ExpressionParser

_PARAMETER = re.compile(r"-[A-Za-z_?][^\s{}();,|&.\[:]*")
_MERGE = re.compile(r"([1-6*])>&([12])")
_REDIRECT = re.compile(r"([1-6*]?)>(>?)")
_SPLAT = re.compile(r"@[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\$\{x+\}|\$(?:\w+:)?\w+|\$\?")
_WORD_END = re.compile(r"[\s{}();,|&]")
_NAME = re.compile(r"\w+")
_CLOSING = {"(": ")", "{": "}", "[": "]"}


class ArgumentScanner:
    """Scans one stretch of the masked text."""

    def __init__(self, parser: ExpressionParser, start: int, end: int) -> None:
        self.parser = parser
        self.reader = parser.reader
        self.text = parser.reader.masked.text
        self.at = start
        self.end = end
        self.arguments: list[Argument] = []
        self.redirections: list[Redirection] = []

    def scan(self) -> tuple[tuple[Argument, ...], tuple[Redirection, ...]]:
        """Return the arguments and redirections."""
        glued = False
        while True:
            before = self.at
            self._skip()
            if self.at >= self.end:
                return tuple(self.arguments), tuple(self.redirections)
            if glued and before == self.at:
                raise self._refuse("what follows an argument without a blank")
            self._element()
            glued = True

    def head(self) -> Expression:
        """Read what a call operator calls: a name, a variable, a member, a script block."""
        self._skip()
        if self.at >= self.end:
            raise self._refuse("a call of nothing")
        return self.value()

    def _skip(self, *, lines: bool = False) -> None:
        while self.at < self.end and (self.text[self.at] == " " or (lines and self.text[self.at] == "\n")):
            self.at += 1
        if not lines and self.text[self.at : self.end].strip("\n;") == "":
            self.at = self.end

    def _line(self) -> int:
        return self.reader.line_at(self.reader.to_source(self.at, self.at + 1)[0])

    def _refuse(self, reason: str) -> NotInDialect:
        start, end = self.reader.to_source(self.at, max(self.at + 1, self.end))
        text = self.reader.masked.source[start:end].split("\n")[0]
        return NotInDialect(reason, line=self.reader.line_at(start), text=text[:80])

    def _source(self, start: int, end: int) -> str:
        low, high = self.reader.to_source(start, end)
        return self.reader.masked.source[low:high]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self.text, self.at, self.end)

    def _element(self) -> None:
        line = self._line()
        if self.text.startswith("--%", self.at):
            raise self._refuse("--%")
        splat = self._match(_SPLAT)
        if splat:
            name = self._source(self.at, splat.end())[1:]
            value = Variable(scope="", name=name, line=line)
            self.arguments.append(Argument(value=value, splat=True, line=line))
            self.at = splat.end()
        elif self._match(_PARAMETER):
            self._parameter(line)
        elif not self._redirection(line):
            bare_start = self.text[self.at] not in "'({@$"
            value2 = self.value_list()
            self.arguments.append(Argument(value=value2, bare=bare_start, line=line))

    def _parameter(self, line: int) -> None:
        match = self._match(_PARAMETER)
        assert match is not None
        name = self._source(self.at, match.end())[1:]
        following = self.text[match.end() : match.end() + 1]
        if not re.fullmatch(r"[\w?-]+", name) or (following in (".", "[") and match.end() < self.end):
            raise self._refuse("this parameter")
        self.at = match.end()
        value: Expression | None = None
        if following == ":" and self.at < self.end:
            self.at += 1
            self._skip()
            if self.at >= self.end:
                raise self._refuse("a parameter without its value")
            value = self.value_list()
        self.arguments.append(Argument(parameter=name, value=value, line=line))

    def _redirection(self, line: int) -> bool:
        merge = self._match(_MERGE)
        if merge:
            self.redirections.append(Redirection(stream=merge[1], merge=True, target=None, line=line))
            if merge[2] != "1":
                raise self._refuse("this redirection")
            self.at = merge.end()
            return True
        match = self._match(_REDIRECT)
        if not match:
            if self.text[self.at] == "<":
                raise self._refuse("this redirection")
            return False
        if match[2]:
            raise self._refuse("appending to a file")
        self.at = match.end()
        self._skip()
        target = self.value()
        self.redirections.append(Redirection(stream=match[1] or "1", merge=False, target=target, line=line))
        return True

    def value_list(self) -> Expression:
        """Read values joined by commas."""
        line = self._line()
        items = [self.value()]
        while True:
            before = self.at
            self._skip()
            if self.at < self.end and self.text[self.at] == ",":
                self.at += 1
                self._skip(lines=True)
                if self.at >= self.end:
                    raise self._refuse("a comma at the end")
                items.append(self.value())
            else:
                self.at = before
                break
        return items[0] if len(items) == 1 else ArrayLiteral(items=tuple(items), line=line)

    def value(self) -> Expression:
        """Read one value: a primary expression with what follows it, or a bare word."""
        start = self.at
        char = self.text[self.at]
        if char == "@" and self.text[self.at + 1 : self.at + 2] not in ("(", "{"):
            raise self._refuse("this argument")
        primary = self.primary()
        if not primary:
            return self.word()
        hidden = self.hidden_word(start)
        if hidden is not None:
            return hidden
        if char != "{":
            self._postfix()
        if self.at < self.end and not _WORD_END.match(self.text, self.at):
            simple = (
                char == "$" and self.text[start + 1] != "(" and _VARIABLE.fullmatch(self.text, start, self.at)
            )
            if simple and self.text[self.at] in "/\\-":
                self.at = start
                return self.word()
            raise self._refuse("what follows an argument without a blank")
        if self.at < self.end and self.text[self.at] in "({;)}|&":
            raise self._refuse("what follows an argument without a blank")
        return self.parser.fragment(start, self.at)

    def hidden_word(self, start: int) -> Expression | None:
        """Return a bare word that the masking hid, None for anything else."""
        token = self.reader.masked.strings.get(self.reader.masked.origin[start])
        if token is None or not token.word:
            return None
        return self._word_parts(token.start, token.end, self._line())

    def primary(self) -> bool:
        """Step over a string, bracket or variable; False if there is none."""
        char = self.text[self.at]
        if char == "'":
            self.at = self.text.index("'", self.at + 1) + 1
            return True
        if char in "({":
            self._bracket()
            return True
        if (
            char in "@$"
            and self.text[self.at + 1 : self.at + 2] in ("(", "{")
            and self.text[self.at : self.at + 2] != "${"
        ):
            self.at += 1
            self._bracket()
            return True
        match = self._match(_VARIABLE)
        if match:
            self.at = match.end()
            return True
        if char == "$":
            raise self._refuse("this argument")
        return False

    def _bracket(self) -> None:
        depth: list[str] = []
        while self.at < self.end:
            char = self.text[self.at]
            if char == "'":
                self.at = self.text.index("'", self.at + 1)
            elif char in _CLOSING:
                depth.append(_CLOSING[char])
            elif depth and char == depth[-1]:
                depth.pop()
                if not depth:
                    self.at += 1
                    return
            self.at += 1
        raise self._refuse("a bracket that is not closed")

    def _postfix(self) -> None:
        """Step over members, indexes and calls."""
        while self.at < self.end:
            if self.text.startswith("::", self.at):
                self.at += 2
                self._member()
            elif self.text[self.at] == "." and self._member_follows():
                self.at += 1
                self._member()
            elif self.text[self.at] == "[":
                self._bracket()
            else:
                return

    def _member_follows(self) -> bool:
        following = self.text[self.at + 1 : self.at + 2]
        return bool(following) and (following.isalpha() or following in "_'$(")

    def _member(self) -> None:
        name = self._match(_NAME)
        if name:
            self.at = name.end()
        elif self.at >= self.end or not self.primary():
            raise self._refuse("this member")
        if self.at < self.end and self.text[self.at] == "(":
            self._bracket()

    def word(self) -> Expression:
        """Read a bare word, which may hold variables and quoted parts."""
        start, line = self.at, self._line()
        first = self.text[self.at]
        if first in "~<>,;|&" or (self.text.startswith("%", self.at) and self.at + 1 == self.end):
            raise self._refuse("this argument")
        self._step_over_word()
        if self.at == start:
            raise self._refuse("this argument")
        low, high = self.reader.to_source(start, self.at)
        text = self.reader.masked.source[low:high]
        if any(c in text for c in "<>`"):
            raise self._refuse("this argument")
        number = parse_number(text)
        if number is not None:
            return Literal(value=number, text=text, line=line)
        return self._word_parts(low, high, line)

    def _step_over_word(self) -> None:
        while self.at < self.end:
            char = self.text[self.at]
            if char == "'":
                self.at = self.text.index("'", self.at + 1) + 1
            elif self.text.startswith("$(", self.at):
                self.at += 1
                self._bracket()
            elif self.text.startswith("${", self.at):
                self.at = self.text.index("}", self.at) + 1
            elif _WORD_END.match(char):
                return
            else:
                self.at += 1

    def _word_parts(self, low: int, high: int, line: int) -> Expression:
        from fwfix.lab.windows.powershell.parsing import parse_block  # noqa: PLC0415 - the two need each other

        masked = self.reader.masked
        builder = ExpandableParser(masked.source, line, parse_block)
        at = low
        while at < high:
            quoted = sorted(s for s, t in masked.strings.items() if at <= s < high and not t.word)
            stop = quoted[0] if quoted else high
            builder.read(at, stop, doubled=False)
            at = stop
            if quoted:
                inner = self.parser.string_at(stop)
                if isinstance(inner, Literal):
                    builder.add(str(inner.value))
                elif isinstance(inner, Expandable):
                    builder.parts.extend(inner.parts)
                token = masked.strings[stop]
                at = token.end + 1
                if token.here:
                    raise self._refuse("a here-string inside a word")
        return builder.finish()
