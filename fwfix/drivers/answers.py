"""The JSON document that every script of ours prints, read with care: it comes from another machine. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import orjson

from fwfix.drivers.base import Answer
from fwfix.errors import AnswerError
from fwfix.model.observation import RecordState
from fwfix.model.runid import is_run_id
from fwfix.model.script import Result

SCHEMA = "fwfix.answer/1"
_LONGEST_QUOTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON object whose values are read by kind; a value of another kind is an error that names its key."""

    script: str
    values: Mapping[str, object]

    def text(self, key: str) -> str:
        """Return a text; empty if missing or null."""
        value = self.values.get(key)
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return "\n".join(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a text")
        return str(value)

    def number(self, key: str) -> float | None:
        """Return a number, also where it is written as a text; None if missing or empty."""
        value = self.values.get(key)
        if isinstance(value, float):
            return value
        text = self.text(key).strip()
        try:
            return float(text) if text else None
        except ValueError:
            raise self._wrong(key, "a number") from None

    def flag(self, key: str) -> bool:
        """Return a truth value; false if missing."""
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, str | int):
            return str(value).strip().lower() in {"1", "true", "yes", "y"}
        raise self._wrong(key, "true or false")

    def lines(self, key: str) -> tuple[str, ...]:
        """Return the lines of a text or the items of a list, without empty ones."""
        text = self.text(key)
        return tuple(line.strip() for line in text.splitlines() if line.strip()) if text else ()

    def texts(self, key: str) -> Mapping[str, str]:
        """Return an object of texts; empty if missing."""
        inner = self.object(key)
        return {name: inner.text(name) for name in inner.values}

    def object(self, key: str) -> "Document":
        """Return an inner object; an empty one if missing."""
        value = self.values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Document(script=f"{self.script}.{key}", values=value)

    def objects(self, key: str) -> tuple["Document", ...]:
        """Return a list of inner objects; empty if missing."""
        value = self.values.get(key)
        if value is None:
            value = []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, "a list of objects")
        return tuple(
            Document(script=f"{self.script}.{key}[{n}]", values=item) for n, item in enumerate(value)
        )

    def _wrong(self, key: str, wanted: str) -> AnswerError:
        return AnswerError(
            f"the script's answer {self.script} holds no {wanted.removeprefix('a ')} under {key!r}"
        )


def parse_answer(result: Result) -> Document:
    """Read the document that a script printed.

    Raises:
        AnswerError: there is none, or it is not ours.
    """
    try:
        values = _decoded(result.stdout)
    except (ValueError, RecursionError) as exc:
        said = (result.stderr.strip() or result.stdout.strip() or "nothing")[-_LONGEST_QUOTE:]
        raise AnswerError(
            f"the script ended with code {result.exit_code} and no readable answer; it said: {said}",
            next="Run `fwfix doctor` on this host.",
        ) from exc
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise AnswerError(
            f"the script's answer is not a {SCHEMA} document",
            next="Check custom templates with `fwfix templates check`.",
        )
    return Document(script=str(values.get("script", "")), values=values)


def _decoded(text: str) -> object:
    """Read JSON; what the quick way refuses, such as half a character, Python's own may still read."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


def state_of(text: str) -> RecordState | None:
    """Read the name of a state; None where there is no record."""
    try:
        return RecordState(text) if text else None
    except ValueError:
        raise AnswerError(f"{text!r} is not a state of a run") from None


def read_changing_answer(result: Result) -> Answer:
    """Read what arm, apply, confirm or rollback said.

    Raises:
        AnswerError: it is not an answer.
    """
    document = parse_answer(result)
    ok = document.flag("ok")
    deadline, uptime = document.number("deadline"), document.number("uptime")
    state = state_of(document.text("state"))
    pending = state in {RecordState.ARMING, RecordState.ARMED, RecordState.REVERTING}
    remaining = (
        timedelta(seconds=max(0.0, deadline - uptime))
        if pending and deadline is not None and uptime is not None
        else None
    )
    holder = document.text("holder").split(" ")[0]
    return Answer(
        ok=ok,
        code="" if ok else document.text("code") or "script",
        message=document.text("message"),
        state=state,
        remaining=remaining,
        holder=holder if is_run_id(holder) else "",
        persistent=document.flag("persistent") if "persistent" in document.values else True,
        notes=(*document.lines("notes"), *_edited(document)),
    )


def _edited(document: Document) -> tuple[str, ...]:
    return tuple(
        f"a rule that others had put into our chain went with it: {line}" for line in document.lines("edited")
    )
