"""Statements: flow, loops, try, functions."""

from __future__ import annotations

from collections.abc import Callable

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.core import Sink
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.evaluator import Evaluator
from fwfix.lab.windows.powershell.regexes import wildcard
from fwfix.lab.windows.powershell.scopes import Cell, Function
from fwfix.lab.windows.powershell.signals import (
    BreakSignal,
    Cancelled,
    ContinueSignal,
    ExitSignal,
    NotInDialect,
    ReturnSignal,
)  # fmt: skip
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    ErrorRecord,
    NetException,
    ScriptBlock,
    Value,
    collected,
    enumerate_value,
    is_list,
    items_of,
    plain,
)  # fmt: skip

_MAX_DEPTH = 60


class Statements(Evaluator):
    """Runs statements."""

    def prepare(self) -> None:
        """Build the table of handlers."""
        super().prepare()
        self.runners: dict[type, Callable[..., None]] = {
            nodes.Pipeline: self.run_pipeline,
            nodes.Assignment: self.assignment,
            nodes.If: self.if_statement,
            nodes.While: self.while_statement,
            nodes.DoLoop: self.do_loop,
            nodes.For: self.for_statement,
            nodes.Foreach: self.foreach,
            nodes.Switch: self.switch,
            nodes.Try: self.try_statement,
            nodes.Flow: self.flow,
            nodes.FunctionDefinition: self.define_function,
        }

    def run_block(self, block: nodes.Block, sink: Sink) -> None:
        """Run statements; an error that nobody catches ends its statement only."""
        for statement in block.statements:
            try:
                self.run_statement(statement, sink)
            except PSError as exc:
                if not self.survives(exc):
                    raise

    def survives(self, exc: PSError) -> bool:
        """Report an error that ends its statement only; false if it goes further up."""
        if self.try_depth or exc.thrown:
            if exc.thrown and not self.try_depth and self.error_action() in ("silentlycontinue", "ignore"):
                raise NotInDialect("throw under a silent $ErrorActionPreference")
            return False
        action = self.error_action()
        if action == "stop":
            exc.thrown = True
            return False
        self.success = False
        self.remember(exc.record)
        if action == "continue":
            self.streams.error(exc.record)
        return True

    def run_statement(self, node: nodes.Statement, sink: Sink) -> None:
        """Run one statement."""
        self.tick()
        try:
            self.runners[type(node)](node, sink)
        except NotInDialect as exc:
            raise exc.at(node.line, "") from exc
        except PSError as exc:
            if not exc.record.line:
                exc.record.line = node.line
            self.success = False
            raise

    def statement_value(self, node: nodes.Statement) -> Value:
        """Return what an assignment or a parenthesis gets from a statement."""
        if isinstance(node, nodes.Pipeline) and len(node.elements) == 1:
            element = node.elements[0]
            if isinstance(element, nodes.ExpressionElement) and not element.redirections:
                value = self.evaluate(element.expression)
                self.success = True
                return value
        if isinstance(node, nodes.Assignment):
            self.assignment(node, lambda _: None)
            return self.value(self._inner_target(node.target))
        items: list[Value] = []
        self.run_statement(node, items.append)
        return collected(items)

    @staticmethod
    def _inner_target(target: nodes.Expression) -> nodes.Expression:
        while isinstance(target, nodes.Cast):
            target = target.operand
        if isinstance(target, nodes.ArrayLiteral):
            raise NotInDialect("an assignment to several variables as a value", line=target.line)
        return target

    def assignment(self, node: nodes.Assignment, sink: Sink) -> None:
        """Run `target op= value`."""
        del sink
        operator = node.operator
        if operator == "=":
            value = self.statement_value(node.value)
        elif operator in ("+=", "-=", "*=", "/=", "%="):
            old = self.value(self._inner_target(node.target))
            found = self.statement_value(node.value)
            if found is EMPTY and is_list(old):
                raise NotInDialect("adding what is nothing to a list", line=node.line)
            value = self.ops.binary(operator[0], old, plain(found))
        else:
            raise NotInDialect(f"the operator {operator}", line=node.line)
        self.assign(node.target, value)
        if operator == "=" and self._is_expression(node.value):
            self.success = True

    @staticmethod
    def _is_expression(node: nodes.Statement) -> bool:
        return isinstance(node, nodes.Pipeline) and isinstance(node.elements[-1], nodes.ExpressionElement)

    def condition(self, node: nodes.Statement) -> bool:
        """Return a condition."""
        return self.convert.to_bool(self.statement_value(node))

    def if_statement(self, node: nodes.If, sink: Sink) -> None:
        """Run `if`."""
        for condition, block in node.clauses:
            if self.condition(condition):
                self.run_block(block, sink)
                return
        if node.otherwise is not None:
            self.run_block(node.otherwise, sink)

    def _iteration(self, body: nodes.Block, sink: Sink) -> bool:
        """Run a loop's body once; false after `break`."""
        self.tick()
        try:
            self.run_block(body, sink)
        except ContinueSignal:
            pass
        except BreakSignal:
            return False
        return True

    def while_statement(self, node: nodes.While, sink: Sink) -> None:
        """Run `while`."""
        while self.condition(node.condition):
            if not self._iteration(node.body, sink):
                return

    def do_loop(self, node: nodes.DoLoop, sink: Sink) -> None:
        """Run `do`."""
        while self._iteration(node.body, sink):
            if self.condition(node.condition) is node.until:
                return

    def for_statement(self, node: nodes.For, sink: Sink) -> None:
        """Run `for`."""
        nothing: list[Value] = []
        if node.start is not None:
            self.run_statement(node.start, nothing.append)
        while node.condition is None or self.condition(node.condition):
            if not self._iteration(node.body, sink):
                return
            if node.step is not None:
                self.run_statement(node.step, nothing.append)

    def foreach(self, node: nodes.Foreach, sink: Sink) -> None:
        """Run `foreach`."""
        value = self.statement_value(node.items)
        if value is None or value is EMPTY:
            return
        for item in self.members.iterate(value):
            self.write(node.variable, item)
            if not self._iteration(node.body, sink):
                return

    def switch(self, node: nodes.Switch, sink: Sink) -> None:
        """Run `switch`; every clause that fits runs."""
        value = self.statement_value(node.subject)
        items = [None] if value is None else items_of(value)
        saved = self.scope.cells.get("_")
        try:
            for item in items:
                self.scope.cells["_"] = Cell(item)
                try:
                    self._switch_item(node, item, sink)
                except ContinueSignal:
                    continue
                except BreakSignal:
                    return
        finally:
            self._restore_item(saved)

    def _restore_item(self, saved: Cell | None) -> None:
        if saved is None:
            self.scope.cells.pop("_", None)
        else:
            self.scope.cells["_"] = saved

    def _switch_item(self, node: nodes.Switch, item: Value, sink: Sink) -> None:
        hit = False
        for condition, block in node.clauses:
            if condition is not None and self._fits(node, condition, item):
                hit = True
                self.run_block(block, sink)
        if not hit:
            for condition, block in node.clauses:
                if condition is None:
                    self.run_block(block, sink)

    def _fits(self, node: nodes.Switch, condition: nodes.Expression, item: Value) -> bool:
        value = self.value(condition)
        if isinstance(value, ScriptBlock):
            return self.convert.to_bool(self.block_value(value, item))
        if node.mode == "exact":
            return (
                self.ops.compare.equal(item, value, ignore_case=not node.case_sensitive)
                if not isinstance(item, str)
                else self.ops.compare.equal(item, self.texts.of(value), ignore_case=not node.case_sensitive)
            )
        text = self.texts.of(item)
        if node.mode == "wildcard":
            pattern = wildcard(self.texts.of(value), ignore_case=not node.case_sensitive)
            return pattern.fullmatch(text) is not None
        return bool(self.ops.binary("cmatch" if node.case_sensitive else "match", text, value))

    # -- try

    def try_statement(self, node: nodes.Try, sink: Sink) -> None:
        """Run `try`; what `finally` throws replaces what was on its way."""
        try:
            self._guarded(node, sink)
        except (NotInDialect, Cancelled):
            raise
        except BaseException:
            if node.finally_body is not None:
                self.run_block(node.finally_body, sink)
            raise
        if node.finally_body is not None:
            self.run_block(node.finally_body, sink)

    def _guarded(self, node: nodes.Try, sink: Sink) -> None:
        if not node.catches:
            self.run_block(node.body, sink)
            return
        self.try_depth += 1
        error_: PSError | None = None
        try:
            self.run_block(node.body, sink)
        except PSError as exc:
            error_ = exc
        finally:
            self.try_depth -= 1
        if error_ is None:
            return
        self.remember(error_.record)
        block = self.catch_for(node, error_.record)
        if block is None:
            raise error_
        self._run_catch(block, error_, sink)

    def _run_catch(self, block: nodes.Block, error_: PSError, sink: Sink) -> None:
        saved = self.scope.cells.get("_")
        self.scope.cells["_"] = Cell(error_.record)
        try:
            self.run_block(block, sink)
        finally:
            self._restore_item(saved)

    def catch_for(self, node: nodes.Try, record: ErrorRecord) -> nodes.Block | None:
        """Return the catch that takes an error: the most special type wins, an inner exception counts too."""
        candidates: list[NetException] = [record.exception]
        if record.exception.inner is not None:
            candidates.append(record.exception.inner)
        for exception in candidates:
            kind = self.types.by_full_name(exception.type_name)
            for types, block in node.catches:
                for spec in types:
                    wanted = self.resolve(spec, node.line)
                    if wanted.full_name != "System.Exception" and kind.derives_from(wanted.full_name):
                        return block
        for types, block in node.catches:
            if not types or any(self.resolve(s, node.line).full_name == "System.Exception" for s in types):
                return block
        return None

    # -- flow

    def flow(self, node: nodes.Flow, sink: Sink) -> None:
        """Run `break`, `continue`, `return`, `throw`, `exit`."""
        if node.kind == "break":
            raise BreakSignal
        if node.kind == "continue":
            raise ContinueSignal
        if node.kind == "return":
            if node.value is not None:
                self.run_statement(node.value, sink)
            raise ReturnSignal
        value = plain(self.statement_value(node.value)) if node.value is not None else None
        if node.kind == "exit":
            raise ExitSignal(self._exit_status(value))
        raise self.thrown(value, bare=node.value is None)

    def _exit_status(self, value: Value) -> int:
        if value is None:
            return 0
        try:
            number = self.convert.to_number(value, "System.Int32")
        except PSError as exc:
            raise NotInDialect("exit with something else than a number") from exc
        assert isinstance(number, int)
        return number

    def thrown(self, value: Value, *, bare: bool) -> PSError:
        """Return the error of `throw`."""
        if bare:
            cell = self.scope.find("_")
            if cell is not None and isinstance(cell.value, ErrorRecord):
                return PSError(cell.value, thrown=True)
            return self._throw_text("ScriptHalted", "ScriptHalted", None)
        if isinstance(value, ErrorRecord):
            return PSError(value, thrown=True)
        if isinstance(value, NetException):
            record = ErrorRecord(value, value.message, "OperationStopped", value)
            value.record = record
            return PSError(record, thrown=True)
        if value is None:
            return self._throw_text("ScriptHalted", "ScriptHalted", None)
        text = self.texts.of(value)
        return self._throw_text(text, text, value)

    @staticmethod
    def _throw_text(text: str, error_id: str, target: Value) -> PSError:
        exception = NetException("System.Management.Automation.RuntimeException", text)
        record = ErrorRecord(exception, error_id, "OperationStopped", target)
        exception.record = record
        return PSError(record, thrown=True)

    def define_function(self, node: nodes.FunctionDefinition, sink: Sink) -> None:
        """Define a function in the present scope."""
        del sink
        self.scope.functions[node.name.lower()] = Function(node.name, node.body)

    def emit(self, value: Value, sink: Sink) -> None:
        """Write a value into the pipeline: a list item by item."""
        items = enumerate_value(value)
        if items is None:
            sink(value)
            return
        for item in items:
            sink(item)

    def enter(self) -> None:
        """Count a call; a script that calls itself without end is refused."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise NotInDialect("calls nested this deep")
