"""The JSON document of a command that came to no host: why it was refused, or what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fwfix.cli.options import context_of_json
from fwfix.errors import FwfixError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

ERROR_SCHEMA = "fwfix.error/1"
_RUNS = frozenset({"plan", "apply", "rollback", "verify", "recover"})


def print_failure(error: FwfixError, exit_code: int) -> None:
    """Print the one document that `--json` promised; nothing without it."""
    from fwfix.output.printing import Output

    context = context_of_json()
    if context is None:
        return
    command = context.info_name or ""
    if isinstance(error, RefusedError) and command in _RUNS:
        document = _refused_run(error, context, command=command, exit_code=exit_code)
    else:
        document = {
            "schema": ERROR_SCHEMA,
            "command": context.command_path.removeprefix(context.find_root().command_path).strip(),
            "exit_code": exit_code,
            "error": {"code": error.code, "message": error.message, "next": error.next},
        }
    Output(as_json=True).document(document)


def _refused_run(
    error: RefusedError, context: typer.Context, *, command: str, exit_code: int
) -> Mapping[str, object]:
    from fwfix import __version__
    from fwfix.model.outcome import RunReport
    from fwfix.model.plan import Reason
    from fwfix.report import reason_document, run_document
    from fwfix.whoami import controller, operator

    now = datetime.now(UTC)
    report = RunReport(
        command=command,
        run_id=context.params.get("continue_run"),
        started_at=now,
        finished_at=now,
        operator=operator(),
        controller=controller(),
        fwfix_version=__version__,
        ticket=context.params.get("ticket") or "",
        plan_digest="",
        exit_code=exit_code,
        hosts=(),
    )
    reason = Reason(code=error.code, message=error.message, next=error.next)
    return {**run_document(report), "reason": reason_document(reason)}
