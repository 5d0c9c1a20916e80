"""Log on: keys first, then the one password, each at most once."""

from collections.abc import Callable, Iterable
from functools import partial

import paramiko
from paramiko.ssh_exception import PartialAuthentication

from fwfix.errors import AuthError
from fwfix.executors.accounts import Accounts
from fwfix.executors.ssh_keys import Keyring
from fwfix.executors.ssh_target import Target
from fwfix.executors.ssh_transport import Link
from fwfix.secrets import Secret, SecretRef

# sshd hangs up after six attempts (MaxAuthTries); the last one is for the password.
_KEYS_BEFORE_PASSWORD = 5

Reveal = Callable[[SecretRef, str], Secret]


class Logon:
    """Log on to one sshd."""

    def __init__(
        self, link: Link, target: Target, *, reveal: Reveal, accounts: Accounts, keyring: Keyring
    ) -> None:
        self._link = link
        self._target = target
        self._reveal = reveal
        self._accounts = accounts
        self._keyring = keyring
        self._tried: list[str] = []
        self._left = set(target.methods)

    def run(self, *, deadline: float) -> None:
        """Log on, or raise.

        Raises:
            AuthError: nothing that we have was accepted.
            EOFError: the connection ended.
        """
        if "publickey" in self._left and self._with_keys():
            return
        password = self._target.password
        if password is not None and self._with_password(password, deadline=deadline):
            return
        if not self._tried and self._try("none", lambda: self._link.auth_none(self._target.user)):
            return
        raise self._refused()

    def _with_keys(self) -> bool:
        keys = self._keyring.keys_for(self._target, self._passphrase)
        limit = _KEYS_BEFORE_PASSWORD if self._target.password is not None else None
        for number, key in enumerate(keys):
            if "publickey" not in self._left or number == limit:
                break
            if self._try("key", partial(self._link.auth_publickey, self._target.user, key)):
                return True
        return False

    def _passphrase(self) -> Secret | None:
        return (
            None if self._target.passphrase is None else self._reveal(self._target.passphrase, "passphrase")
        )

    def _with_password(self, ref: SecretRef, *, deadline: float) -> bool:
        target = self._target
        with self._accounts.attempt(target.user, ref, target.name, deadline=deadline) as attempt:
            text = self._reveal(ref, "password").reveal()
            for method in ("password", "keyboard-interactive"):
                if method not in self._left:
                    continue
                before = len(self._tried)
                if self._try("password", partial(self._send_password, method, text)):
                    attempt.accepted()
                    return True
                if len(self._tried) > before:
                    attempt.rejected()
                    raise AuthError(
                        f"{target.where} rejected the password of {target.user}.",
                        next="Correct it. The account is not used again in this run.",
                        code="password-rejected",
                    )
        return False

    def _send_password(self, method: str, text: str) -> Iterable[str]:
        if method == "password":
            return self._link.auth_password(self._target.user, text, fallback=False)
        asked: list[bool] = []

        def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            if not prompts:
                return []
            if len(prompts) > 1 or asked or prompts[0][1]:
                raise paramiko.SSHException("the host asks for more than a password")
            asked.append(True)
            return [text]

        return self._link.auth_interactive(self._target.user, answer)

    def _try(self, what: str, send: Callable[[], Iterable[str]]) -> bool:
        """Send one attempt; True when logged on. One that the host does not take at all is not counted."""
        try:
            more = send()
        except PartialAuthentication as error:
            more = error.allowed_types
        except paramiko.BadAuthenticationType as error:
            self._left &= set(error.allowed_types)
            return False
        except paramiko.AuthenticationException as error:
            self._raise_if_gone(error, what)
            self._tried.append(what)
            return False
        if not more:
            return True
        self._left = set(more) & set(self._target.methods)
        return False

    def _raise_if_gone(self, error: Exception, what: str) -> None:
        if self._link.is_active():
            return
        if "authentication failures" not in self._link.farewell:
            raise EOFError("the connection was closed during the logon") from error
        self._tried.append(what)
        if what != "password":
            raise AuthError(
                f"{self._target.where} accepted none of the first keys and hung up (MaxAuthTries).",
                next="Name the right one with identity_file, or set IdentitiesOnly in ssh_config.",
            ) from error

    def _refused(self) -> AuthError:
        target = self._target
        what = "no key was accepted" if "key" in self._tried else "there is no usable key and no password"
        offers = ", ".join(sorted(self._left)) or "nothing that fwfix can do"
        return AuthError(
            f"{target.where} does not let {target.user} in: {what}; it takes {offers}.",
            next="Set identity_file or password, load a key into ssh-agent, or correct user.",
        )
