"""On a terminal: the summary, the question, and an answer of yes, no, or Ctrl-C."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import MakeSite, Site

pytestmark = pytest.mark.lab


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, argv: list[str], **environment: str) -> None:
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(argv[0], argv, {**os.environ, **environment})
        self.pid = pid
        self.shown = ""

    def await_text(self, text: str) -> None:
        """Read until a text was shown."""
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown

    def _read(self) -> bool:
        if not select.select([self.fd], [], [], 30)[0]:
            return False
        try:
            found = os.read(self.fd, 65536)
        except OSError:
            return False
        self.shown += found.decode(errors="replace")
        return bool(found)

    def stays(self, text: str, *, seconds: float) -> bool:
        """Tell whether a text stays the last that is shown, with nothing drawn over it."""
        if select.select([self.fd], [], [], seconds)[0]:
            self._read()
        return self.shown.rstrip().endswith(text)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _apply(site: "Site", **environment: str) -> Terminal:
    terminal = Terminal(site.fwfix.bare("apply", "-i", str(site.fwfix.inventory)), **environment)
    # With its last blank: then the question is whole.
    terminal.await_text("[y/N]: ")
    assert "FWFIX-" in terminal.shown
    return terminal


def test_yes_applies(site: "Site") -> None:
    terminal = _apply(site)
    assert site.is_open()
    terminal.type("y\n")
    assert terminal.end() == 0
    assert site.is_blocked()


def test_no_changes_nothing(site: "Site") -> None:
    terminal = _apply(site, TERM="xterm")  # one that can be drawn on
    assert terminal.stays("Apply this to 1 host? [y/N]:", seconds=0.5)
    terminal.type("n\n")
    assert terminal.end() == 5
    assert site.states() == {}
    assert site.is_open()
    assert site.fwfix.run("runs", "list", code=0).document["runs"] == []


def test_the_question_counts_the_hosts_that_would_be_started(make_site: "MakeSite") -> None:
    exporter = Listener(process="node_exporter")
    site = make_site(HostSpec(name="gw"), HostSpec(name="metrics", listeners=(exporter,)))
    terminal = _apply(site)
    assert "Apply this to 1 host?" in terminal.shown
    terminal.type("y\n")
    assert terminal.end() == 3
    nobody = Terminal(site.fwfix.bare("apply", "-i", str(site.fwfix.inventory), "-l", "metrics"))
    assert nobody.end() == 5, nobody.shown
    assert "[y/N]" not in nobody.shown


def test_who_was_turned_away_is_shown_before_the_question_whether_to_go_on(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw-1"), HostSpec(name="gw-2"))
    run = site.fwfix.apply("--stop-after", "1", code=3).run_id

    def kinds() -> list[str]:
        return [each["kind"] for each in site.fwfix.run("runs", "show", run).document["events"]]

    before = kinds()
    for answer, code in (("n", 5), ("y", 0)):
        terminal = Terminal(site.fwfix.bare("apply", "--continue", run))
        terminal.await_text("[y/N]")
        assert "turned away since" in terminal.shown
        assert kinds() == before
        terminal.type(f"{answer}\n")
        assert terminal.end() == code
    after = kinds()
    assert after.index("counters") > after.index("resumed")
    assert after.count("counters") == 1


def test_a_run_that_went_on_elsewhere_during_the_question_is_left_as_it_is(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="gw-1"), HostSpec(name="gw-2"))
    run = site.fwfix.apply("--stop-after", "1", code=3).run_id
    terminal = Terminal(site.fwfix.bare("apply", "--continue", run))
    terminal.await_text("[y/N]")
    site.fwfix.apply("--continue", run)
    terminal.type("y\n")
    assert terminal.end() == 2, terminal.shown
    assert "gone on" in terminal.shown
    shown = site.fwfix.run("runs", "show", run).document
    assert [each["outcome"] for each in shown["hosts"]] == ["applied", "applied"]


def test_ctrl_c_at_the_question_leaves_at_once(site: "Site") -> None:
    terminal = _apply(site)
    terminal.type("\x03")
    assert terminal.end() == 130, terminal.shown
    assert site.states() == {}


def test_who_pressed_ctrl_c_while_hosts_were_looked_at_is_not_asked_any_more(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="well"), HostSpec(name="hang", hang=True))
    arguments = ("apply", "-i", str(site.fwfix.inventory), "--connect-timeout", "3s", "--forks", "1")
    terminal = Terminal(site.fwfix.bare(*arguments, "--max-unreachable", "100%"), TERM="dumb")
    terminal.await_text("hang: observe")
    terminal.type("\x03")
    assert terminal.end() == 130, terminal.shown
    assert "[y/N]" not in terminal.shown
    assert site.states() == {}


def test_an_interruption_while_looking_at_hosts_starts_none(make_site: "MakeSite") -> None:
    site = make_site(HostSpec(name="well"), HostSpec(name="hang", hang=True), HostSpec(name="unseen"))
    arguments = ("--connect-timeout", "3s", "--max-unreachable", "100%", "--forks", "1")
    started = site.fwfix.start("apply", *arguments)
    started.await_step("observe", host="hang")
    started.send(signal.SIGINT)
    ended = started.end()
    assert ended.code == 130
    assert (ended.outcome("well"), ended.outcome("unseen")) == ("skipped", "skipped")
    assert ended.reason("unseen") == "interrupted"
    assert site.states() == {}
    assert site.fwfix.run("runs", "recover", code=0).document["hosts"] == []


def test_an_interrupted_rollback_starts_no_other_host(make_site: "MakeSite") -> None:
    site = make_site(*(HostSpec(name=f"gw-{number}") for number in (1, 2, 3)))
    site.fwfix.apply()
    started = site.fwfix.start("rollback", "--forks", "1")
    started.await_step("rollback", host="gw-1")
    started.send(signal.SIGINT)
    ended = started.end()
    assert ended.code == 130
    assert ended.outcome("gw-1") == "rolled_back"
    assert (ended.outcome("gw-3"), ended.reason("gw-3")) == ("failed", "interrupted")
    assert set(site.states(site.lab["gw-3"]).values()) == {"confirmed"}
    again = site.fwfix.rollback()
    assert {entry["outcome"] for entry in again.document["hosts"]} <= {"rolled_back", "noop"}
    assert all(site.is_open(host) for host in site.lab.hosts)


def test_a_rollback_whose_answer_is_held_up_hears_it_once_the_network_is_back(site: "Site") -> None:
    before = site.rules()
    run = site.fwfix.apply().run_id
    started = site.fwfix.start("rollback", run, "--connect-timeout", "3s")
    site.await_path(f"/var/lib/fwfix/runs/{run}/state.reverting")
    site.host.cut()
    site.await_state("reverted")
    site.host.restore()
    ended = started.end(timeout=90)
    assert (ended.code, ended.outcome()) == (0, "rolled_back")
    assert site.fwfix.rollback(run).outcome() == "noop"
    assert site.rules() == before


def test_recover_finishes_a_rollback_whose_controller_was_killed(site: "Site") -> None:
    before = site.rules()
    run = site.fwfix.apply().run_id
    started = site.fwfix.start("rollback", run)
    started.await_step("rollback")
    started.kill()
    ended = site.fwfix.run("runs", "recover", code=0)
    assert ended.outcome() in {"rolled_back", "noop"}
    assert site.rules() == before
    assert site.is_open()
    assert site.states() == {run: "reverted"}


@pytest.mark.parametrize("share", [0.9, 1.3, 1.8])
def test_a_journal_that_cannot_be_written_ends_the_run_and_the_host_restores_itself(
    make_site: "MakeSite", share: float
) -> None:
    """As a full disk of the controller: no step is taken that could not be written down."""
    site = make_site(HostSpec(name="gw"), HostSpec(name="other"))
    before = site.rules()
    other = site.second_controller()
    other.apply("-l", "other")
    # While a run goes on, what it wrote stands in the journal's log as well: more than its size at the end.
    largest = max(path.stat().st_size for path in other.state_dir.rglob("*"))
    argv = site.fwfix.argv("apply", "-l", "gw", "--confirm-within", "5s")
    limited = ["prlimit", f"--fsize={int(largest * share)}", "--", *argv]
    done = subprocess.run(
        limited, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False, timeout=60
    )
    assert "journal" in done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 2:
        assert json.loads(done.stdout)["error"]["code"] == "journal"
        assert site.states() == {}
    else:
        assert done.returncode == 1, done
        document = json.loads(done.stdout)
        (entry,) = document["hosts"]
        assert document["exit_code"] == 1
        assert (entry["reverts_at"] is not None) == (entry["outcome"] == "unknown")
    site.wait_for(lambda: set(site.states().values()) <= {"reverted", "confirmed"}, "the timer")
    if set(site.states().values()) == {"confirmed"}:
        assert entry["outcome"] in {"applied", "unknown"}
    else:
        assert site.rules() == before
        assert site.is_open()
