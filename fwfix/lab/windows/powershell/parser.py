"""Statements: from the tree of tree-sitter to the engine's own."""

from collections.abc import Callable

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.arguments import ArgumentScanner
from fwfix.lab.windows.powershell.expressions import ExpressionParser
from fwfix.lab.windows.powershell.nodes import Block, ScriptBody, Statement
from fwfix.lab.windows.powershell.reading import Reader, TreeNode, core

_NOT_COMMANDS = {
    "begin", "process", "end", "dynamicparam", "clean", "class", "enum", "using", "data", "trap", "workflow",
    "parallel", "sequence", "inlinescript", "configuration", "filter", "function", "if", "else", "elseif",
    "while", "for", "do", "until", "switch", "try", "catch", "finally", "return", "throw", "exit", "break",
    "continue", "param", "in", "define", "from", "var", "hidden", "static", "interface", "namespace",
    "module",
    "type", "assembly", "command", "base", "private", "public", "default",
}  # fmt: skip
_SELF_ENDING = {
    "if_statement", "while_statement", "foreach_statement", "for_statement", "switch_statement",
    "try_statement", "function_statement", "do_statement", "empty_statement",
}  # fmt: skip


class Parser(ExpressionParser):
    """Turns one `Reader` into statements."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self.handlers: dict[str, Callable[[TreeNode], Statement]] = {
            "pipeline": self.pipeline,
            "pipeline_chain": self.pipeline_chain,
            "command": self.single,
            "assignment_expression": self.assignment,
            "if_statement": self.if_statement,
            "while_statement": self.while_statement,
            "do_statement": self.do_statement,
            "for_statement": self.for_statement,
            "foreach_statement": self.foreach_statement,
            "switch_statement": self.switch_statement,
            "try_statement": self.try_statement,
            "flow_control_statement": self.flow,
            "function_statement": self.function,
        }

    # -- blocks

    def statements(self, holder: TreeNode) -> tuple[Statement, ...]:
        """Return the statements among a node's children."""
        found: list[Statement] = []
        previous: TreeNode | None = None
        for child in holder.named_children:
            if previous is not None and previous.type not in _SELF_ENDING and child.type != "empty_statement":
                start = previous.end_byte - 1 + self.reader.start
                between = self.reader.masked.text[start : child.start_byte + self.reader.start]
                if "\n" not in between and ";" not in between:
                    raise self.reader.refuse(child, "a statement that is not separated from the one before")
            previous = child
            if child.type != "empty_statement":
                found.append(self.statement(child))
        return tuple(found)

    def statement(self, node: TreeNode) -> Statement:
        """Return one statement."""
        handler = self.handlers.get(node.type)
        if handler is not None:
            return handler(node)
        if node.type in ("statement_list", "script_block_body", "program"):
            raise self.reader.refuse(node, "a block where a statement is expected")
        return self.expression_statement(node)

    def block(self, node: TreeNode) -> Block:
        """Return the statements of `{ }`, `$( )` or `@( )`."""
        lists = [c for c in node.named_children if c.type == "statement_list"]
        if not lists:
            return Block(statements=(), line=self.line(node))
        return Block(statements=self.statements(lists[0]), line=self.line(node))

    def script_body(self, node: TreeNode, text: str) -> ScriptBody:
        """Return the body of a script, function or script block; `node` holds its parts."""
        parameters: tuple[nodes.ParameterDeclaration, ...] = ()
        attributes: tuple[nodes.Attribute, ...] = ()
        blocks: dict[str, Block] = {}
        for child in self._body_parts(node):
            if child.type == "param_block":
                parameters, attributes = self.param_block(child)
            elif child.type == "statement_list":
                blocks["end"] = Block(statements=self.statements(child), line=self.line(child))
            elif child.type == "named_block_list":
                blocks.update(self.named_blocks(child))
            elif child.type == "function_parameter_declaration":
                parameters = self.parameter_list(child)
        return ScriptBody(
            parameters=parameters, attributes=attributes, text=text, line=self.line(node),
            begin=blocks.get("begin"), process=blocks.get("process"), end=blocks.get("end"),
        )  # fmt: skip

    def _body_parts(self, node: TreeNode) -> list[TreeNode]:
        parts: list[TreeNode] = []
        for child in node.named_children:
            if child.type in ("script_block", "script_block_body"):
                parts.extend(self._body_parts(child))
            elif child.type in ("command_name", "function_name", "empty_statement"):
                continue
            elif child.type in (
                "param_block", "statement_list", "named_block_list", "function_parameter_declaration",
            ):  # fmt: skip
                parts.append(child)
            else:
                raise self.reader.refuse(child, "this in a script block")
        return parts

    def named_blocks(self, node: TreeNode) -> dict[str, Block]:
        """Return `begin`, `process`, `end`."""
        found: dict[str, Block] = {}
        for named in node.named_children:
            name = self.reader.text(named.named_children[0]).lower()
            if name not in ("begin", "process", "end") or name in found:
                raise self.reader.refuse(named, "this named block")
            found[name] = self.block(named.named_children[1])
        return found

    # -- pipelines

    def pipeline(self, node: TreeNode) -> Statement:
        """Return what a `pipeline` node holds."""
        if len(node.named_children) != 1:
            raise self.reader.refuse(node, "a chain of pipelines")
        return self.statement(node.named_children[0])

    def single(self, node: TreeNode) -> Statement:
        """Return a command as a pipeline of one."""
        return nodes.Pipeline(elements=(self.command(node),), line=self.line(node))

    def expression_statement(self, node: TreeNode) -> Statement:
        """Return an expression as a pipeline of one."""
        element = nodes.ExpressionElement(
            expression=self.expression(node), redirections=(), line=self.line(node)
        )
        return nodes.Pipeline(elements=(element,), line=self.line(node))

    def pipeline_chain(self, node: TreeNode) -> Statement:
        """Return elements joined by `|`."""
        elements: list[nodes.ExpressionElement | nodes.Command] = []
        for child in node.children:
            if child.type == "|":
                continue
            if child.type == "command":
                elements.append(self.command(child))
            elif child.type == "redirections":
                last = elements.pop()
                assert isinstance(last, nodes.ExpressionElement)
                elements.append(self.redirected(last, child))
            elif not elements:
                inner = core(child)
                elements.append(
                    self.command(inner)
                    if inner.type == "command"
                    else nodes.ExpressionElement(
                        expression=self.expression(child), redirections=(), line=self.line(child)
                    )
                )
            else:
                raise self.reader.refuse(child, "this in a pipeline")
        return nodes.Pipeline(elements=tuple(elements), line=self.line(node))

    def redirected(self, element: nodes.ExpressionElement, node: TreeNode) -> nodes.ExpressionElement:
        """Return an expression with its redirections."""
        start, end = self.reader.span(node)
        arguments, redirections = ArgumentScanner(self, start, end).scan()
        if arguments:
            raise self.reader.refuse(node, "this redirection")
        return nodes.ExpressionElement(
            expression=element.expression, redirections=redirections, line=element.line
        )

    def command(self, node: TreeNode) -> nodes.Command:
        """Return a command; its arguments are read from the text, as PowerShell's tokenizer does."""
        named = [
            c for c in node.children if c.type not in ("command_invokation_operator", "command_elements")
        ]
        call = [c for c in node.children if c.type == "command_invokation_operator"]
        if len(named) != 1 or len(call) > 1:
            raise self.reader.refuse(node, "this command")
        (begin, start), end = self.reader.span(named[0]), self.reader.span(node)[1]
        self._check_end(node, end)
        if call:
            scanner = ArgumentScanner(self, begin, end)
            name: str | nodes.Expression = scanner.head()
        else:
            scanner = ArgumentScanner(self, start, end)
            name = self.command_name(named[0])
        arguments, redirections = scanner.scan()
        return nodes.Command(
            name=name, call=self.reader.text(call[0]) if call else "", arguments=arguments,
            redirections=redirections, line=self.line(node),
        )  # fmt: skip

    def _check_end(self, node: TreeNode, end: int) -> None:
        following = self.reader.masked.text[end : self.reader.end].lstrip(" ")[:1]
        if following and following not in "|;)}\n" and self.reader.masked.text[end - 1] not in "\n;":
            raise self.reader.refuse(node, "where this command ends")

    def command_name(self, node: TreeNode) -> str:
        """Return a command's name as written."""
        inner = core(node)
        text = self.reader.text(inner)
        odd = any(c in text for c in "\"'`$<>\u2018\u2019\u201c\u201d") or text[:1].isdigit()
        if inner.type != "command_name" or odd:
            raise self.reader.refuse(node, "this command name")
        if text.lower() in _NOT_COMMANDS:
            raise self.reader.refuse(node, "this keyword here")
        return text

    # -- assignment and control flow

    def assignment(self, node: TreeNode) -> Statement:
        """Return `target op= value`."""
        target, operator, value = node.named_children
        return nodes.Assignment(
            target=self.assignment_target(target), operator=self.reader.text(operator),
            value=self.statement(value), line=self.line(node),
        )  # fmt: skip

    def if_statement(self, node: TreeNode) -> Statement:
        """Return `if`, with all its `elseif`."""
        condition = self.statement(node.named_children[0])
        clauses = [(condition, self.block(node.named_children[1]))]
        otherwise: Block | None = None
        for child in node.named_children[2:]:
            if child.type == "elseif_clauses":
                for clause in child.named_children:
                    first, second = clause.named_children
                    clauses.append((self.statement(first), self.block(second)))
            elif child.type == "else_clause":
                otherwise = self.block(child.named_children[0])
            else:
                raise self.reader.refuse(child, "this in an if")
        return nodes.If(clauses=tuple(clauses), otherwise=otherwise, line=self.line(node))

    def while_statement(self, node: TreeNode) -> Statement:
        """Return `while`."""
        condition, body = node.named_children
        return nodes.While(
            condition=self.statement(core(condition)), body=self.block(body), line=self.line(node)
        )

    def do_statement(self, node: TreeNode) -> Statement:
        """Return `do { } while` or `until`."""
        body, condition = node.named_children
        until = any(c.type == "until" or self.reader.text(c).lower() == "until" for c in node.children)
        return nodes.DoLoop(
            condition=self.statement(core(condition)),
            body=self.block(body),
            until=until,
            line=self.line(node),
        )

    def for_statement(self, node: TreeNode) -> Statement:
        """Return `for`."""
        parts: dict[str, Statement] = {}
        body: Block | None = None
        for child in node.named_children:
            if child.type == "statement_block":
                body = self.block(child)
            elif child.type in ("for_initializer", "for_condition", "for_iterator"):
                parts[child.type] = self.statement(core(child))
            else:
                raise self.reader.refuse(child, "this in a for")
        assert body is not None
        return nodes.For(
            start=parts.get("for_initializer"), condition=parts.get("for_condition"),
            step=parts.get("for_iterator"), body=body, line=self.line(node),
        )  # fmt: skip

    def foreach_statement(self, node: TreeNode) -> Statement:
        """Return `foreach`."""
        if len(node.named_children) != 3:  # noqa: PLR2004 - variable, items, body
            raise self.reader.refuse(node, "this form of foreach")
        variable, items, body = node.named_children
        name = self.expression(variable)
        if not isinstance(name, nodes.Variable) or name.scope:
            raise self.reader.refuse(variable, "this loop variable")
        return nodes.Foreach(
            variable=name, items=self.statement(items), body=self.block(body), line=self.line(node)
        )

    def switch_statement(self, node: TreeNode) -> Statement:
        """Return `switch`."""
        mode, case_sensitive, subject = "exact", False, None
        clauses: list[tuple[nodes.Expression | None, Block]] = []
        for child in node.named_children:
            if child.type == "switch_parameters":
                for parameter in child.named_children:
                    name = self.reader.text(parameter).lower().lstrip("-")
                    case_sensitive = case_sensitive or name == "casesensitive"
                    mode = name if name in ("regex", "wildcard", "exact") else mode
                    if name not in ("regex", "wildcard", "exact", "casesensitive"):
                        raise self.reader.refuse(parameter, "this parameter of switch")
            elif child.type == "switch_condition" and child.child_count == 3:  # noqa: PLR2004 - in parentheses
                subject = self.statement(child.named_children[0])
            elif child.type == "switch_body":
                clauses = self.switch_clauses(child)
            else:
                raise self.reader.refuse(child, "this in a switch")
        assert subject is not None
        return nodes.Switch(
            mode=mode,
            case_sensitive=case_sensitive,
            subject=subject,
            clauses=tuple(clauses),
            line=self.line(node),
        )

    def switch_clauses(self, body: TreeNode) -> list[tuple[nodes.Expression | None, Block]]:
        """Return the clauses of a `switch`, the default with None."""
        found: list[tuple[nodes.Expression | None, Block]] = []
        for holder in body.named_children:
            for clause in holder.named_children:
                condition, block = clause.named_children
                text = self.reader.text(condition)
                if text.lower() == "default":
                    found.append((None, self.block(block)))
                    continue
                start, end = self.reader.span(condition)
                arguments, redirections = ArgumentScanner(self, start, end).scan()
                if (
                    len(arguments) != 1
                    or redirections
                    or arguments[0].value is None
                    or arguments[0].parameter
                ):
                    raise self.reader.refuse(condition, "this condition of a switch")
                found.append((arguments[0].value, self.block(block)))
        return found

    def try_statement(self, node: TreeNode) -> Statement:
        """Return `try` with its clauses."""
        body = self.block(node.named_children[0])
        catches: list[tuple[tuple[nodes.TypeSpec, ...], Block]] = []
        finally_body: Block | None = None
        for child in node.named_children[1:]:
            if child.type == "catch_clauses":
                for clause in child.named_children:
                    types: tuple[nodes.TypeSpec, ...] = ()
                    if clause.named_children[0].type == "catch_type_list":
                        types = tuple(self.type_spec(t) for t in clause.named_children[0].named_children)
                    catches.append((types, self.block(clause.named_children[-1])))
            elif child.type == "finally_clause":
                finally_body = self.block(child.named_children[0])
            else:
                raise self.reader.refuse(child, "this in a try")
        if not catches and finally_body is None:
            raise self.reader.refuse(node, "a try without catch and finally")
        return nodes.Try(body=body, catches=tuple(catches), finally_body=finally_body, line=self.line(node))

    def flow(self, node: TreeNode) -> Statement:
        """Return `break`, `continue`, `return`, `throw`, `exit`."""
        kind = self.reader.text(node.children[0]).lower()
        value = None
        if node.named_children:
            if kind in ("break", "continue"):
                raise self.reader.refuse(node, "a label")
            if "\n" in self.reader.gap(node.children[0], node.named_children[0]):
                raise self.reader.refuse(node, "a value on the next line")
            value = self.statement(node.named_children[0])
        return nodes.Flow(kind=kind, value=value, line=self.line(node))

    def function(self, node: TreeNode) -> Statement:
        """Return `function` or `filter`."""
        kind = self.reader.text(node.children[0]).lower()
        name = self.reader.text(node.named_children[0])
        if kind not in ("function", "filter") or any(c in name for c in "\"'`$()") or ":" in name:
            raise self.reader.refuse(node, "this kind of function")
        start, end = self.reader.source_span(node)
        text = self.reader.masked.source[start:end]
        body = self.script_body(node, text[text.index("{") + 1 : -1])
        if kind == "filter":
            if body.begin or body.process:
                raise self.reader.refuse(node, "a filter with named blocks")
            body = ScriptBody(
                parameters=body.parameters, attributes=body.attributes, begin=None, process=body.end,
                end=None,
                text=body.text, line=body.line,
            )  # fmt: skip
        return nodes.FunctionDefinition(name=name, body=body, line=self.line(node))
