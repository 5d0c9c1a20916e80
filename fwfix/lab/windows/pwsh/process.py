"""One process of `pwsh` for each script: found, started with the twin's proxies, ended before a deadline."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fwfix.errors import LabError
from fwfix.lab.windows.powershell.engine import CANCELLED, RunResult
from fwfix.lab.windows.powershell.hosts import Host
from fwfix.lab.windows.powershell.nettypes import NetType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command
from fwfix.lab.windows.pwsh.profile import profile_text
from fwfix.lab.windows.pwsh.service import TwinService, enums_of

PWSH_VARIABLE = "FWFIX_PWSH"
_PROXY_FAULT = 126
# The profile and whoever asks the twin are outside of every limit that a script has of itself.
_LIMIT_SECONDS = 120.0
# .NET reads these at its start; where it is installed and whether it needs ICU is the machine's business.
_PASSED_ON = ("DOTNET_", "LD_LIBRARY_PATH", "COMPlus_")


class PwshError(LabError):
    """The real engine did not do what every script rests on."""

    code = "pwsh-failed"


class PwshMissingError(PwshError):
    """FWFIX_PWSH names nothing that can be started."""

    code = "pwsh-missing"


def find_pwsh(environment: Mapping[str, str]) -> Path | None:
    """Return the engine that FWFIX_PWSH names, else the `pwsh` on PATH, else None.

    Raises:
        PwshMissingError: FWFIX_PWSH is set, and there is no program.
    """
    named = environment.get(PWSH_VARIABLE, "")
    found = shutil.which(named or "pwsh", path=environment.get("PATH", os.defpath))
    if named and found is None:
        raise PwshMissingError(f"{PWSH_VARIABLE}={named} is no program: name the file of pwsh, or unset it")
    return None if found is None else Path(found).absolute()


@dataclass(slots=True, kw_only=True)
class RealEngine:
    """Runs scripts on `pwsh` as `Engine` runs them on the small engine.

    Attributes:
        folder: the working directory; in it, .NET's file calls take a Windows path as one flat name.
        commands: the stand-ins; None for the bare engine without a twin.
    """

    pwsh: Path
    folder: Path
    host: Host = field(default_factory=Host)
    commands: tuple[Command, ...] | None = ()
    types: tuple[NetType, ...] = ()
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def cancel(self) -> None:
        """Kill the running script with everything that it started; may be called from any thread."""
        with self._lock:
            self._cancelled.set()
            if self._process is not None and self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def run(
        self, script: str, *, stdin: bytes = b"", args: tuple[str, ...] = (), deadline: float | None = None
    ) -> RunResult:
        """Run a script to its end.

        Args:
            script: its text.
            stdin: becomes `$input`, line by line.
            args: bind to the script's parameters by position, or become `$args`.
            deadline: seconds after which it is killed.

        Raises:
            PwshError: the engine did not load the proxies, or they failed.
        """
        self._cancelled.clear()
        with tempfile.TemporaryDirectory(prefix="fwfix-pwsh-") as place:
            path = Path(place) / "script.ps1"
            path.write_bytes(script.encode("utf-8", "surrogatepass"))
            if self.commands is None:
                return self._start(Path(place), ("-NoProfile", path), args, stdin, deadline, {})
            return self._with_twin(Path(place), path, args, stdin, deadline)

    def _with_twin(  # noqa: PLR0917 - one call, cut in two
        self, place: Path, path: Path, args: tuple[str, ...], stdin: bytes, deadline: float | None
    ) -> RunResult:
        assert self.commands is not None
        if self.host.language_mode != "FullLanguage":
            raise PwshError("pwsh on Linux cannot be made to run in ConstrainedLanguage")
        text = profile_text(self.commands, enums_of(self.types))
        (place / "powershell").mkdir()
        (place / "powershell" / "profile.ps1").write_text(text, encoding="utf-8")
        programs = write_programs(place / "programs", self.host.natives)
        with TwinService(host=self.host, commands=self.commands, types=self.types) as service:
            more = {
                "FWFIX_TWIN_PORT": str(service.port),
                "FWFIX_TWIN_TOKEN": service.token,
                "PATH": f"{programs}:/usr/bin:/bin",
                "XDG_CONFIG_HOME": str(place),
            }
            result = self._start(place, (path,), args, stdin, deadline, more)
        return _judge(result, service)

    def _start(  # noqa: PLR0917 - one call, cut in two
        self, place: Path, head: tuple[str | Path, ...], args: tuple[str, ...], stdin: bytes,
        deadline: float | None, more: Mapping[str, str],
    ) -> RunResult:  # fmt: skip
        *options, path = head
        command = [self.pwsh, *options, "-NoLogo", "-NonInteractive", "-File", path, *args]
        with self._lock:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=self.folder, env=environment_of(self.host, place, more), start_new_session=True,
            )  # fmt: skip
            self._process = process
        limit = _LIMIT_SECONDS if deadline is None else min(deadline, _LIMIT_SECONDS)
        try:
            with self.host.process(process.pid):
                out, err = process.communicate(stdin, timeout=limit)
        except subprocess.TimeoutExpired as exc:
            self.cancel()
            out, err = process.communicate()
            if deadline is None or deadline > _LIMIT_SECONDS:
                raise PwshError(f"{self.pwsh} did not end within {_LIMIT_SECONDS:.0f} s") from exc
        self.host.stdout(out)
        self.host.stderr(err)
        if self._cancelled.is_set():
            return RunResult(stdout=out, stderr=err, exit_code=CANCELLED, cancelled=True)
        return RunResult(stdout=out, stderr=err, exit_code=process.returncode)


def _judge(result: RunResult, service: TwinService) -> RunResult:
    said = result.stderr.decode("utf-8", "replace")
    if result.cancelled:
        return result
    if not service.greeted:
        raise PwshError(f"pwsh did not load the proxies (exit {result.exit_code}): {said}")
    if result.exit_code == _PROXY_FAULT and "fwfix:" in said:
        raise PwshError(f"the proxies failed: {said}")
    refusal: NotInDialect | None = service.refusals[0] if service.refusals else None
    return RunResult(stdout=result.stdout, stderr=result.stderr, exit_code=result.exit_code, refusal=refusal)


def environment_of(host: Host, place: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process: the host's, and what keeps pwsh quiet and plain."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    quiet = {
        "POWERSHELL_TELEMETRY_OPTOUT": "1",
        "POWERSHELL_UPDATECHECK": "Off",
        "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    homes = {"HOME": str(place), "XDG_CONFIG_HOME": str(place), "XDG_CACHE_HOME": str(place / "cache")}
    return {**kept, "PATH": "/usr/bin:/bin", **host.environment, **homes, **quiet, **more}


def write_programs(folder: Path, names: Iterable[str]) -> Path:
    """Write a program for each native of the host, which asks the twin; return their folder."""
    folder.mkdir()
    client = Path(__file__).with_name("program.py")
    for name in names:
        bare = name.lower().removesuffix(".exe")
        words = shlex.join((sys.executable, "-I", str(client), bare))
        for file in (folder / bare, folder / f"{bare}.exe"):
            file.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
            file.chmod(0o755)
    return folder
