"""Checks the syntax of a shell script with every POSIX shell of this machine; none of it runs."""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from fwfix.lint.finding import Problem

_SHELLS = (("dash",), ("bash", "--posix"), ("busybox", "sh"), ("sh",))
_LINE = re.compile(r"(?:line )?\b([0-9]+): ")
_SECONDS = 20


def shells() -> tuple[tuple[str, ...], ...]:
    """Return the shells that are here, as words of a command; `sh` only where no other is."""
    there = tuple(words for words in _SHELLS if shutil.which(words[0]))
    return tuple(words for words in there if words != ("sh",)) or there


@functools.lru_cache(maxsize=256)
def check_shell(source: str) -> tuple[Problem, ...]:
    """Return what a shell does not take."""
    problems: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="fwfix-check-") as folder:
        # From a file: from stdin bash names no line.
        path = Path(folder, "script")
        path.write_text(source, encoding="utf-8")
        for words in shells():
            done = subprocess.run(
                [*words, "-n", path], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            if done.returncode or done.stderr:
                said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
                found = _LINE.search(said)
                line = int(found[1]) if found else min(problems, default=1)
                message = said[found.end() :] if found else said
                problems.setdefault(line, f"{' '.join(words)} does not take it: {message}")
    return tuple(Problem(line=line, message=message) for line, message in sorted(problems.items()))
