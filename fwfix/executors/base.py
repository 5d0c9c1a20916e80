"""The seam between deciding and doing: run one script on one host before a deadline."""

from typing import Protocol

from fwfix.model.host import Host
from fwfix.model.policy import Address
from fwfix.model.script import Invocation, Result


class Executor(Protocol):
    """One connection to one host."""

    @property
    def peer(self) -> Address | None:
        """The address at the far end of the first hop; None where a jump host stands between."""

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Run a script and return its answer.

        A script that changes something is sent once: after a lost answer the caller observes again.

        Args:
            invocation: the script and its arguments.
            deadline: an instant of `time.monotonic()`; nothing blocks for longer.

        Raises:
            ConnectError: it was not sent.
            PrivilegeError: it did not run, because becoming the administrator was refused.
            ScriptCutError: it arrived cut and did not run.
            LostError: it was sent and no whole answer came back; it may have run, or may run still.
        """

    def close(self) -> None:
        """Close the connection; leaves no thread or socket behind, and never raises."""


class Connector(Protocol):
    """Opens connections; shares jump hosts and remembers rejected accounts for the length of a run."""

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Get the secrets now that a person or a program has to give: no deadline runs meanwhile.

        The host is not contacted.

        Args:
            host: what will be opened.
            deadline: for reading settings, not for the answer.

        Raises:
            SecretError: nobody can be asked, or the program gives none.
            ConnectError: the settings cannot be used.
        """

    def open(self, host: Host, *, deadline: float) -> Executor:
        """Open a new connection, never a shared one.

        Raises:
            ConnectError: there is no connection; its subclasses say why.
        """

    def close(self) -> None:
        """Close what is shared between hosts."""
