"""Expressions, types and parameters: from the tree of tree-sitter to the engine's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.expandable import braced_variable, string_expression
from fwfix.lab.windows.powershell.literals import parse_number
from fwfix.lab.windows.powershell.nodes import Expression, TypeSpec
from fwfix.lab.windows.powershell.reading import Reader, TreeNode, core
from fwfix.lab.windows.powershell.signals import NotInDialect, ParseFailure
from fwfix.lab.windows.powershell.typespecs import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable

_VARIABLE = re.compile(r"\$(?:(?P<scope>\w+):)?(?P<name>\w+|[?])")
_BINARY = frozenset({
    "logical_expression", "bitwise_expression", "comparison_expression", "additive_expression",
    "multiplicative_expression", "format_expression", "range_expression", "logical_argument_expression",
    "bitwise_argument_expression", "comparison_argument_expression", "additive_argument_expression",
    "multiplicative_argument_expression", "format_argument_expression", "range_argument_expression",
})  # fmt: skip


class ExpressionParser:
    """The half of the parser that knows expressions; statements come from its subclass."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.expression_handlers: dict[str, Callable[[TreeNode], Expression]] = {
            "integer_literal": self.number,
            "decimal_integer_literal": self.number,
            "real_literal": self.number,
            "string_literal": self.string,
            "verbatim_string_characters": self.string,
            "variable": self.variable,
            "expression_with_unary_operator": self.unary,
            "array_literal_expression": self.array_literal,
            "unary_expression": self.only_child,
            "cast_expression": self.cast,
            "pre_increment_expression": self.step,
            "pre_decrement_expression": self.step,
            "post_increment_expression": self.step,
            "post_decrement_expression": self.step,
            "parenthesized_expression": self.paren,
            "sub_expression": self.sub,
            "array_expression": self.array,
            "script_block_expression": self.script_block,
            "hash_literal_expression": self.hash_literal,
            "type_literal": self.type_literal,
            "member_access": self.member,
            "element_access": self.element,
            "invokation_expression": self.invocation,
        }

    def line(self, node: TreeNode) -> int:
        """Return a node's line."""
        return self.reader.line(node)

    def statement(self, node: TreeNode) -> nodes.Statement:
        """Return one statement; see the subclass."""
        raise NotImplementedError

    def block(self, node: TreeNode) -> nodes.Block:
        """Return the statements of a bracket; see the subclass."""
        raise NotImplementedError

    def script_body(self, node: TreeNode, text: str) -> nodes.ScriptBody:
        """Return a script block's body; see the subclass."""
        raise NotImplementedError

    def expression(self, node: TreeNode) -> Expression:
        """Return one expression."""
        node = core(node)
        if node.type in _BINARY:
            return self.binary(node)
        handler = self.expression_handlers.get(node.type)
        if handler is None:
            raise self.reader.refuse(node, f"this construct ({node.type})")
        return handler(node)

    def fragment(self, start: int, end: int) -> Expression:
        """Parse a stretch of the masked text as one expression."""
        reader = Reader(self.reader.masked, start, end, self.reader.first_line)
        parser = type(self)(reader)
        node = reader.root
        while node.type in ("program", "statement_list", "pipeline") and len(node.named_children) == 1:
            node = node.named_children[0]
        return parser.expression(node)

    # -- leaves

    def number(self, node: TreeNode) -> Expression:
        """Return a number."""
        text = self.reader.text(node)
        value = parse_number(text)
        if value is None:
            raise self.reader.refuse(node, "this number")
        return nodes.Literal(value=value, text=text, line=self.line(node))

    def string(self, node: TreeNode) -> Expression:
        """Return a string, its parts parsed."""
        start, _ = self.reader.source_span(node)
        return self.string_at(start)

    def string_at(self, start: int) -> Expression:
        """Return the string literal that starts at an offset of the script."""
        from fwfix.lab.windows.powershell.parsing import parse_block  # noqa: PLC0415 - the two need each other

        masked = self.reader.masked
        line = self.reader.line_at(start)
        if masked.strings[start].word:
            raise NotInDialect("a bare word in an expression", line=line)
        return string_expression(masked.source, masked.strings[start], line, parse_block)

    def variable(self, node: TreeNode) -> Expression:
        """Return a variable."""
        text = self.reader.text(node)
        if text.startswith("${"):
            return braced_variable(text[2:-1], self.line(node))
        match = _VARIABLE.fullmatch(text)
        if not match:
            raise self.reader.refuse(node, "this variable")
        return nodes.Variable(scope=(match["scope"] or "").lower(), name=match["name"], line=self.line(node))

    # -- operators

    def only_child(self, node: TreeNode) -> Expression:
        """Return the one child of a node that adds nothing."""
        if node.child_count != 1:
            raise self.reader.refuse(node, "this expression")
        return self.expression(node.children[0])

    def binary(self, node: TreeNode) -> Expression:
        """Return an operator with two operands."""
        if node.child_count != 3:  # noqa: PLR2004 - left, operator, right
            raise self.reader.refuse(node, "this expression")
        left, operator, right = node.children
        name = self.reader.text(operator).lower()
        return nodes.Binary(
            operator=name[1:] if name.startswith("-") and len(name) > 1 else name,
            left=self.expression(left), right=self.expression(right), line=self.line(left),
        )  # fmt: skip

    def unary(self, node: TreeNode) -> Expression:
        """Return an operator with one operand; a plus that the masking put in is dropped."""
        if node.child_count == 1:
            return self.expression(node.children[0])
        operator, operand = node.children
        start, _ = self.reader.span(operator)
        if self.reader.masked.origin[start] < 0:
            return self.expression(operand)
        name = self.reader.text(operator).lower()
        if name in ("\u2013", "\u2014", "\u2015"):
            name = "-"
        if name.startswith("-") and len(name) > 1:
            name = name[1:]
        return nodes.Unary(operator=name, operand=self.expression(operand), line=self.line(node))

    def step(self, node: TreeNode) -> Expression:
        """Return `++` or `--`."""
        prefix = node.type.startswith("pre")
        operator, operand = node.children if prefix else reversed(node.children)
        delta = 1 if self.reader.text(operator) == "++" else -1
        return nodes.Step(
            target=self.expression(operand), delta=delta, prefix=prefix, line=self.line(operand)
        )

    def cast(self, node: TreeNode) -> Expression:
        """Return `[type]value`."""
        spec, operand = node.children
        return nodes.Cast(spec=self.type_spec(spec), operand=self.expression(operand), line=self.line(node))

    def array_literal(self, node: TreeNode) -> Expression:
        """Return `a, b, c` as one array."""
        items = tuple(self.expression(child) for child in node.named_children)
        return nodes.ArrayLiteral(items=items, line=self.line(node))

    # -- brackets

    def paren(self, node: TreeNode) -> Expression:
        """Return `( )`."""
        if len(node.named_children) != 1:
            raise self.reader.refuse(node, "this parenthesis")
        return nodes.Paren(body=self.statement(node.named_children[0]), line=self.line(node))

    def sub(self, node: TreeNode) -> Expression:
        """Return `$( )`."""
        return nodes.SubExpression(body=self.block(node), line=self.line(node))

    def array(self, node: TreeNode) -> Expression:
        """Return `@( )`."""
        return nodes.ArrayExpression(body=self.block(node), line=self.line(node))

    def script_block(self, node: TreeNode) -> Expression:
        """Return `{ }`."""
        body = self.script_body(node, self.reader.text(node)[1:-1])
        return nodes.ScriptBlockLiteral(body=body, line=self.line(node))

    def hash_literal(self, node: TreeNode) -> Expression:
        """Return `@{ }`; a key twice is a parse error, as in PowerShell."""
        entries: list[tuple[Expression, nodes.Statement]] = []
        seen: set[object] = set()
        for body in node.named_children:
            for entry in body.named_children:
                key_node, value_node = entry.named_children
                key = self.hash_key(key_node)
                if isinstance(key, nodes.Literal):
                    known = key.value.lower() if isinstance(key.value, str) else (type(key.value), key.value)
                    if known in seen:
                        message = "Duplicate keys are not allowed in hash literals."
                        raise ParseFailure(message, line=key.line, error_id="DuplicateKeyInHashLiteral")
                    seen.add(known)
                entries.append((key, self.statement(value_node)))
        return nodes.HashLiteral(entries=tuple(entries), line=self.line(node))

    def hash_key(self, node: TreeNode) -> Expression:
        """Return a key: a bare word is a string."""
        if len(node.named_children) != 1:
            raise self.reader.refuse(node, "this key")
        child = core(node.named_children[0])
        if child.type == "simple_name":
            return nodes.Literal(value=self.reader.text(child), line=self.line(child))
        return self.expression(child)

    # -- members

    def member_name(self, node: TreeNode) -> Expression:
        """Return the name of a member, which may be computed."""
        child = core(node.named_children[0])
        if child.type == "simple_name":
            return nodes.Literal(value=self.reader.text(child), line=self.line(child))
        if child.type not in ("string_literal", "variable", "parenthesized_expression", "sub_expression"):
            raise self.reader.refuse(node, "this member name")
        return self.expression(child)

    def _tight(self, left: TreeNode, right: TreeNode) -> None:
        """PowerShell takes no blank before `.`, `::`, `[` and `(`; the grammar does."""
        if self.reader.gap(left, right):
            raise self.reader.refuse(right, "a blank here")

    def _no_number(self, target: TreeNode) -> None:
        if core(target).type in ("integer_literal", "real_literal"):
            raise self.reader.refuse(target, "a member of a bare number")

    def member(self, node: TreeNode) -> Expression:
        """Return `a.b` or `a::b`."""
        if node.child_count != 3:  # noqa: PLR2004 - target, dot, name
            raise self.reader.refuse(node, "this member")
        target, operator, name = node.children
        self._tight(target, operator)
        self._no_number(target)
        return nodes.Member(
            target=self.expression(target), name=self.member_name(name),
            static=self.reader.text(operator) == "::", line=self.line(operator),
        )  # fmt: skip

    def element(self, node: TreeNode) -> Expression:
        """Return `a[b]`."""
        target, bracket, index = node.children[0], node.children[1], node.children[2]
        if node.child_count != 4:  # noqa: PLR2004 - target, bracket, index, bracket
            raise self.reader.refuse(node, "this index")
        self._tight(target, bracket)
        return nodes.Index(
            target=self.expression(target), index=self.expression(index), line=self.line(bracket)
        )

    def invocation(self, node: TreeNode) -> Expression:
        """Return `a.b(c)` or `a::b(c)`."""
        if node.child_count != 4:  # noqa: PLR2004 - target, dot, name, arguments
            raise self.reader.refuse(node, "this call")
        target, operator, name, arguments = node.children
        self._no_number(target)
        self._tight(target, operator)
        self._tight(name, arguments)
        values = [a for holder in arguments.named_children for a in holder.named_children]
        return nodes.Invoke(
            target=self.expression(target), name=self.member_name(name),
            static=self.reader.text(operator) == "::",
            arguments=tuple(self.expression(a) for a in values), line=self.line(operator),
        )  # fmt: skip

    # -- types, targets, parameters

    def type_spec(self, node: TreeNode) -> TypeSpec:
        """Return the type of `[type]`."""
        return parse_type(self.reader.text(node).strip()[1:-1], self.line(node))

    def type_literal(self, node: TreeNode) -> Expression:
        """Return `[type]` as a value."""
        return nodes.TypeLiteral(spec=self.type_spec(node), line=self.line(node))

    def assignment_target(self, node: TreeNode) -> Expression:
        """Return what may stand left of `=`."""
        target = self.expression(node.children[0])
        self._check_target(target, node)
        return target

    def _check_target(self, target: Expression, node: TreeNode) -> None:
        if isinstance(target, nodes.ArrayLiteral):
            for item in target.items:
                self._check_target(item, node)
            return
        inner = target
        while isinstance(inner, nodes.Cast):
            inner = inner.operand
        if not isinstance(inner, nodes.Variable | nodes.Member | nodes.Index):
            raise self.reader.refuse(node, "this as the target of an assignment")
        if inner is not target and not isinstance(inner, nodes.Variable):
            raise self.reader.refuse(node, "a type on this target")

    def param_block(
        self, node: TreeNode
    ) -> tuple[tuple[nodes.ParameterDeclaration, ...], tuple[nodes.Attribute, ...]]:
        """Return the parameters of `param( )` and the attributes before it."""
        attributes: tuple[nodes.Attribute, ...] = ()
        parameters: tuple[nodes.ParameterDeclaration, ...] = ()
        for child in node.named_children:
            if child.type == "attribute_list":
                attributes, types = self.attributes(child)
                if types:
                    raise self.reader.refuse(child, "a type before param")
            elif child.type == "parameter_list":
                parameters = self.parameter_list(node)
        return parameters, attributes

    def parameter_list(self, node: TreeNode) -> tuple[nodes.ParameterDeclaration, ...]:
        """Return the parameters in a bracket."""
        lists = [c for c in node.named_children if c.type == "parameter_list"]
        return tuple(self.parameter(p) for holder in lists for p in holder.named_children)

    def parameter(self, node: TreeNode) -> nodes.ParameterDeclaration:
        """Return one parameter."""
        attributes: tuple[nodes.Attribute, ...] = ()
        types: tuple[TypeSpec, ...] = ()
        default: Expression | None = None
        name = ""
        for child in node.named_children:
            if child.type == "attribute_list":
                attributes, types = self.attributes(child)
            elif child.type == "variable":
                name = self.reader.text(child).removeprefix("$")
            elif child.type == "script_parameter_default":
                default = self.expression(child.named_children[0])
        if not re.fullmatch(r"\w+", name):
            raise self.reader.refuse(node, "this parameter name")
        return nodes.ParameterDeclaration(
            name=name, types=types, attributes=attributes, default=default, line=self.line(node)
        )

    def attributes(self, node: TreeNode) -> tuple[tuple[nodes.Attribute, ...], tuple[TypeSpec, ...]]:
        """Return attributes and type constraints apart."""
        attributes: list[nodes.Attribute] = []
        types: list[TypeSpec] = []
        for child in node.named_children:
            first = child.named_children[0]
            if first.type == "type_literal":
                types.append(self.type_spec(first))
                continue
            positional: list[Expression] = []
            named: list[tuple[str, Expression | None]] = []
            for holder in child.named_children[1:]:
                for argument in holder.named_children:
                    self._attribute_argument(argument, positional, named)
            attributes.append(
                nodes.Attribute(
                    name=self.reader.text(first),
                    positional=tuple(positional),
                    named=tuple(named),
                    line=self.line(child),
                )
            )
        return tuple(attributes), tuple(types)

    def _attribute_argument(
        self, node: TreeNode, positional: list[Expression], named: list[tuple[str, Expression | None]]
    ) -> None:
        parts = node.named_children
        if parts[0].type == "simple_name":
            named.append((self.reader.text(parts[0]), self.expression(parts[1]) if len(parts) > 1 else None))
        else:
            positional.append(self.expression(parts[0]))
