"""Bad input of any kind: exit 2, one message a person can act on, no traceback, no host touched."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket

import pytest

POLICY = "policies: {p: {ports: [jetdirect], allow_from: [10.0.5.0/24]}}\n"


class Trap:
    """A port that notices whether anybody connects: no host may be touched."""

    def __init__(self) -> None:
        self.sock = socket(AF_INET, SOCK_STREAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen()
        self.port = self.sock.getsockname()[1]
        self.touched = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            connection, _ = self.sock.accept()
        except OSError:
            return
        self.touched.set()
        connection.close()

    def close(self) -> None:
        self.sock.shutdown(2)
        self.sock.close()
        self._thread.join(5)


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


def fwfix(*argv: str, state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fwfix", "--state-dir", str(state), *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def expect_refusal(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def host(trap: Trap, more: str = "") -> str:
    return (
        "hosts: {h: {address: 127.0.0.1, platform: linux, policy: p, "
        f"ssh: {{user: ops, port: {trap.port}{more}}}}}}}\n"
    )


BAD_INVENTORIES = {
    "an unknown key": ("hosts: {h: {adress: 10.0.0.1, platform: linux}}\n", ("adress", "address")),
    "a bad port": ("policies: {p: {ports: [70000/tcp]}}\n", ("70000",)),
    "a bad network": ("policies: {p: {ports: [jetdirect], allow_from: [10.0.5.0/33]}}\n", ("10.0.5.0/33",)),
    "a mapped address": (
        "policies: {p: {ports: [jetdirect], allow_from: ['::ffff:10.0.0.1']}}\n",
        ("::ffff",),
    ),
    "the management port": ("policies: {p: {ports: [22/tcp]}}\ndefaults: {policy: p}\n", ("22",)),
    "an empty inventory": ("", ()),
}


@pytest.mark.parametrize("what", BAD_INVENTORIES)
@pytest.mark.parametrize("command", ["plan", "apply", "verify", "status"])
def test_a_bad_inventory_is_refused_by_every_command(
    what: str, command: str, tmp_path: Path, trap: Trap
) -> None:
    text, words = BAD_INVENTORIES[what]
    inventory = tmp_path / "inventory.yaml"
    whole = text if not text or "hosts:" in text else text + host(trap)
    inventory.write_text(whole if "policies" in text or not text else POLICY + whole)
    more = ["--yes"] if command == "apply" else []
    done = fwfix(command, "-i", str(inventory), *more, state=tmp_path / "state")
    expect_refusal(done, "inventory.yaml", *words)
    assert not trap.touched.is_set()


def test_a_literal_password_is_refused_and_never_shown(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap, ", password: hunter2"))
    done = fwfix("plan", "-i", str(inventory), state=tmp_path / "state")
    expect_refusal(done, "inventory.yaml:2", "password")
    assert "hunter2" not in done.stderr
    assert not trap.touched.is_set()


def test_a_missing_secret_is_found_before_any_contact(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap, ", password: {env: NOT_SET_ANYWHERE}"))
    done = fwfix("apply", "--yes", "-i", str(inventory), state=tmp_path / "state")
    expect_refusal(done, "NOT_SET_ANYWHERE")
    assert not trap.touched.is_set()


def test_an_unreadable_key_is_found_before_any_contact(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap, ", identity_file: no-such-key"))
    done = fwfix("apply", "--yes", "-i", str(inventory), state=tmp_path / "state")
    expect_refusal(done, "no-such-key")
    assert not trap.touched.is_set()


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")])
def test_a_calendar_that_is_missing_is_found_before_any_contact(
    command: tuple[str, ...], tmp_path: Path, trap: Trap
) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("blackouts: [freeze.ics]\n" + POLICY + host(trap))
    done = fwfix(*command, "-i", str(inventory), state=tmp_path / "state")
    expect_refusal(done, "freeze.ics")
    assert not trap.touched.is_set()


def test_a_host_defined_twice_names_both_places(tmp_path: Path, trap: Trap) -> None:
    (tmp_path / "a.yaml").write_text(POLICY + host(trap))
    (tmp_path / "b.yaml").write_text(host(trap))
    done = fwfix(
        "plan", "-i", str(tmp_path / "a.yaml"), "-i", str(tmp_path / "b.yaml"), state=tmp_path / "state"
    )
    expect_refusal(done, "a.yaml:2", "b.yaml:1")


def test_a_limit_that_matches_nothing_is_refused(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap))
    done = fwfix("plan", "-i", str(inventory), "-l", "nobody", state=tmp_path / "state")
    expect_refusal(done, "nobody")
    assert not trap.touched.is_set()


def test_a_template_with_an_undefined_name_is_refused(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap))
    templates = tmp_path / "own"
    (templates / "linux").mkdir(parents=True)
    (templates / "linux" / "observe.sh.j2").write_text("echo {{ no_such_name }}\n")
    done = fwfix("plan", "-i", str(inventory), "--templates", str(templates), state=tmp_path / "state")
    expect_refusal(done, "no_such_name", "observe.sh.j2")
    assert not trap.touched.is_set()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ("plan.json",)),
        ("[]", ("plan.json",)),
        (json.dumps({"schema": "fwfix.plan/99"}), ("fwfix.plan/99",)),
        (json.dumps({"schema": "fwfix.plan/1"}), ("plan.json",)),
    ],
)
@pytest.mark.parametrize("command", [("apply", "--yes"), ("plan", "show")])
def test_a_damaged_plan_file_is_refused(
    content: str, words: tuple[str, ...], command: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    done = fwfix(*command, str(path), state=tmp_path / "state")
    expect_refusal(done, *words)


def test_a_missing_plan_file_is_refused(tmp_path: Path) -> None:
    done = fwfix("apply", str(tmp_path / "none.json"), "--yes", state=tmp_path / "state")
    expect_refusal(done, "none.json")


def _inventory(tmp_path: Path, trap: Trap) -> str:
    path = tmp_path / "inventory.yaml"
    path.write_text(POLICY + host(trap))
    return str(path)


def test_a_journal_from_a_newer_version_is_refused(tmp_path: Path, trap: Trap) -> None:
    state = tmp_path / "state"
    assert fwfix("runs", "list", state=state).returncode == 0
    database = next(path for path in state.iterdir() if path.suffix in (".db", ".sqlite", ".sqlite3"))
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    done = fwfix("apply", "--yes", "-i", _inventory(tmp_path, trap), state=state)
    expect_refusal(done, "999")
    assert not trap.touched.is_set()


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path, trap: Trap) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = fwfix("apply", "--yes", "-i", _inventory(tmp_path, trap), state=blocked / "state")
    expect_refusal(done, "file")
    assert not trap.touched.is_set()


def test_apply_without_a_terminal_and_without_yes_is_refused_before_anything_else(tmp_path: Path) -> None:
    done = fwfix("apply", "-i", str(tmp_path / "there-is-no-such-inventory.yaml"), state=tmp_path / "state")
    expect_refusal(done, "--yes")
    assert "there-is-no-such-inventory" not in done.stderr


@pytest.mark.parametrize(
    "option", ["--accept=nonsense", "--confirm-within=soon", "--max-fail=few", "--waves=0"]
)
def test_an_option_that_makes_no_sense_is_refused(option: str, tmp_path: Path, trap: Trap) -> None:
    done = fwfix("apply", "--yes", "-i", _inventory(tmp_path, trap), option, state=tmp_path / "state")
    expect_refusal(done, option.partition("=")[2])
    assert not trap.touched.is_set()


@pytest.mark.parametrize("option", ["--ticket", "--reason", "--break-glass", "--inventory"])
def test_bytes_that_are_no_text_are_refused_before_any_contact(
    option: str, tmp_path: Path, trap: Trap
) -> None:
    folder = tmp_path / "gr\udcfcn"  # Latin-1, as a terminal that is set to it sends it
    folder.mkdir()
    for each in (folder, tmp_path):
        (each / "inventory.yaml").write_text(POLICY + host(trap))
    told = str(folder / "inventory.yaml") if option == "--inventory" else "CHG-\udcfc"
    done = fwfix(
        "apply", "-i", str(tmp_path / "inventory.yaml"), option, told, "--yes", state=tmp_path / "state"
    )
    expect_refusal(done, option, r"\xfc")
    assert not trap.touched.is_set()


def test_a_ticket_is_understood_in_the_locale_c(tmp_path: Path, trap: Trap) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(POLICY + host(trap))
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = ("plan", "--offline", "--json", "-i", str(inventory), "--ticket", "CHG-ü")
    done = fwfix(*command, state=tmp_path / "state", **plain)
    assert json.loads(done.stdout)["ticket"] == "CHG-ü"


def test_an_unknown_run_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    expect_refusal(fwfix("rollback", "20261121T220003Z-4f2a", "--yes", state=state), "20261121T220003Z-4f2a")
    expect_refusal(fwfix("rollback", "yesterday", "--yes", state=state), "yesterday")
    expect_refusal(fwfix("rollback", "--yes", state=state), "no run")
