"""From references to secrets: each kind, asked once, and never repeated in a message."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from fwfix.errors import SecretError
from fwfix.secret_store import SecretStore
from fwfix.secrets import SecretKind, SecretRef
from fwfix.terminal import drawn

SECRET = "hunter2"


def ref(kind: SecretKind, argument: str = "", *command: str) -> SecretRef:
    return SecretRef(kind=kind, argument=argument or (command[0] if command else ""), command=command)


def reveal(store: SecretStore, what: SecretRef, *, host: str = "h", user: str = "ops") -> str:
    return store.resolve(what, host=host, address="10.0.0.1", user=user).reveal()


def test_an_environment_variable_is_read() -> None:
    assert reveal(SecretStore(environment={"PW": SECRET}), ref(SecretKind.ENV, "PW")) == SECRET


@pytest.mark.parametrize("environment", [{}, {"PW": ""}, {"PW": f"{SECRET}\n{SECRET}"}])
def test_an_environment_variable_that_holds_no_secret_is_an_error(environment: dict[str, str]) -> None:
    store = SecretStore(environment=environment)
    with pytest.raises(SecretError, match="PW") as caught:
        store.check(ref(SecretKind.ENV, "PW"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_is_read_without_its_line_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "pw"
    path.write_bytes(f" {SECRET} {ending}".encode())
    path.chmod(0o600)
    store = SecretStore()
    store.check(ref(SecretKind.FILE, str(path)))
    assert reveal(store, ref(SecretKind.FILE, str(path))) == f" {SECRET} "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o610])
def test_a_file_that_others_can_open_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "pw"
    path.write_text(SECRET)
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"chmod 600 {path}") as caught:
        reveal(SecretStore(), ref(SecretKind.FILE, str(path)))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "empty", "binary", "large", "lines"])
def test_a_file_that_holds_no_secret_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pw"
    contents = {
        "empty": b"\n",
        "binary": b"\xff\xfe" + SECRET.encode(),
        "large": SECRET.encode() * 20_000,
        "lines": f"{SECRET}\n{SECRET}\n".encode(),
    }
    if kind == "folder":
        path.mkdir(mode=0o700)
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind in contents:
        path.write_bytes(contents[kind])
        path.chmod(0o600)
    with pytest.raises(SecretError, match="pw") as caught:
        SecretStore().check(ref(SecretKind.FILE, str(path)))
    assert SECRET not in str(caught.value)


def test_a_command_gets_host_address_and_user_and_no_shell(tmp_path: Path) -> None:
    what = ref(SecretKind.COMMAND, "", "printf", "%s", "{user}@{address}/{host};$(id) {other}")
    assert reveal(SecretStore(), what) == "ops@10.0.0.1/h;$(id) {other}"


def test_a_value_is_never_read_as_a_placeholder() -> None:
    what = ref(SecretKind.COMMAND, "", "printf", "%s", "{host}")
    store = SecretStore()
    assert reveal(store, what, host="{user}", user="x") == "{user}"


def test_a_command_runs_once_for_the_same_words_and_again_for_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = 'echo x >> "$1"; echo "$2"'
    what = ref(SecretKind.COMMAND, "", "sh", "-c", script, "sh", str(log), "{user}")
    store = SecretStore()
    assert [reveal(store, what, host=h) for h in ("a", "b")] == ["ops", "ops"]
    assert reveal(store, what, user="other") == "other"
    assert log.read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"echo {SECRET}; echo {SECRET} >&2; exit 3", "exit status 3"),
        ("exit 0", "is empty"),
        (f"printf '{SECRET}\\nx\\n'", "more than one line"),
    ],
)
def test_a_command_without_a_secret_is_an_error_that_repeats_nothing(script: str, message: str) -> None:
    with pytest.raises(SecretError, match=message) as caught:
        reveal(SecretStore(), ref(SecretKind.COMMAND, "", "sh", "-c", script))
    assert SECRET not in str(caught.value)


def test_a_program_that_is_not_there_is_named() -> None:
    what = ref(SecretKind.COMMAND, "", "no-such-program-of-fwfix")
    for act in (SecretStore().check, lambda r: reveal(SecretStore(), r)):
        with pytest.raises(SecretError, match="no-such-program-of-fwfix"):
            act(what)


@pytest.mark.parametrize("script", ["exec sleep 300", "sleep 300 & echo $! > {pid}"])
def test_a_command_that_does_not_answer_is_ended_with_all_it_started(tmp_path: Path, script: str) -> None:
    pid = tmp_path / "pid"
    words = ("sh", "-c", f"echo $$ > {pid}; " + script.format(pid=pid))
    store = SecretStore(command_timeout=2)
    with pytest.raises(SecretError, match="within 2 s"):
        reveal(store, ref(SecretKind.COMMAND, "", *words))
    deadline = time.monotonic() + 10
    while _runs(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_waited_for_a_program_that_hangs_does_not_start_it_again_and_who_comes_later_does(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    what = ref(SecretKind.COMMAND, "", "sh", "-c", f"echo x >>{log}; exec sleep 300")
    store = SecretStore(command_timeout=1)

    def fail(_: int) -> None:
        with pytest.raises(SecretError, match="within 1 s") as caught:
            reveal(store, what)
        assert "by hand" in caught.value.next

    started = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(fail, range(10)))
    assert time.monotonic() - started < 5
    assert log.read_text() == "x\n"
    fail(0)
    assert log.read_text() == "x\nx\n"


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_check_runs_no_command_and_asks_nobody(tmp_path: Path) -> None:
    def ask(question: str) -> str:
        raise AssertionError(question)

    log = tmp_path / "log"
    store = SecretStore(ask=ask)
    store.check(ref(SecretKind.COMMAND, "", "touch", str(log)))
    store.check(ref(SecretKind.PROMPT))
    assert not log.exists()


def test_a_person_is_asked_once_for_an_account_by_however_many_threads() -> None:
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        time.sleep(0.05)  # long enough for every thread to arrive
        return SECRET

    store = SecretStore(ask=ask)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(reveal(store, ref(SecretKind.PROMPT), host=f"h{n}")))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SECRET] * 20
    assert questions == ["password of ops: "]


def test_a_person_is_asked_for_each_account_and_purpose() -> None:
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return question

    store = SecretStore(ask=ask)
    what = ref(SecretKind.PROMPT)
    reveal(store, what, user="a")
    reveal(store, what, user="b")
    store.resolve(what, host="h", address="h", user="a", purpose="sudo password")
    assert questions == ["password of a: ", "password of b: ", "sudo password of a: "]


def test_without_a_terminal_a_question_is_an_error() -> None:
    def ask(question: str) -> str:
        raise EOFError

    with pytest.raises(SecretError, match="no terminal"):
        reveal(SecretStore(ask=ask), ref(SecretKind.PROMPT))


class _Memory(KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise KeyringLocked(SECRET)
        return SECRET if (service, username) == ("site/fwfix", "ops") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def memory_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(_Memory())
    yield
    keyring.set_keyring(before)


def test_a_keyring_entry_is_read(memory_keyring: None) -> None:
    assert reveal(SecretStore(), ref(SecretKind.KEYRING, "site/fwfix/ops")) == SECRET


@pytest.mark.parametrize("entry", ["fwfix/nobody", "locked/ops"])
def test_a_keyring_without_the_entry_is_an_error(memory_keyring: None, entry: str) -> None:
    with pytest.raises(SecretError, match="keyring") as caught:
        reveal(SecretStore(), ref(SecretKind.KEYRING, entry))
    assert SECRET not in str(caught.value)


def test_a_resolved_secret_prints_as_stars() -> None:
    store = SecretStore(environment={"PW": SECRET})
    secret = store.resolve(ref(SecretKind.ENV, "PW"), host="h", address="h", user="u")
    assert SECRET not in f"{secret} {secret!r} {secret:>20} {store!r}"


def test_a_person_is_asked_with_the_terminal_alone() -> None:
    order: list[str] = []

    @contextmanager
    def step_aside() -> Iterator[None]:
        order.append("aside")
        yield
        order.append("back")

    def ask(question: str) -> str:
        order.append(question)
        return SECRET

    with drawn(step_aside):
        assert reveal(SecretStore(ask=ask), ref(SecretKind.PROMPT)) == SECRET
    assert order == ["aside", "password of ops: ", "back"]
