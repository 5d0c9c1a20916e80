"""What every stand-in does: its declared surface, errors of the host as PowerShell's, refusal of the rest."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass

from fwfix.lab.windows.cmdlets.surface import surfaces
from fwfix.lab.windows.cmdlets.types import CIM_EXCEPTION, CIM_JOB_EXCEPTION
from fwfix.lab.windows.model.errors import RefusalError, UnknownToModelError, system_error
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.powershell import Array, Command, Invocation, NotInDialect, per_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Whom a stand-in works for.

    Attributes:
        administrator: the process has an administrator's token.
    """

    host: WindowsHost
    version: str
    administrator: bool

    def check_administrator(self) -> None:
        """Raise what somebody without rights gets."""
        if not self.administrator:
            raise system_error(5)


Body = Callable[[Scene, Invocation], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A stand-in: its body, and which parameters it obeys; every other one is refused when it is given."""

    name: str
    body: Body
    obeys: tuple[str, ...] = ()
    error_name: str = ""
    confirm_impact: str = "Medium"

    def command(self, scene: Scene) -> Command | None:
        """Return it for the engine; None if the version does not have the cmdlet."""
        surface = surfaces(scene.version).get(self.name)
        if surface is None:
            return None
        return Command(
            name=self.name,
            parameters=surface.parameters,
            make=per_record(lambda call: self._run(scene, call)),
            default_set=surface.default_set,
            error_name=self.error_name,
            should_process=surface.should_process,
            confirm_impact=self.confirm_impact,
        )

    def _run(self, scene: Scene, call: Invocation) -> None:
        known = {name.lower() for name in self.obeys}
        for given in call.values:
            if given not in known:
                raise NotInDialect(f"{self.name} -{given}")
        try:
            self.body(scene, call)
        except RefusalError as error:
            message = error.message_in(scene.host.knobs.locale)
            call.write_error(message, error.error_id, category=error.category, kind=CIM_EXCEPTION)
        except UnknownToModelError as error:
            raise NotInDialect(str(error)) from error


def not_found(call: Invocation, property_name: str, value: str) -> None:
    """Report that a query by exact values found nothing."""
    call.write_error(
        None,
        f"CmdletizationQuery_NotFound_{property_name}",
        category="ObjectNotFound",
        kind=CIM_JOB_EXCEPTION,
        target=value,
    )


def has_wildcard(text: str) -> bool:
    """Say whether PowerShell sees a pattern in a text."""
    return any(character in text for character in "*?[")


def matches(text: str, pattern: str) -> bool:
    """Say whether a text matches a wildcard pattern; an escape is refused."""
    if "`" in pattern:
        raise NotInDialect("an escape in a wildcard pattern")
    if not has_wildcard(pattern):
        return text.lower() == pattern.lower()
    return fnmatch.fnmatchcase(text.lower(), pattern.lower().replace("[!", "[[]!"))


def scalar(items: tuple[str, ...], *, empty: str = "Any") -> object:
    """Return a list as CIM properties show it in PowerShell: one value alone, nothing as `Any`."""
    if not items:
        return empty
    return items[0] if len(items) == 1 else Array(items, "System.String")
