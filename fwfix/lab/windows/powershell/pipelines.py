"""Pipelines: finding commands, joining them, running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.binding import RawArgument
from fwfix.lab.windows.powershell.command_names import ALIASES, DESKTOP_ALIASES, is_real_command
from fwfix.lab.windows.powershell.core import Sink, Streams
from fwfix.lab.windows.powershell.errors import error
from fwfix.lab.windows.powershell.functions import FunctionStage
from fwfix.lab.windows.powershell.natives import run_native
from fwfix.lab.windows.powershell.scopes import Cell, Scope
from fwfix.lab.windows.powershell.signals import NotInDialect, ReturnSignal, StopUpstream
from fwfix.lab.windows.powershell.stages import (
    CmdletStage,
    Context,
    ContextStage,
    NativeStage,
    Stage,
    common_action,
)
from fwfix.lab.windows.powershell.statements import Statements
from fwfix.lab.windows.powershell.values import (
    EMPTY,
    Hashtable,
    NetList,
    ScriptBlock,
    Value,
    collected,
    items_of,
    plain,
)  # fmt: skip


class Pipelines(Statements):
    """Runs pipelines."""

    def run_pipeline(self, node: nodes.Pipeline, sink: Sink) -> None:
        """Run a pipeline; what comes out at its end goes to the sink."""
        first = node.elements[0]
        if isinstance(first, nodes.ExpressionElement):
            if len(node.elements) == 1:
                self._run_expression(first, sink)
                return
            commands = node.elements[1:]
        else:
            commands = node.elements
        stages = self._build(commands, sink, has_input=isinstance(first, nodes.ExpressionElement))
        self.success = True
        if isinstance(first, nodes.ExpressionElement):
            self._run_stages(stages, lambda push: self._run_expression(first, push))
        else:
            self._run_stages(stages, None)
        if self.success is False and any(self._is_function(s) for s in stages):
            self.success = None

    @staticmethod
    def _is_function(stage: Stage) -> bool:
        return isinstance(stage, ContextStage) and isinstance(stage.inner, _Counted)

    def _run_expression(self, element: nodes.ExpressionElement, sink: Sink) -> None:
        streams, target = self.redirect(element.redirections, sink)
        saved, self.streams = self.streams, streams
        try:
            value = self.evaluate(element.expression)
            if not isinstance(element.expression, nodes.Step):
                self.emit(value, target)
        finally:
            self.streams = saved
        self.success = True

    def _build(self, commands: tuple[nodes.Node, ...], sink: Sink, *, has_input: bool) -> list[Stage]:
        stages: list[Stage] = []
        target = sink
        for number in range(len(commands) - 1, -1, -1):
            command = commands[number]
            if not isinstance(command, nodes.Command):
                raise NotInDialect("an expression inside a pipeline", line=command.line)
            stage = self.stage(command, target, has_input=has_input or number > 0)
            stages.insert(0, stage)
            target = self._push(stage)
        return stages

    @staticmethod
    def _push(stage: Stage) -> Sink:
        return lambda item: stage.process(item, has_item=True)

    def _run_stages(self, stages: list[Stage], feed: Callable[[Sink], None] | None) -> None:
        """Begin all, feed the first, end all; a stage may say that it has enough."""
        for stage in stages:
            stage.begin()
        stopped_at = -1
        try:
            if feed is not None:
                feed(self._push(stages[0]))
            else:
                stages[0].process(None, has_item=False)
        except StopUpstream as exc:
            stopped_at = self._position(stages, exc)
        for number, stage in enumerate(stages):
            if number < stopped_at:
                continue
            try:
                stage.end()
            except StopUpstream as exc:
                stopped_at = self._position(stages, exc)

    @staticmethod
    def _position(stages: list[Stage], exc: StopUpstream) -> int:
        for number, stage in enumerate(stages):
            inner = stage.inner if isinstance(stage, ContextStage) else stage
            if isinstance(inner, CmdletStage) and inner.processor is exc.stage:
                return number
        raise exc

    # -- one command

    def stage(self, node: nodes.Command, sink: Sink, *, has_input: bool) -> Stage:
        """Return the running form of a command, its arguments evaluated."""
        try:
            return self._stage(node, sink, has_input=has_input)
        except NotInDialect as exc:
            raise exc.at(node.line, node.name if isinstance(node.name, str) else "") from exc

    def _stage(self, node: nodes.Command, sink: Sink, *, has_input: bool) -> Stage:
        name: Value = node.name
        if isinstance(name, nodes.Expression):
            name = self.value(name)
        streams, target = self.redirect(node.redirections, sink)
        context = Context(self, self.scope, streams, self.action)
        if isinstance(name, ScriptBlock):
            arguments = self.arguments(node)
            return self._function(
                "", name.body, arguments, target, context, has_input=has_input, dot=node.call == "."
            )
        if not isinstance(name, str):
            raise NotInDialect("a command that is neither a name nor a script block")
        if node.call == ".":
            raise NotInDialect("dot-sourcing of something else than a script block")
        return self._named(name, node, target, context, has_input=has_input)

    def _named(
        self, name: str, node: nodes.Command, sink: Sink, context: Context, *, has_input: bool
    ) -> Stage:
        lowered = name.lower()
        aliases = {**ALIASES, **DESKTOP_ALIASES} if self.edition.desktop else ALIASES
        lowered = aliases.get(lowered, lowered)
        function = self.scope.find_function(lowered)
        if function is not None:
            arguments = self.arguments(node)
            return self._function(function.name, function.body, arguments, sink, context, has_input=has_input)
        command = self.commands.get(lowered) or self.commands.get(lowered.rsplit("\\", 1)[-1])
        if command is not None and self._available(
            command.since, desktop=command.desktop_only, core=command.core_only
        ):
            arguments = self.arguments(node)
            inner = CmdletStage(self, command, arguments, sink, has_input=has_input)
            context.action = common_action(inner.bound.common, self) or self.action
            self._error_variable(inner.bound.common, context)
            return ContextStage(context, inner)
        native = self.host.native(name)
        if native is not None and not is_real_command(lowered):
            strings = self.native_arguments(node)
            return ContextStage(
                context, NativeStage(lambda items: run_native(self, native, strings, items, sink, node))
            )
        desktop_cmdlet = self.edition.desktop and "-" in name
        if is_real_command(lowered) or desktop_cmdlet or any(c in name for c in "\\/.:"):
            raise NotInDialect(f"the command {name}")
        failed = error(
            f"The term '{name}' is not recognized as a name of a cmdlet, function, script file, or "
            "executable program."
            "\nCheck the spelling of the name, or if a path was included, verify that the path is "
            "correct and try again."
            if not self.edition.desktop else None,
            "CommandNotFoundException", kind="System.Management.Automation.CommandNotFoundException",
            category="ObjectNotFound", target=name,
        )  # fmt: skip
        raise failed

    def _available(self, since: tuple[int, int], *, desktop: bool, core: bool) -> bool:
        if self.edition.version < since:
            return False
        return not (desktop and not self.edition.desktop) and not (core and self.edition.desktop)

    def _error_variable(self, common: dict[str, Value], context: Context) -> None:
        if "errorvariable" not in common:
            return
        name = self.texts.of(common["errorvariable"])
        if name.startswith("+"):
            raise NotInDialect("adding to an error variable")
        context.error_variable = NetList()
        self.scope.define(name, context.error_variable)

    def _function(  # noqa: PLR0917 - .NET has them so, or all are of one kind
        self, name: str, body: nodes.ScriptBody, arguments: list[RawArgument], sink: Sink, context: Context,
        *,
        has_input: bool, dot: bool = False,
    ) -> Stage:  # fmt: skip
        self.enter()
        self.depth -= 1
        scope = self.scope if dot else Scope(parent=self.scope)
        inner = FunctionStage(self, name, body, arguments, sink, has_input=has_input, scope=scope)
        context.scope = scope
        context.action = None if common_action(inner.bound.common, self) else self.action
        self._error_variable(inner.bound.common, context)
        return ContextStage(context, _Counted(self, inner))

    # -- arguments

    def arguments(self, node: nodes.Command) -> list[RawArgument]:
        """Return the evaluated arguments."""
        found: list[RawArgument] = []
        only_values = False
        for argument in node.arguments:
            if argument.splat:
                found.extend(self._splatted(argument))
            elif argument.parameter and only_values:
                found.append(RawArgument(value="-" + argument.parameter))
            elif argument.parameter:
                value = self.value(argument.value) if argument.value is not None else None
                found.append(
                    RawArgument(name=argument.parameter, value=value, given=argument.value is not None)
                )
            elif argument.bare and isinstance(argument.value, nodes.Literal) and argument.value.value == "--":
                only_values = True
            else:
                assert argument.value is not None
                found.append(
                    RawArgument(value=self.value(argument.value), text=self._written(argument.value))
                )
        return found

    @staticmethod
    def _written(node: nodes.Expression) -> str:
        return node.text if isinstance(node, nodes.Literal) and not isinstance(node.value, str) else ""

    def _splatted(self, argument: nodes.Argument) -> Iterator[RawArgument]:
        assert argument.value is not None
        value = self.value(argument.value)
        if isinstance(value, Hashtable):
            for key, item in value.pairs():
                yield RawArgument(name=self.texts.of(key), value=item, given=True, splatted=True)
            return
        for item in items_of(value):
            if isinstance(item, str) and item.startswith("-"):
                raise NotInDialect("splatting an array with a parameter name in it")
            yield RawArgument(value=item)

    def native_arguments(self, node: nodes.Command) -> list[str]:
        """Return the arguments of a native program as strings."""
        found: list[str] = []
        for argument in node.arguments:
            if argument.parameter:
                if argument.value is not None:
                    raise NotInDialect("a parameter with a colon for a native program")
                found.append("-" + argument.parameter)
                continue
            assert argument.value is not None
            written = self._written(argument.value)
            plain = argument.bare and not written and isinstance(argument.value, nodes.Literal)
            if (
                plain
                and not self.edition.desktop
                and any(c in self.texts.of(self.value(argument.value)) for c in "*?[")
            ):
                raise NotInDialect("a wildcard for a native program")
            value = self.value(argument.value)
            if isinstance(value, Hashtable):
                raise NotInDialect("a hashtable for a native program")
            found.extend([written] if written else [self.texts.of(item) for item in items_of(value)])
        return found

    # -- redirection

    def redirect(self, redirections: tuple[nodes.Redirection, ...], sink: Sink) -> tuple[Streams, Sink]:
        """Return the streams and the output of something with redirections."""
        streams, target = self.streams, sink
        for redirection in redirections:
            merge = redirection.merge
            if not merge and not self._is_null(redirection.target):
                raise NotInDialect("a redirection to a file", line=redirection.line)
            if redirection.stream not in ("1", "2", "3", "6", "*") or (merge and redirection.stream != "2"):
                raise NotInDialect("this redirection", line=redirection.line)
            changed = Streams(streams.error, streams.host, streams.warning)
            if redirection.stream in ("2", "*"):
                changed.error = target if merge else _drop
            if redirection.stream in ("3", "*"):
                changed.warning = _drop
            if redirection.stream in ("6", "*"):
                changed.host = _drop
            if redirection.stream in ("1", "*"):
                target = _drop
            streams = changed
        return streams, target

    @staticmethod
    def _is_null(target: nodes.Expression | None) -> bool:
        return isinstance(target, nodes.Variable) and target.name.lower() == "null" and not target.scope

    # -- script blocks called by commands and members

    def call_block(
        self, block: ScriptBlock, arguments: list[Value], sink: Sink, *, item: Value = EMPTY,
        new_scope: bool = True,
        stdin: list[Value] | None = None,
    ) -> None:  # fmt: skip
        """Run a script block as a call of its own."""
        context = Context(self, self.scope, self.streams, self.action)
        raw = [RawArgument(value=a) for a in arguments]
        stage = self._function(
            "", block.body, raw, sink, context, has_input=stdin is not None, dot=not new_scope
        )
        if item is not EMPTY:
            context.scope.cells["_"] = Cell(item)
        stage.begin()
        for value in stdin if stdin is not None else ():
            stage.process(value, has_item=True)
        if stdin is None:
            stage.process(None, has_item=False)
        stage.end()

    def run_script_block_here(self, block: ScriptBlock, item: Value, sink: Sink) -> None:
        """Run a script block in the present scope; `item` becomes `$_`."""
        body = block.body
        if body.parameters or body.begin or body.process:
            raise NotInDialect("parameters or named blocks in a script block of a cmdlet")
        with self.current_item(item):
            if body.end is not None:
                try:
                    self.run_block(body.end, sink)
                except ReturnSignal:
                    return

    @contextmanager
    def current_item(self, item: Value) -> Iterator[None]:
        """Make an object `$_` for a while."""
        scope = self.scope
        saved = scope.cells.get("_")
        scope.cells["_"] = Cell(item)
        try:
            yield
        finally:
            if saved is None:
                scope.cells.pop("_", None)
            else:
                scope.cells["_"] = saved

    def block_value(self, block: ScriptBlock, item: Value) -> Value:
        """Return what a script block gives for an item."""
        items: list[Value] = []
        self.run_script_block_here(block, item, items.append)
        return plain(collected(items))


class _Counted:
    """A function's stage that counts how deep calls are nested."""

    def __init__(self, engine: Pipelines, inner: FunctionStage) -> None:
        self.engine = engine
        self.inner = inner

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self.engine.enter()
        try:
            yield
        finally:
            self.engine.depth -= 1

    def begin(self) -> None:
        """Start."""
        with self._deeper():
            self.inner.begin()

    def process(self, item: Value, *, has_item: bool) -> None:
        """Take one object."""
        with self._deeper():
            self.inner.process(item, has_item=has_item)

    def end(self) -> None:
        """Finish."""
        with self._deeper():
            self.inner.end()


def _drop(_: object) -> None:
    """Take nothing."""
