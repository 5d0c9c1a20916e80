"""Results are told without waiting: on disk with the next event of their host, or soon by themselves."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from fwfix.errors import JournalError
from fwfix.journal import Journal, RunStart, StepResult, book, writer
from fwfix.journal.database import FILE_NAME
from fwfix.journal.values import results_in
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import HostReport, Outcome, StepRecord
from fwfix.model.script import Result

RUN = "20261121T220003Z-4f2a"
AT = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
STEP = StepRecord(step="arm", ok=True, at=AT, took_ms=3)
ANSWER = Result(exit_code=0, stdout="the answer", stderr="", took_ms=3)
SAID_NOTHING = StepResult(step=STEP)
ANSWERED = StepResult(step=STEP, answer=ANSWER)


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Journal]:
    """A journal with a run."""
    with Journal.open(tmp_path, busy=timedelta(milliseconds=50)) as journal:
        journal.start_run(
            RunStart(
                run_id=RUN,
                command="apply",
                started_at=AT,
                operator="o",
                controller="c",
                fwfix_version="0.1.0",
                hosts=tuple(Host(name=name, address="10.0.0.1", platform=Platform.LINUX) for name in "ab"),
            )
        )
        yield journal


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no result become due in the middle of a test, however slow the disk."""
    monkeypatch.setattr(book, "KEPT_SECONDS", 60.0)
    monkeypatch.setattr(writer, "_LOOK_SECONDS", 60.0)


@pytest.fixture
def journal(patience: None, hasty: Journal) -> Journal:
    """The same, with all the time there is for what follows a result."""
    del patience
    return hasty


@contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Hold the file, so that nothing can be written into it."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def kinds(journal: Journal) -> list[str]:
    return [event.kind for event in journal.events(RUN)]


def steps(journal: Journal) -> list[list[object]]:
    """Return the results that every event takes along."""
    return [[result["step"] for result in results_in(event)] for event in journal.events(RUN)]


def test_a_result_is_on_disk_with_the_next_announcement_of_its_host_and_shares_its_flush(
    journal: Journal,
) -> None:
    before = journal.commits
    for number in range(5):
        journal.hand_in_steps(RUN, "a", ["arm"], detail={"number": number})()
        journal.record(RUN, "a", ANSWERED)
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert kinds(journal) == ["started", *["announced"] * 6]
    assert steps(journal) == [[], [], *[["arm"]] * 5]
    assert journal.commits - before == 6  # with a flush for every event it would be 11
    assert journal.check() == ()


def test_an_announcement_takes_along_what_is_known_of_its_own_host_alone(journal: Journal) -> None:
    journal.record(RUN, "a", ANSWERED)
    journal.hand_in_steps(RUN, "b", ["arm"])()
    assert steps(journal) == [[], []]
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert steps(journal) == [[], [], ["arm"]]


def test_what_concerns_the_whole_run_is_written_behind_every_result_before_it(journal: Journal) -> None:
    journal.record(RUN, "a", ANSWERED)
    journal.record(RUN, "b", ANSWERED)
    journal.append(RUN, None, "stopped", {})
    assert kinds(journal) == ["started", "step", "step", "stopped"]


def test_a_result_that_nobody_follows_is_on_disk_soon(hasty: Journal) -> None:
    hasty.record(RUN, "a", SAID_NOTHING)
    end = time.monotonic() + 10
    while kinds(hasty) != ["started", "step"]:
        assert time.monotonic() < end


def test_a_result_is_written_when_the_journal_is_closed(journal: Journal, tmp_path: Path) -> None:
    journal.record(RUN, "a", SAID_NOTHING)
    journal.close()
    with Journal.open(tmp_path) as again:
        assert kinds(again) == ["started", "step"]
        assert again.check() == ()


def test_a_result_that_the_disk_refused_is_written_with_the_next_event(
    journal: Journal, tmp_path: Path
) -> None:
    with held(tmp_path):
        journal.record(RUN, "a", ANSWERED)
        with pytest.raises(JournalError, match="another process"):
            journal.hand_in_steps(RUN, "a", ["apply"])()
    journal.hand_in_steps(RUN, "a", ["revert"])()
    assert steps(journal) == [[], ["arm"]]
    assert journal.check() == ()


def test_a_result_that_the_disk_refused_is_written_by_itself_where_nothing_follows(
    journal: Journal, tmp_path: Path
) -> None:
    with held(tmp_path):
        journal.record(RUN, "a", ANSWERED)
        with pytest.raises(JournalError, match="another process"):
            journal.hand_in_steps(RUN, "a", ["apply"])()
    journal.close()
    with Journal.open(tmp_path) as again:
        assert steps(again) == [[], ["arm"]]


def test_a_result_stays_in_front_of_a_later_one_when_the_disk_had_refused_it(
    journal: Journal, tmp_path: Path
) -> None:
    journal.record(RUN, "a", ANSWERED)
    with held(tmp_path):
        with pytest.raises(JournalError, match="another process"):
            journal.append(RUN, None, "stopped", {})
        journal.record(RUN, "a", StepResult(step=replace(STEP, step="apply")))
    journal.hand_in_steps(RUN, "a", ["confirm"])()
    journal.append(RUN, None, "stopped", {})
    assert journal.host(RUN, "a").completed == ("arm", "apply")


def test_a_result_is_not_lost_with_an_announcement_that_is_refused(journal: Journal) -> None:
    journal.record(RUN, "a", ANSWERED)
    with pytest.raises(TypeError):
        journal.hand_in_steps(RUN, "a", ["apply"], detail={"no": {"JSON"}})()
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert steps(journal) == [[], ["arm"]]


def test_a_result_that_can_never_be_written_lets_nothing_more_be_announced(journal: Journal) -> None:
    journal.record("20261121T220004Z-0000", "a", SAID_NOTHING)
    journal.append(RUN, "b", "odd", {})  # in the same transaction: not its mistake
    with pytest.raises(JournalError, match="no run"):
        journal.hand_in_steps(RUN, "a", ["apply"])()
    assert kinds(journal) == ["started", "odd"]


def test_the_mistake_of_one_costs_nobody_else_in_the_same_transaction_an_event_or_a_text(
    journal: Journal,
) -> None:
    journal.record(RUN, "a", ANSWERED)
    with pytest.raises(JournalError, match="no run"):
        journal.append("20261121T220004Z-0000", "a", "odd", {})
    journal.record(RUN, "b", ANSWERED)
    journal.append(RUN, None, "odd", {})
    assert kinds(journal) == ["started", "step", "step", "odd"]
    assert journal.check() == ()


def test_a_run_that_another_process_went_on_with_keeps_one_chain(journal: Journal, tmp_path: Path) -> None:
    journal.hand_in_steps(RUN, "a", ["arm"])()
    with Journal.open(tmp_path) as other:
        other.append(RUN, "a", "odd", {})
    journal.record(RUN, "a", SAID_NOTHING)
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert kinds(journal) == ["started", "announced", "odd", "announced"]
    assert steps(journal)[-1] == ["arm"]
    assert journal.check() == ()


def test_results_that_the_next_event_takes_along_count_as_those_in_events_of_their_own(
    journal: Journal,
) -> None:
    reverts_at = AT + timedelta(seconds=120)
    for step in ("observe", "baseline"):
        journal.record(RUN, "a", StepResult(step=replace(STEP, step=step)))
    journal.hand_in_steps(RUN, "a", ["arm"])()
    journal.record(RUN, "a", replace(ANSWERED, reverts_at=reverts_at))
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert steps(journal) == [[], ["observe", "baseline"], ["arm"]]
    entry = journal.host(RUN, "a")
    assert entry.completed == ("observe", "baseline", "arm")  # nothing is known of apply
    assert entry.reverts_at == reverts_at
    report = HostReport(name="a", address="10.0.0.1", platform="linux", outcome=Outcome.APPLIED)
    journal.record(RUN, "a", StepResult(step=replace(STEP, step="apply")))
    journal.finish_host(RUN, report)
    entry = journal.host(RUN, "a")
    assert entry.completed == ("observe", "baseline", "arm", "apply")
    assert entry.report == report
    assert journal.check() == ()


def test_a_change_of_an_answer_that_an_announcement_took_along_shows(
    journal: Journal, tmp_path: Path
) -> None:
    journal.record(RUN, "a", ANSWERED)
    journal.hand_in_steps(RUN, "a", ["apply"])()
    assert journal.text(sha256(b"the answer").hexdigest()) == "the answer"
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("UPDATE texts SET packed = 'another' WHERE packed = 'the answer'")
    (fault,) = journal.check()
    assert "a text that it names was changed" in fault.message
