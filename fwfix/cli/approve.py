"""`fwfix approve`: sign a saved plan with an SSH key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.cli.options import Json

if TYPE_CHECKING:
    from fwfix.signing import Signed

Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        "--sign",
        metavar="KEY",
        help="A private key, or the public half of one in the agent or on a token. "
        "Default: the agent's only key, else the user's own.",
        show_default=False,
    ),
]


def approve(
    context: typer.Context,
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="A saved plan.")],
    key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Approve a saved plan: sign it with an SSH key; the signature lies beside it."""
    from fwfix.cli.approving import read_signed
    from fwfix.cli.reporting import output_of
    from fwfix.loading.plan_file import check_not_expired
    from fwfix.model.wording import plural
    from fwfix.signing import PLAN_NAMESPACE, sign, was_touched

    signed_plan = read_signed(plan_file)
    plan = signed_plan.plan
    check_not_expired(plan, datetime.now(UTC))
    _check_folder(plan_file)
    signed = sign(signed_plan.content, key, namespace=PLAN_NAMESPACE)
    path = write_signature(plan_file, signed)
    output = output_of(context, as_json=as_json)
    output.document(
        {
            "schema": "fwfix.approval/1",
            "run_id": plan.run_id,
            "plan_digest": signed_plan.file.digest,
            "key": signed.key,
            "signature": str(path),
        }
    )
    changing = sum(len(wave) for wave in plan.waves)
    output.say(
        f"Approved run {plan.run_id}, which changes {plural(changing, 'host')}: {signed_plan.file.digest}"
    )
    output.say(f"Signed with {signed.key}: {path}")
    if not was_touched(signed.text):
        output.say("Nobody touched the security key: it does not count as an approval.")
    if signed.key == plan.author_key and not any(rule.author_may_approve for rule in plan.approvals):
        output.say("This is the key of the plan's author: it does not count as an approval.")


def _check_folder(plan_file: Path) -> None:
    """Find out before anybody is asked for a passphrase whether a signature could lie beside the plan."""
    from fwfix.errors import PlanFileError
    from fwfix.whole_file import check_place, is_own_stream

    if not plan_file.is_file() or is_own_stream(plan_file):
        raise PlanFileError(
            "is no file beside which a signature could lie",
            path=plan_file,
            next="Save the plan in a file, and approve that.",
        )
    try:
        check_place(plan_file.with_name(f"{plan_file.name}.sig"))
    except OSError as exc:
        raise PlanFileError(f"cannot have a signature beside it: {exc.strerror}", path=plan_file) from exc


def write_signature(plan_file: Path, signed: Signed) -> Path:
    """Write a signature beside a plan.

    Raises:
        PlanFileError: it cannot be written.
    """
    from fwfix.approvals import signature_path
    from fwfix.errors import PlanFileError
    from fwfix.whole_file import write_whole

    path = signature_path(plan_file, signed)
    try:
        write_whole(path, signed.text)
    except OSError as exc:
        raise PlanFileError(f"cannot be written: {exc.strerror}", path=path) from exc
    return path
