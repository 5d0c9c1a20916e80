"""Answers from a book instead of a host: for tests of what stands above, and for fleets of any size."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fwfix.errors import ConnectError, DeadlineError, FwfixError, UnreachableError
from fwfix.model.host import Host
from fwfix.model.policy import Address
from fwfix.model.script import Invocation, Result

Answer = Result | FwfixError | Callable[[Host, Invocation], Result]


def answered(stdout: str = "", *, stderr: str = "", exit_code: int = 0, took_ms: int = 1) -> Result:
    """Return an answer in few words."""
    return Result(exit_code=exit_code, stdout=stdout, stderr=stderr, took_ms=took_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One script that was run."""

    host: str
    script: str
    arguments: tuple[str, ...]


class ScriptedConnector:
    """A connector whose hosts answer from a book.

    The answer to a script is looked up by host and script name, then by script name alone (host `*`). A
    sequence is used up one by one, its last answer stays; an error is raised; a function is asked.
    """

    def __init__(
        self,
        answers: Mapping[tuple[str, str], Answer | Sequence[Answer]],
        *,
        unreachable: Mapping[str, ConnectError] | None = None,
        peers: Mapping[str, Address] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            answers: by host and script name.
            unreachable: what opening a connection to a host raises.
            peers: the address that a host's executor reports.
        """
        self._answers = answers
        self._unreachable = unreachable or {}
        self._peers = peers or {}
        self._used: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._open = 0
        self._opened: list[str] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every script that was run, in order."""
        with self._lock:
            return tuple(self._calls)

    @property
    def opened(self) -> tuple[str, ...]:
        """The hosts of every connection that was opened, in order."""
        with self._lock:
            return tuple(self._opened)

    @property
    def open_now(self) -> int:
        """How many connections are not closed yet."""
        with self._lock:
            return self._open

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Ask nobody."""

    def open(self, host: Host, *, deadline: float) -> "ScriptedExecutor":
        """Open a connection, or raise what the book says."""
        if host.name in self._unreachable:
            raise self._unreachable[host.name]
        if time.monotonic() >= deadline:
            raise UnreachableError(f"{host.name} did not answer in time.", next="Raise --connect-timeout.")
        with self._lock:
            self._open += 1
            self._opened.append(host.name)
        return ScriptedExecutor(self, host, self._peers.get(host.name))

    def close(self) -> None:
        """Close what is shared: nothing."""

    def answer(self, host: Host, invocation: Invocation) -> Answer:
        """Look an answer up and write the call down."""
        name = invocation.script.name
        with self._lock:
            self._calls.append(Call(host=host.name, script=name, arguments=invocation.arguments))
            key = (host.name, name) if (host.name, name) in self._answers else ("*", name)
            if key not in self._answers:
                raise KeyError(f"the book has no answer of {host.name} to {name}")
            found = self._answers[key]
            if not isinstance(found, Sequence):
                return found
            number = self._used.get((host.name, name), 0)
            self._used[host.name, name] = number + 1
            return found[min(number, len(found) - 1)]

    def forget(self) -> None:
        """Count a connection as closed."""
        with self._lock:
            self._open -= 1


class ScriptedExecutor:
    """One connection to a host that answers from a book."""

    def __init__(self, connector: ScriptedConnector, host: Host, peer: Address | None) -> None:
        self._connector = connector
        self._host = host
        self._peer = peer
        self._closed = False

    @property
    def peer(self) -> Address | None:
        """What the book says."""
        return self._peer

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Answer from the book; a deadline that has passed is kept as by every other executor."""
        if self._closed:
            raise ConnectError(f"The connection to {self._host.name} is closed.")
        if time.monotonic() >= deadline:
            raise DeadlineError(f"{self._host.name} did not answer in time.", next="Ask it again.")
        answer = self._connector.answer(self._host, invocation)
        if isinstance(answer, FwfixError):
            raise answer
        return answer if isinstance(answer, Result) else answer(self._host, invocation)

    def close(self) -> None:
        """Close the connection; once or many times."""
        if not self._closed:
            self._closed = True
            self._connector.forget()
