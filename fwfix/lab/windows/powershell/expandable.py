"""What stands inside strings: escapes, doubled quotes, variables and subexpressions."""

import re
from collections.abc import Callable

from fwfix.lab.windows.powershell.masking import DOUBLE_QUOTES, SINGLE_QUOTES, StringToken, closing_bracket
from fwfix.lab.windows.powershell.nodes import Block, Expandable, Expression, Literal, SubExpression, Variable
from fwfix.lab.windows.powershell.signals import NotInDialect, ParseFailure

_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
_VARIABLE = re.compile(r"\$(?:(?P<scope>\w+):(?=[\w]))?(?P<name>\w+)")
_BRACED = re.compile(r"\$\{(?P<inner>[^}{`]+)\}")
_DOUBLED_SINGLE = re.compile(f"[{SINGLE_QUOTES}]([{SINGLE_QUOTES}])")

BlockParser = Callable[[str, int], Block]


def braced_variable(inner: str, line: int) -> Variable:
    """Return the variable of `${inner}`."""
    scope, colon, name = inner.partition(":")
    if colon and not name:
        raise NotInDialect("a variable name that ends in a colon", line=line)
    return (
        Variable(scope=scope.lower(), name=name, line=line)
        if colon
        else Variable(scope="", name=inner, line=line)
    )


class ExpandableParser:
    """Reads one expandable text."""

    def __init__(self, source: str, line: int, parse_block: BlockParser) -> None:
        self.source = source
        self.line = line
        self.parse_block = parse_block
        self.parts: list[str | Expression] = []

    def add(self, text: str) -> None:
        """Append plain text."""
        if self.parts and isinstance(self.parts[-1], str):
            self.parts[-1] += text
        else:
            self.parts.append(text)

    def read(self, start: int, end: int, *, doubled: bool) -> None:
        """Read the text between two offsets; `doubled`: two quotes in a row stand for one."""
        at = start
        while at < end:
            char = self.source[at]
            if char == "`" and at + 1 < end:
                at = self.escape(at)
            elif char == "$":
                at = self.dollar(at, end)
            elif doubled and char in DOUBLE_QUOTES:
                self.add(self.source[at + 1])
                at += 2
            else:
                self.line += char == "\n"
                self.add(char)
                at += 1

    def escape(self, at: int) -> int:
        """Read a backtick and what it escapes."""
        following = self.source[at + 1]
        if following in "eu":
            raise NotInDialect(f"the escape `{following}", line=self.line)
        if following == "\r" and self.source[at + 2 : at + 3] == "\n":
            raise NotInDialect("an escaped line end in a string", line=self.line)
        self.add(_ESCAPES.get(following, following))
        return at + 2

    def dollar(self, at: int, end: int) -> int:
        """Read a variable, a subexpression or a plain dollar."""
        if self.source.startswith("$(", at):
            close = closing_bracket(self.source, at + 2, ")", self.line - self.source.count("\n", 0, at))
            body = self.parse_block(self.source[at + 2 : close], self.line)
            self.parts.append(SubExpression(body=body, line=self.line))
            self.line += self.source.count("\n", at, close)
            return close + 1
        braced = _BRACED.match(self.source, at, end)
        if braced:
            self.parts.append(braced_variable(braced["inner"], self.line))
            return braced.end()
        match = _VARIABLE.match(self.source, at, end)
        if not match:
            return self._plain_dollar(at)
        following = self.source[match.end() : match.end() + 1] if match.end() < end else ""
        if following == ":" and not match["scope"]:
            raise ParseFailure("':' was not followed by a valid variable name character", line=self.line)
        if following in ("?", ":") and following:
            raise NotInDialect(f"a variable name followed by {following} in a string", line=self.line)
        scope = (match["scope"] or "").lower()
        self.parts.append(Variable(scope=scope, name=match["name"], line=self.line))
        return match.end()

    def _plain_dollar(self, at: int) -> int:
        if self.source[at + 1 : at + 2] in ("?", "$", "^", ":", "{") and self.source[at + 1 : at + 2]:
            raise NotInDialect("a special variable in a string", line=self.line)
        self.add("$")
        return at + 1

    def finish(self) -> Expression:
        """Return what was read as one expression."""
        if not self.parts:
            return Literal(value="", line=self.line)
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            return Literal(value=self.parts[0], line=self.line)
        return Expandable(parts=tuple(self.parts), line=self.line)


def string_expression(source: str, token: StringToken, line: int, parse_block: BlockParser) -> Expression:
    """Return the expression of a string literal."""
    if token.expandable:
        parser = ExpandableParser(source, line + token.here, parse_block)
        parser.read(token.start, token.end, doubled=not token.here)
        return parser.finish()
    text = source[token.start : token.end]
    return Literal(value=text if token.here else _DOUBLED_SINGLE.sub(r"\1", text), line=line)
