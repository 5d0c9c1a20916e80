"""The journal's chain across runs: a run that was removed shows, and an old head proves what was there."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fwfix.canonical import canonical
from fwfix.cli import runs
from fwfix.cli.options import Program
from fwfix.journal import Journal, RunStart
from fwfix.journal.chain import digest_of
from fwfix.model.host import Host, Platform

START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
FIRST, SECOND, THIRD, FOURTH = (f"2026112{day}T220003Z-000{day}" for day in (1, 2, 3, 4))
HOST = Host(name="gw", address="10.0.0.1", platform=Platform.LINUX)
UNLOCKED = "".join(
    f"DROP TRIGGER {name};"
    for name in (
        "events_are_never_changed",
        "events_are_never_removed",
        "ledger_is_never_changed",
        "ledger_is_never_cut",
    )
)


def begin(journal: Journal, run_id: str) -> None:
    journal.start_run(
        RunStart(
            run_id=run_id,
            command="apply",
            started_at=START + timedelta(days=int(run_id[-1])),
            operator="o",
            controller="c",
            fwfix_version="0.1.0",
            hosts=(HOST,),
        )
    )


def carry_out(journal: Journal, run_id: str) -> None:
    begin(journal, run_id)
    journal.append(run_id, "gw", "odd", {"number": 1})
    journal.finish_run(run_id, exit_code=0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state", now=lambda: START) as opened:
        for run_id in (FIRST, SECOND, THIRD):
            carry_out(opened, run_id)
        assert opened.check() == ()
        yield opened


def edit(journal: Journal, statements: str) -> None:
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.executescript(UNLOCKED + statements)


def without(run_id: str, *, tables: tuple[str, ...] = ("events", "hosts", "runs")) -> str:
    return "".join(f"DELETE FROM {table} WHERE run_id = '{run_id}';" for table in tables)


def check(journal: Journal, *arguments: str) -> Result:
    app = typer.Typer()
    app.add_typer(runs.app)

    @app.callback()
    def configure(context: typer.Context) -> None:
        context.obj = Program(state_dir=journal.directory, color=False)

    return CliRunner().invoke(app, ["runs", "check", *arguments])


@pytest.mark.parametrize("run_id", [FIRST, SECOND, THIRD])
def test_a_run_that_was_removed_is_named(journal: Journal, run_id: str) -> None:
    edit(journal, without(run_id))

    assert [(fault.run_id, fault.message) for fault in journal.check()] == [
        (run_id, "the whole run was removed")
    ]
    ended = check(journal)
    assert ended.exit_code == 2
    assert f"{run_id}: the whole run was removed" in ended.stdout


@pytest.mark.parametrize("run_id", [FIRST, SECOND, THIRD])
def test_a_run_that_was_removed_with_its_rows_of_the_ledger_leaves_a_gap(
    journal: Journal, run_id: str
) -> None:
    edit(journal, without(run_id, tables=("events", "hosts", "runs", "ledger")))

    faults = journal.check()
    assert faults
    assert all(fault.run_id is None for fault in faults)
    assert any("runs were removed" in fault.message for fault in faults)
    assert "the journal: row" in check(journal).stdout
    # What comes later does not close the gap.
    carry_out(journal, FOURTH)
    assert any("runs were removed" in fault.message for fault in journal.check())


def test_a_whole_run_with_a_new_chain_is_found(journal: Journal) -> None:
    body, previous, rows = {"number": 2}, "", []
    for event in journal.events(SECOND):
        changed = canonical(body if event.kind == "odd" else event.body)
        previous_of_this = previous
        previous = digest_of(
            run_id=SECOND,
            seq=event.seq,
            at=event.at,
            host=event.host,
            kind=event.kind,
            body=changed,
            previous=previous_of_this,
        )
        rows.append((changed, previous_of_this, previous, SECOND, event.seq))
    edit(journal, "")
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.executemany(
            "UPDATE events SET body = ?, previous = ?, digest = ? WHERE run_id = ? AND seq = ?",
            rows,
        )
        connection.execute("UPDATE runs SET head = ? WHERE run_id = ?", (previous, SECOND))

    assert [(fault.run_id, fault.seq) for fault in journal.check()] == [(SECOND, 3)]
    assert [(fault.run_id, fault.seq) for fault in journal.check(SECOND)] == [(SECOND, 3)]
    assert journal.check(FIRST) == ()


def test_a_run_that_was_slipped_in_is_found(journal: Journal) -> None:
    edit(
        journal,
        "CREATE TABLE kept AS SELECT * FROM sqlite_sequence; CREATE TABLE rows AS SELECT * FROM ledger;",
    )
    carry_out(journal, FOURTH)
    edit_again = (
        "DELETE FROM ledger; INSERT INTO ledger SELECT * FROM rows; DELETE FROM sqlite_sequence;"
        "INSERT INTO sqlite_sequence SELECT * FROM kept;"
    )
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.executescript(edit_again)

    (fault,) = journal.check()
    assert (fault.run_id, fault.message) == (FOURTH, "the ledger does not name it")


def test_a_journal_that_was_cut_without_a_trace_does_not_hold_a_head_that_somebody_kept(
    journal: Journal,
) -> None:
    kept = json.loads(check(journal, "--json").stdout)["head"]
    assert f"Head: {kept}" in check(journal).stdout
    carry_out(journal, FOURTH)
    assert check(journal, "--expect", kept).exit_code == 0  # more may have come since

    everything = without(FOURTH, tables=("events", "hosts", "runs", "ledger"))
    everything += without(THIRD, tables=("events", "hosts", "runs", "ledger"))
    edit(journal, f"{everything} UPDATE sqlite_sequence SET seq = (SELECT max(n) FROM ledger);")
    # Nothing in the file itself can tell, as docs/journal.md says.
    assert check(journal).exit_code == 0
    ended = check(journal, "--expect", kept, "--json")
    assert ended.exit_code == 2
    (fault,) = json.loads(ended.stdout)["faults"]
    assert fault["run_id"] is None
    assert kept in fault["message"]


def test_a_journal_whose_numbers_were_forgotten_can_still_be_written(journal: Journal) -> None:
    edit(journal, "DELETE FROM sqlite_sequence;")

    carry_out(journal, FOURTH)

    assert journal.check() == ()


def test_a_journal_of_the_first_format_gets_its_ledger_when_it_is_opened(tmp_path: Path) -> None:
    with Journal.open(tmp_path, now=lambda: START) as journal:
        carry_out(journal, FIRST)
        begin(journal, SECOND)
    path = journal.path
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("DROP TABLE ledger; PRAGMA user_version = 1;")

    with Journal.open(tmp_path, now=lambda: START) as journal:
        assert journal.check() == ()
        journal.resume_run(SECOND, command="recover", operator="o", controller="c")
        journal.finish_run(SECOND, exit_code=0)
        carry_out(journal, THIRD)
        assert journal.check() == ()
        edit(journal, without(FIRST))
        assert [fault.run_id for fault in journal.check()] == [FIRST]
