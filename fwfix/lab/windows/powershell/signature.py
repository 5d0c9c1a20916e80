"""What a command takes: parameters, their sets and how they bind. Stand-ins declare theirs with these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.values import Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.invocation import Invocation

ALL_SETS = "__AllParameterSets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """How a parameter binds in one parameter set."""

    mandatory: bool = False
    position: int | None = None
    pipeline: bool = False
    by_property: bool = False
    remaining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        type: a type as a script would write it (`string[]`), `switch`, or a `NetType`; empty takes anything.
        ps_type: a name that the value must carry among its PSTypeNames, such as
            `Microsoft.Management.Infrastructure.CimInstance#MSFT_NetFirewallRule`.
        sets: by name of the parameter set; `ALL_SETS` for one that is in all of them.
        validate: raises `ValidationFailed` for a value that is not allowed.
    """

    name: str
    type: str | NetType = ""
    aliases: tuple[str, ...] = ()
    ps_type: str = ""
    sets: Mapping[str, Binding] = field(default_factory=lambda: {ALL_SETS: Binding()})
    validate: tuple[Callable[[Value], None], ...] = ()
    allow_null: bool = False
    allow_empty: bool = False
    dont_convert: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value."""
        name = self.type.full_name if isinstance(self.type, NetType) else self.type
        return name in ("switch", "System.Management.Automation.SwitchParameter")

    def binding(self, set_name: str) -> Binding | None:
        """Return how it binds in a set, None if it is not in it."""
        return self.sets.get(set_name) or self.sets.get(ALL_SETS)


def parameter(
    name: str,
    kind: str | NetType = "",
    *,
    aliases: tuple[str, ...] = (),
    mandatory: bool = False,
    position: int | None = None,
    pipeline: bool = False,
    by_property: bool = False,
    remaining: bool = False,
    sets: tuple[str, ...] = (ALL_SETS,),
    ps_type: str = "",
    allow_null: bool = False,
    allow_empty: bool = False,
) -> Parameter:
    """Return a parameter that binds alike in all its sets."""
    how = Binding(
        mandatory=mandatory,
        position=position,
        pipeline=pipeline,
        by_property=by_property,
        remaining=remaining,
    )
    return Parameter(
        name=name, type=kind, aliases=aliases, sets=dict.fromkeys(sets, how), ps_type=ps_type,
        allow_null=allow_null, allow_empty=allow_empty,
    )  # fmt: skip


class ValidationFailed(Exception):  # noqa: N818 - an outcome of a check
    """A value is not allowed; the message of None is not known."""


class Processor(Protocol):
    """A running command."""

    def begin(self) -> None:
        """Start, before any input."""

    def process(self) -> None:
        """Take one object of the pipeline, or run once without a pipeline."""

    def end(self) -> None:
        """Finish, after all input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of the engine or a stand-in.

    Attributes:
        make: returns the processor of one call.
        error_name: what stands after the comma of an error's id.
        since: first version of PowerShell that has it.
        core_only: PowerShell 7 only; desktop_only: Windows PowerShell only.
        complete: every parameter is declared; of a command of PowerShell's own, only what is known is, and
            another name is refused rather than an error.
        confirm_impact: `High` asks before it acts, which fails where nobody can be asked.
    """

    name: str
    parameters: tuple[Parameter, ...]
    make: Callable[[Invocation], Processor]
    default_set: str = ""
    error_name: str = ""
    since: tuple[int, int] = (3, 0)
    desktop_only: bool = False
    core_only: bool = False
    should_process: bool = False
    confirm_impact: str = "Medium"
    complete: bool = True

    @property
    def set_names(self) -> tuple[str, ...]:
        """The names of its parameter sets."""
        names = dict.fromkeys(n for p in self.parameters for n in p.sets if n != ALL_SETS)
        return tuple(names) or (ALL_SETS,)


class _PerRecord:
    """Calls a function for each object, or once."""

    def __init__(self, invocation: Invocation, function: Callable[[Invocation], None]) -> None:
        self.invocation = invocation
        self.function = function

    def begin(self) -> None:
        """Nothing to do."""

    def process(self) -> None:
        """Call the function."""
        self.function(self.invocation)

    def end(self) -> None:
        """Nothing to do."""


def per_record(function: Callable[[Invocation], None]) -> Callable[[Invocation], Processor]:
    """Return a command's `make` that calls a function for each object of the pipeline, or once."""
    return lambda invocation: _PerRecord(invocation, function)
