"""What is written into the tables: runs, hosts and texts. Runs inside the writer's thread."""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache

from fwfix.canonical import canonical
from fwfix.errors import JournalError
from fwfix.journal.chain import sha256
from fwfix.journal.hosts import host_to_json
from fwfix.journal.values import RunStart, StepResult
from fwfix.model.host import Host
from fwfix.model.script import Invocation, Result, TemplateOrigin
from fwfix.report import maybe_timestamp, step_document, timestamp

# A script of 30 kB packs to about a quarter; a higher level costs more time than it saves.
_PACKING = 1
# To pack so little takes fifty times longer than to write it.
_PLAIN = 1024

# A text as the file holds it: packed, or a short one as it is.
Packed = bytes | str


@dataclass(slots=True)
class Texts:
    """Texts that an event refers to by digest; each is kept once, however many hosts ran it."""

    by_digest: dict[str, Packed] = field(default_factory=dict)

    def add(self, text: str, *, shared: bool = False) -> str:
        """Pack a text and return its digest; `shared` where other hosts have the same."""
        digest, packed = _pack_shared(text) if shared else _pack(text)
        self.by_digest.setdefault(digest, packed)
        return digest


def _pack(text: str) -> tuple[str, Packed]:
    if len(text) <= _PLAIN and text.isascii():
        return sha256(text), text
    return sha256(text), zlib.compress(text.encode("utf-8", "surrogatepass"), _PACKING)


# All hosts of a fleet run the same few scripts; packing one takes longer than all the rest of an event.
_pack_shared = lru_cache(maxsize=64)(_pack)


def unpack(packed: Packed) -> str:
    """Return the text that `Texts.add` packed.

    Raises:
        JournalError: it is damaged.
    """
    try:
        return packed if isinstance(packed, str) else zlib.decompress(packed).decode("utf-8", "surrogatepass")
    except (zlib.error, UnicodeDecodeError) as exc:
        raise JournalError("A text in the journal is damaged.", next="Run `fwfix runs check`.") from exc


def start_body(start: RunStart, hosts: Mapping[str, str], plan_sha256: str | None) -> dict[str, object]:
    """Return the body of a run's first event, which puts header, hosts and plan into the chain."""
    return {
        "command": start.command,
        "target": start.target,
        "started_at": timestamp(start.started_at),
        "operator": start.operator,
        "controller": start.controller,
        "fwfix_version": start.fwfix_version,
        "ticket": start.ticket,
        "reason": start.reason,
        "plan_digest": start.plan_digest,
        "plan_sha256": plan_sha256,
        "hosts": {name: sha256(record) for name, record in hosts.items()},
    }


def insert_run(connection: sqlite3.Connection, start: RunStart, *, pid: int, plan_sha256: str | None) -> None:
    """Add the header of a run."""
    connection.execute(
        "INSERT INTO runs (run_id, command, target, started_at, operator, controller, fwfix_version, ticket,"
        " reason, plan_digest, plan_sha256, pid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            start.run_id,
            start.command,
            start.target,
            timestamp(start.started_at),
            start.operator,
            start.controller,
            start.fwfix_version,
            start.ticket,
            start.reason,
            start.plan_digest,
            plan_sha256,
            pid,
        ),
    )


def insert_hosts(
    connection: sqlite3.Connection, run_id: str, records: Iterable[tuple[str, str, str]]
) -> None:
    """Add hosts as (name, role, record), or replace what is known about how to reach them."""
    (known,) = connection.execute("SELECT count(*) FROM hosts WHERE run_id = ?", (run_id,)).fetchone()
    connection.executemany(
        "INSERT INTO hosts (run_id, position, name, role, record) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (run_id, name) DO UPDATE SET record = excluded.record, role = min(role, excluded.role)",
        [(run_id, known + number, name, role, record) for number, (name, role, record) in enumerate(records)],
    )


def encode_hosts(hosts: Iterable[Host], others: Iterable[Host]) -> list[tuple[str, str, str]]:
    """Return (name, role, record) of every host; one of the run that others jump through counts once."""
    named = {host.name: (host, "host") for host in hosts}
    for host in others:
        named.setdefault(host.name, (host, "other"))
    return [(name, role, canonical(host_to_json(host))) for name, (host, role) in named.items()]


def script_body(invocation: Invocation, texts: Texts) -> dict[str, object]:
    """Describe a script as it will be run; its texts are kept once."""
    script = invocation.script
    return {
        "name": script.name,
        "sha256": texts.add(script.text, shared=True),
        "changes": script.changes,
        "arguments": list(invocation.arguments),
        "attachments": {name: texts.add(text, shared=True) for name, text in invocation.attachments.items()},
        "templates_sha256": texts.add(_named(script.templates), shared=True),
    }


@lru_cache(maxsize=32)
def _named(templates: tuple[TemplateOrigin, ...]) -> str:
    """Say where the templates of a script were found; longer than all else that is said of the script."""
    return canonical([asdict(template) for template in templates])


def answer_body(result: Result, texts: Texts) -> dict[str, object]:
    """Describe what a script answered; its texts are kept once."""
    return {
        "exit_code": result.exit_code,
        "stdout": texts.add(result.stdout),
        "stderr": texts.add(result.stderr),
        "took_ms": result.took_ms,
    }


def result_body(result: StepResult, texts: Texts) -> dict[str, object]:
    """Describe how a step ended."""
    return step_document(result.step) | {
        "message": result.step.message,
        "answer": None if result.answer is None else answer_body(result.answer, texts),
        "reverts_at": maybe_timestamp(result.reverts_at),
        "detail": dict(result.detail or {}),
    }


def mark_resumed(connection: sqlite3.Connection, run_id: str, *, pid: int) -> None:
    """Note that a run has no end any more."""
    connection.execute(
        "UPDATE runs SET finished_at = NULL, exit_code = NULL, pid = ? WHERE run_id = ?", (pid, run_id)
    )


def mark_finished(connection: sqlite3.Connection, *, run_id: str, finished_at: str, exit_code: int) -> None:
    """Note the end of a run."""
    connection.execute(
        "UPDATE runs SET finished_at = ?, exit_code = ? WHERE run_id = ?", (finished_at, exit_code, run_id)
    )
