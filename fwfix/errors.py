"""Everything that fwfix raises, in one tree.

FwfixError                     what happened, on which host, and what to do next
├── UsageError                 exit 2: the command line asks for something impossible
├── LoadError                  exit 2: a file that we were given; carries file and line
│   ├── InventoryError         an inventory or policy file
│   ├── PlanFileError          a saved plan
│   └── SiteError              the site's own limits
├── SecretError                exit 2: a secret reference leads nowhere
├── RenderError                exit 2: a template
├── JournalError               exit 2: the state directory or the journal in it
├── RefusedError               exit 5: the whole run was refused; no host was touched
├── InterruptedRunError        exit 130: a signal
├── LabError                   the lab could not be built or removed
└── HostError                  one host; never leaves the runner, which turns it into an outcome
    ├── ConnectError           no connection
    │   ├── UnreachableError   nobody answered
    │   ├── HostKeyError       somebody answered, but not provably the host
    │   └── AuthError          the account was rejected
    │       └── AccountStoppedError   not tried: the account was rejected on another host
    ├── PrivilegeError         logged on, but not allowed to act
    ├── ScriptError            a script ended in a way that says what went wrong
    │   └── ScriptCutError     it did not arrive whole; nothing of it ran
    ├── AnswerError            a script answered something that we cannot read
    └── LostError              no answer: what happened on the host is unknown
        └── DeadlineError      no answer before the deadline
"""

from pathlib import Path


class FwfixError(Exception):
    """Say what happened and what to do next.

    Attributes:
        code: stable, for JSON and for tests.
        next: what the reader should do now; empty where the message says it.
    """

    code = "error"

    def __init__(self, message: str, *, next: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next = next
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        if not self.next:
            return self.message
        stop = "" if self.message.endswith((".", ":", ";", "?", "!")) else "."
        return f"{self.message}{stop} {self.next}"


class UsageError(FwfixError):
    """The command line asks for something that cannot be done."""

    code = "usage"


class LoadError(FwfixError):
    """A file that we were given cannot be used."""

    code = "load"

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        next: str = "",
        code: str | None = None,
    ) -> None:
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(where + message, next=next, code=code)
        self.path = path
        self.line = line


class InventoryError(LoadError):
    """An inventory or a policy in it."""

    code = "inventory"


class PlanFileError(LoadError):
    """A saved plan."""

    code = "plan-file"


class SiteError(LoadError):
    """The site's own limits."""

    code = "site"


class SecretError(FwfixError):
    """A secret reference leads nowhere."""

    code = "secret"


class RenderError(FwfixError):
    """A template cannot be found or rendered."""

    code = "template"


class JournalError(FwfixError):
    """The state directory or the journal in it."""

    code = "journal"


class RefusedError(FwfixError):
    """The whole run was refused; no host was touched."""

    code = "refused"


class InterruptedRunError(FwfixError):
    """A signal ended the run; every started host was brought to a known state."""

    code = "interrupted"


class LabError(FwfixError):
    """The lab could not be built or removed."""

    code = "lab"


class HostError(FwfixError):
    """Something about one host."""

    code = "host"


class ConnectError(HostError):
    """There is no connection."""

    code = "connect"


class UnreachableError(ConnectError):
    """Nobody answered."""

    code = "unreachable"


class HostKeyError(ConnectError):
    """Somebody answered who is not provably the host."""

    code = "host-key"


class AuthError(ConnectError):
    """The account was rejected."""

    code = "auth"


class AccountStoppedError(AuthError):
    """Not tried, because the same account was rejected before in this run."""

    code = "account-stopped"


class PrivilegeError(HostError):
    """Logged on, but not allowed to become the administrator."""

    code = "privilege"


class ScriptError(HostError):
    """A script ended in a way that says what went wrong."""

    code = "script"


class ScriptCutError(ScriptError):
    """A script did not arrive whole; nothing of it ran."""

    code = "script-cut"


class AnswerError(HostError):
    """A script answered something that cannot be read."""

    code = "answer"


class LostError(HostError):
    """No answer: what happened on the host is unknown until it is asked again."""

    code = "lost"


class DeadlineError(LostError):
    """No answer before the deadline."""

    code = "deadline"
