"""State directories and journals that cannot be used: an error that a person can act on, and no harm."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fwfix.errors import JournalError
from fwfix.journal import Journal, RunStart
from fwfix.journal.database import FILE_NAME
from fwfix.model.host import Host, Platform

RUN = "20261121T220003Z-4f2a"
HOST = Host(name="h", address="10.0.0.1", platform=Platform.LINUX)
START = RunStart(
    run_id=RUN,
    command="apply",
    started_at=datetime(2026, 11, 21, tzinfo=UTC),
    operator="o",
    controller="c",
    fwfix_version="0.1.0",
    hosts=(HOST,),
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_a_journal_of_a_newer_fwfix_is_refused_with_both_versions(tmp_path: Path) -> None:
    Journal.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version=7")

    with pytest.raises(JournalError, match=r"format 7.*knows format 2") as error:
        Journal.open(tmp_path)

    assert "newer fwfix" in error.value.next


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one" * 50, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(JournalError, match=r"not a journal|damaged") as error:
        Journal.open(tmp_path)

    assert "Move it away" in error.value.next
    assert "rollback RUN -i INVENTORY" in error.value.next
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")

    with pytest.raises(JournalError, match="another program"):
        Journal.open(tmp_path)

    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


def test_a_journal_with_a_damaged_page_says_so(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(START)
        for number in range(200):
            journal.append(RUN, "h", "odd", {"text": "x" * 500, "number": number})
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 16384) + whole[-8192:])

    with pytest.raises(JournalError, match="damaged"), Journal.open(tmp_path) as journal:
        journal.run(RUN)


def test_a_journal_that_another_process_holds_for_long_is_reported(tmp_path: Path) -> None:
    with (
        Journal.open(tmp_path, busy=timedelta(milliseconds=100)) as journal,
        closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other,
    ):
        journal.start_run(START)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another process") as error:
            journal.hand_in_steps(RUN, "h", ["arm"])()
        assert "runs list" in error.value.next
        other.execute("ROLLBACK")
        journal.hand_in_steps(RUN, "h", ["arm"])()
        assert journal.check() == ()


FULL = """
import os, sys, threading
from pathlib import Path
from fwfix.errors import JournalError
from fwfix.journal import Journal
sys.path.insert(0, sys.argv[2])
from test_journal_trouble import RUN, START

directory = Path(sys.argv[1])
outcomes = []
with Journal.open(directory) as journal:
    journal.start_run(START)

    def live(number):
        done = 0
        try:
            while True:
                journal.append(RUN, "h", "odd", {"number": number, "text": os.urandom(2000).hex()})
                done += 1
        except JournalError as error:
            outcomes.append((done, str(error)))

    threads = [threading.Thread(target=live, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(outcomes) == 8, outcomes
    assert all("disk" in text for _, text in outcomes), outcomes
    (directory / "ballast").unlink()
    journal.append(RUN, "h", "odd", {"after": "room was made"})
    events = journal.events(RUN)
    assert len(events) == 1 + sum(done for done, _ in outcomes) + 1, (len(events), outcomes)
    assert journal.check() == ()
print(outcomes[0][1])
"""


@as_root
def test_a_full_disk_stops_everybody_who_waits_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    # A mount namespace of its own: nothing is left behind, whatever happens.
    script = (
        'mount -t tmpfs -o size=4m,mode=700 tmpfs "$1" && head -c 1000000 /dev/zero > "$1/ballast"'
        ' && exec "$2" -c "$3" "$1" "$4"'
    )
    arguments = [str(tmp_path), sys.executable, FULL, str(Path(__file__).parent)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Make room" in done.stdout or "full quota" in done.stdout


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")

    with pytest.raises(JournalError, match="cannot be used") as error:
        Journal.open(tmp_path / "state")
    with pytest.raises(JournalError):
        Journal.open(tmp_path / "state" / "below")

    assert "--state-dir" in error.value.next


@as_root
def test_a_state_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)

    with pytest.raises(JournalError, match="belongs to") as error:
        Journal.open(tmp_path)

    assert "Run fwfix as" in error.value.next


def test_a_state_directory_in_which_anybody_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(JournalError, match="Anybody may write") as error:
        Journal.open(tmp_path)

    assert "chmod o-w" in error.value.next


@as_root
def test_a_read_only_state_directory_is_refused(tmp_path: Path) -> None:
    code = "import pathlib, sys, fwfix.journal; fwfix.journal.Journal.open(pathlib.Path(sys.argv[1]))"
    script = 'mount -t tmpfs -o ro,mode=700 tmpfs "$1" && exec "$2" -c "$3" "$1"'

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stderr.splitlines()[-1]
    assert "JournalError: Nothing can be written" in said
    assert "read-only" in said.lower()


def test_a_journal_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(tmp_path)

    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_many_processes_may_make_the_same_journal_at_the_same_moment(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, fwfix.journal; sys.stdin.read();"
        "fwfix.journal.Journal.open(pathlib.Path(sys.argv[1])).close()"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "new")]
    together = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in together:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    said = [process.communicate()[1] for process in together]

    assert [process.returncode for process in together] == [0] * 6, said
    with Journal.open(tmp_path / "new") as journal:
        assert journal.runs() == ()
