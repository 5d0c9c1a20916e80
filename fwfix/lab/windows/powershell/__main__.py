"""`python -m fwfix.lab.windows.powershell FILE.ps1`: run one script as PowerShell 7 on Linux would."""

import sys
from pathlib import Path

from fwfix.lab.windows.powershell.engine import Engine
from fwfix.lab.windows.powershell.hosts import Host

_USAGE = 2


def _out(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _err(content: bytes) -> None:
    sys.stderr.buffer.write(content)
    sys.stderr.buffer.flush()


def main(arguments: list[str]) -> int:
    """Run the script that the arguments name; return its exit code."""
    if not arguments or arguments[0].startswith("-"):
        _err(b"usage: python -m fwfix.lab.windows.powershell FILE.ps1 [ARGUMENT...]\n")
        return _USAGE
    try:
        script = Path(arguments[0]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        _err(f"{arguments[0]}: {exc}\n".encode())
        return _USAGE
    stdin = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    engine = Engine(host=Host(real_programs=True, stdout=_out, stderr=_err))
    try:
        return engine.run(script, stdin=stdin, args=tuple(arguments[1:])).exit_code
    except KeyboardInterrupt:
        engine.cancel()
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
