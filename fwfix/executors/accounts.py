"""Stop using an account as soon as one of its passwords was rejected, so that no run ever locks it out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fwfix.errors import AccountStoppedError, ConnectError
from fwfix.secrets import SecretRef


class _Account:
    """What is known about the password of one account."""

    def __init__(self) -> None:
        self.proven = False
        self.rejected_by = ""
        self.accepted_on: set[str] = set()
        self.being_tried = False


class Accounts:
    """Remember, for the length of a run, which passwords were accepted and which were rejected.

    Until a password was accepted once, one host at a time tries it: otherwise as many attempts as there are
    forks would be under way before the first rejection is heard.
    """

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str, SecretRef | None], _Account] = {}
        self._changed = threading.Condition()

    def refuse_stopped(self, user: str, ref: SecretRef, host: str) -> None:
        """Raise if the account was rejected before in this run.

        A host that accepted it in this run goes on: it is proven there, and may have to be confirmed.

        Raises:
            AccountStoppedError: not tried.
        """
        with self._changed:
            self._refuse(self._account(user, ref, host), user, host)

    @contextmanager
    def attempt(self, user: str, ref: SecretRef, host: str, *, deadline: float) -> Iterator["Attempt"]:
        """Wait for the turn to try a password; the caller tells the attempt what came of it.

        Raises:
            AccountStoppedError: the password was rejected meanwhile.
            ConnectError: the deadline passed before our turn came.
        """
        with self._changed:
            account = self._account(user, ref, host)
            while True:
                self._refuse(account, user, host)
                if account.proven or not account.being_tried:
                    break
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    raise ConnectError(
                        f"{host}: another host is still trying the password of {user} for the first time.",
                        next="Raise --connect-timeout.",
                    )
            first = not account.proven
            account.being_tried = account.being_tried or first
        attempt = Attempt(self._changed, account, host, first=first)
        try:
            yield attempt
        finally:
            attempt.leave()

    def _account(self, user: str, ref: SecretRef, host: str) -> _Account:
        # Hosts that name different secrets have accounts of their own, unless a domain has the account.
        own = None if "\\" in user or "@" in user else ref
        return self._accounts.setdefault((user, host if ref.differs_by_host else "", own), _Account())

    @staticmethod
    def _refuse(account: _Account, user: str, host: str) -> None:
        if account.rejected_by and host not in account.accepted_on:
            raise AccountStoppedError(
                f"Not tried: {account.rejected_by} rejected the password of {user} in this run.",
                next="Correct the password, then run again.",
            )


class Attempt:
    """One use of a password on one host."""

    def __init__(self, changed: threading.Condition, account: _Account, host: str, *, first: bool) -> None:
        self._changed = changed
        self._account = account
        self._host = host
        self._first = first

    def accepted(self) -> None:
        """The host took the password."""
        with self._changed:
            self._account.proven = True
            self._account.accepted_on.add(self._host)
            self._changed.notify_all()

    def rejected(self) -> None:
        """The host refused the password: nobody uses the account any more."""
        with self._changed:
            self._account.rejected_by = self._account.rejected_by or self._host
            self._changed.notify_all()

    def leave(self) -> None:
        """Let the next host try, unless we know by now."""
        with self._changed:
            if self._first:
                self._account.being_tried = False
                self._first = False
            self._changed.notify_all()
