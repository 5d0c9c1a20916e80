"""Write down what is said between here and hosts, without secrets: a fixture of what really happened.

A recording replays through `ScriptedConnector(answers_of(document))`.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fwfix.errors import FwfixError, HostError, UsageError
from fwfix.executors.base import Connector, Executor
from fwfix.executors.by_platform import PlatformConnector
from fwfix.executors.redaction import Redaction
from fwfix.executors.winrm import WinrmConnector
from fwfix.model.host import Host, Platform
from fwfix.model.policy import Address
from fwfix.model.script import Invocation, Result
from fwfix.whole_file import check_place, write_whole

SCHEMA = "fwfix.recording/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One script and what became of it; exactly one of `result` and `error`."""

    invocation: Invocation
    result: Result | None = None
    error: FwfixError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message of WS-Management, unsealed; `status` is 0 for what was sent."""

    at_ms: int
    status: int
    body: str


@dataclass(slots=True)
class _Tape:
    ran: list[Ran] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)


class Recorder:
    """Hears every connection of a run; safe from many threads."""

    def __init__(self) -> None:
        self._tapes: dict[str, _Tape] = {}
        self._private: set[str] = set()
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def attach(self, connector: Connector, platforms: Sequence[Platform]) -> "RecordingConnector":
        """Return a connector that is heard, the envelopes of WinRM included."""
        for platform in platforms:
            inner = connector.of(platform) if isinstance(connector, PlatformConnector) else connector
            if isinstance(inner, WinrmConnector):
                inner.listen(self.hear)
        return RecordingConnector(connector, self)

    def hear(self, host: str, status: int, body: str) -> None:
        """Write down an envelope."""
        at = round((time.monotonic() - self._started) * 1000)
        with self._lock:
            self._tape(host).envelopes.append(Envelope(at_ms=at, status=status, body=body))

    def note(self, host: str, ran: Ran) -> None:
        """Write down a script."""
        with self._lock:
            self._tape(host).ran.append(ran)

    def hide(self, *texts: str) -> None:
        """Name what tells a machine from others, such as its machine id."""
        with self._lock:
            self._private.update(texts)

    def document(self, hosts: Sequence[Host], secrets: Sequence[str], **more: object) -> dict[str, object]:
        """Return everything that was heard, without secrets.

        Raises:
            RedactionError: one is left.
        """
        with self._lock:
            redaction = Redaction(secrets, (*self._private, *_machine_ids(self._tapes.values())))
            entries = [_entry(host, self._tape(host.name), redaction) for host in hosts]
            about = {key: _clean(value, redaction) for key, value in more.items()}
        document: dict[str, object] = {"schema": SCHEMA, **about, "hosts": entries}
        redaction.prove(json.dumps(document, ensure_ascii=False))
        redaction.prove("\n".join(_texts(document)))
        return document

    def _tape(self, host: str) -> _Tape:
        return self._tapes.setdefault(host, _Tape())


class RecordingConnector:
    """A connector whose scripts are written down."""

    def __init__(self, inner: Connector, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Ask a person for what a host needs."""
        self._inner.prepare(host, deadline=deadline)

    def open(self, host: Host, *, deadline: float) -> "RecordingExecutor":
        """Open a connection that is heard."""
        return RecordingExecutor(self._inner.open(host, deadline=deadline), host.name, self._recorder)

    def close(self) -> None:
        """Close what is shared."""
        self._inner.close()


class RecordingExecutor:
    """One connection that is heard."""

    def __init__(self, inner: Executor, host: str, recorder: Recorder) -> None:
        self._inner = inner
        self._host = host
        self._recorder = recorder

    @property
    def peer(self) -> Address | None:
        """The address that answered."""
        return self._inner.peer

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Run a script, and write it down with its answer or its error."""
        try:
            result = self._inner.run(invocation, deadline=deadline)
        except FwfixError as error:
            self._recorder.note(self._host, Ran(invocation=invocation, error=error))
            raise
        self._recorder.note(self._host, Ran(invocation=invocation, result=result))
        return result

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()


def check_recording_place(path: Path) -> None:
    """Find out early whether a recording could be written there.

    Raises:
        UsageError: it could not.
    """
    try:
        check_place(path)
    except OSError as error:
        raise _not_written(path, error) from None


def write_recording(path: Path, document: Mapping[str, object]) -> None:
    """Write a recording, for its owner alone; a reader sees the old file or the whole new one.

    Raises:
        UsageError: it cannot be written there.
    """
    text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    try:
        write_whole(path, text.encode("ascii"), private=True)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be written: {error.strerror}", next="Name another --record.")


def answers_of(document: Mapping[str, Any]) -> dict[tuple[str, str], list[Result | FwfixError]]:
    """Return what a scripted connector answers to say what the hosts of a recording said.

    Raises:
        ValueError: it is not a recording.
    """
    if document.get("schema") != SCHEMA:
        raise ValueError(f"not a {SCHEMA} document")
    answers: dict[tuple[str, str], list[Result | FwfixError]] = {}
    for host in document["hosts"]:
        for ran in host["scripts"]:
            answers.setdefault((host["name"], ran["script"]), []).append(_answer(ran))
    return answers


def _answer(ran: Mapping[str, Any]) -> Result | FwfixError:
    if ran["error"] is not None:
        return HostError(ran["error"]["message"], code=ran["error"]["code"])
    return Result(
        exit_code=ran["exit_code"], stdout=ran["stdout"], stderr=ran["stderr"], took_ms=ran["took_ms"]
    )


def _entry(host: Host, tape: _Tape, redaction: Redaction) -> dict[str, object]:
    bodies = redaction.envelopes(each.body for each in tape.envelopes)
    return {
        "name": host.name,
        "platform": str(host.platform),
        "scripts": [_ran(each, redaction) for each in tape.ran],
        "envelopes": [
            {
                "at_ms": each.at_ms,
                "direction": "received" if each.status else "sent",
                "status": each.status or None,
                "body": body,
            }
            for each, body in zip(tape.envelopes, bodies, strict=True)
        ],
    }


def _ran(ran: Ran, redaction: Redaction) -> dict[str, object]:
    invocation, result, error = ran.invocation, ran.result, ran.error
    return {
        "script": invocation.script.name,
        "text": redaction.text(invocation.script.text),
        "arguments": [redaction.text(each) for each in invocation.arguments],
        "attachments": {name: redaction.text(text) for name, text in invocation.attachments.items()},
        "exit_code": result.exit_code if result else None,
        "stdout": redaction.text(result.stdout) if result else "",
        "stderr": redaction.text(result.stderr) if result else "",
        "took_ms": result.took_ms if result else None,
        "error": {"code": error.code, "message": redaction.text(error.message)} if error else None,
    }


def _machine_ids(tapes: Iterable[_Tape]) -> set[str]:
    """Find what names the machines, in answers of ours."""
    found: set[str] = set()
    for tape in tapes:
        for ran in tape.ran:
            with suppress(ValueError, AttributeError):
                found.add(
                    str(json.loads(ran.result.stdout if ran.result else "").get("machine_id", "")).strip()
                )
    return found


def _clean(value: object, redaction: Redaction) -> object:
    if isinstance(value, Mapping):
        return {key: _clean(each, redaction) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each, redaction) for each in value]
    return redaction.text(value) if isinstance(value, str) else value


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [str(value)]
