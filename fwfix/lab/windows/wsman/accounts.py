"""The accounts of a twin, or of a domain that several twins share, and what became of logons."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may log on.

    Attributes:
        domain: NetBIOS name of the domain; None for an account of the host itself.
        certificate: SHA-256 of the client certificate that maps to the account, in hexadecimal.
        locked: locked from the start, whatever the password.
    """

    name: str
    password: str = field(repr=False)
    domain: str | None = None
    certificate: str | None = None
    locked: bool = False
    administrator: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Logon:
    """One attempt to log on, as the security log of Windows would show it."""

    name: str
    via: str
    accepted: bool


class AccountBook:
    """Accounts with the counters that lock them; twins of one domain share one book.

    Args:
        accounts: who exists.
        lockout_threshold: failed logons after which an account is locked; 0 for never.
    """

    def __init__(self, accounts: Iterable[Account], *, lockout_threshold: int = 0) -> None:
        self._accounts = tuple(accounts)
        self._threshold = lockout_threshold
        self._lock = threading.Lock()
        self._failures: dict[Account, int] = {}
        self._logons: list[Logon] = []

    @property
    def logons(self) -> tuple[Logon, ...]:
        """Every attempt so far, in order."""
        with self._lock:
            return tuple(self._logons)

    def find(self, name: str, *, domain: str, machine: str) -> Account | None:
        r"""Return the account that a client means by `DOMAIN\name`, `name@domain` or `name`."""
        if not domain and "\\" in name:
            domain, _, name = name.partition("\\")
        if not domain and "@" in name:
            name, _, domain = name.partition("@")
        for account in self._accounts:
            if account.name.casefold() == name.casefold() and _same_domain(account, domain, machine):
                return account
        return None

    def by_certificate(self, thumbprint: str) -> Account | None:
        """Return the account that a client certificate maps to."""
        wanted = thumbprint.replace(":", "").lower()
        return next(
            (each for each in self._accounts if (each.certificate or "").replace(":", "").lower() == wanted),
            None,
        )

    def promote(self, name: str, *, administrator: bool) -> None:
        """Give or take an account its rights as an administrator."""
        with self._lock:
            known = self._accounts
            self._accounts = tuple(
                replace(each, administrator=administrator) if each.name == name else each for each in known
            )
            changed = dict(zip(known, self._accounts, strict=True))
            self._failures = {changed[account]: count for account, count in self._failures.items()}

    def is_locked(self, account: Account) -> bool:
        """Whether even the right password is refused."""
        with self._lock:
            return self._locked(account)

    def record(self, name: str, account: Account | None, *, via: str, proved: bool) -> bool:
        """Count one attempt and return whether it is accepted.

        Args:
            name: what the client called itself.
            account: whom that means; None for nobody.
            via: the scheme.
            proved: the password or certificate was right.
        """
        with self._lock:
            accepted = account is not None and proved and not self._locked(account)
            if accepted and account is not None:
                self._failures.pop(account, None)
            elif account is not None and not proved:
                self._failures[account] = self._failures.get(account, 0) + 1
            self._logons.append(Logon(name=name, via=via, accepted=accepted))
            return accepted

    def _locked(self, account: Account) -> bool:
        return account.locked or 0 < self._threshold <= self._failures.get(account, 0)


def _same_domain(account: Account, domain: str, machine: str) -> bool:
    if account.domain is None:
        return domain.casefold() in ("", ".", machine.casefold())
    # A UPN carries the DNS name of the domain; its first label is the NetBIOS name here.
    return domain.casefold().partition(".")[0] == account.domain.casefold()
