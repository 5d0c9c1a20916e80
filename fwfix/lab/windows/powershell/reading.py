"""The tree of tree-sitter, read with the way back to the script's own text."""

from functools import cache

import tree_sitter
import tree_sitter_powershell

from fwfix.lab.windows.powershell.masking import Masked
from fwfix.lab.windows.powershell.signals import NotInDialect

TreeNode = tree_sitter.Node
# Nodes that only say "an expression of this level"; with one child they mean that child.
CHAIN = frozenset({
    "logical_expression", "bitwise_expression", "comparison_expression", "additive_expression",
    "multiplicative_expression", "format_expression", "range_expression", "array_literal_expression",
    "unary_expression", "pipeline_chain", "logical_argument_expression", "bitwise_argument_expression",
    "comparison_argument_expression", "additive_argument_expression", "multiplicative_argument_expression",
    "format_argument_expression", "range_argument_expression", "argument_expression", "while_condition",
    "for_initializer", "for_condition", "for_iterator", "path_command_name", "command_name_expr",
})  # fmt: skip


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


class Reader:
    """One parsed stretch of a masked text."""

    def __init__(self, masked: Masked, start: int, end: int, first_line: int) -> None:
        self.masked = masked
        self.start = start
        self.end = end
        self.first_line = first_line
        self.tree = _parser().parse(masked.text[start:end].encode("ascii"))
        self.root = self.tree.root_node
        if self.root.has_error:
            self._refuse_error()

    def _refuse_error(self) -> None:
        node = self.root
        while True:
            bad = [c for c in node.children if c.has_error or c.is_missing]
            if node.type == "ERROR" or not bad:
                break
            node = bad[0]
        raise self.refuse(node, "not parsed")

    def span(self, node: TreeNode) -> tuple[int, int]:
        """Return where a node stands in the masked text."""
        return node.start_byte + self.start, node.end_byte + self.start

    def source_span(self, node: TreeNode) -> tuple[int, int]:
        """Return where a node stands in the script."""
        return self.to_source(*self.span(node))

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Turn a stretch of the masked text into one of the script."""
        known = [at for at in self.masked.origin[start:end] if at >= 0]
        return (known[0], known[-1] + 1) if known else (0, 0)

    def text(self, node: TreeNode) -> str:
        """Return a node's text as the script has it."""
        start, end = self.source_span(node)
        return self.masked.source[start:end]

    def line(self, node: TreeNode) -> int:
        """Return the line that a node starts in."""
        return self.line_at(self.source_span(node)[0])

    def line_at(self, offset: int) -> int:
        """Return the line of an offset of the script."""
        return self.first_line + self.masked.source.count("\n", 0, offset)

    def refuse(self, node: TreeNode, reason: str) -> NotInDialect:
        """Return the refusal of a node."""
        return NotInDialect(reason, line=self.line(node), text=self.text(node).split("\n")[0][:80])

    def gap(self, left: TreeNode, right: TreeNode) -> str:
        """Return what stands between two nodes in the masked text."""
        return self.masked.text[left.end_byte + self.start : right.start_byte + self.start]


def core(node: TreeNode) -> TreeNode:
    """Walk down through nodes that only name a level of precedence."""
    while node.type in CHAIN and node.child_count == 1:
        node = node.children[0]
    return node
