"""Expressions."""

from __future__ import annotations

from collections.abc import Callable

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.arithmetic import Number
from fwfix.lab.windows.powershell.errors import error
from fwfix.lab.windows.powershell.literals import parse_number
from fwfix.lab.windows.powershell.members import Members
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.texts import type_label
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Array,
    Char,
    Collection,
    Hashtable,
    NetList,
    OrderedDictionary,
    Reference,
    ScriptBlock,
    TypeRef,
    Value,
    enumerate_value,
    is_list,
    plain,
)  # fmt: skip
from fwfix.lab.windows.powershell.variables import Variables


class Evaluator(Variables):
    """Evaluates expressions and assigns to them."""

    members: Members

    def prepare(self) -> None:
        """Build the table of handlers."""
        self.define_preferences()
        self.members = Members(self)
        self.access = self.members
        self.handlers: dict[type, Callable[..., Value]] = {
            nodes.Literal: lambda n: n.value,
            nodes.Expandable: self.expandable,
            nodes.Variable: self.read,
            nodes.ArrayLiteral: lambda n: Array(self.value(i) for i in n.items),
            nodes.ArrayExpression: self.array_expression,
            nodes.SubExpression: self.sub_expression,
            nodes.Paren: lambda n: self.statement_value(n.body),
            nodes.HashLiteral: lambda n: self.hash_literal(n, Hashtable()),
            nodes.ScriptBlockLiteral: lambda n: ScriptBlock(n.body, self.scope),
            nodes.TypeLiteral: lambda n: TypeRef(self.resolve(n.spec, n.line)),
            nodes.Cast: self.cast,
            nodes.Unary: self.unary,
            nodes.Binary: self.binary,
            nodes.Member: self.member,
            nodes.Index: self.index,
            nodes.Invoke: self.invoke,
            nodes.Step: self.step,
        }

    def evaluate(self, node: nodes.Expression) -> Value:
        """Return an expression's value; `EMPTY` for a pipeline without output."""
        try:
            return self.handlers[type(node)](node)
        except NotInDialect as exc:
            raise exc.at(node.line, "") from exc

    # -- literals and brackets

    def expandable(self, node: nodes.Expandable) -> Value:
        """Return a string with its parts filled in."""
        separator = " "
        cell = self.scope.find("ofs")
        if cell is not None and cell.value is not None:
            separator = self.texts.of(cell.value)
        return "".join(
            p if isinstance(p, str) else self.texts.of(self.value(p), separator) for p in node.parts
        )

    def sub_expression(self, node: nodes.SubExpression) -> Value:
        """Return the output of `$( )`: nothing, one object or an array."""
        items: list[Value] = []
        self.run_block(node.body, items.append)
        if not items:
            return EMPTY
        return items[0] if len(items) == 1 else Array(items)

    def array_expression(self, node: nodes.ArrayExpression) -> Value:
        """Return the output of `@( )` as an array."""
        only = node.body.statements
        if len(only) == 1 and isinstance(only[0], nodes.Pipeline) and len(only[0].elements) == 1:
            element = only[0].elements[0]
            if isinstance(element, nodes.ExpressionElement) and not element.redirections:
                return self._as_array(self.evaluate(element.expression), element.expression)
        items: list[Value] = []
        self.run_block(node.body, items.append)
        return Array(items)

    def _as_array(self, value: Value, node: nodes.Expression) -> Value:
        if isinstance(node, nodes.Step) or (
            isinstance(node, nodes.Cast) and node.spec.name.lower() == "void"
        ):
            return Array([])
        if isinstance(value, NetList) and value.generic:
            if value.element == "System.Object":
                raise error("Argument types do not match", None, kind="System.ArgumentException")
            raise NotInDialect("@( ) around a generic list")
        self.success = True
        if isinstance(value, Array) and isinstance(node, nodes.ArrayLiteral | nodes.ArrayExpression):
            return value
        items = enumerate_value(value)
        return Array([value] if items is None else items)

    def hash_literal(self, node: nodes.HashLiteral, table: Hashtable) -> Value:
        """Fill a table from `@{ }`."""
        for key_node, value_node in node.entries:
            key = self.value(key_node)
            if key is None or isinstance(key, Array):
                raise NotInDialect("this key of a hashtable", line=node.line)
            if table.has(key):
                raise error(
                    f"Item has already been added. Key in dictionary: '{key}'", "DuplicateKeyInHashLiteral"
                )
            table.set(key, plain(self.statement_value(value_node)))
        return table

    # -- operators

    def cast(self, node: nodes.Cast) -> Value:
        """Return `[type]value`."""
        lowered = node.spec.name.lower()
        if lowered == "ordered" and not node.spec.is_array:
            if isinstance(node.operand, nodes.HashLiteral):
                return self.hash_literal(node.operand, OrderedDictionary())
            raise NotInDialect("[ordered] of something else than @{ }", line=node.line)
        if lowered == "ref":
            return self._reference(node.operand)
        if lowered == "void" and not node.spec.is_array:
            self.evaluate(node.operand)
            return EMPTY
        kind = self.resolve(node.spec, node.line)
        return self.convert.to(self.value(node.operand), kind)

    def _reference(self, operand: nodes.Expression) -> Value:
        if not isinstance(operand, nodes.Variable):
            raise NotInDialect("[ref] of something else than a variable")
        if operand.name.lower() == "null":
            return Reference(lambda: None, lambda _: None)
        cell = self.scope.find(operand.name.lower())
        if cell is None or operand.scope:
            raise NotInDialect("[ref] of a variable that is not there")

        def change(value: Value) -> None:
            cell.value = self.constrain(operand.name, value, cell.types) if cell.types else value

        return Reference(lambda: plain(cell.value), change)

    def unary(self, node: nodes.Unary) -> Value:
        """Return an operator applied to one operand."""
        if node.operator == ",":
            return Array([self.value(node.operand)])
        if node.operator == "-" and isinstance(node.operand, nodes.Literal) and node.operand.text:
            negative = parse_number("-" + node.operand.text)
            return self.ops.arithmetic.negate(node.operand.value) if negative is None else negative
        value = self.value(node.operand)
        if node.operator in ("not", "!"):
            return not self.convert.to_bool(value)
        if node.operator == "-":
            return self.ops.arithmetic.negate(value)
        if node.operator == "+":
            return self.ops.arithmetic.add(0, value)
        if node.operator == "join":
            return self.ops.join(value, "")
        if node.operator == "split":
            return self.ops.split_words(value)
        if node.operator == "bnot":
            return self.ops.arithmetic.invert(value)
        raise NotInDialect(f"the operator {node.operator}", line=node.line)

    def binary(self, node: nodes.Binary) -> Value:
        """Return an operator applied to two operands; `-and` and `-or` stop early."""
        if node.operator == "and":
            return self._truth(node.left) and self._truth(node.right)
        if node.operator == "or":
            return self._truth(node.left) or self._truth(node.right)
        if node.operator == "xor":
            return self._truth(node.left) != self._truth(node.right)
        left = self.value(node.left)
        return self.ops.binary(node.operator, left, self.value(node.right))

    def _truth(self, node: nodes.Expression) -> bool:
        return self.convert.to_bool(self.value(node))

    # -- members and elements

    def member_name(self, node: nodes.Expression) -> str:
        """Return the name of a member."""
        name = self.value(node)
        if not isinstance(name, str):
            raise NotInDialect("a member name that is no string", line=node.line)
        return name

    def member(self, node: nodes.Member) -> Value:
        """Return `target.name` or `target::name`."""
        target = self.value(node.target)
        name = self.member_name(node.name)
        if node.static:
            if not isinstance(target, TypeRef):
                raise NotInDialect(":: on something else than a type", line=node.line)
            return self.members.static_property(target.type, name)
        return self.members.property(target, name)

    def invoke(self, node: nodes.Invoke) -> Value:
        """Return what a method returns; `EMPTY` for one that returns nothing."""
        target = self.value(node.target)
        name = self.member_name(node.name)
        if target is None and not node.static:
            from fwfix.lab.windows.powershell.errors import invoke_on_null  # noqa: PLC0415 - only here

            raise invoke_on_null()
        arguments = [self.value(a) for a in node.arguments]
        if node.static:
            if not isinstance(target, TypeRef):
                raise NotInDialect(":: on something else than a type", line=node.line)
            return self.members.static_method(target.type, name, arguments)
        return self.members.method(target, name, arguments)

    def index(self, node: nodes.Index) -> Value:
        """Return `target[index]`."""
        target = self.value(node.target)
        index = self.value(node.index)
        if target is None:
            if index is None:
                raise NotInDialect("null[null]", line=node.line)
            raise error("Cannot index into a null array.", "NullArray", category="InvalidOperation")
        if isinstance(index, Array) and not isinstance(target, Hashtable):
            found = (self._element(target, i) for i in index.items)
            return Array(f for f in found if f is not EMPTY)
        if isinstance(index, Array) and isinstance(target, Hashtable):
            return Array(self._element(target, i) for i in index.items)
        return plain(self._element(target, index))

    def _element(self, target: Value, index: Value) -> Value:
        if isinstance(target, OrderedDictionary) and isinstance(index, int) and not isinstance(index, bool):
            values = [v for _, v in target.pairs()]
            return values[index] if 0 <= index < len(values) else None
        if isinstance(target, Hashtable):
            if index is None:
                raise error("Index operation failed; the array index evaluated to null.", "NullArrayIndex")
            return target.get(index)
        named = isinstance(target, Collection) and isinstance(index, str)
        if (is_list(target) or isinstance(target, str)) and not named:
            return self._item(target, index)
        found = self.members.indexer(target, index)
        if found is not EMPTY:
            return found
        raise NotInDialect(f"an index into a {type_label(target)}")

    def _item(self, target: Value, index: Value) -> Value:
        if index is None:
            raise error("Index operation failed; the array index evaluated to null.", "NullArrayIndex")
        if isinstance(target, Collection) and not target.indexable:
            raise NotInDialect(f"an index into a {target.type_name}")
        number = self.convert.to_number(index, "System.Int32")
        assert isinstance(number, int)
        assert isinstance(target, str | Array | NetList | Collection)
        items = target if isinstance(target, str) else target.items
        if not -len(items) <= number < len(items):
            if self.scope.is_strict():
                raise NotInDialect("an index outside the array in strict mode")
            return EMPTY
        found = items[number]
        return Char(found) if isinstance(target, str) and isinstance(found, str) else found

    # -- assignment

    def step(self, node: nodes.Step) -> Value:
        """Return `++` or `--`: the value before or after."""
        old = self.value(node.target)
        if old is not None and not isinstance(old, int | float):
            raise NotInDialect("++ or -- of something else than a number", line=node.line)
        new = self.ops.arithmetic.add(0 if old is None else old, node.delta)
        self.assign(node.target, new)
        before: Number = 0 if old is None else old
        return new if node.prefix else before

    def assign(self, target: nodes.Expression, value: Value) -> None:
        """Assign to a variable, member or element."""
        if isinstance(target, nodes.Variable):
            self.write(target, value)
        elif isinstance(target, nodes.Cast):
            specs = [target.spec]
            inner = target.operand
            while isinstance(inner, nodes.Cast):
                specs.append(inner.spec)
                inner = inner.operand
            assert isinstance(inner, nodes.Variable)
            types = tuple(self.resolve(s, target.line) for s in specs)
            self.write(inner, plain(value), types)
        elif isinstance(target, nodes.ArrayLiteral):
            self._assign_many(target, value)
        elif isinstance(target, nodes.Member):
            owner = self.value(target.target)
            if target.static:
                raise NotInDialect("setting a static property", line=target.line)
            self.members.set_property(owner, self.member_name(target.name), plain(value))
        elif isinstance(target, nodes.Index):
            self._assign_element(self.value(target.target), self.value(target.index), plain(value))
        else:
            raise NotInDialect("this target of an assignment", line=target.line)

    def _assign_many(self, target: nodes.ArrayLiteral, value: Value) -> None:
        found = enumerate_value(value)
        items = [plain(value)] if found is None else list(found)
        last = len(target.items) - 1
        for number, item in enumerate(target.items):
            if number < last or len(items) <= last + 1:
                self.assign(item, items[number] if number < len(items) else None)
            else:
                self.assign(item, Array(items[number:]))

    def _assign_element(self, owner: Value, index: Value, value: Value) -> None:
        if owner is None:
            raise error("Cannot index into a null array.", "NullArray", category="InvalidOperation")
        if isinstance(owner, OrderedDictionary) and isinstance(index, int):
            raise NotInDialect("setting an element of an ordered dictionary by number")
        if isinstance(owner, Hashtable):
            if index is None:
                raise error(None, "NullArrayIndex", category="InvalidOperation")
            owner.set(index, value)
            return
        if not isinstance(owner, Array | NetList) or isinstance(index, Array):
            raise NotInDialect(f"setting an element of a {type_label(owner)}")
        number = self.convert.to_number(index, "System.Int32")
        assert isinstance(number, int)
        if not -len(owner.items) <= number < len(owner.items):
            raise error(None, None, kind="System.IndexOutOfRangeException")
        if owner.element != "System.Object":
            value = self.convert.to(value, self.types.by_full_name(owner.element))
        owner.items[number] = value
