"""What the demo shows: commands as a user types them, their own output, and what another client sees."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size

from fwfix.model.wording import plural
from fwfix.output.text import Line, Style, took, write_lines

_PORT = 9100
_COMMAND_DEADLINE = 120.0
_PROBE_SECONDS = 1.0
_DEADLINE = 5  # seconds; the least that apply takes
_PATIENCE = 20.0
_COUNTERS = re.compile(r"\[\d+:\d+\]")
_COLOR = {"open": Style.BAD, "filtered": Style.GOOD}


class SurpriseError(Exception):
    """Something on the stage was not as the story says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The hosts, and how to look at them from outside fwfix.

    Attributes:
        state_dir: journal of the commands that are shown.
        connect: tries an address and a port from another client, within seconds; says what it found.
        rules: the firewall rules of every host by name, as the host's own tools show them.
    """

    inventory: Path
    state_dir: Path
    connect: Callable[[str, int, float], str]
    rules: Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Actor:
    name: str
    address: str
    address6: str


class Story:
    """Tells the main job, step by step."""

    def __init__(self, *, color: bool) -> None:
        self._tty = sys.stdout.isatty()
        self._color = color and self._tty
        self._width = get_terminal_size().columns
        self._began = time.monotonic()
        self._step = 0

    def begin(self, linux: int, windows: int, *, note: str | None) -> None:
        """Say what is about to happen."""
        counts = [(linux, "throw-away Linux host"), (windows, "Windows twin")]
        what = " and ".join(plural(count, noun) for count, noun in counts if count)
        self._say(
            Line("fwfix closes exposed printing ports on a fleet, proves it, and can undo it.", Style.TITLE),
            Line(f"Building {what} on this machine, each with a raw printing"),
            Line(f"port ({_PORT}/tcp) that anybody can reach. Nothing else on this machine is touched."),
        )
        if note:
            self._say(Line(note, Style.FAINT))

    def tell(self, scene: Scene) -> None:
        """Run the main job.

        Raises:
            SurpriseError: a command failed, or a port is not as it should be.
        """
        demo = json.loads((scene.inventory.parent / "demo.json").read_text(encoding="utf-8"))
        actors = [_Actor(host["name"], host["address"], host["address6"]) for host in demo["hosts"]]
        before = _comparable(scene.rules())
        self._title("The finding: another client of the network reaches the port")
        self._look(scene, actors, wanted="open", client=demo["outside"]["address"])
        self._title("The plan: what would change on a host; nothing is changed")
        self._run(scene, "plan", "-l", actors[0].name)
        self._title("Apply: every host first gets a timer that undoes it unless confirmed")
        self._run(scene, "apply", "--yes")
        self._title("The proof: the same client again")
        self._look(scene, actors, wanted="filtered", client=demo["outside"]["address"])
        self._title("Verify, at any later time: rules in place and effective, port blocked")
        self._run(scene, "verify")
        self._title("Somebody cannot print? Undo it")
        self._run(scene, "rollback", "--yes")
        self._look(scene, actors, wanted="open", client=demo["outside"]["address"])
        if _comparable(scene.rules()) != before:
            raise SurpriseError("the rules of a host are not as they were before")
        self._say(Line("The firewall rules of every host are exactly as they were before.", Style.GOOD))
        self._title("What if the controller dies half-way? Kill it, before it has confirmed")
        self._abandon(scene, actors[0], client=demo["outside"]["address"])
        self._run(scene, "status", "-l", actors[0].name)

    def end(self) -> None:
        """Say that everything is gone, and what to do next."""
        seconds = took(time.monotonic() - self._began)
        self._say(
            Line(),
            Line(f"The hosts are removed. That took {seconds}.", Style.TITLE),
            Line("To try it yourself: fwfix demo --keep"),
        )

    def _title(self, text: str) -> None:
        self._step += 1
        self._say(Line(), Line(f"{self._step}. {text}", Style.TITLE))

    def _say(self, *lines: Line) -> None:
        write_lines(sys.stdout, lines, color=self._color)

    def _look(self, scene: Scene, actors: Sequence[_Actor], *, wanted: str, client: str) -> None:
        tries = [address for actor in actors for address in (actor.address, actor.address6)]
        found = _at_once(scene, tries)
        width = max(len(actor.name) for actor in actors)
        self._say(Line(f"from {client}, port {_PORT}:", Style.FAINT))
        for actor, ipv4, ipv6 in zip(actors, found[::2], found[1::2], strict=True):
            text = f"  {actor.name:{width}}  IPv4 {ipv4:8}  IPv6 {ipv6}"
            self._say(Line(text, _COLOR.get(ipv4, Style.WARN) if ipv4 == ipv6 else Style.WARN))
        if strange := sorted({result for result in found if result != wanted}):
            raise SurpriseError(f"the port is {', '.join(strange)} somewhere, and should be {wanted}")

    def _run(self, scene: Scene, *words: str) -> None:
        # With a terminal the command shows its own progress there; else that is only shown where it fails.
        with self._start(scene, words, stderr=None if sys.stderr.isatty() else subprocess.PIPE) as process:
            try:
                output, progress = process.communicate(timeout=_COMMAND_DEADLINE)
            except BaseException:
                process.kill()
                raise
        self._say(*(Line(line, _style(each)) for each in output.splitlines() for line in self._fold(each)))
        if process.returncode != 0:
            sys.stderr.write(progress or "")
            raise SurpriseError(f"fwfix {words[0]} ended with {process.returncode}")

    def _start(self, scene: Scene, words: Sequence[str], *, stderr: int | None) -> subprocess.Popen[str]:
        arguments = [words[0], "-i", scene.inventory.name, *words[1:]]
        self._say(Line(f"$ fwfix {shlex.join(arguments)}", Style.TITLE))
        return subprocess.Popen(
            # The command must not outlive a demo that is killed.
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "fwfix", *arguments],
            cwd=scene.inventory.parent,
            env=_environment(scene.state_dir, color=self._color),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def _abandon(self, scene: Scene, actor: _Actor, *, client: str) -> None:
        """Kill an apply that has changed the rules and has not confirmed them."""
        words = ("apply", "-l", actor.name, "--confirm-within", f"{_DEADLINE}s", "--yes")
        with self._start(scene, words, stderr=subprocess.PIPE) as process:
            try:
                self._kill_at_verify(process)
            finally:
                process.kill()
        if process.returncode != -signal.SIGKILL:
            # A busy machine: nothing to see, and nothing wrong either.
            self._say(Line("It was done before it could be killed.", Style.WARN))
            return
        self._say(Line("-- kill -9 --", Style.BAD))
        self._look(scene, [actor], wanted="filtered", client=client)
        killed = time.monotonic()
        while scene.connect(actor.address, _PORT, _PROBE_SECONDS) != "open":
            if time.monotonic() > killed + _DEADLINE + _PATIENCE:
                raise SurpriseError(f"{actor.name} has not restored itself")
        self._say(
            Line(
                f"Nobody confirmed: after {_DEADLINE} seconds {actor.name} has undone it by itself.",
                Style.GOOD,
            )
        )
        self._look(scene, [actor], wanted="open", client=client)

    def _kill_at_verify(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            text = line.rstrip("\n")
            if text.endswith(": verify"):
                process.kill()
                self._say(Line(text, Style.FAINT))
                return
            self._say(Line(text, Style.FAINT))

    def _fold(self, line: str) -> list[str]:
        """Fold a long line for a terminal; without one, lines stay whole."""
        if not self._tty or len(line) <= self._width:
            return [line]
        indent = " " * (len(line) - len(line.lstrip()))
        mark = f"{indent}+ " if line.startswith(f"{indent}+ ") else indent
        return textwrap.wrap(
            line.strip().removeprefix("+ "),
            self._width,
            initial_indent=mark,
            subsequent_indent=" " * (len(mark) + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )


def tell_kept(inventory: Path, directory: Path, *, count: int) -> None:
    """Say what is running now, and what to do with it."""
    demo = json.loads((directory / "demo.json").read_text(encoding="utf-8"))
    outside = demo["outside"]["netns"]
    address = demo["hosts"][0]["address"]
    lines = [
        f"{plural(count, 'host')} running; no run has touched them yet.",
        f"  inventory  {inventory}",
        f"  addresses  {directory / 'demo.json'}",
        "Try:",
        f"  fwfix plan -i {shlex.quote(str(inventory))}",
        "As another client of the network (root):",
        f"  ip netns exec {outside} timeout 2 bash -c ': </dev/tcp/{address}/{_PORT}' && echo open",
        "Remove them:",
        f"  fwfix demo --clean --dir {shlex.quote(str(directory))}",
    ]
    write_lines(sys.stdout, [Line(line) for line in lines], color=False)


def _style(line: str) -> Style:
    return Style.GOOD if line.lstrip().startswith("+ ") else Style.PLAIN


def _environment(state_dir: Path, *, color: bool) -> dict[str, str]:
    """Return ours without what would make the commands behave otherwise than shown."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FWFIX_") and key != "SSH_AUTH_SOCK"
    }
    kept["FWFIX_STATE_DIR"] = str(state_dir)
    if not color:
        kept["NO_COLOR"] = "1"
    return kept


def _at_once(scene: Scene, addresses: Sequence[str]) -> list[str]:
    """Try every address at the same time.

    Plain daemon threads: an interrupt that hits a thread pool while it holds a lock of its own never ends.
    """
    found: dict[str, str] = {}

    def attempt(address: str) -> None:
        found[address] = scene.connect(address, _PORT, _PROBE_SECONDS)

    threads = [threading.Thread(target=attempt, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found.get(address, "unknown") for address in addresses]


def _comparable(rules: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out counters, comment lines and tables without a rule, which is what "as it was" leaves aside."""
    return {
        name: "".join(_table(table) for table in text.split("COMMIT\n")) if "COMMIT\n" in text else text
        for name, text in rules.items()
    }


def _table(text: str) -> str:
    lines = [_COUNTERS.sub("", line) for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines) if any(line.startswith("-A") for line in lines) else ""
