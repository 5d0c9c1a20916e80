"""Saved plans: one JSON document that says everything that apply will do, and nothing secret."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fwfix.errors import PlanFileError, RefusedError
from fwfix.loading.plan_json import Json, as_json, as_text, dumped, in_braces
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome
from fwfix.model.runid import is_run_id
from fwfix.model.script import Script
from fwfix.whole_file import check_place, write_whole

SCHEMA = "fwfix.plan/1"
_MOST_ERRORS = 3
_AGAIN = "Make a new one with fwfix plan -o FILE."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan as it stands in a file.

    Attributes:
        digest: `sha256:` over the bytes of the file; what approvals sign.
    """

    plan: Plan
    digest: str
    path: Path


def digest_of(content: bytes) -> str:
    """Return what names a plan file: `sha256:` and the digest of its bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def check_plan_place(path: Path) -> None:
    """Find out early whether a plan could be saved there.

    Raises:
        PlanFileError: it could not.
    """
    try:
        check_place(path)
    except OSError as exc:
        raise _not_written(path, exc) from exc


def save_plan(plan: Plan, path: Path) -> str:
    """Write a plan, whole or not at all, and return its digest.

    Raises:
        PlanFileError: the file cannot be written, or the plan has no run id.
    """
    content = dump_plan(plan)
    try:
        write_whole(path, content)
    except OSError as exc:
        raise _not_written(path, exc) from exc
    return digest_of(content)


def _not_written(path: Path, error: OSError) -> PlanFileError:
    return PlanFileError(f"cannot be written: {error.strerror}", path=path, next="Name another -o.")


def dump_plan(plan: Plan) -> bytes:
    """Return the bytes of a plan file; equal plans give equal bytes.

    Raises:
        PlanFileError: the plan has no run id, so that it could be applied twice.
    """
    if plan.run_id is None:
        raise PlanFileError("a plan without a run id cannot be saved")
    text = "".join(_pieces(plan))
    return f'{text},\n "digest": {dumped(_digest(text))}\n}}\n'.encode()


def _pieces(plan: Plan) -> Iterator[str]:
    """Yield a plan file but for its end, a host a line: a fleet is never in memory as JSON as a whole."""
    scripts = _Scripts()
    yield f'{{\n "schema": {dumped(SCHEMA)}'
    for each in fields(plan):
        if each.name != "hosts":
            yield f",\n {dumped(each.name)}: {dumped(as_json(getattr(plan, each.name)))}"
            continue
        yield ',\n "hosts": ['
        for number, host in enumerate(plan.hosts):
            yield f"{',' if number else ''}\n  {_with_names(host, scripts)}"
        yield "\n ]" if plan.hosts else "]"
    yield ',\n "scripts": {'
    for number, (digest, text) in enumerate(sorted(scripts.written.items())):
        yield f"{',' if number else ''}\n  {dumped(digest)}: {text}"
    yield "\n }" if scripts.written else "}"


class _Scripts:
    """The scripts of a plan as JSON by digest, each once: the hosts of a fleet have the same few."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self._named: dict[int, str] = {}  # by the identity of what the plan keeps alive

    def named(self, scripts: Mapping[str, Script]) -> str:
        """Return the digests that stand for some scripts, by name, as JSON."""
        known = self._named.get(id(scripts))
        if known is None:
            names: Json = {name: self._digest(scripts[name]) for name in sorted(scripts)}
            known = self._named[id(scripts)] = dumped(names)
        return known

    def _digest(self, script: Script) -> str:
        digest, text = _written(script)
        self.written[digest] = text
        return digest


@lru_cache(maxsize=64)
def _written(script: Script) -> tuple[str, str]:
    text = dumped(as_json(script))
    return _digest(text), text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _with_names(host: HostPlan, scripts: _Scripts) -> str:
    """Return a host as JSON, with digests for its scripts."""
    others = [
        (each.name, as_text(getattr(host, each.name))) for each in fields(host) if each.name != "scripts"
    ]
    return in_braces([*others, ("scripts", scripts.named(host.scripts))])


def load_plan(path: Path) -> PlanFile:
    """Read a saved plan.

    Raises:
        PlanFileError: it is not one, it is damaged, or somebody edited it.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise PlanFileError(f"cannot be read: {exc.strerror}", path=path) from exc
    return PlanFile(plan=parse_plan(content, path=path), digest=digest_of(content), path=path)


def parse_plan(content: bytes, *, path: Path | None = None) -> Plan:
    """Read the bytes of a plan file.

    Raises:
        PlanFileError: as for `load_plan`.
    """
    document = _document(content, path)
    digest = document.pop("digest", None)
    whole, unused = _with_scripts(document, document.pop("scripts", None), path)
    try:
        plan = _adapter().validate_python(whole)
    except ValidationError as exc:
        raise PlanFileError(f"is damaged: {_explained(exc)}", path=path, next=_AGAIN) from exc
    if unused or as_json(plan) != whole:
        raise PlanFileError("holds something that fwfix did not write", path=path, next=_AGAIN)
    _check(plan, path)
    if _digest("".join(_pieces(plan))) != digest:
        raise PlanFileError(
            "was edited: it does not fit its digest", path=path, next="Change the inventory, and plan again."
        )
    return plan


def check_not_expired(plan: Plan, now: datetime) -> None:
    """Refuse a plan that is too old.

    Raises:
        RefusedError: it has expired.
    """
    if plan.expires_at is not None and now >= plan.expires_at:
        raise RefusedError(
            f"this plan expired at {plan.expires_at:%Y-%m-%dT%H:%M:%SZ}", next=_AGAIN, code="expired-plan"
        )


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def _document(content: bytes, path: Path | None) -> dict[str, Any]:
    try:
        # Only as it was written: json would read UTF-16 as well, and the journal keeps the text.
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as exc:
        line = exc.lineno if isinstance(exc, json.JSONDecodeError) else None
        raise PlanFileError("is not a saved plan: it is no JSON", path=path, line=line, next=_AGAIN) from exc
    schema = document.pop("schema", None) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(schema, str):
        raise PlanFileError("is not a saved plan", path=path, next=_AGAIN)
    if schema != SCHEMA:
        raise PlanFileError(
            f"is a {schema!r} document, and this fwfix reads {SCHEMA!r}",
            path=path,
            next="Use the fwfix that wrote it, or make a new plan.",
        )
    return document


def _with_scripts(
    document: dict[str, Any], scripts: object, path: Path | None
) -> tuple[dict[str, Any], set[str]]:
    """Put the scripts back into the hosts; one that does not fit its digest was edited.

    Returns:
        The document, and the digests of scripts that no host names.
    """
    known = scripts if isinstance(scripts, dict) else {}
    for digest, script in known.items():
        if _digest(dumped(script)) != digest:
            raise PlanFileError(
                f"was edited: a script does not fit its digest {digest}",
                path=path,
                next="Change the template instead, and plan again.",
            )
    used: set[str] = set()
    for named in _named(document):
        for name, digest in named.items():
            if not isinstance(digest, str) or digest not in known:
                raise PlanFileError(f"is damaged: script {name!r} is missing", path=path, next=_AGAIN)
            used.add(digest)
            named[name] = known[digest]
    return document, set(known) - used


def _named(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the scripts that a host names, host by host."""
    hosts = document.get("hosts")
    for host in hosts if isinstance(hosts, list) else ():
        scripts = host.get("scripts") if isinstance(host, dict) else None
        if isinstance(scripts, dict):
            yield scripts


def _explained(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    said = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found[:_MOST_ERRORS]]
    return "; ".join(said)


def _check(plan: Plan, path: Path | None) -> None:
    """Refuse what no planning ever writes."""
    if plan.run_id is None or not is_run_id(plan.run_id):
        raise PlanFileError(f"{plan.run_id!r} is not a run id", path=path, next=_AGAIN)
    names = [each.host.name for each in plan.hosts]
    if len(set(names)) != len(names):
        raise PlanFileError("names a host twice", path=path, next=_AGAIN)
    changing = {each.host.name for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE}
    started = [name for wave in plan.waves for name in wave]
    if len(set(started)) != len(started) or set(started) != changing:
        raise PlanFileError("its waves do not fit its hosts", path=path, next=_AGAIN)
    if plan.created_at.tzinfo is None or (plan.expires_at and plan.expires_at.tzinfo is None):
        raise PlanFileError("its times have no zone", path=path, next=_AGAIN)


__all__ = [
    "SCHEMA",
    "Json",
    "PlanFile",
    "check_not_expired",
    "digest_of",
    "dump_plan",
    "load_plan",
    "parse_plan",
    "save_plan",
]
