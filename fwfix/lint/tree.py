"""A PowerShell script as tree-sitter sees it, with what every check asks for."""

import functools
from collections.abc import Iterator

import tree_sitter
import tree_sitter_powershell

from fwfix.lint.finding import Problem

Node = tree_sitter.Node
_LEVELS = frozenset({"pipeline", "pipeline_chain", "string_literal", "expression_with_unary_operator"})


@functools.cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def text_of(node: Node) -> str:
    """Return a node as it is written."""
    return (node.text or b"").decode()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it, in the order of the script."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(current.children))


def find(node: Node, *kinds: str) -> Iterator[Node]:
    """Yield the nodes of some kinds."""
    return (each for each in walk(node) if each.type in kinds)


def child(node: Node, kind: str) -> Node | None:
    """Return the first child of a kind."""
    return next((each for each in node.children if each.type == kind), None)


def core(node: Node) -> Node:
    """Go down through nodes that only name a level of precedence."""
    while node.child_count == 1 and (node.type.endswith("_expression") or node.type in _LEVELS):
        node = node.children[0]
    return node


def inside(node: Node) -> Node | None:
    """Return what stands in parentheses, where it is one expression."""
    return core(node.children[1]) if node.child_count == 3 else None  # noqa: PLR2004 - ( x )


def parents(node: Node) -> Iterator[Node]:
    """Yield what a node stands in, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def variable_name(text: str) -> str:
    """Return the name of a variable in lower case, without `$`, `@` and braces."""
    return text.lstrip("$@").strip("{}").lower()


def at(node: Node, message: str) -> Problem:
    """Return a problem with the line of a node."""
    return Problem(line=node.start_point[0] + 1, message=message)


def parse(source: str) -> Node:
    """Parse a script; what cannot be parsed is in it as ERROR nodes."""
    return _parser().parse(source.encode()).root_node
