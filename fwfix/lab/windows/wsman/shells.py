"""The shells of a service: who owns them, how many there may be, and when they end by themselves."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from fwfix.lab.windows.cmd.environment import Environment
from fwfix.lab.windows.cmd.jobs import Job, ProcessTable
from fwfix.lab.windows.cmd.machine import User
from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.commands import Command
from fwfix.lab.windows.wsman.config import Quotas
from fwfix.lab.windows.wsman.faults import FaultError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSettings:
    """What a client asks for when it creates a shell.

    Attributes:
        variables: as asked for; the answer repeats them.
        directory: as asked for, variables not replaced; empty for the home of the user.
        lifetime: after which the shell ends whatever happens; None for never.
    """

    id: str
    input_streams: tuple[str, ...]
    output_streams: tuple[str, ...]
    environment: Environment = field(repr=False)
    variables: tuple[tuple[str, str], ...] = ()
    directory: str = ""
    codepage: int = 437
    idle_timeout: timedelta = timedelta(hours=2)
    lifetime: timedelta | None = None


class Shell:
    """An open shell.

    Attributes:
        processes: what runs in it.
        started: commands so far; Windows counts them as operations of the user until the shell is gone.
    """

    def __init__(
        self, settings: ShellSettings, *, owner: User, client: str, quotas: Quotas, clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.owner = owner
        self.client = client
        self.processes = ProcessTable(limit=quotas.max_processes_per_shell)
        self.started = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._commands: dict[str, Command] = {}
        self._busy = 0
        self._created = self._touched = clock()

    @property
    def runtime(self) -> timedelta:
        """How long the shell has been open."""
        return timedelta(seconds=self._clock() - self._created)

    @property
    def inactivity(self) -> timedelta:
        """How long nobody has used it."""
        with self._lock:
            return timedelta(seconds=0 if self._busy else self._clock() - self._touched)

    @property
    def expired(self) -> bool:
        """Whether the shell has outlived its idle time or its lifetime."""
        lifetime = self.settings.lifetime
        return self.inactivity >= self.settings.idle_timeout or (
            lifetime is not None and self.runtime >= lifetime
        )

    def __enter__(self) -> Self:
        with self._lock:
            self._busy += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._busy -= 1
            self._touched = self._clock()

    def add(self, command_id: str) -> Command:
        """Make a command; it does not run yet.

        Raises:
            FaultError: the client has named it like one that is there.
        """
        with self._lock:
            if command_id in self._commands:
                raise FaultError(faults.ALREADY_EXISTS)
            command = Command(command_id, Job(self.processes))
            self._commands[command_id] = command
            self.started += 1
            return command

    def command(self, command_id: str) -> Command:
        """Return a command.

        Raises:
            FaultError: it is not there.
        """
        with self._lock:
            found = self._commands.get(command_id.upper())
        if found is None:
            raise FaultError(faults.UNKNOWN_COMMAND)
        return found

    def forget(self, command: Command) -> None:
        """Take a command away; what runs of it ends."""
        with self._lock:
            self._commands.pop(command.id, None)
        command.terminate()

    def end(self) -> None:
        """End every command."""
        with self._lock:
            commands, self._commands = list(self._commands.values()), {}
        for command in commands:
            command.terminate()


class ShellTable:
    """Every open shell of one service.

    Args:
        clock: seconds, going forward; tests may bring their own.
    """

    def __init__(self, quotas: Quotas, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._quotas = quotas
        self._clock = clock
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}

    @property
    def open(self) -> tuple[Shell, ...]:
        """The shells that are open now."""
        with self._lock:
            return tuple(self._shells.values())

    def allow(self, quotas: Quotas) -> None:
        """Count shells and operations by other quotas from now on."""
        with self._lock:
            self._quotas = quotas

    def create(self, settings: ShellSettings, *, owner: User, client: str) -> Shell:
        """Open a shell.

        Raises:
            FaultError: a quota is used up, or the id is taken.
        """
        self.reap()
        with self._lock:
            if settings.id in self._shells:
                raise FaultError(faults.ALREADY_EXISTS)
            owners = [shell.owner for shell in self._shells.values()]
            if owner not in owners and len(set(owners)) >= self._quotas.max_concurrent_users:
                raise FaultError(faults.too_many_users())
            if owners.count(owner) >= self._quotas.max_shells_per_user:
                raise FaultError(faults.too_many_shells(self._quotas.max_shells_per_user))
            shell = Shell(settings, owner=owner, client=client, quotas=self._quotas, clock=self._clock)
            self._shells[settings.id] = shell
            return shell

    def find(self, shell_id: str, user: User) -> Shell:
        """Return a shell.

        Raises:
            FaultError: it is not there, or it is somebody else's.
        """
        self.reap()
        with self._lock:
            shell = self._shells.get(shell_id.upper())
        if shell is None:
            raise FaultError(faults.unknown_shell(shell_id))
        if shell.owner != user:
            raise FaultError(faults.ACCESS_DENIED)
        return shell

    def check_operations(self, user: User) -> None:
        """Refuse one more command of a user who has had too many.

        A command counts until its shell is gone, also when it has ended (note 118 of MS-WSMV).

        Raises:
            FaultError: the quota is used up.
        """
        limit = self._quotas.max_concurrent_operations_per_user
        if sum(shell.started for shell in self.open if shell.owner == user) >= limit:
            raise FaultError(faults.too_many_operations(limit))

    def close(self, shell: Shell) -> None:
        """Close a shell; everything in it ends."""
        with self._lock:
            self._shells.pop(shell.settings.id, None)
        shell.end()

    def close_all(self) -> None:
        """Close every shell, as a restart of the service or of the host does."""
        for shell in self.open:
            self.close(shell)

    def reap(self) -> None:
        """Close the shells that nobody has used for too long."""
        for shell in self.open:
            if shell.expired:
                self.close(shell)
