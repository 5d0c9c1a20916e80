"""What the end of a step says of a host: what it refused, and what an error leaves open."""

from fwfix.drivers.base import Answer
from fwfix.errors import ConnectError, FwfixError, HostError, PrivilegeError, ScriptCutError, SecretError
from fwfix.lifecycle import Event, Lost, Unsent
from fwfix.model.plan import Reason
from fwfix.runner.context import reason_of
from fwfix.verification import UNDONE

# What to do where a host refused a step; elsewhere the outcome says it.
_WAY_OUT = {
    "locked": "wait until that run has ended (fwfix status says when), then plan this host again",
    "record-exists": "a plan is applied to a host once: make a new one",
    "load-failed": "mend what the host's own tool complains about (fwfix doctor says more), then apply again",
    UNDONE.code: UNDONE.next,
}


def event_of(error: FwfixError) -> Event:
    """Tell what never reached the host from what may have happened there."""
    if isinstance(error, ConnectError | PrivilegeError | ScriptCutError | SecretError):
        return Unsent(reason=reason_of(error))
    if isinstance(error, HostError):
        return Lost(reason=reason_of(error))
    raise error  # the journal, say: nothing of it is this host's, and no further step may be taken


def refusal_of(answer: Answer) -> Reason | None:
    """Return why a host refused a step; None where it did not."""
    if answer.ok:
        return None
    message = answer.message or answer.code or "the host refused"
    if answer.holder and answer.holder not in message:
        message += f" (run {answer.holder})"
    code = answer.code or "failed"
    return Reason(code=code, message=message, next=_WAY_OUT.get(code, ""))
