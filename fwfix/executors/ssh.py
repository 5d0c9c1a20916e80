"""Run scripts over SSH, as the administrator."""

import ipaddress
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import paramiko

from fwfix.executors.accounts import Accounts
from fwfix.executors.ssh_config import SshConfig
from fwfix.executors.ssh_connect import Connection, Connections, Resolve, peer_of
from fwfix.executors.ssh_route import Route, Routes
from fwfix.executors.ssh_run import SUDO_PASSWORD, Errand
from fwfix.model.host import Become, Host, Platform
from fwfix.model.outcome import Reading, Target
from fwfix.model.policy import Address
from fwfix.model.script import Invocation, Result


class SshConnector:
    """Opens SSH connections; shares jump hosts, keys, and what is known about accounts, for one run."""

    def __init__(
        self,
        *,
        hosts: Mapping[str, Host],
        resolve: Resolve,
        accounts: Accounts | None = None,
        ssh_config: Path | None = None,
    ) -> None:
        """Prepare for a run; nothing is contacted.

        Args:
            hosts: the inventory, for the names in `jump`.
            resolve: turns a secret reference of a host into the secret.
            accounts: shared with other connectors of the same run.
            ssh_config: a file instead of the user's and the system's.
        """
        self._accounts = accounts or Accounts()
        self._resolve = resolve
        self._waits = any(_waits_for_a_secret(host) for host in hosts.values())
        self._routes = Routes(hosts, SshConfig(ssh_config))
        self._connections = Connections(resolve=resolve, accounts=self._accounts)

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Get what people and programs know of a host and its jump hosts; no deadline runs meanwhile.

        The deadline is for ssh_config alone.
        """
        if not self._waits and not _waits_for_a_secret(host):
            return
        for hop in self._routes.to(host, deadline=deadline):
            self._connections.prepare(hop)
        ref = host.ssh.become_password
        if ref is not None and ref.takes_time and host.ssh.become is Become.SUDO:
            self._resolve(ref, host, user=hop.target.user, purpose=SUDO_PASSWORD)

    def prepare_jump(self, jump: str, *, deadline: float) -> None:
        """Do the same for a jump host and those before it."""
        if self._waits:
            for hop in self._routes.of_jump(jump, deadline=deadline):
                self._connections.prepare(hop)

    def open(self, host: Host, *, deadline: float) -> "SshExecutor":
        """Open a new connection to a host.

        Raises:
            ConnectError: there is none; its subclasses say why.
        """
        patience = deadline - time.monotonic()
        route = self._routes.to(host, deadline=deadline)
        user = route[-1].target.user
        for ref in (host.ssh.password, host.ssh.become_password):
            if ref is not None:
                self._accounts.refuse_stopped(user, ref, host.name)
        connection = self._connections.open(route, deadline=deadline)
        return SshExecutor(connection, self._errand(connection, host, user, patience))

    def tunnel(self, jump: str, address: str, port: int, *, deadline: float) -> paramiko.Channel:
        """Open a tunnel through a jump host, over the connection to it that all hosts share.

        Raises:
            ConnectError: there is none; its subclasses say why.
        """
        route = self._routes.of_jump(jump, deadline=deadline)
        return self._connections.tunnel(route, address, port, deadline=deadline)

    def before(self, host: Host, *, deadline: float) -> Route:
        """Return the way to the last jump host in front of a host, WinRM included; empty where there is none.

        Raises:
            ConnectError: the settings cannot be honoured.
        """
        if host.platform is Platform.LINUX:
            return self._routes.to(host, deadline=deadline)[:-1]
        jump = host.winrm.jump
        return () if jump is None else self._routes.of_jump(jump, deadline=deadline)

    def is_direct(self, host: Host, *, deadline: float) -> bool:
        """Tell whether nothing stands between this machine and a Linux host, so that it sees our own address.

        Raises:
            ConnectError: the settings cannot be honoured.
        """
        route = self._routes.to(host, deadline=deadline)
        return len(route) == 1 and not route[0].target.proxy_command

    def way_to(self, host: Host, *, deadline: float) -> Route:
        """Return the way to a host, for `knock`.

        Raises:
            ConnectError: the settings cannot be honoured.
        """
        return self._routes.to(host, deadline=deadline)

    def knock(
        self, route: Route, targets: Sequence[Target], *, until: float, deadline: float
    ) -> tuple[Reading, ...]:
        """Let the last host of a route try TCP ports: connect and close, over the shared connection to it.

        What it was not allowed to try is left out; of the others only `open` is certain.

        Args:
            route: from `before` or `way_to`.
            targets: what to try.
            until: when to stop waiting for answers.
            deadline: for the connection to that host, where there is none yet.

        Raises:
            ConnectError: there is no connection.
        """
        return self._connections.knock(route, targets, until=until, deadline=deadline)

    def close(self) -> None:
        """Close the jump hosts and everything else that is shared."""
        self._connections.close()

    def _errand(self, connection: Connection, host: Host, user: str, patience: float) -> Errand:
        return Errand(
            connection.link,
            host=host,
            user=user,
            patience=patience,
            watch=self._connections.watch,
            accounts=self._accounts,
            resolve=self._resolve,
        )


class SshExecutor:
    """One connection to one host."""

    def __init__(self, connection: Connection, errand: Errand) -> None:
        self._connection = connection
        self._peer = peer_of(connection.link) if connection.is_direct else None
        self._errand = errand

    @property
    def peer(self) -> Address | None:
        """The address that answered; None behind a jump host or a ProxyCommand."""
        if self._peer is None:
            return None
        address = ipaddress.ip_address(self._peer.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return address.ipv4_mapped
        return address

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Run a script and return its answer; see `Executor.run` for what it raises."""
        return self._errand.run(invocation, deadline=deadline)

    def close(self) -> None:
        """Close the connection; leaves no thread or socket behind."""
        self._connection.end()


def _waits_for_a_secret(host: Host) -> bool:
    refs = (host.ssh.password, host.ssh.passphrase, host.ssh.become_password)
    return any(ref is not None and ref.takes_time for ref in refs)
