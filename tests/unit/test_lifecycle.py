"""The rules of safety hold for whatever order of answers, silences and interruptions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fwfix.lifecycle import (
    ASK_BEYOND_SECONDS,
    Answered,
    Checked,
    Lost,
    Ready,
    Settled,
    State,
    Step,
    Stopped,
    Unsent,
    Verified,
    announce,
    decide,
    evolve,
)
from fwfix.model.observation import RecordState
from fwfix.model.outcome import Outcome
from fwfix.model.plan import Reason

WHY = Reason(code="test", message="because")
# Mostly well, so that lives get far enough to be worth breaking.
FATES = st.sampled_from(["ok"] * 6 + ["lost", "unsent", "refused"])


class FakeHost:
    """A host whose file follows the contract, whatever reaches it and whenever its timer fires."""

    def __init__(self) -> None:
        self.file: RecordState | None = None
        self.loaded = False
        self.remembers = False
        self.verified_when_confirmed = False

    def arm(self) -> bool:
        self.file = RecordState.ARMED
        self.remembers = True
        return True

    def fire(self) -> None:
        """End the time: the timer has read what it needs, and undoes what nobody confirmed."""
        if self.remembers and self.file in (None, RecordState.ARMED):
            self.file = self.file and RecordState.REVERTED
            self.loaded = False

    def apply(self) -> bool:
        self.loaded = self.file is RecordState.ARMED
        return self.loaded

    def confirm(self) -> bool:
        if self.file is not RecordState.ARMED:
            return False
        self.file, self.remembers = RecordState.CONFIRMED, False
        return True

    def undo(self) -> bool:
        if self.file is None:
            return False
        self.file, self.loaded = RecordState.REVERTED, False
        return True


class Life(RuleBasedStateMachine):
    """Runs the pure machine against a fake host over a line that loses messages in both directions."""

    @initialize()
    def start(self) -> None:
        self.host = FakeHost()
        self.state = State()
        self.now = 0.0
        self.deadline: float | None = None
        self.sent: list[Step] = []
        self.passed_verification = False

    def _go(self, step: Step) -> None:
        self.state = announce(self.state, step)
        self.sent.append(step)

    def _answer(self, *, ok: bool, lost: bool) -> None:
        event: Lost | Answered = Lost(reason=WHY)
        if not lost:
            event = Answered(
                ok=ok,
                state=self.host.file,
                cleared=self.host.file is None and not self.host.loaded,
                reverts_at=self.deadline,
                reason=None if ok else WHY,
            )
        self.state = evolve(self.state, event, now=self.now)

    @rule(fate=FATES, verified=st.booleans(), seconds=st.sampled_from([0.0] * 6 + [1.0, 130.0]))
    def take_a_step(self, fate: str, *, verified: bool, seconds: float) -> None:
        self._pass(seconds)
        if self.state.outcome is not None:
            return
        step = decide(self.state, now=self.now)
        self._go(step)
        if fate == "unsent":
            self.state = evolve(self.state, Unsent(reason=WHY), now=self.now)
            return
        match step:
            case Step.OBSERVE | Step.BASELINE:
                event = Ready() if fate == "ok" else Lost(reason=WHY)
                self.state = evolve(self.state, event, now=self.now)
            case Step.ARM:
                ok = fate != "refused" and self.host.arm()
                self.deadline = self.now + 120 if ok else None
                self._answer(ok=ok, lost=fate == "lost")
            case Step.APPLY:
                self._answer(ok=self.host.apply() and fate != "refused", lost=fate == "lost")
            case Step.VERIFY:
                self.passed_verification = verified and fate == "ok"
                event2 = Verified(reason=None if self.passed_verification else WHY)
                self.state = evolve(self.state, event2, now=self.now)
            case Step.CONFIRM:
                done = fate != "refused" and self.host.confirm()
                self.host.verified_when_confirmed = self.passed_verification
                self._answer(ok=done, lost=fate == "lost")
            case Step.REVERT:
                self._answer(ok=fate != "refused" and self.host.undo(), lost=fate == "lost")
            case Step.ASK:
                self._answer(ok=True, lost=fate == "lost")
            case _:
                self.state = evolve(self.state, Checked(), now=self.now)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        if self.deadline is not None and self.now >= self.deadline:
            self.host.fire()

    @rule(really=st.sampled_from([False] * 5 + [True]))
    def remove_the_record(self, *, really: bool) -> None:
        if really and self.state.outcome is None:
            self.host.file = None

    @rule(really=st.sampled_from([False] * 5 + [True]))
    def interrupt(self, *, really: bool) -> None:
        if really:
            self.state = evolve(self.state, Stopped(reason=WHY), now=self.now)

    @invariant()
    def nothing_that_changes_is_sent_twice(self) -> None:
        for step in (Step.ARM, Step.APPLY, Step.CONFIRM):
            assert self.sent.count(step) <= 1

    @invariant()
    def nothing_is_confirmed_that_was_not_verified(self) -> None:
        if self.host.file is RecordState.CONFIRMED:
            assert self.host.verified_when_confirmed

    @invariant()
    def applied_means_confirmed_on_the_host(self) -> None:
        if self.state.outcome is Outcome.APPLIED:
            assert self.host.file is RecordState.CONFIRMED
            assert self.host.loaded

    @invariant()
    def failed_and_skipped_mean_that_no_rule_was_ever_loaded(self) -> None:
        if self.state.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            assert Step.APPLY not in self.sent

    @invariant()
    def reverted_means_that_no_rule_is_loaded(self) -> None:
        if self.state.outcome is Outcome.REVERTED:
            assert not self.host.loaded

    @invariant()
    def unknown_is_said_only_after_the_host_was_asked_long_enough(self) -> None:
        if self.state.outcome is Outcome.UNKNOWN and self.deadline is not None:
            assert self.now >= self.deadline + ASK_BEYOND_SECONDS


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)


def _after(*events: object) -> State:
    state = State()
    for event in events:
        state = announce(state, decide(state, now=0.0))
        state = evolve(state, event, now=0.0)  # type: ignore[arg-type]
    return state


ARMED = Answered(ok=True, state=RecordState.ARMED, reverts_at=120.0)


def test_a_host_that_goes_well_is_applied_when_its_file_says_confirmed() -> None:
    confirmed = Answered(ok=True, state=RecordState.CONFIRMED)
    state = _after(Ready(), Ready(), ARMED, ARMED, Verified(), confirmed)
    assert (state.outcome, state.reason) == (Outcome.APPLIED, None)


def test_a_plan_that_was_applied_before_never_reverts_the_run_it_finds() -> None:
    refused = Answered(ok=False, state=RecordState.CONFIRMED, reason=WHY)
    state = _after(Ready(), Ready(), refused)
    assert (state.outcome, state.reason) == (Outcome.FAILED, WHY)


def test_a_lost_confirm_is_settled_by_what_the_file_says() -> None:
    base = (Ready(), Ready(), ARMED, ARMED, Verified(), Lost(reason=WHY))
    assert decide(_after(*base), now=1.0) is Step.ASK
    assert _after(*base, Answered(ok=True, state=RecordState.CONFIRMED)).outcome is Outcome.APPLIED
    assert _after(*base, Answered(ok=True, state=RecordState.REVERTED)).step is Step.CHECK
    assert _after(*base, Answered(ok=True, state=RecordState.ARMED)).step is Step.REVERT


@pytest.mark.parametrize("step", [Step.APPLY, Step.VERIFY, Step.CONFIRM])
def test_past_the_deadline_only_the_file_counts(step: Step) -> None:
    state = State(step=step, armed=True, verified=True, reverts_at=10.0)
    assert decide(state, now=9.9) is step
    assert decide(state, now=10.0) is Step.ASK


def test_an_interruption_before_arm_leaves_the_host_untouched() -> None:
    state = evolve(_after(Ready()), Stopped(reason=WHY), now=0.0)
    assert state.outcome is Outcome.SKIPPED


def test_an_interruption_after_arm_reverts() -> None:
    state = evolve(_after(Ready(), Ready(), ARMED), Stopped(reason=WHY), now=0.0)
    assert state.step is Step.REVERT


@pytest.mark.parametrize("file", [RecordState.ARMED, RecordState.REVERTING, RecordState.CONFIRMED])
def test_a_revert_that_fails_is_tried_again_after_asking_and_not_for_ever(file: RecordState) -> None:
    refused = Answered(ok=False, state=file, reverts_at=10.0, reason=WHY)
    state = State(step=Step.REVERT, sent=frozenset({Step.ARM, Step.APPLY}), armed=True, reverts_at=10.0)
    asking = evolve(state, refused, now=20.0)
    assert (asking.step, asking.outcome) == (Step.ASK, None)
    again = evolve(asking, refused, now=30.0)
    assert (again.step, again.outcome) == (Step.REVERT, None)
    given_up = evolve(again, refused, now=10.0 + ASK_BEYOND_SECONDS)
    assert given_up.outcome is Outcome.UNKNOWN
    assert given_up.reason is not None
    assert ("tries again every 10 s" in given_up.reason.message) == (file is RecordState.REVERTING)


def test_what_happened_first_and_then_is_one_sentence() -> None:
    slow = Reason(code="unreachable", message="gw did not answer in time.")
    state = State(step=Step.ASK, sent=frozenset({Step.ARM}), reverts_at=0.0, cause=slow)
    given_up = evolve(state, Lost(reason=WHY), now=ASK_BEYOND_SECONDS)
    assert given_up.reason is not None
    assert given_up.reason.message == "gw did not answer in time; then: because"


def test_a_host_whose_record_was_removed_is_asked_until_its_timer_has_undone_the_run() -> None:
    gone = Answered(ok=False, state=None, reason=WHY)
    waiting = _after(Ready(), Ready(), ARMED, gone)
    assert (waiting.step, waiting.reverts_at) == (Step.ASK, 120.0)
    before = evolve(waiting, Answered(ok=False, state=None, cleared=True), now=119.0)
    assert before.step is Step.ASK
    assert evolve(before, Answered(ok=False, state=None, cleared=True), now=121.0).step is Step.CHECK
    late = 120.0 + ASK_BEYOND_SECONDS
    still = evolve(before, Answered(ok=False, state=None), now=late)
    assert (still.outcome, still.reason, still.reverts_at) == (Outcome.UNKNOWN, WHY, 120.0)


def test_what_was_left_half_way_long_ago_is_reverted_before_anybody_gives_up() -> None:
    left = State(step=Step.ASK, sent=frozenset({Step.ARM, Step.APPLY}), armed=True, reverts_at=-86400.0)
    state = evolve(left, Answered(ok=True, state=RecordState.REVERTING), now=0.0)
    assert (state.step, state.outcome) == (Step.REVERT, None)


@given(st.sampled_from(list(Outcome)))
def test_a_host_that_is_done_stays_as_it_is(outcome: Outcome) -> None:
    state = State(step=Step.DONE, outcome=outcome)
    assert evolve(state, Settled(outcome=Outcome.FAILED), now=0.0) == state


def test_confirm_without_verification_is_refused() -> None:
    with pytest.raises(AssertionError):
        announce(State(step=Step.CONFIRM, armed=True), Step.CONFIRM)
