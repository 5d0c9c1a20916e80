"""Parameter binding: from arguments to values by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from fwfix.lab.windows.powershell.convert import Converter
from fwfix.lab.windows.powershell.errors import PSError, error
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import ALL_SETS, Binding, Parameter, ValidationFailed, parameter
from fwfix.lab.windows.powershell.typespecs import parse_type
from fwfix.lab.windows.powershell.values import Array, Collection, NetList, PSObject, Switch, Value

_A = "System.Management.Automation."
_BINDING_ERROR = _A + "ParameterBindingException"
_TYPE_CACHE: dict[str, object] = {}

COMMON = (
    parameter("Verbose", "switch", aliases=("vb",)), parameter("Debug", "switch", aliases=("db",)),
    parameter("ErrorAction", "string", aliases=("ea",)),
    parameter("WarningAction", "string", aliases=("wa",)),
    parameter("InformationAction", "string", aliases=("infa",)),
    parameter("ErrorVariable", "string", aliases=("ev",)),
    parameter("WarningVariable", "string", aliases=("wv",)),
    parameter("InformationVariable", "string", aliases=("iv",)),
    parameter("OutVariable", "string", aliases=("ov",)), parameter("OutBuffer", "int", aliases=("ob",)),
    parameter("PipelineVariable", "string", aliases=("pv",)),
)  # fmt: skip
SHOULD_PROCESS = (
    parameter("WhatIf", "switch", aliases=("wi",)), parameter("Confirm", "switch", aliases=("cf",)),
)  # fmt: skip
_KNOWN_COMMON = {"verbose", "debug", "erroraction", "warningaction", "informationaction", "errorvariable"}


@dataclass(slots=True, kw_only=True)
class RawArgument:
    """An argument before binding: named, or positional with an empty name.

    Attributes:
        given: a value came with the name (`-Name:value`, a splat).
        text: how a bare number was written.
    """

    name: str = ""
    value: Value = None
    given: bool = False
    text: str = ""
    splatted: bool = False


@dataclass(slots=True, kw_only=True)
class Bound:
    """The outcome: values by lower-case name, and what was left over."""

    values: dict[str, Value] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    common: dict[str, Value] = field(default_factory=dict)
    rest: list[Value] = field(default_factory=list)
    set_name: str = ALL_SETS


class Binder:
    """Binds the arguments of one call.

    Args:
        advanced: unknown names and surplus values are errors; otherwise they go to `$args`.
        compiled: a cmdlet of .NET, which takes null and arrays less easily than a function.
    """

    def __init__(
        self, command: str, parameters: tuple[Parameter, ...], convert: Converter, *, advanced: bool,
        default_set: str = "",
        complete: bool = True,
        should_process: bool = False,
    ) -> None:  # fmt: skip
        self.command = command
        self.convert = convert
        self.advanced = advanced
        self.parameters = parameters
        self.common: tuple[Parameter, ...] = ()
        if advanced:
            self.common = (*COMMON, *SHOULD_PROCESS) if should_process else COMMON
        self.default_set = default_set
        self.complete = complete
        names = dict.fromkeys(n for p in parameters for n in p.sets if n != ALL_SETS)
        self.set_names = tuple(names) or (ALL_SETS,)
        self.sets = list(self.set_names)

    def error(self, error_id: str, message: str | None = None, kind: str = _BINDING_ERROR) -> PSError:
        """Return a binding error."""
        return error(message, f"{error_id},{self.command}", kind=kind, category="InvalidArgument")

    # -- names

    def find(self, name: str) -> Parameter | None:
        """Return the parameter of a name, an alias or the beginning of a name."""
        lowered = name.lower()
        every: list[Parameter] = [*self.parameters, *self.common]
        for candidate in every:
            if candidate.name.lower() == lowered or lowered in (a.lower() for a in candidate.aliases):
                return candidate
        if not self.complete:
            raise NotInDialect(f"the parameter -{name} of {self.command}")
        begins = [p for p in every if any(n.lower().startswith(lowered) for n in (p.name, *p.aliases))]
        own = [p for p in begins if p in self.parameters]
        if len(begins) > 1 and len(own) == 1:
            return own[0]
        if len(begins) > 1:
            raise self.error("AmbiguousParameter")
        return begins[0] if begins else None

    def bind(self, arguments: list[RawArgument], *, has_input: bool) -> Bound:
        """Bind everything that does not come from the pipeline."""
        bound = Bound()
        positional = self._named(arguments, bound)
        self._positional(positional, bound)
        self._choose_set(bound, has_input=has_input)
        return bound

    def _named(self, arguments: list[RawArgument], bound: Bound) -> list[RawArgument]:
        positional: list[RawArgument] = []
        queue = list(arguments)
        explicit = {
            p.name for a in arguments if a.name and not a.splatted and (p := self.find(a.name)) is not None
        }
        while queue:
            argument = queue.pop(0)
            if not argument.name:
                positional.append(argument)
                continue
            found = self.find(argument.name)
            if found is None:
                self._unknown(argument, positional)
                continue
            if argument.splatted and found.name in explicit:
                if self.convert.edition.desktop:
                    raise NotInDialect("a parameter given twice, once splatted")
                continue
            self._take(found, argument, queue, bound)
        return positional

    def _unknown(self, argument: RawArgument, positional: list[RawArgument]) -> None:
        if self.advanced:
            message = f"A parameter cannot be found that matches parameter name '{argument.name}'."
            raise self.error("NamedParameterNotFound", message)
        if argument.given:
            raise NotInDialect("an unknown parameter with a value for a simple function")
        positional.append(RawArgument(value="-" + argument.name, text="\0"))

    def _take(self, found: Parameter, argument: RawArgument, queue: list[RawArgument], bound: Bound) -> None:
        key = found.name.lower()
        if key in bound.values or key in bound.common:
            raise self.error("ParameterAlreadyBound")
        source = argument
        if not argument.given:
            if found.is_switch:
                source = RawArgument(value=Switch(True))
            elif queue and not queue[0].name:
                source = queue.pop(0)
            else:
                raise self.error("MissingArgument")
        self.assign(found, source, bound)
        self._narrow(found)

    def _narrow(self, found: Parameter) -> None:
        if found in self.parameters and ALL_SETS not in found.sets:
            kept = [s for s in self.sets if s in found.sets]
            if not kept:
                raise self.error("AmbiguousParameterSet")
            self.sets = kept

    # -- values

    def assign(self, found: Parameter, source: RawArgument, bound: Bound) -> None:
        """Convert, check and store one value."""
        value = self.converted(found, source)
        key = found.name.lower()
        if found in self.common:
            if key not in _KNOWN_COMMON and found not in SHOULD_PROCESS:
                raise NotInDialect(f"the common parameter -{found.name}")
            bound.common[key] = value
            return
        self.check(found, value)
        bound.values[key] = value
        bound.names[key] = found.name

    def kind(self, found: Parameter) -> NetType | None:
        """Return a parameter's type, None if it takes anything."""
        if isinstance(found.type, NetType):
            return found.type
        if not found.type:
            return None
        return self.convert.types.resolve(parse_type(found.type, 0))

    def converted(self, found: Parameter, source: RawArgument) -> Value:
        """Convert a value to a parameter's type."""
        kind = self.kind(found)
        value = source.value
        if found.ps_type and not (isinstance(value, PSObject) and found.ps_type in value.type_names):
            if not isinstance(value, Array):
                raise self.transformation_error()
            return self._typed_objects(found, value)
        if kind is None or kind.full_name == "System.Object":
            return value
        if kind.full_name == "System.String" and source.text and source.text != "\0":
            return source.text
        if kind.full_name == "System.String[]" and source.text and source.text != "\0":
            return Array([source.text], "System.String")
        if self.advanced and kind.full_name == "System.String" and isinstance(value, Array):
            raise self.transformation_error()
        if kind.full_name == "System.Boolean" and isinstance(value, str):
            raise self.transformation_error()
        if kind.full_name == "System.Boolean" and not isinstance(value, bool | int | float | Switch):
            raise NotInDialect("this value for a [bool] parameter")
        try:
            return self.convert.to(value, kind)
        except PSError as exc:
            raise self.transformation_error(exc) from exc

    def _typed_objects(self, found: Parameter, value: Array) -> Value:
        for item in value.items:
            if not (isinstance(item, PSObject) and found.ps_type in item.type_names):
                raise self.transformation_error()
        return value

    def transformation_error(self, cause: PSError | None = None) -> PSError:
        """Return the error of a value that does not convert."""
        kind = _A + "ParameterBindingArgumentTransformationException"
        failed = self.error("ParameterArgumentTransformationError", kind=kind)
        failed.record.category = "InvalidData"
        if cause is not None:
            failed.record.exception.inner = cause.record.exception
        return failed

    def validation_error(self, suffix: str = "") -> PSError:
        """Return the error of a value that is not allowed."""
        kind = _A + "ParameterBindingValidationException"
        failed = self.error("ParameterArgumentValidationError" + suffix, kind=kind)
        failed.record.category = "InvalidData"
        return failed

    def check(self, found: Parameter, value: Value) -> None:
        """Apply what a mandatory parameter demands, and the declared checks."""
        mandatory = any(b.mandatory for b in found.sets.values())
        if mandatory and not found.is_switch:
            self._check_mandatory(found, value)
        for test in found.validate:
            try:
                test(value)
            except ValidationFailed as exc:
                raise self.validation_error() from exc

    def _check_mandatory(self, found: Parameter, value: Value) -> None:
        if value is None and not found.allow_null:
            raise self.validation_error("NullNotAllowed")
        if isinstance(value, str) and not value and not found.allow_empty:
            raise self.validation_error("EmptyStringNotAllowed")
        if isinstance(value, Array | NetList | Collection) and not found.allow_empty:
            if not value.items:
                raise self.validation_error(
                    "EmptyArrayNotAllowed" if isinstance(value, Array) else "EmptyCollectionNotAllowed"
                )
            strings = isinstance(value, Array) and value.element == "System.String"
            if strings and any(item == "" for item in value.items):
                raise self.validation_error("EmptyStringNotAllowed")
            if any(item is None for item in value.items) and not found.allow_null:
                raise self.validation_error("NullNotAllowed")

    # -- positions

    def _positional(self, arguments: list[RawArgument], bound: Bound) -> None:
        while arguments:
            slot = self._next_position(bound)
            if slot is None:
                break
            found, how = slot
            if how.remaining:
                values = [a.value for a in arguments]
                one = values[0] if len(values) == 1 and isinstance(values[0], Array) else Array(values)
                self.assign(found, RawArgument(value=one), bound)
                self._narrow(found)
                return
            self.assign(found, arguments.pop(0), bound)
            self._narrow(found)
        remaining = [p for p in self.parameters if any(b.remaining for b in p.sets.values())]
        if remaining and arguments and remaining[0].name.lower() not in bound.values:
            self.assign(remaining[0], RawArgument(value=Array(a.value for a in arguments)), bound)
            return
        if arguments and not self.complete:
            raise NotInDialect(f"another argument of {self.command}")
        if arguments and self.advanced:
            message = None
            try:
                text = self.convert.texts.of(arguments[0].value)
                message = f"A positional parameter cannot be found that accepts argument '{text}'."
            except NotInDialect:
                pass
            raise self.error("PositionalParameterNotFound", message)
        bound.rest = [a.value for a in arguments]

    def _next_position(self, bound: Bound) -> tuple[Parameter, Binding] | None:
        """Return the unbound parameter of the lowest position; the default set comes first."""
        for names in self._set_order():
            slots = [
                (how.position, index, found, how)
                for index, found in enumerate(self.parameters)
                for name in names
                if (how := found.binding(name)) is not None and how.position is not None
                if found.name.lower() not in bound.values
            ]
            if slots:
                slots.sort(key=lambda s: (s[0], s[1]))
                if len({s[2].name for s in slots if s[0] == slots[0][0]}) > 1:
                    raise NotInDialect(f"a position of {self.command} that several parameters have")
                return slots[0][2], slots[0][3]
        return None

    def _set_order(self) -> list[list[str]]:
        if self.default_set and self.default_set in self.sets:
            others = [s for s in self.sets if s != self.default_set]
            return [[self.default_set], others] if others else [[self.default_set]]
        return [self.sets]

    # -- sets

    def missing(self, set_name: str, bound: Bound, *, has_input: bool) -> list[Parameter]:
        """Return the mandatory parameters of a set that nothing binds."""
        return [
            p for p in self.parameters
            if (how := p.binding(set_name)) is not None and how.mandatory
            if p.name.lower() not in bound.values
            if not (has_input and (how.pipeline or how.by_property))
        ]  # fmt: skip

    def _choose_set(self, bound: Bound, *, has_input: bool) -> None:
        complete = [s for s in self.sets if not self.missing(s, bound, has_input=has_input)]
        if self.default_set in complete:
            bound.set_name = self.default_set
        elif len(complete) == 1:
            bound.set_name = complete[0]
        elif complete:
            bound.set_name = self._fewest(complete, bound)
        elif self.default_set in self.sets or len(self.sets) == 1:
            name = self.default_set if self.default_set in self.sets else self.sets[0]
            lacking = self.missing(name, bound, has_input=has_input)
            message = (
                "Cannot process command because of one or more missing mandatory parameters: "
                + " ".join(p.name for p in lacking) + "."
            )  # fmt: skip
            raise self.error("MissingMandatoryParameter", message)
        else:
            raise self.error("AmbiguousParameterSet")

    def _fewest(self, complete: list[str], bound: Bound) -> str:
        """Several sets fit: one whose mandatory parameters are all bound wins, else it is ambiguous."""
        strict = [s for s in complete if not self.missing(s, bound, has_input=False)]
        if len(strict) == 1 or (strict and not self.default_set):
            return strict[0]
        if not strict:
            return complete[0]
        raise self.error("AmbiguousParameterSet")
