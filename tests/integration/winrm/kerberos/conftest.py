"""A Kerberos realm of the tests' own: MIT's KDC on a loopback port, known to nobody who is not told."""

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.windows.wsman import Account

if TYPE_CHECKING:
    from conftest import Rig, Twin

REALM = "CORP.EXAMPLE"
PASSWORD = "correct horse"
SERVER = "win-1.corp.example"
_PROGRAMS = ("kdb5_util", "kadmin.local", "krb5kdc", "kinit")
_PATIENCE = 10.0
_CLIENT = f"""[libdefaults]
  default_realm = {REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
[domain_realm]
  .corp.example = {REALM}
[realms]
  {REALM} = {{
    kdc = 127.0.0.1:PORT
  }}
"""
_SERVER = f"""[kdcdefaults]
  kdc_listen = 127.0.0.1:PORT
  kdc_tcp_listen = 127.0.0.1:PORT
[realms]
  {REALM} = {{
    database_name = FOLDER/principal
    key_stash_file = FOLDER/stash
  }}
[logging]
  kdc = FILE:FOLDER/kdc.log
"""
_TIME_OFFSET = struct.Struct(">HHHii")


@dataclass(frozen=True, kw_only=True)
class Realm:
    """A realm with the users ops and second, and the host SERVER.

    Attributes:
        config: the krb5.conf that knows it.
        keytab: what SERVER would have in its own.
        tickets: a cache with the ticket of ops and nothing else: copy it.
    """

    folder: Path
    port: int
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        for path, text in ((self.config, _CLIENT), (self.folder / "kdc.conf", _SERVER)):
            path.write_text(text.replace("PORT", str(self.port)).replace("FOLDER", str(self.folder)))
        told = {"KRB5_CONFIG": str(self.config), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        object.__setattr__(self, "environment", {**os.environ, **told, "PATH": path})

    @property
    def config(self) -> Path:
        return self.folder / "krb5.conf"

    @property
    def keytab(self) -> Path:
        return self.folder / "host.keytab"

    @property
    def tickets(self) -> Path:
        return self.folder / "tickets"

    def fill(self) -> None:
        """Make the database, with everybody in it."""
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        users = [f'addprinc -pw "{PASSWORD}" {name}' for name in ("ops", "second")]
        self.administer(*users, f"addprinc -randkey HTTP/{SERVER}", f"ktadd -k {self.keytab} HTTP/{SERVER}")

    def administer(self, *commands: str) -> None:
        """Change the database."""
        self._run("kadmin.local", "-r", REALM, stdin="\n".join(commands))

    def kinit(self, user: str, cache: str) -> None:
        """Log a user on, as people do before they start fwfix."""
        self._run("kinit", "-c", cache, f"{user}@{REALM}", stdin=PASSWORD)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the KDC; return once it answers."""
        kdc = subprocess.Popen(
            ["krb5kdc", "-n", "-r", REALM],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, "the KDC does not answer"
                assert kdc.poll() is None, "the KDC has ended"
                time.sleep(0.01)
            else:
                return kdc

    @staticmethod
    def shift_clock(cache: Path, seconds: int) -> None:
        """Let whoever uses a cache believe that it is later: its header says how far the clock is off."""
        content = cache.read_bytes()
        version, length = content[:2], struct.unpack(">H", content[2:4])[0]
        assert version == b"\5\4", "another format of caches"
        cache.write_bytes(version + _TIME_OFFSET.pack(12, 1, 8, seconds, 0) + content[4 + length :])

    def _run(self, *argv: str, stdin: str = "") -> None:
        done = subprocess.run(
            argv, env=self.environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)


def _missing() -> list[str]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    return missing if find_spec("kerberos") else [*missing, "the kerberos extra"]


def _free_port() -> int:
    """Return a port that is free for TCP and UDP both."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    if missing := _missing():
        reason = f"no Kerberos on this machine: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    made = Realm(folder=tmp_path_factory.mktemp("realm"), port=_free_port())
    made.fill()
    kdc = made.start()
    made.kinit("ops", f"FILE:{made.tickets}")
    yield made
    kdc.terminate()
    kdc.wait(_PATIENCE)


@pytest.fixture
def cache(realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log ops on for the length of a test."""
    mine = tmp_path / "cache"
    mine.write_bytes(realm.tickets.read_bytes())
    monkeypatch.setenv("KRB5_CONFIG", str(realm.config))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{mine}")
    return mine


@pytest.fixture
def make_twin(rig: "Rig", realm: Realm, cache: Path) -> Callable[..., "Twin"]:
    """Return a maker of twins that are in the realm and let ops in."""
    del cache
    ops = Account(name="ops", domain="CORP", password="unused")

    def make(**config: Any) -> "Twin":  # noqa: ANN401 - settings of all kinds
        return rig.twin(**{"accounts": [ops], "keytab": realm.keytab, **config})

    return make
