"""Stands for one native program of Windows on PATH of a `pwsh` process; asks the twin and repeats its answer.

Runs on the standard library alone, as a script: NAME ARGUMENTS...
"""

import base64
import json
import os
import socket
import sys

_REFUSED = 125


def main() -> int:
    """Ask, print, return the exit code."""
    stdin = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    asked = {
        "token": os.environ["FWFIX_TWIN_TOKEN"],
        "program": sys.argv[1],
        "arguments": sys.argv[2:],
        "stdin": base64.b64encode(stdin).decode(),
    }
    with socket.create_connection(("127.0.0.1", int(os.environ["FWFIX_TWIN_PORT"]))) as connection:
        connection.sendall(json.dumps(asked).encode("ascii") + b"\n")
        with connection.makefile("rb") as answers:
            answer = json.loads(answers.readline() or b'{"k": "refused", "v": "the twin hung up"}')
    if answer["k"] != "ended":
        sys.stderr.write(f"{answer['v']}\n")
        return _REFUSED
    sys.stdout.buffer.write(base64.b64decode(answer["stdout"]))
    sys.stderr.buffer.write(base64.b64decode(answer["stderr"]))
    return int(answer["code"])


if __name__ == "__main__":
    sys.exit(main())
