"""The steps of an examination, in order: each one worked, failed, or was not tried and why."""

from dataclasses import dataclass
from enum import StrEnum

from fwfix.errors import FwfixError
from fwfix.model.host import Platform

HERE = "here"

STEPS = {
    Platform.WINDOWS: (
        "settings", "address", "port", "encryption", "service", "clock", "logon", "shell", "language",
        "script", "elevation", "powershell", "windows", "services", "profiles", "group-policy",
        "other-firewalls", "execution-policy", "records", "firewall",
    ),
    Platform.LINUX: (
        "settings", "address", "port", "service", "host-key", "logon", "shell", "sudo", "script",
        "firewall-tools", "other-managers", "init", "records", "firewall",
    ),
}  # fmt: skip


class Status(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step.

    Attributes:
        check: stable, for programs.
        next: what to type to mend it; empty where nothing is wrong.
        on: the machine on which to type it: a host, or `here`.
    """

    check: str
    status: Status
    message: str
    next: str = ""
    on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to type, and where."""

    next: str
    on: str = HERE


class Table:
    """The steps of one host while it is examined."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._found: dict[str, Check] = {}
        self._hazards: list[Check] = []

    def ok(self, check: str, message: str) -> None:
        """Write down what works."""
        self._put(check, Status.OK, message)

    def leave_out(self, check: str, why: str) -> None:
        """Write down why a step is not taken, though nothing has failed."""
        self._put(check, Status.NOT_TRIED, why)

    def fail(self, check: str, message: str, remedy: Remedy) -> None:
        """Write down what does not work; it takes the place of what was believed of this step before."""
        self._found[check] = Check(
            check=check, status=Status.FAILED, message=message, next=remedy.next, on=remedy.on
        )

    def fail_with(self, check: str, error: FwfixError) -> None:
        """Write down an error that knows its own way out."""
        self.fail(check, error.message, Remedy(next=error.next, on=HERE if error.next else ""))

    def add_hazard(self, code: str, message: str, remedy: Remedy | None) -> None:
        """Write down what the plan for this host warns of; with a remedy, it would stop an apply."""
        self._hazards.append(
            Check(
                check=f"hazard:{code}",
                status=Status.FAILED if remedy else Status.OK,
                message=message,
                next=remedy.next if remedy else "",
                on=remedy.on if remedy else "",
            )
        )

    @property
    def failed(self) -> Check | None:
        """The first step that failed, in the order of the steps."""
        return next((each for each in self._ordered() if each.status is Status.FAILED), None)

    def rows(self) -> tuple[Check, ...]:
        """Return every step; those never reached say what they wait for."""
        first = self.failed
        why = f"needs {first.check}" if first else "does not apply here"
        for step in STEPS[self._platform]:
            if step not in self._found:
                self._put(step, Status.NOT_TRIED, why)
        return (*self._ordered(), *self._hazards)

    def _ordered(self) -> tuple[Check, ...]:
        return tuple(self._found[step] for step in STEPS[self._platform] if step in self._found)

    def _put(self, check: str, status: Status, message: str) -> None:
        self._found[check] = Check(check=check, status=status, message=message)
