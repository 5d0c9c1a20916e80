"""Functions and script blocks of the script: their parameters, scopes and blocks."""

from __future__ import annotations

import re
from collections.abc import Callable

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.binding import Binder, Bound, RawArgument
from fwfix.lab.windows.powershell.core import Core, Sink
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.nodes import ScriptBody
from fwfix.lab.windows.powershell.scopes import Cell, Scope
from fwfix.lab.windows.powershell.signals import NotInDialect, ReturnSignal
from fwfix.lab.windows.powershell.signature import ALL_SETS, Binding, Parameter, ValidationFailed
from fwfix.lab.windows.powershell.stages import PipelineBinder, common_action
from fwfix.lab.windows.powershell.typespecs import parse_type
from fwfix.lab.windows.powershell.values import (
    Array,
    Collection,
    Hashtable,
    Instance,
    NetList,
    Switch,
    Value,
    items_of,
)

_ADVANCED = ("cmdletbinding", "parameter")
_IGNORED_ATTRIBUTES = ("outputtype", "cmdletbinding", "alias")


class CommandRuntime(Instance):
    """`$PSCmdlet`."""

    net_type = "System.Management.Automation.PSScriptCmdlet"

    def __init__(self, name: str, set_name: str) -> None:
        self.name = name
        self.set_name = set_name


def is_advanced(body: ScriptBody) -> bool:
    """Say whether unknown parameters are errors."""
    attributes = (*body.attributes, *(a for p in body.parameters for a in p.attributes))
    return any(a.name.lower() in _ADVANCED for a in attributes)


def constant(node: nodes.Expression | None, engine: Core) -> Value:
    """Return the value of an attribute's argument; a name alone means true."""
    return True if node is None else engine.value(node)


class Signature:
    """The parameters of one script block, as the binder wants them."""

    def __init__(self, body: ScriptBody, engine: Core) -> None:
        self.engine = engine
        self.advanced = is_advanced(body)
        self.default_set = ""
        self.positional = True
        for attribute in body.attributes:
            self._command_attribute(attribute)
        explicit = any(
            name.lower() == "position"
            for p in body.parameters for a in p.attributes for name, _ in a.named
        )  # fmt: skip
        self.automatic_positions = self.positional and not explicit
        self.next_position = 0
        self.kinds: dict[str, NetType | None] = {}
        self.parameters = tuple(self._parameter(p) for p in body.parameters)

    def _command_attribute(self, attribute: nodes.Attribute) -> None:
        if attribute.name.lower() not in ("cmdletbinding", "outputtype"):
            raise NotInDialect(f"the attribute [{attribute.name}]", line=attribute.line)
        for name, node in attribute.named:
            lowered = name.lower()
            if lowered == "defaultparametersetname":
                self.default_set = self.engine.texts.of(constant(node, self.engine))
            elif lowered == "positionalbinding":
                self.positional = bool(constant(node, self.engine))
            else:
                raise NotInDialect(f"{name} of [{attribute.name}]", line=attribute.line)

    def _parameter(self, declared: nodes.ParameterDeclaration) -> Parameter:
        if len(declared.types) > 1:
            raise NotInDialect("a parameter with several types", line=declared.line)
        kind = self.engine.resolve(declared.types[0], declared.line) if declared.types else None
        self.kinds[declared.name.lower()] = kind
        switch = kind is not None and kind.full_name.endswith("SwitchParameter")
        position = None
        if self.automatic_positions and not switch:
            position = self.next_position
            self.next_position += 1
        sets: dict[str, Binding] = {}
        checks: list[Callable[[Value], None]] = []
        aliases: list[str] = []
        flags: set[str] = set()
        for attribute in declared.attributes:
            lowered = attribute.name.lower()
            if lowered == "parameter":
                name, how = self._binding(attribute, position)
                sets[name] = how
            elif lowered == "alias":
                aliases.extend(self.engine.texts.of(self.engine.value(a)) for a in attribute.positional)
            elif lowered in ("allownull", "allowemptystring", "allowemptycollection"):
                flags.add(lowered)
            else:
                checks.append(self._check(attribute))
        return Parameter(
            name=declared.name, type=kind if kind is not None else "", aliases=tuple(aliases),
            validate=tuple(checks),
            sets=sets or {ALL_SETS: Binding(position=position)}, allow_null="allownull" in flags,
            allow_empty=bool(flags & {"allowemptystring", "allowemptycollection"}),
        )  # fmt: skip

    def _binding(self, attribute: nodes.Attribute, position: int | None) -> tuple[str, Binding]:
        known: dict[str, Value] = {}
        for name, node in attribute.named:
            known[name.lower()] = constant(node, self.engine)
        if attribute.positional:
            raise NotInDialect("this [Parameter()]", line=attribute.line)
        allowed = {
            "mandatory", "position", "valuefrompipeline", "valuefrompipelinebypropertyname",
            "parametersetname",
            "valuefromremainingarguments", "helpmessage",
        }  # fmt: skip
        if set(known) - allowed:
            raise NotInDialect(f"{(set(known) - allowed).pop()} of [Parameter()]", line=attribute.line)
        at = known.get("position", position)
        return self.engine.texts.of(known.get("parametersetname", ALL_SETS)), Binding(
            mandatory=bool(known.get("mandatory")), position=at if isinstance(at, int) else None,
            pipeline=bool(known.get("valuefrompipeline")),
            by_property=bool(known.get("valuefrompipelinebypropertyname")),
            remaining=bool(known.get("valuefromremainingarguments")),
        )  # fmt: skip

    def _check(self, attribute: nodes.Attribute) -> Callable[[Value], None]:
        lowered = attribute.name.lower()
        if attribute.named:
            raise NotInDialect(f"options of [{attribute.name}]", line=attribute.line)
        values = [self.engine.value(a) for a in attribute.positional]
        tests = self._item_tests(values)
        if lowered in tests:
            return lambda value: _each(value, tests[lowered])
        if lowered == "validatecount":
            return lambda value: self._count(value, values)
        if lowered in ("validatenotnullorempty", "validatenotnull"):
            return _not_empty if lowered == "validatenotnullorempty" else _not_null
        raise NotInDialect(f"the attribute [{attribute.name}]", line=attribute.line)

    def _item_tests(self, values: list[Value]) -> dict[str, Callable[[Value], bool]]:
        text = self.engine.texts.of
        compare = self.engine.ops.compare

        def matches(item: Value) -> bool:
            pattern = self.engine.ops.pattern(values[0], ignore_case=True)
            return pattern.python.search(text(item)) is not None

        return {
            "validateset": lambda i: any(text(i).lower() == text(o).lower() for o in values),
            "validaterange": lambda i: compare.order(i, values[0]) >= 0 >= compare.order(i, values[1]),
            "validatepattern": matches,
            "validatelength": lambda i: self._between(len(text(i)), values),
        }

    @staticmethod
    def _between(number: int, limits: list[Value]) -> bool:
        low, high = limits
        return isinstance(low, int) and isinstance(high, int) and low <= number <= high

    def _count(self, value: Value, limits: list[Value]) -> None:
        if not self._between(len(items_of(value)), limits):
            raise ValidationFailed


def _each(value: Value, test: Callable[[Value], bool]) -> None:
    for item in items_of(value):
        if not test(item):
            raise ValidationFailed


def _not_empty(value: Value) -> None:
    if value is None or (isinstance(value, str) and not value):
        raise ValidationFailed
    if isinstance(value, Hashtable):
        if not value.entries:
            raise ValidationFailed
    elif isinstance(value, Array | NetList | Collection) and not value.items:
        raise ValidationFailed
    if isinstance(value, Array) and any(i is None or i == "" for i in value.items):
        raise ValidationFailed


def _not_null(value: Value) -> None:
    if value is None:
        raise ValidationFailed


class FunctionStage:
    """A running function or script block."""

    def __init__(  # noqa: PLR0917 - .NET has them so, or all are of one kind
        self, engine: Core, name: str, body: ScriptBody, arguments: list[RawArgument], sink: Sink, *,
        has_input: bool, scope: Scope,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.body = body
        self.sink = sink
        self.scope = scope
        self.inputs: list[Value] = []
        self.signature = Signature(body, engine)
        self.binder = Binder(
            name, self.signature.parameters, engine.convert, advanced=self.signature.advanced,
            default_set=self.signature.default_set,
        )  # fmt: skip
        self.bound = self.binder.bind(arguments, has_input=has_input)
        self.pipeline = PipelineBinder(self.binder, self.bound)
        self.takes_input = any(
            b.pipeline or b.by_property for p in self.signature.parameters for b in p.sets.values()
        )
        self.name = name
        self.has_input = has_input

    def define_variables(self) -> None:
        """Set the parameters and the automatic variables in the function's scope."""
        scope, bound = self.scope, self.bound
        scope.define("input", NetList())
        if not scope.script:
            scope.command = self.name
        scope.define("PSBoundParameters", self._bound_table(bound))
        if self.signature.advanced:
            scope.define("PSCmdlet", CommandRuntime(self.name, bound.set_name))
            action = common_action(bound.common, self.engine)
            if action is not None:
                names = {
                    "stop": "Stop",
                    "silentlycontinue": "SilentlyContinue",
                    "ignore": "Ignore",
                    "continue": "Continue",
                }
                scope.define("ErrorActionPreference", names[action])
        else:
            scope.define("args", Array(bound.rest))
        for declared in self.body.parameters:
            self._define(declared)

    @staticmethod
    def _bound_table(bound: Bound) -> Hashtable:
        return Hashtable((bound.names[key], value) for key, value in bound.values.items())

    def _define(self, declared: nodes.ParameterDeclaration) -> None:
        key = declared.name.lower()
        kind = self.signature.kinds[key]
        types = (kind,) if kind is not None else ()
        if key in self.bound.values:
            self.scope.define(declared.name, self.bound.values[key], types)
        elif declared.default is not None:
            value = self.engine.value(declared.default)
            self.scope.define(declared.name, self.engine.convert.to(value, kind) if kind else value, types)
        else:
            self.scope.define(declared.name, self._empty(kind), types)

    def _empty(self, kind: NetType | None) -> Value:
        if kind is None:
            return None
        if kind.full_name.endswith("SwitchParameter"):
            return Switch(False)
        if kind.full_name in ("System.String", "System.Boolean") or kind.full_name in _NUMERIC:
            return self.engine.convert.to(None, kind)
        return None

    def run(self, block: nodes.Block | None) -> None:
        """Run one of the blocks; `return` ends only that."""
        if block is None:
            return
        try:
            self.engine.run_block(block, self.sink)
        except ReturnSignal:
            return

    def begin(self) -> None:
        """Define the variables and run `begin`."""
        self.define_variables()
        self.run(self.body.begin)

    def process(self, item: Value, *, has_item: bool) -> None:
        """Bind one object and run `process`."""
        if has_item:
            self.inputs.append(item)
            if self.takes_input and not self._bind_item(item):
                return
            self.scope.cells["_"] = Cell(item)
        if self.body.process is not None:
            if has_item:
                self.scope.define("input", NetList([item]))
            self.run(self.body.process)

    def _bind_item(self, item: Value) -> bool:
        found = self.pipeline.bind(item)
        if found is None:
            raise NotInDialect("an object of the pipeline that a function does not take")
        for key, value in found.items():
            declared = next(p for p in self.signature.parameters if p.name.lower() == key)
            self.binder.check(declared, value)
            kind = self.signature.kinds[key]
            self.scope.define(declared.name, value, (kind,) if kind is not None else ())
        return True

    def end(self) -> None:
        """Run `end`, or the body."""
        if self.has_input and self.body.process is None:
            self.scope.define("input", NetList(self.inputs))
            if not self.takes_input:
                self.scope.cells.pop("_", None)
        self.run(self.body.end)


_NUMERIC = {
    f"System.{n}"
    for n in ("Int32", "Int64", "Int16", "Byte", "SByte", "UInt16", "UInt32", "UInt64", "Double", "Decimal")
}


def type_from_text(text: str, engine: Core) -> NetType:
    """Return the type of a name such as `Collections.Generic.List[object]`."""
    if not re.fullmatch(r"[\w.+`\[\], ]+", text):
        raise NotInDialect(f"the type name '{text}'")
    return engine.resolve(parse_type(text, 0), 0)
