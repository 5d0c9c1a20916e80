"""Turn the knobs of a demo's Windows twin from another process.

`python -m fwfix.lab.windows.control DIR HOST DEED [NAME] [VALUE]`, where DEED is `show`, `reboot`,
`end-shells`, `set NAME VALUE`, `trouble JSON` or `quotas JSON`; docs/windows-twin.md says more. Each request
and each answer is one line of JSON on a Unix socket that only its owner can open.
"""

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fwfix.errors import FwfixError, LabError

SOCKET = "control"
# Where a demo keeps it below its directory.
_FOLDER = (".lab", "windows")
_PATIENCE_SECONDS = 30.0
_LONGEST = 1 << 20


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Return an address of the socket that is short enough whatever the folder is called."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


class Control:
    """Answers on a socket in a folder until it is closed.

    Args:
        folder: private to its owner.
        twins: those that are running, by name.
    """

    def __init__(self, folder: Path, twins: Mapping[str, object]) -> None:
        self._twins = twins
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _address(folder) as address, contextlib.suppress(FileNotFoundError):
            Path(address).unlink()
        with _address(folder) as address:
            self._socket.bind(address)
        (folder / SOCKET).chmod(0o600)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, name="twin-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(_PATIENCE_SECONDS)
        (self._folder / SOCKET).unlink(missing_ok=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(_PATIENCE_SECONDS)
                    answer = self._answer(connection)
                    connection.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, connection: socket.socket) -> dict[str, object]:
        from fwfix.lab.windows.turning import obey  # noqa: PLC0415 - the client needs no twin

        try:
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline(_LONGEST))
            twin = self._twins.get(request["host"])
            if twin is None:
                raise LabError(f"There is no twin {request['host']!r}.")
            return {"ok": obey(twin, request)}  # type: ignore[arg-type]
        except FwfixError as error:
            return {"error": str(error)}
        except (ValueError, TypeError, LookupError):
            return {"error": "This is no request."}


def ask(directory: Path, request: Mapping[str, object]) -> object:
    """Send a request to the twins of a demo and return what they are like then.

    Raises:
        LabError: nobody answers, or the twin refuses.
    """
    try:
        with (
            _address(directory.joinpath(*_FOLDER)) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        ):
            connection.settimeout(_PATIENCE_SECONDS)
            connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline(_LONGEST))
    except (OSError, ValueError) as error:
        raise LabError(f"No Windows twin answers in {directory}: {error}.") from error
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["ok"]


def _value(text: str) -> object:
    """Read JSON; a word that is none is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(arguments: Sequence[str]) -> int:
    """Send what the command line says; print the twin's knobs as JSON."""
    usage = "usage: python -m fwfix.lab.windows.control DIR HOST DEED [NAME] [VALUE]"
    takes = {"show": 0, "reboot": 0, "end-shells": 0, "set": 2, "trouble": 1, "quotas": 1}
    if len(arguments) < 3 or len(arguments) - 3 != takes.get(arguments[2]):  # noqa: PLR2004 - DIR HOST DEED
        sys.stderr.write(f"{usage}\ndeeds: {', '.join(takes)}\n")
        return 2
    directory, host, deed, *rest = arguments
    request: dict[str, object] = {"host": host, "do": deed}
    if deed == "set":
        request["name"] = rest[0]
    if rest:
        request["value"] = _value(rest[-1])
    try:
        sys.stdout.write(json.dumps(ask(Path(directory), request), indent=1) + "\n")
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
