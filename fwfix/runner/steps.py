"""Take named steps on one host: announced before, timed, recorded after."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fwfix.errors import FwfixError, UnreachableError
from fwfix.executors.base import Executor
from fwfix.journal import StepResult
from fwfix.model.host import Host
from fwfix.model.observation import Observation
from fwfix.model.outcome import StepRecord
from fwfix.model.policy import Service
from fwfix.model.script import Invocation, Result
from fwfix.runner.context import SCRIPT_SECONDS, RunContext


class HostSteps:
    """The steps of one host outside the life of an apply: rollback, verify, recover.

    Keeps at most one connection; a step that fails raises its HostError after it was recorded.
    """

    def __init__(self, host: Host, context: RunContext) -> None:
        self.host = host
        self.records: list[StepRecord] = []
        self._context = context
        self._driver = context.driver(host)
        self._executor: Executor | None = None
        self._answered = False

    def close(self) -> None:
        """Close the connection."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None
            self._answered = False

    def look(self, services: Sequence[Service], *, step: str = "observe") -> Observation:
        """Observe the host, over a new connection if there is none."""
        with self._step(step) as _:
            self._context.log.announce(self.host.name, step)
            result = self._run(self._driver.observe(services))
            return self._driver.read_observation(result)

    def send(self, step: str, invocation: Invocation) -> Result:
        """Send a script that changes the host; it is in the journal word for word before."""
        with self._step(step) as answers:
            self._connected()
            self._context.log.announce(self.host.name, step, invocation=invocation)
            result = self._run(invocation)
            answers.append(result)
            return result

    @contextmanager
    def _step(self, step: str) -> Iterator[list[Result]]:
        self._context.observer.host_step(self.host.name, step)
        at, started = self._context.wall(), time.monotonic()
        answers: list[Result] = []
        message = ""
        try:
            yield answers
        except FwfixError as error:
            message = error.message
            self.close()
            raise
        finally:
            took = round((time.monotonic() - started) * 1000)
            record = StepRecord(step=step, ok=not message, at=at, took_ms=took, message=message)
            self.records.append(record)
            result = StepResult(step=record, answer=answers[0] if answers else None)
            self._context.log.record(self.host.name, result)

    def _connected(self) -> Executor:
        if self._executor is None:
            self._executor = self._context.open(self.host)
        return self._executor

    def _run(self, invocation: Invocation) -> Result:
        """Run a script; where a connection that answered before is gone, once more over a new one.

        An UnreachableError says that nothing was sent, so a script that changes something is sent once.
        """
        try:
            result = self._connected().run(invocation, deadline=time.monotonic() + SCRIPT_SECONDS)
        except UnreachableError:
            if not self._answered:
                raise
            self.close()
            result = self._connected().run(invocation, deadline=time.monotonic() + SCRIPT_SECONDS)
        self._answered = True
        return result
