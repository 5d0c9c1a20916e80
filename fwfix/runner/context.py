"""What every host of a run shares: connections, drivers, the journal, the clock and the brake."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fwfix.drivers.base import Counter, Driver, Stamp
from fwfix.errors import FwfixError, JournalError
from fwfix.executors.base import Connector, Executor
from fwfix.journal import StepResult, Written
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Observation
from fwfix.model.outcome import HostReport
from fwfix.model.plan import Reason
from fwfix.model.policy import Service
from fwfix.model.script import Invocation, Result
from fwfix.output.observe import Observer
from fwfix.runner.turns import knocking

# A script that takes longer than this has met a host that is not well.
SCRIPT_SECONDS = 60.0


class _Nothing:
    """Nothing is being written."""

    def __call__(self) -> None:
        """Return at once."""

    def then(self, go_on: Callable[[], object]) -> None:
        """Call at once."""
        go_on()


NOTHING_TO_WAIT_FOR: Written = _Nothing()


class Log:
    """Where steps are written down; durable, with all before, when `announce` or `finish` returns.

    What begins with `hand_in` returns before, with something to wait for. This one writes nowhere.
    """

    def announce(self, host: str, *steps: str, invocation: Invocation | None = None) -> None:
        """Write down what is about to be done on a host; it is done only when this has returned."""
        self.hand_in_steps(host, *steps, invocation=invocation)()

    def hand_in_steps(
        self,
        host: str,
        *steps: str,
        invocation: Invocation | None = None,
        reverts_at: datetime | None = None,
    ) -> Written:
        """Write down what is about to be done; it is done only when what is returned has returned."""
        del host, steps, invocation, reverts_at
        return NOTHING_TO_WAIT_FOR

    def record(self, host: str, result: StepResult) -> None:
        """Write down how a step ended and what the host answered; a kill before the next call may lose it."""

    def finish(self, report: HostReport) -> None:
        """Write down what became of a host."""
        self.hand_in(report)()

    def hand_in(self, report: HostReport) -> Written:
        """Write down what became of a host; it is durable when what is returned has returned."""
        del report
        return NOTHING_TO_WAIT_FOR

    def without_outcomes(self) -> "Log":
        """Return a log of the same steps in which `finish` leaves the outcome to somebody else."""
        return self


class Brake:
    """Says whether new steps may still be taken, and why not.

    `stop` is for everybody: started hosts are brought to a known state. `hold` keeps back only
    hosts on which nothing was changed yet.
    """

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._stop: Reason | None = None
        self._hold: Reason | None = None

    def stop(self, reason: Reason) -> None:
        """Interrupt the run."""
        self._stop = self._stop or reason
        self._changed.set()

    def hold(self, reason: Reason) -> None:
        """Start no further host."""
        self._hold = self._hold or reason

    @property
    def stopped(self) -> Reason | None:
        """Why the run is interrupted, if it is."""
        return self._stop

    @property
    def held(self) -> Reason | None:
        """Why no further host may start, if so."""
        return self._stop or self._hold

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond an interruption."""
        self._changed.wait(max(0.0, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An observation that planning made moments ago, and the connection that it came over."""

    observation: Observation
    executor: Executor
    at: float


@dataclass(slots=True, kw_only=True)
class RunContext:
    """The shared surroundings of all hosts of a run.

    Attributes:
        connect_timeout: for one connection, including logon.
        pending: hosts that would restore themselves, and when, by the monotonic clock.
        counters: how our rules' counters stood when a host was verified.
        wall: the wall clock; tests give their own.
    """

    run_id: str
    connector: Connector
    drivers: Mapping[Platform, Driver]
    log: Log
    observer: Observer
    stamp: Stamp
    connect_timeout: timedelta = timedelta(seconds=10)
    brake: Brake = field(default_factory=Brake)
    pending: dict[str, float] = field(default_factory=dict)
    counters: dict[str, tuple[Counter, ...]] = field(default_factory=dict)
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)

    def open(self, host: Host) -> Executor:
        """Open a new connection to a host within the connect timeout; who knows a secret may take longer."""
        self.prepare(host)
        with knocking():
            return self.connector.open(host, deadline=time.monotonic() + self.connect_timeout.total_seconds())

    def prepare(self, host: Host) -> None:
        """Get the secrets of a host that take time, each once, before any clock of the host runs."""
        self.connector.prepare(host, deadline=time.monotonic() + self.connect_timeout.total_seconds())

    def driver(self, host: Host) -> Driver:
        """Return the driver for a host's platform."""
        return self.drivers[host.platform]

    def finish(self, report: HostReport) -> None:
        """Write down what became of a host, and show it; if it cannot be written, no other one is started."""
        try:
            self.log.finish(report)
        except JournalError as error:
            self.brake.stop(reason_of(error))
        self.observer.host_done(report)

    def pending_lines(self) -> tuple[str, ...]:
        """Say of every started host when it restores itself."""
        return tuple(
            f"{name}: restores itself at {self.wall_at(instant).strftime('%Y-%m-%dT%H:%M:%SZ')}"
            for name, instant in sorted(self.pending.items())
        )

    def wall_at(self, instant: float) -> datetime:
        """Turn an instant of the monotonic clock into wall-clock time."""
        return self.wall() + timedelta(seconds=instant - time.monotonic())


def look_at(executor: Executor, driver: Driver, services: Sequence[Service]) -> Observation:
    """Observe a host over a connection.

    Raises:
        HostError: it does not answer as it should.
    """
    result = executor.run(driver.observe(services), deadline=time.monotonic() + SCRIPT_SECONDS)
    return read_observation(driver, result, executor)


def read_observation(driver: Driver, result: Result, executor: Executor) -> Observation:
    """Read an observation; only the connection knows whether it came straight from the host."""
    return driver.read_observation(result, direct=executor.peer is not None)


def reason_of(error: FwfixError) -> Reason:
    """Turn an error about one host into what the report says."""
    return Reason(code=error.code, message=error.message, next=error.next)
