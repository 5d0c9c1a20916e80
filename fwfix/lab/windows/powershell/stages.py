"""The running parts of a pipeline: cmdlets, functions, native programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fwfix.lab.windows.powershell.binding import Binder, Bound, RawArgument
from fwfix.lab.windows.powershell.core import Sink, Streams
from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.scopes import Scope
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, Parameter
from fwfix.lab.windows.powershell.values import Array, EnumValue, NetList, PSObject, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core


class Stage(Protocol):
    """One running command of a pipeline."""

    def begin(self) -> None:
        """Start."""

    def process(self, item: Value, *, has_item: bool) -> None:
        """Take one object, or run once without input."""

    def end(self) -> None:
        """Finish."""


@dataclass(slots=True)
class Context:
    """What a stage runs in; entering another stage changes it for that while."""

    engine: Core
    scope: Scope
    streams: Streams
    action: str | None
    error_variable: NetList | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run something in this context."""
        engine = self.engine
        saved = engine.scope, engine.streams, engine.action, engine.error_variable
        engine.scope, engine.streams = self.scope, self.streams
        engine.action, engine.error_variable = self.action, self.error_variable
        try:
            yield
        finally:
            engine.scope, engine.streams, engine.action, engine.error_variable = saved


class ContextStage:
    """Runs another stage in a context."""

    def __init__(self, context: Context, inner: Stage) -> None:
        self.context = context
        self.inner = inner

    def begin(self) -> None:
        """Start."""
        with self.context.active():
            self.inner.begin()

    def process(self, item: Value, *, has_item: bool) -> None:
        """Take one object."""
        with self.context.active():
            self.inner.process(item, has_item=has_item)

    def end(self) -> None:
        """Finish."""
        with self.context.active():
            self.inner.end()


class PipelineBinder:
    """Binds objects of the pipeline to parameters that nothing else has bound."""

    def __init__(self, binder: Binder, bound: Bound) -> None:
        self.binder = binder
        self.bound = bound
        self.open = [p for p in binder.parameters if p.name.lower() not in bound.values]

    def bind(self, item: Value) -> dict[str, Value] | None:
        """Return what an object gives to which parameters; None if it fits none."""
        for convert in (False, True):
            found: dict[str, Value] = {}
            sets = self._sets()
            for parameter in self.open:
                for name in sets:
                    how = parameter.binding(name)
                    if how is None or parameter.name.lower() in found:
                        continue
                    if how.pipeline and (value := self._fit(parameter, item, convert=convert)) is not None:
                        found[parameter.name.lower()] = value[0]
                    elif how.by_property:
                        self._by_property(parameter, item, found, convert=convert)
            if found:
                return found
        return None

    def _sets(self) -> list[str]:
        return self.binder.sets

    def _by_property(
        self, parameter: Parameter, item: Value, found: dict[str, Value], *, convert: bool
    ) -> None:
        if not isinstance(item, PSObject):
            return
        for name in (parameter.name, *parameter.aliases):
            known = item.properties.get(name.lower())
            if known is not None:
                value = self._fit(parameter, known.value, convert=convert)
                if value is not None:
                    found[parameter.name.lower()] = value[0]
                return

    def _fit(self, parameter: Parameter, value: Value, *, convert: bool) -> tuple[Value] | None:
        """Return the value if the parameter takes it; converted only on the second round."""
        if parameter.ps_type:
            fits = isinstance(value, PSObject) and parameter.ps_type in value.type_names
            if not fits:
                return None
            return (Array([value]),) if self._is_array(parameter) else (value,)
        if value is None:
            return (
                (None,)
                if not any(b.mandatory for b in parameter.sets.values()) or parameter.allow_null
                else None
            )
        kind = self.binder.kind(parameter)
        if kind is None or kind.full_name == "System.Object":
            return (value,)
        if not convert:
            own = self.binder.convert.type_of(value)
            if own.derives_from(kind.full_name) or (kind.element and own.full_name == kind.element):
                return (self.binder.convert.to(value, kind),)
            return None
        try:
            return (self.binder.converted(parameter, RawArgument(value=value)),)
        except PSError:
            return None

    def _is_array(self, parameter: Parameter) -> bool:
        kind = self.binder.kind(parameter)
        return kind is not None and kind.full_name.endswith("[]")


class CmdletStage:
    """A command of the engine or a stand-in."""

    def __init__(
        self, engine: Core, command: Command, arguments: list[RawArgument], sink: Sink, *, has_input: bool
    ) -> None:
        name = command.error_name or command.name
        self.engine = engine
        self.binder = Binder(
            name, command.parameters, engine.convert, advanced=True, default_set=command.default_set,
            should_process=command.should_process,
            complete=command.complete,
        )  # fmt: skip
        self.bound = self.binder.bind(arguments, has_input=has_input)
        self.invocation = Invocation(command, engine, dict(self.bound.values), self.bound.set_name, sink)
        self.invocation.preferences = self.bound.common
        self.invocation.has_input = has_input
        self.pipeline = PipelineBinder(self.binder, self.bound)
        self.processor = command.make(self.invocation)

    def begin(self) -> None:
        """Start."""
        self.processor.begin()

    def process(self, item: Value, *, has_item: bool) -> None:
        """Bind one object and take it."""
        self.engine.tick()
        self.invocation.item = item
        if has_item:
            found = self.pipeline.bind(item)
            if found is None:
                kind = "System.Management.Automation.ParameterBindingException"
                self.invocation.write_error(
                    None, "InputObjectNotBound", category="InvalidArgument", kind=kind
                )
                return
            self.invocation.values = {**self.bound.values, **found}
        self.processor.process()

    def end(self) -> None:
        """Finish."""
        self.processor.end()


def common_action(common: dict[str, Value], engine: Core) -> str | None:
    """Return the error action that was given with a call, in lower case."""
    if "erroraction" not in common:
        return None
    value = common["erroraction"]
    text = (
        (value.kind.name_of(value.number) or "") if isinstance(value, EnumValue) else engine.texts.of(value)
    )
    known = ("continue", "stop", "silentlycontinue", "ignore")
    matches = [k for k in known if k == text.lower()]
    if not matches:
        raise NotInDialect(f"-ErrorAction {text}")
    return matches[0]


@dataclass(slots=True)
class NativeStage:
    """A native program; it runs once its input is complete."""

    run: Callable[[list[Value]], None]
    items: list[Value] = field(default_factory=list)

    def begin(self) -> None:
        """Nothing to do."""

    def process(self, item: Value, *, has_item: bool) -> None:
        """Keep the input."""
        if has_item:
            self.items.append(item)

    def end(self) -> None:
        """Run the program."""
        self.run(self.items)
