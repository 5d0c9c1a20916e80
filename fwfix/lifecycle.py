"""The life of a host in a run as a pure state machine: every rule of safety stands here.

    step = decide(state); event = <do it>; state = evolve(state, event)

The rules, tested by a Hypothesis machine:

* Nothing is loaded before the host said `armed`, and the marker of its timer was read back.
* Nothing is confirmed before step 4 passed over a new connection.
* `arm`, `apply` and `confirm` are each sent once. After a lost answer the host is asked what its file says.
* The outcome is what the file on the host says, and `unknown` where the host does not say.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, assert_never

from fwfix.model.observation import RecordState
from fwfix.model.outcome import NO_RECORD, Outcome
from fwfix.model.plan import Reason

# How long after its own deadline a silent host is still asked (contract 5).
ASK_BEYOND_SECONDS = 60.0


class Step(StrEnum):
    """What to do next on a host."""

    OBSERVE = "observe"
    BASELINE = "baseline"
    ARM = "arm"
    APPLY = "apply"
    VERIFY = "verify"
    CONFIRM = "confirm"
    REVERT = "revert"
    ASK = "ask"
    CHECK = "check"
    DONE = "done"


CHANGING = frozenset({Step.ARM, Step.APPLY, Step.CONFIRM})


class State(NamedTuple):
    """What is known about one host in one run; a tuple, since each step makes new ones.

    Attributes:
        sent: the changing steps that may have reached the host.
        armed: the host said that its timer runs and is rehearsed.
        verified: step 4 passed in this run, over a new connection.
        reverts_at: when the host restores itself at the latest, by the controller's monotonic clock.
        cause: why it is being reverted.
        stopping: no new step but those that lead to a known state.
    """

    step: Step = Step.OBSERVE
    sent: frozenset[Step] = frozenset()
    armed: bool = False
    verified: bool = False
    reverts_at: float | None = None
    cause: Reason | None = None
    stopping: bool = False
    outcome: Outcome | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """OBSERVE or BASELINE passed: the host may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """OBSERVE or BASELINE showed that the host needs nothing, or must not be started."""

    outcome: Outcome
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A changing script, or the host when asked, said what its file says.

    Attributes:
        state: None where there is no record of this run.
        cleared: there is no record, and a look at the host found no rule of this run either.
        reverts_at: None where no timer is pending.
    """

    ok: bool
    state: RecordState | None
    cleared: bool = False
    reverts_at: float | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The step did not reach the host: nothing happened."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The step was sent and no whole answer came back."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """VERIFY ended; no reason means that everything of step 4 holds."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """CHECK ended: what differs from before the run, if anything."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The run was interrupted: bring the host to a known state."""

    reason: Reason


Event = Ready | Settled | Answered | Unsent | Lost | Verified | Checked | Stopped


def decide(state: State, *, now: float) -> Step:
    """Say what to do next; `now` is the controller's monotonic clock."""
    past = state.reverts_at is not None and now >= state.reverts_at
    if state.step in (Step.APPLY, Step.VERIFY, Step.CONFIRM) and past:
        # The host's timer has fired or is about to: what counts now is what its file says.
        return Step.ASK
    return state.step


def give_up(state: State, *, now: float) -> bool:
    """Tell whether a silent host has been asked for long enough."""
    return state.reverts_at is not None and now >= state.reverts_at + ASK_BEYOND_SECONDS


def evolve(state: State, event: Event, *, now: float) -> State:
    """Return the state after an event; a state that is done stays as it is."""
    if state.outcome is not None:
        return state
    match event:
        case Ready():
            return _advance(state)
        case Settled():
            return _done(state, event.outcome, event.reason)
        case Stopped():
            return _stop(state, event)
        case Unsent() | Lost():
            return _silent(state, event, now=now)
        case Verified():
            return _verified(state, event)
        case Checked():
            return _done(state, Outcome.REVERTED, event.reason or state.cause)
        case Answered():
            return _answered(state, event, now=now)
        case _:
            assert_never(event)


def announce(state: State, step: Step, *, reverts_by: float | None = None) -> State:
    """Return the state in which a step is under way; call it before the step is sent.

    Args:
        state: the state before.
        step: what `decide` said.
        reverts_by: for ARM, when the host restores itself at the latest, should its answer be lost.

    Raises:
        AssertionError: the step would break a rule of this module.
    """
    assert step not in CHANGING & state.sent, f"{step} is never sent twice"
    if step is Step.APPLY:
        assert state.armed, "nothing is loaded before the host is armed"
    if step is Step.CONFIRM:
        assert state.verified, "nothing is confirmed before it is verified"
    if step not in CHANGING:
        return state if state.step is step else state._replace(step=step)
    known = reverts_by if step is Step.ARM else state.reverts_at
    return state._replace(step=step, sent=state.sent | {step}, reverts_at=known)


def _advance(state: State) -> State:
    following = {Step.OBSERVE: Step.BASELINE, Step.BASELINE: Step.ARM}
    return state._replace(step=following[state.step])


def _done(state: State, outcome: Outcome, reason: Reason | None) -> State:
    return state._replace(step=Step.DONE, outcome=outcome, reason=reason)


def _revert(state: State, cause: Reason | None) -> State:
    return state._replace(step=Step.REVERT, cause=state.cause or cause)


def _stop(state: State, event: Stopped) -> State:
    stopped = state._replace(stopping=True)
    if not state.sent:
        return _done(stopped, Outcome.SKIPPED, event.reason)
    if state.step in (Step.APPLY, Step.VERIFY, Step.CONFIRM) and Step.CONFIRM not in state.sent:
        return _revert(stopped, event.reason)
    return stopped


def _silent(state: State, event: Unsent | Lost, *, now: float) -> State:
    match state.step:
        case Step.OBSERVE | Step.BASELINE:
            return _done(state, Outcome.FAILED, event.reason)
        case Step.ARM if isinstance(event, Unsent):
            return _done(state, Outcome.FAILED, event.reason)
        case Step.ARM | Step.CONFIRM if isinstance(event, Lost):
            return state._replace(step=Step.ASK, cause=event.reason)
        case Step.APPLY | Step.VERIFY | Step.CONFIRM:
            return _revert(state, event.reason)
        case Step.CHECK:
            # The file said `reverted`; that nobody could look again does not change it.
            return _done(state, Outcome.REVERTED, state.cause)
        case _:
            if give_up(state, now=now):
                return _done(state, Outcome.UNKNOWN, _joined(state.cause, event.reason))
            return state._replace(step=Step.ASK, cause=state.cause or event.reason)


def _verified(state: State, event: Verified) -> State:
    if event.reason is not None:
        return _revert(state, event.reason)
    return state._replace(step=Step.CONFIRM, verified=True)


def _answered(state: State, event: Answered, *, now: float) -> State:
    # A deadline that is past says nothing new, and must not put off the moment at which we give up.
    news = event.reverts_at is not None and event.reverts_at > now
    reverts_at = event.reverts_at if news else state.reverts_at
    if state.step is Step.ARM and event.ok and event.state is RecordState.ARMED:
        return state._replace(step=Step.APPLY, armed=True, reverts_at=reverts_at)
    if state.step is Step.ARM:
        # Refused by another run's lock, or this plan was applied here before: that record is not ours.
        return _done(state, Outcome.FAILED, event.reason)
    if state.step is Step.APPLY and event.ok and event.state is RecordState.ARMED:
        return state._replace(step=Step.VERIFY, reverts_at=reverts_at)
    return _by_file(state._replace(reverts_at=reverts_at) if news else state, event, now=now)


def _by_file(state: State, event: Answered, *, now: float) -> State:
    """Go on from what the file says, whichever step it was that told us."""
    match event.state:
        case None | RecordState.ARMING:
            return _without_record(state, event, now=now)
        case RecordState.CONFIRMED if _is_ours_to_keep(state):
            return _done(state, Outcome.APPLIED, None)
        case RecordState.ARMED | RecordState.CONFIRMED | RecordState.REVERTING:
            return _not_undone(state, event, now=now)
        case RecordState.REVERTED:
            return state._replace(step=Step.CHECK, cause=state.cause or event.reason)
        case _:
            assert_never(event.state)


def _is_ours_to_keep(state: State) -> bool:
    return state.verified and Step.CONFIRM in state.sent and state.step is not Step.REVERT


def _not_undone(state: State, event: Answered, *, now: float) -> State:
    """Revert; where a revert has just failed, ask first, with a pause, and not for ever."""
    if state.step is not Step.REVERT:
        return _revert(state, event.reason)
    if give_up(state, now=now):
        said = _UNDOING if event.state is RecordState.REVERTING else None
        return _done(state, Outcome.UNKNOWN, _joined(_joined(state.cause, event.reason), said))
    return state._replace(step=Step.ASK, cause=state.cause or event.reason)


def _without_record(state: State, event: Answered, *, now: float) -> State:
    """Wait for the timer, which has read all it needs: somebody who removes the record does not stop it."""
    if Step.APPLY not in state.sent:
        # `arming` changed nothing, and its timer removes the record at its end.
        return _done(state, Outcome.FAILED, event.reason or state.cause)
    cause = _joined(state.cause, event.reason) or _RECORD_GONE
    if event.cleared and (state.reverts_at is None or now >= state.reverts_at):
        return state._replace(step=Step.CHECK, cause=cause)
    if state.reverts_at is None or give_up(state, now=now):
        return _done(state, Outcome.UNKNOWN, cause)
    return state._replace(step=Step.ASK, cause=cause)


def _joined(first: Reason | None, second: Reason | None) -> Reason | None:
    if first is None or second is None or first == second:
        return first or second
    message = f"{first.message.removesuffix('.')}; then: {second.message}"
    return replace(first, message=message, next=second.next or first.next)


_UNDOING = Reason(
    code="reverting", message="it is undoing the run, and tries again every 10 s until it is done"
)
_RECORD_GONE = Reason(
    code=NO_RECORD,
    message="the record of this run is gone from the host",
    next="find out who removed it from /var/lib/fwfix or %ProgramData%\\fwfix, and run fwfix verify",
)
