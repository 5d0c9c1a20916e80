"""A script's text to its syntax tree."""

from fwfix.lab.windows.powershell.masking import mask
from fwfix.lab.windows.powershell.nodes import Block, ScriptBody
from fwfix.lab.windows.powershell.parser import Parser
from fwfix.lab.windows.powershell.reading import Reader
from fwfix.lab.windows.powershell.signals import NotInDialect


def parse_block(source: str, first_line: int) -> Block:
    """Parse the inside of `$( )` or of a string's subexpression."""
    body = parse_script(source, first_line)
    if body.parameters or body.begin or body.process:
        raise NotInDialect("parameters or named blocks here", line=body.line)
    return body.end or Block(statements=(), line=first_line)


def parse_script(source: str, first_line: int = 1) -> ScriptBody:
    """Parse a script.

    Raises:
        NotInDialect: something that the engine or the grammar does not know.
        ParseFailure: PowerShell, too, would not take it.
    """
    masked = mask(source, first_line)
    if not masked.text.strip(" \n;"):
        empty = Block(statements=(), line=first_line)
        return ScriptBody(
            parameters=(), attributes=(), begin=None, process=None, end=empty, text=source, line=first_line
        )
    reader = Reader(masked, 0, len(masked.text), first_line)
    return Parser(reader).script_body(reader.root, source)
