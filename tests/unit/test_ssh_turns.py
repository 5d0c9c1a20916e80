"""Take turns: accounts whose password is not proven yet, logons to one sshd, deadlines that end waits."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fwfix.errors import AccountStoppedError, ConnectError, UnreachableError
from fwfix.executors.accounts import Accounts
from fwfix.executors.ssh_gate import HANDSHAKES_AT_ONCE, Gate
from fwfix.executors.ssh_watch import Watch
from fwfix.secrets import SecretKind, SecretRef

SHARED = SecretRef(kind=SecretKind.ENV, argument="X")
BY_HOST = SecretRef(kind=SecretKind.COMMAND, argument="pass", command=("pass", "{host}"))


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


def test_one_host_at_a_time_tries_a_password_until_it_is_accepted() -> None:
    accounts, trying, most = Accounts(), [], []

    def log_on(number: int) -> None:
        with accounts.attempt("ops", SHARED, f"host-{number}", deadline=soon()) as attempt:
            trying.append(number)
            most.append(len(trying))
            trying.remove(number)
            if number == 0:
                attempt.accepted()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(log_on, range(1, 20)))
    assert max(most) == 1


def test_after_a_rejection_nobody_tries_but_hosts_that_accepted_it() -> None:
    accounts = Accounts()
    with accounts.attempt("ops", SHARED, "proven", deadline=soon()) as attempt:
        attempt.accepted()
    with accounts.attempt("ops", SHARED, "other", deadline=soon()) as attempt:
        attempt.rejected()
    with pytest.raises(AccountStoppedError, match="other rejected the password of ops"):
        accounts.refuse_stopped("ops", SHARED, "third")
    with pytest.raises(AccountStoppedError), accounts.attempt("ops", SHARED, "other", deadline=soon()):
        pass
    accounts.refuse_stopped("ops", SHARED, "proven")
    accounts.refuse_stopped("root", SHARED, "third")


def test_hosts_that_name_different_secrets_have_accounts_of_their_own() -> None:
    accounts = Accounts()
    own = {host: SecretRef(kind=SecretKind.FILE, argument=f"/secrets/{host}.password") for host in "ab"}
    with accounts.attempt("ops", own["a"], "a", deadline=soon()) as attempt:
        attempt.rejected()
    accounts.refuse_stopped("ops", own["b"], "b")
    with pytest.raises(AccountStoppedError):
        accounts.refuse_stopped("ops", own["a"], "b")


@pytest.mark.parametrize("user", [r"CORP\ops", "ops@corp.example"])
def test_an_account_of_a_domain_is_one_whatever_secrets_its_hosts_name(user: str) -> None:
    accounts = Accounts()
    with accounts.attempt(user, SHARED, "a", deadline=soon()) as attempt:
        attempt.rejected()
    with pytest.raises(AccountStoppedError):
        accounts.refuse_stopped(user, SecretRef(kind=SecretKind.ENV, argument="Y"), "b")


def test_secrets_that_differ_by_host_are_accounts_of_their_own() -> None:
    accounts = Accounts()
    with accounts.attempt("ops", BY_HOST, "a", deadline=soon()) as attempt:
        attempt.rejected()
    accounts.refuse_stopped("ops", BY_HOST, "b")
    with pytest.raises(AccountStoppedError):
        accounts.refuse_stopped("ops", BY_HOST, "a")


def test_waiting_for_the_first_attempt_ends_at_the_deadline() -> None:
    accounts = Accounts()
    with (
        accounts.attempt("ops", SHARED, "slow", deadline=soon()),
        pytest.raises(ConnectError, match="for the first time"),
        accounts.attempt("ops", SHARED, "other", deadline=soon(0.05)),
    ):
        pytest.fail("two tried at once")


def test_an_attempt_that_ends_without_an_answer_lets_the_next_one_try() -> None:
    accounts = Accounts()
    for _ in range(2):
        with accounts.attempt("ops", SHARED, "gone", deadline=soon(1)):
            pass


def test_no_more_logons_than_sshd_takes_are_under_way_at_one_sshd() -> None:
    gate, lock, now, most = Gate(), threading.Lock(), [0], [0]
    full = threading.Event()

    def log_on(_: int) -> None:
        with gate.turn("sshd", where="x", deadline=soon()):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
                if now[0] == HANDSHAKES_AT_ONCE:
                    full.set()
            full.wait(5)
            with lock:
                now[0] -= 1

    with ThreadPoolExecutor(30) as threads:
        list(threads.map(log_on, range(60)))
    assert most[0] == HANDSHAKES_AT_ONCE


def test_waiting_for_a_turn_ends_at_the_deadline_and_other_sshds_do_not_wait() -> None:
    gate = Gate()
    turns = [gate.turn("a", where="a", deadline=soon()) for _ in range(HANDSHAKES_AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(UnreachableError), gate.turn("a", where="a", deadline=soon(0.05)):
        pass
    with gate.turn("b", where="b", deadline=soon()):
        pass
    for turn in turns:
        turn.__exit__(None, None, None)
    with gate.turn("a", where="a", deadline=soon()):
        pass


def test_a_block_that_overstays_is_cut_and_one_that_does_not_is_left_alone() -> None:
    watch, cut, never = Watch(), threading.Event(), threading.Event()
    with watch.guard(soon(60), never.set), watch.guard(soon(0.05), cut.set):
        assert cut.wait(5)
    with watch.guard(soon(0.5), never.set):
        pass
    with watch.guard(soon(0.6), cut.clear):
        assert cut.is_set()
    assert not never.wait(0.8)
    watch.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "fwfix-ssh-watch"]


def test_a_block_does_not_end_while_it_is_being_cut() -> None:
    watch, begun, order = Watch(), threading.Event(), list[str]()

    def cut() -> None:
        begun.set()
        block.join(0.2)
        order.append("cut")

    def work() -> None:
        with watch.guard(soon(0.01), cut):
            begun.wait(5)
        order.append("left")

    block = threading.Thread(target=work)
    block.start()
    block.join(5)
    assert order == ["cut", "left"]
    watch.close()
