"""Ask the user's ssh_config about a host, through `ssh -G`, and only where it has something to say."""

import fnmatch
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid

import paramiko

from fwfix.errors import ConnectError
from fwfix.programs import run_alone

_SYSTEM = Path("/etc/ssh/ssh_config")
# Settings that change nothing about where, as whom, or whom we trust; a file with only these is not asked.
_HARMLESS = frozenset(
    [
        "sendenv",
        "setenv",
        "gssapiauthentication",
        "gssapidelegatecredentials",
        "gssapikeyexchange",
        "hashknownhosts",
        "compression",
        "loglevel",
        "logverbose",
        "syslogfacility",
        "visualhostkey",
        "escapechar",
        "forwardagent",
        "forwardx11",
        "forwardx11timeout",
        "forwardx11trusted",
        "xauthlocation",
        "exitonforwardfailure",
        "tcpkeepalive",
        "serveraliveinterval",
        "serveralivecountmax",
        "controlmaster",
        "controlpath",
        "controlpersist",
        "addkeystoagent",
        "updatehostkeys",
        "ipqos",
        "rekeylimit",
        "fingerprinthash",
        "enableescapecommandline",
        "numberofpasswordprompts",
        "requesttty",
        "connectionattempts",
        "connecttimeout",
        "checkhostip",
        "stricthostkeychecking",
        "verifyhostkeydns",
        "batchmode",
        "permitlocalcommand",
        "localcommand",
        "tag",
        "include",
    ]
)
# Settings whose value in the answer depends on the name asked for, so that two names never share an answer.
_BY_NAME = frozenset(("match", "canonicalizehostname", "canonicaldomains"))
_EXPANDED = frozenset(("hostname", "userknownhostsfile", "globalknownhostsfile", "bindaddress"))

Settings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """What the configuration files say, as far as it decides whom to ask."""

    relevant: bool
    by_name: bool
    patterns: tuple[str, ...]
    hash_known_hosts: bool


class SshConfig:
    """The settings of ssh for a name; `ssh -G` runs once for names that the files treat alike."""

    def __init__(self, path: Path | None = None) -> None:
        """Read which files there are.

        Args:
            path: a file to use instead of the user's and the system's, as `ssh -F`.
        """
        self._path = path
        self._ssh = shutil.which("ssh")
        # Somebody's script in place of ssh may read any other file.
        self._wrapped = self._ssh is not None and _is_script(Path(self._ssh))
        self._survey = _survey(self._files())
        self._answers: dict[tuple[object, ...], Settings] = {}
        self._turns: dict[tuple[object, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def settings(self, name: str, *, user: str | None, port: int | None, deadline: float) -> Settings:
        """Return the effective settings for a name, by lower-case keyword, each with its values.

        Raises:
            ConnectError: the configuration cannot be read.
        """
        if not self._survey.relevant and not self._wrapped:
            hashed = "yes" if self._survey.hash_known_hosts else "no"
            return {"hashknownhosts": (hashed,)}
        key = (self._class_of(name), user, port)
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        # Whoever asks the same waits for the answer, but not beyond his own deadline.
        if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise _too_slow(name)
        try:
            if key not in self._answers:
                self._answers[key] = self._ask(name, user, port, deadline)
            return self._answers[key]
        finally:
            turn.release()

    def _files(self) -> tuple[Path, ...]:
        if self._path is not None:
            return (self._path,)
        return (home() / ".ssh" / "config", _SYSTEM)

    def _class_of(self, name: str) -> object:
        if self._survey.by_name or self._wrapped:
            return name
        return tuple(fnmatch.fnmatchcase(name, pattern) for pattern in self._survey.patterns)

    def _ask(self, name: str, user: str | None, port: int | None, deadline: float) -> Settings:
        if self._ssh is None:
            return _from_paramiko(self._files(), name)
        command = [self._ssh, "-G", "-T"]
        command += ["-F", str(self._path)] if self._path is not None else []
        command += ["-l", user] if user is not None else []
        command += ["-p", str(port)] if port is not None else []
        answer = run_alone([*command, "--", name], seconds=max(0.1, deadline - time.monotonic()))
        if answer is None:
            raise _too_slow(name)
        if answer.returncode != 0:
            said = " | ".join(os.fsdecode(answer.stderr).strip().splitlines()[-2:])
            raise ConnectError(f"ssh_config cannot be used for {name}: {said}", next=f"Run `ssh -G {name}`.")
        return _read(os.fsdecode(answer.stdout), asked=name)


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return True  # it may be run but not read: let it answer for itself


def _too_slow(name: str) -> ConnectError:
    return ConnectError(
        f"`ssh -G {name}` did not answer in time.", next="Look at `Match exec` in ssh_config."
    )


def home() -> Path:
    """Return the home that ssh itself uses: that of the account, not `$HOME`."""
    return Path(getpwuid(os.getuid()).pw_dir)


def _read(text: str, *, asked: str) -> Settings:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword.lower(), []).append(value)
    if found.get("hostname") == [asked.lower()] or found.get("hostname") == [asked]:
        del found["hostname"]  # it only repeats the question; other names share this answer
    return {keyword: tuple(values) for keyword, values in found.items()}


def _from_paramiko(files: tuple[Path, ...], name: str) -> Settings:
    """Read the files ourselves, where ssh is not installed."""
    config = paramiko.SSHConfig()
    for path in files:
        if path.is_file():
            with path.open() as stream:
                config.parse(stream)
    found = config.lookup(name)
    values: dict[str, object] = dict(found.items())
    return {
        keyword: tuple(value) if isinstance(value, list) else (str(value),)
        for keyword, value in values.items()
        if keyword != "hostname" or value != name
    }


def _survey(files: tuple[Path, ...]) -> _Survey:
    relevant = by_name = hashed = False
    patterns: set[str] = set()
    for keyword, value in _directives(files, depth=0):
        if keyword == "host":
            patterns.update(word.lstrip("!") for word in value.replace('"', " ").split())
        elif keyword == "hashknownhosts":
            hashed = hashed or value.lower() in {"yes", "true"}
        elif keyword not in _HARMLESS:
            relevant = True
        by_name = by_name or keyword in _BY_NAME or (keyword in _EXPANDED and "%" in value)
    return _Survey(
        relevant=relevant, by_name=by_name, patterns=tuple(sorted(patterns)), hash_known_hosts=hashed
    )


def _directives(files: tuple[Path, ...], *, depth: int) -> Iterator[tuple[str, str]]:
    for path in files:
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield "unreadable", str(path)  # let ssh itself say what is wrong with it
            continue
        for line in lines:
            match = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*\S)\s*$", line)
            if match is None:
                continue
            keyword, value = match[1].lower(), match[2]
            yield keyword, value
            if keyword == "include" and depth < 16:  # noqa: PLR2004 - ssh's own limit
                yield from _directives(_included(value, path), depth=depth + 1)


def _included(value: str, by: Path) -> tuple[Path, ...]:
    base = by.parent if by.is_relative_to(_SYSTEM.parent) else home() / ".ssh"
    found: list[Path] = []
    for word in value.replace('"', " ").split():
        pattern = str(home() / word[2:]) if word.startswith("~/") else word
        root = Path("/") if pattern.startswith("/") else base
        found.extend(sorted(root.glob(pattern.lstrip("/"))))
    return tuple(found)
