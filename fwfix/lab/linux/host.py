"""One throw-away Linux host as a test sees it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fwfix.errors import LabError
from fwfix.lab.linux.control import Control
from fwfix.lab.linux.guest import ENVIRONMENT, GuestPlan
from fwfix.lab.linux.planning import Cables
from fwfix.lab.linux.spec import HostSpec
from fwfix.lab.network import Network, name_netns

_PATIENCE = 20.0
# A process that no signal wakes, as /proc calls it.
_WAITS = "D"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabHost:
    """A running host.

    Attributes:
        identity_file: private key that the host's user may log on with.
        host_key: public key of its sshd, `ssh-ed25519 AAAA...`.
        cables: its places on the switch, with the device at the host's end; it is reached at the first.
    """

    spec: HostSpec
    password: str
    identity_file: Path
    host_key: str
    control: Control
    network: Network
    cables: Cables
    plan: GuestPlan

    platform = "linux"

    @property
    def name(self) -> str:
        """Name in the lab, and of the host itself."""
        return self.spec.name

    @property
    def user(self) -> str:
        """Who logs on."""
        return self.spec.user

    @property
    def address(self) -> str:
        """IPv4 address."""
        return self.cables[0][0].address

    @property
    def address6(self) -> str:
        """IPv6 address, also where the host was told not to speak IPv6."""
        return self.cables[0][0].address6

    @property
    def netns(self) -> str:
        """A name that `ip netns exec` takes; that command stays outside the host's files and processes."""
        return self.cables[0][0].netns

    @property
    def known_hosts(self) -> str:
        """Lines for a known_hosts file, one per address and port."""
        hosts = (self.address, self.address6)
        names = [host if port == 22 else f"[{host}]:{port}" for port in self.spec.ssh_ports for host in hosts]  # noqa: PLR2004
        return "".join(f"{name} {self.host_key}\n" for name in names)

    @property
    def pid(self) -> int:
        """First process of the host, as this machine numbers it; another one after a reboot."""
        return self.control.pids[self.name]

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 - as in subprocess
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside all namespaces of the host, whatever its network does."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        enter += ["setpriv", "--bounding-set=-sys_time", "--"]  # the clock is the machine's
        return subprocess.run(
            [*enter, *argv],
            input=input or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=ENVIRONMENT,
            umask=0o022,
        )

    def _output(self, *argv: str) -> str:
        done = self.run(argv)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def iptables_save(self) -> str:
        """Return the IPv4 rules as the host's own iptables-save shows them."""
        return self._output("iptables-save")

    def ip6tables_save(self) -> str:
        """Return the IPv6 rules as the host's own ip6tables-save shows them."""
        return self._output("ip6tables-save")

    def ruleset(self) -> str:
        """Return the nftables rules."""
        return self._output("nft", "list", "ruleset")

    def _journal(self, port: int, protocol: str) -> list[dict[str, str]]:
        path = Path(self.plan["journals"], f"{port}-{protocol}.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def listener_bytes(self, port: int = 9100, protocol: str = "tcp") -> bytes:
        """Return every byte that the listener was ever sent."""
        return b"".join(bytes.fromhex(item["hex"]) for item in self._journal(port, protocol))

    def listener_connections(self, port: int = 9100) -> list[str]:
        """Return the peers of every connection that the listener ever accepted, in order."""
        return [item["peer"] for item in self._journal(port, "tcp") if item["event"] == "accepted"]

    def cut(self) -> None:
        """Lose every packet to and from the host; its interfaces stay up."""
        for member, _ in self.cables:
            self.network.cut(member)

    def restore(self) -> None:
        """Undo `cut`."""
        for member, _ in self.cables:
            self.network.restore(member)

    def kill_sshd(self) -> None:
        """End the sshd that listens: no new connection, while the open ones go on."""
        pid = self._output("cat", "/run/sshd.pid").strip()
        self._output("kill", "-9", pid)
        self._wait(lambda: self.run(["kill", "-0", pid]).returncode != 0, "sshd does not end")

    def start_sshd(self) -> None:
        """Start sshd again after `kill_sshd`."""
        self._output("rm", "-f", "/run/sshd.pid")
        self._output("/usr/sbin/sshd")
        self._wait(lambda: self.run(["test", "-s", "/run/sshd.pid"]).returncode == 0, "sshd does not start")

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: {complaint}.")
            time.sleep(0.005)

    def freeze(self) -> None:
        """Stop every process of the host but the first, so that nothing answers and no timer fires."""
        left: list[tuple[str, str]] | None = None

        def at_rest() -> bool:
            nonlocal left
            before, left = left, self._signal_all(signal.SIGSTOP, but="TtZX")
            # Who waits for the child of its vfork cannot stop before that child goes on. Looked at twice: the
            # child may have come after we looked for it.
            return left == before and all(state == _WAITS for _, state in left)

        # A process may fork while we look, and a signal takes its time: until there is nobody left to stop.
        self._wait(at_rest, "processes do not stop")

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals, *, but: str = "") -> list[tuple[str, str]]:
        """Send a signal to all processes but those in certain states; return who got it, in which state."""
        sent = []
        space = Path(f"/proc/{self.pid}/ns/pid").stat().st_ino
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.pid:
                try:
                    inside = (entry / "ns/pid").stat().st_ino == space
                    if inside and (state := _state(entry)) not in but:
                        os.kill(int(entry.name), number)
                        sent.append((entry.name, state))
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
        return sent

    def reboot(self, *, boot: Sequence[str] = ()) -> None:
        """End everything and boot again: new network state in the kernel, empty /run and /tmp.

        The uptime stays that of this machine, and so does the kernel's boot id.

        Args:
            boot: further commands for the end of this boot.
        """
        self.control.stop([self.name])
        plan = self.plan.copy()
        plan["boot"] = [*plan["boot"], *boot]
        self.control.start([plan])
        # Not a flush but a new namespace: rules, sets, connections and settings all are as after a reset.
        self.network.move([(member, self.netns, self.pid, device) for member, device in self.cables])
        name_netns(self.netns, self.pid)
        self.control.boot([self.name])


def _state(process: Path) -> str:
    """Return the state of a process as /proc has it: one letter."""
    return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
