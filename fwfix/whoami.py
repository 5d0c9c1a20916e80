"""Who runs fwfix, and on which machine: for the journal, the report and the hosts' own records."""

import getpass
import os
import socket


def _account() -> str:
    """Return the name of the real user; a user without an entry anywhere is named by number."""
    try:
        import pwd  # noqa: PLC0415 - only on POSIX

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        pass
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"


def operator() -> str:
    """Name the person: `ops`, or `ops (sudo)` where sudo was used to become somebody else."""
    account = _account()
    behind_sudo = os.environ.get("SUDO_USER", "")
    if behind_sudo and behind_sudo != account:
        return f"{behind_sudo} (sudo)"
    return account


def controller() -> str:
    """Name this machine, without asking the network."""
    return socket.gethostname() or "unknown"
