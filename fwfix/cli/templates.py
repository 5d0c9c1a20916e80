"""`fwfix templates`: what would be rendered, and how to make it your own."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fwfix.cli.options import InventoryPaths, Json, Templates

app = typer.Typer(
    name="templates",
    help="Show the templates of the scripts, or export them to change them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_templates(
    inventory: InventoryPaths = None, templates: Templates = None, *, as_json: Json = False
) -> None:
    """List every template, with the place that it would be taken from."""
    from fwfix.rendering.loader import TracingLoader

    loader = TracingLoader(_directories(templates, inventory))
    found = [loader.describe(name) for name in loader.list_templates()]
    if as_json:
        rows = [{"name": each.name, "origin": each.origin, "sha256": each.sha256} for each in found]
        typer.echo(json.dumps({"schema": "fwfix.templates/1", "templates": rows}, indent=2))
        return
    for each in found:
        typer.echo(each.name if each.origin == "builtin" else f"{each.name}  from {each.origin}")


@app.command("show")
def show_template(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as linux/arm.sh.j2.")],
    inventory: InventoryPaths = None,
    templates: Templates = None,
) -> None:
    """Print one template as it would be used."""
    from fwfix.rendering.loader import TracingLoader

    loader = TracingLoader(_directories(templates, inventory))
    typer.echo(loader.text(name), nl=False)


@app.command("export")
def export_templates(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
) -> None:
    """Copy the built-in templates to a folder; delete there what you do not want to change."""
    from fwfix.rendering.loader import export_templates as export

    written = export(directory)
    typer.echo(f"{len(written)} templates written to {directory}.", err=True)
    typer.echo(f"Use them with --templates {directory}, or as templates/ beside your inventory.", err=True)


@app.command("check")
def check(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Own templates, in front of the built-in ones.", show_default=False
        ),
    ] = None,
    inventory: InventoryPaths = None,
    *,
    as_json: Json = False,
) -> None:
    """Check every script that the templates make, for hosts of all kinds, without contacting any."""
    from fwfix.lint.check import check_templates

    report = check_templates(_directories([directory] if directory else None, inventory))
    if as_json:
        rows = [{"file": each.file, "line": each.line, "message": each.message} for each in report.findings]
        document = {"schema": "fwfix.templates-check/1", "scripts": report.scripts, "shells": report.shells}
        typer.echo(json.dumps({**document, "findings": rows}, indent=2))
    else:
        for finding in report.findings:
            typer.echo(str(finding))
    checked = ", ".join(report.shells) or "no shell: none is installed here"
    typer.echo(f"{report.scripts} scripts, {len(report.findings)} findings (sh by {checked}).", err=True)
    if report.findings:
        raise typer.Exit(2)


def _directories(templates: list[Path] | None, inventory: list[Path] | None) -> tuple[Path, ...]:
    """Return the site's own folders: those named, then those beside the inventory."""
    from fwfix.errors import UsageError

    for directory in templates or ():
        if not directory.is_dir():
            raise UsageError(f"{directory} is not a folder of templates.")
    beside = ((path if path.is_dir() else path.parent) / "templates" for path in inventory or ())
    return (*(templates or ()), *(path for path in beside if path.is_dir()))
