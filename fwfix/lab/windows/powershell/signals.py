"""What ends a piece of script early: refusal, control flow, cancellation."""

from fwfix.errors import LabError


class NotInDialect(LabError):  # noqa: N818 - the word of the documentation
    """The script uses something that the engine does not know, and it does not guess.

    Attributes:
        line: line of the script, 1-based; 0 while it is not known yet.
        reason: what is not known.
    """

    code = "not-in-dialect"

    def __init__(self, reason: str, *, line: int = 0, text: str = "") -> None:
        self.reason = reason
        self.line = line
        self.text = text
        super().__init__(f"line {line}: {reason}" + (f": {text}" if text else ""))

    def at(self, line: int, text: str) -> "NotInDialect":
        """Return the same refusal with a place, unless it has one already."""
        if self.line:
            return self
        return NotInDialect(self.reason, line=line, text=text)


class ParseFailure(Exception):  # noqa: N818 - PowerShell's ParseException; a value for the script, not an error of ours
    """The text is not a script."""

    def __init__(self, message: str, *, line: int, error_id: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.error_id = error_id


class Cancelled(BaseException):
    """The script was told to stop from outside, or its deadline has passed."""


class FlowSignal(Exception):  # noqa: N818 - control flow
    """Base of what a statement of the script does to the flow."""


class BreakSignal(FlowSignal):
    """`break`."""


class ContinueSignal(FlowSignal):
    """`continue`."""


class ReturnSignal(FlowSignal):
    """`return`; what it returns has been written already."""


class ExitSignal(FlowSignal):
    """`exit N`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class StopUpstream(FlowSignal):
    """A command of a pipeline wants no more input (`Select-Object -First`)."""

    def __init__(self, stage: object) -> None:
        super().__init__()
        self.stage = stage
