"""`fwfix runs`: the journal: list runs, show one, check its chain, export its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fwfix.cli.options import Json
from fwfix.cli.reporting import journal_of, output_of

EXIT_DAMAGED = 2

app = typer.Typer(
    name="runs",
    help="What fwfix did: list runs, show one, finish one, check and export the journal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run id, as `fwfix runs list` shows it.")]
MaybeRun = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="A run id. Default: all.", show_default=False)
]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")]


@app.command("list")
def list_runs(context: typer.Context, *, as_json: Json = False) -> None:
    """List all runs, newest first."""
    from fwfix.journal.documents import list_entry
    from fwfix.output.runs import run_table
    from fwfix.report import runs_document

    with journal_of(context) as journal:
        runs = journal.runs()
    output = output_of(context, as_json=as_json)
    if as_json:
        output.document(runs_document([list_entry(run) for run in runs]))
    else:
        output.lines(run_table(runs))


@app.command("show")
def show(context: typer.Context, run_id: Run, *, as_json: Json = False) -> None:
    """Show one run: its hosts, their outcomes, and everything that was done."""
    from fwfix.journal.documents import show_document
    from fwfix.output.runs import run_lines

    with journal_of(context) as journal:
        run, events = journal.run(run_id), journal.events(run_id)
    output = output_of(context, as_json=as_json)
    if as_json:
        output.document(show_document(run, events))
    else:
        output.lines(run_lines(run, events))


@app.command("check")
def check(
    context: typer.Context,
    run_id: MaybeRun = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="HEAD",
            help="A head that was printed earlier: all that was written by then must still be there.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Verify that the journal is as it was written: events and runs carry the digest of the one before."""
    from fwfix.model.wording import plural
    from fwfix.output.text import Line, Style

    with journal_of(context) as journal:
        count = len(journal.run_ids()) if run_id is None else 1
        faults, head = journal.check(run_id, expected=expect), journal.head()
    output = output_of(context, as_json=as_json)
    output.document(
        {
            "schema": "fwfix.check/1",
            "runs": count,
            "ok": not faults,
            "head": head or None,
            "faults": [
                {"run_id": fault.run_id, "seq": fault.seq, "message": fault.message} for fault in faults
            ],
        }
    )
    for fault in faults:
        where = fault.run_id or "the journal"
        where = where if fault.seq is None else f"{where} event {fault.seq}"
        output.lines([Line(f"{where}: {fault.message}", Style.BAD)])
    output.say(f"{plural(count, 'run')} checked: {'as written' if not faults else 'NOT as written'}.")
    if head:
        output.say(f"Head: {head}")
    if faults:
        raise typer.Exit(EXIT_DAMAGED)


@app.command("export")
def export(
    context: typer.Context,
    run_id: Run,
    directory: Directory,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", metavar="KEY", help="Sign the manifest with this SSH key.", show_default=False
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write the evidence of one run: plan, scripts, answers, probes, outcomes, and the chain."""
    from datetime import UTC, datetime

    from fwfix.evidence import export_run
    from fwfix.signing import fingerprint_of

    if sign is not None:
        fingerprint_of(sign.expanduser())  # before a bundle lies there to which no signature was added
    with journal_of(context) as journal:
        faults = export_run(journal, run_id, directory, now=datetime.now(UTC))
    signature = None if sign is None else _sign_manifest(directory, sign)
    output = output_of(context, as_json=as_json)
    output.document(
        {
            "schema": "fwfix.export/1",
            "run_id": run_id,
            "directory": str(directory),
            "ok": not faults,
            "signature": None if signature is None else str(signature),
        }
    )
    output.say(f"The evidence of {run_id} is in {directory}; manifest.json lists it.")
    if signature is not None:
        output.say(f"Signed: {signature}")
    if faults:
        # The document is printed already, and an error would print another.
        output.say(f"The journal of {run_id} is NOT as it was written; the manifest says where.")
        raise typer.Exit(EXIT_DAMAGED)


def _sign_manifest(directory: Path, key: Path) -> Path:
    """Sign the manifest of a bundle, and so all that it lists."""
    from fwfix.errors import UsageError
    from fwfix.signing import EVIDENCE_NAMESPACE, file_part, sign
    from fwfix.whole_file import write_whole

    manifest = directory / "manifest.json"
    signed = sign(manifest.read_bytes(), key, namespace=EVIDENCE_NAMESPACE)
    path = manifest.with_name(f"{manifest.name}.{file_part(signed.key)}.sig")
    try:
        write_whole(path, signed.text)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}.") from exc
    return path
