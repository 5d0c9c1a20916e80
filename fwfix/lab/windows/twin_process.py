"""Twins as a process of their own: what a lab starts, notes in its record, and writes into its inventory."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fwfix.errors import LabError
from fwfix.lab.inventory import Entry, write_file
from fwfix.lab.network import Member, Network

_PATIENCE_SECONDS = 60.0
_STEP_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTwin:
    """A twin that runs in the process of its lab.

    Attributes:
        certificate: PEM file that a client trusts for port 5986.
        http: whether the inventory takes port 5985, with message sealing, rather than TLS.
    """

    name: str
    member: Member
    user: str
    password: str = field(repr=False)
    certificate: Path
    http: bool


def start_twins(network: Network, names: Sequence[str]) -> tuple[RunningTwin, ...]:
    """Start twins on a lab's network, all in one process; every one of them answers when this returns.

    The first, third and so on are reached over HTTPS, the others over HTTP with sealed messages.

    Raises:
        LabError: they do not come up.
    """
    if not names:
        return ()
    folder = network.record.private / "windows"
    folder.mkdir(mode=0o700, exist_ok=True)
    twins = tuple(_plan(network, name, folder, http=bool(number % 2)) for number, name in enumerate(names))
    config = folder / "twins.json"
    config.touch(mode=0o600)
    config.write_text(json.dumps([_settings(twin) for twin in twins]), encoding="utf-8")
    _launch(network, folder, config)
    return twins


def _plan(network: Network, name: str, folder: Path, *, http: bool) -> RunningTwin:
    # cryptography takes long to import, and only a lab with twins needs it.
    from fwfix.lab.windows.wsman.tls import CertificateWish, write_self_signed  # noqa: PLC0415

    member = network.join(name)
    wish = CertificateWish(names=(name, member.address, member.address6))
    identity = write_self_signed(folder, name, wish)
    return RunningTwin(
        name=name,
        member=member,
        user="Administrator",
        password=secrets.token_urlsafe(12),
        certificate=identity.certificate,
        http=http,
    )


def _settings(twin: RunningTwin) -> dict[str, str]:
    return {
        "name": twin.name,
        "netns": twin.member.netns,
        "cidr": twin.member.cidr,
        "cidr6": twin.member.cidr6,
        "user": twin.user,
        "password": twin.password,
        "certificate": str(twin.certificate),
        "key": str(twin.certificate.with_suffix(".key")),
    }


def _launch(network: Network, folder: Path, config: Path) -> None:
    ready = folder / "ready"
    with (folder / "twins.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fwfix.lab.windows.twin_process", str(config), str(ready)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    # Somebody has to wait for it, or it stays as a zombie when the lab has ended it.
    threading.Thread(target=process.wait, daemon=True).start()
    assert process.stdin is not None
    # It waits for this line, and ends without it: no process of a lab is ever missing from the record.
    network.record.add_process(process.pid)
    process.stdin.write(b"go\n")
    process.stdin.close()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log_text = (folder / "twins.log").read_text(encoding="utf-8", errors="replace")
            raise LabError(f"The Windows twins did not start: {log_text.strip()[-2000:]}")
        time.sleep(_STEP_SECONDS)


def windows_entries(network: Network, twins: Sequence[RunningTwin], directory: Path) -> tuple[Entry, ...]:
    """Write certificates and password files; return the inventory entry of every twin."""
    directory.mkdir(parents=True, exist_ok=True)
    for twin in twins:
        write_file(network, directory / f"{twin.name}.password", twin.password)
        if not twin.http:
            write_file(network, directory / f"{twin.name}.crt", twin.certificate.read_text(encoding="ascii"))
    return tuple(_entry(twin) for twin in twins)


def _entry(twin: RunningTwin) -> Entry:
    settings: dict[str, object] = {
        "user": twin.user,
        "password": {"file": f"{twin.name}.password"},
        "transport": "ntlm",
    }
    settings |= {"scheme": "http"} if twin.http else {"scheme": "https", "ca_file": f"{twin.name}.crt"}
    return Entry(
        name=twin.name,
        platform="windows",
        address=twin.member.address,
        address6=twin.member.address6,
        netns=twin.member.netns,
        settings=settings,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the twins of a file until SIGTERM."""
    if sys.stdin.readline() != "go\n":
        return 1
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    from fwfix.lab.windows.control import Control  # noqa: PLC0415 - likewise
    from fwfix.lab.windows.twin import Twin, TwinSpec  # noqa: PLC0415 - after the line that lets us live
    from fwfix.lab.windows.wsman import TlsIdentity  # noqa: PLC0415

    config, ready = map(Path, arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ExitStack() as running:
        twins: dict[str, Twin] = {}
        for settings in json.loads(config.read_text(encoding="utf-8")):
            tls = TlsIdentity(certificate=Path(settings.pop("certificate")), key=Path(settings.pop("key")))
            twin = running.enter_context(Twin(TwinSpec(tls=tls, **settings)))
            twins[twin.spec.name] = twin
        running.callback(Control(config.parent, twins).close)
        ready.touch()
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
