"""Templates are found, rendered strictly, and named in what comes out."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fwfix.cli.templates import app
from fwfix.errors import RenderError, UsageError
from fwfix.rendering.environment import Renderer, quote_for_sh
from fwfix.rendering.loader import TracingLoader, builtin_templates, export_templates


def site(path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        target = path / f"{name.replace('__', '/')}.j2"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return path


def render(directory: Path, name: str, **context: object) -> str:
    return Renderer((directory,)).render(name, script_name="x", changes=False, **context).text


def test_the_origin_and_digest_of_every_template_used_is_known(tmp_path: Path) -> None:
    site(tmp_path, outer='{% include "inner.j2" %}!\n', inner="in")
    script = Renderer((tmp_path,)).render("outer.j2", script_name="x", changes=True)
    assert (script.name, script.text, script.changes) == ("x", "in!\n", True)
    assert {each.name: each.sha256 for each in script.templates} == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("inner.j2", "outer.j2")
    }
    assert {each.origin for each in script.templates} == {
        str(tmp_path / "inner.j2"),
        str(tmp_path / "outer.j2"),
    }


def test_a_sites_template_goes_before_ours_and_can_extend_it(tmp_path: Path) -> None:
    site(tmp_path, linux__rollback__sh="")
    (tmp_path / "linux").mkdir(exist_ok=True)
    (tmp_path / "linux/rollback.sh.j2").write_text('# ours:\n{% include "builtin/linux/rollback.sh.j2" %}')
    script = Renderer((tmp_path,)).render("linux/rollback.sh.j2", script_name="rollback", changes=True)
    assert script.text.startswith("# ours:\n#!/bin/sh\n")
    origins = {each.name: each.origin for each in script.templates}
    assert origins["linux/rollback.sh.j2"] == str(tmp_path / "linux/rollback.sh.j2")
    assert origins["builtin/linux/rollback.sh.j2"] == "builtin"
    assert origins["linux/parts/common.sh.j2"] == "builtin"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a\n{{ missing }}\n", 2, "'missing' is undefined"),
        ("a\n\n{{ known.nothing }}\n", 3, "nothing"),
        ("{% if %}", 1, ""),
        ("{% include 'none.j2' %}", 1, "none.j2"),
        ("a\n{{ 1 / 0 }}", 2, "zero"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ('{{ "a\nb" | sh }}', 1, "cannot be a word"),
    ],
)
def test_errors_name_the_template_the_line_and_the_word(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    site(tmp_path, bad=text)
    with pytest.raises(RenderError) as caught:
        render(tmp_path, "bad.j2", known={"a": 1})
    assert what in caught.value.message
    if "include" not in text and "sh }}" not in text:
        assert f"bad.j2:{line}" in caught.value.message


@pytest.mark.parametrize("name", ["../secret.j2", "/etc/passwd", "builtin/../../x", "none.j2"])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.j2").write_text("secret")
    with pytest.raises(RenderError):
        render(site(tmp_path / "site", a=""), name)


def test_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    site(tmp_path, plain="<&'\"> {% if 1 %}x{% endif %}.\n  {% if 1 %}\ny\n  {% endif %}\n\n")
    assert render(tmp_path, "plain.j2") == "<&'\"> x.\ny\n\n"


@pytest.mark.parametrize("value", ["", "a b", "'", '"$(id)`id`', "-n", "ä", "a\\", "*", "~", "!x", "#", "\t"])
def test_a_quoted_value_reaches_the_shell_as_it_is(value: str) -> None:
    for shell in (["dash", "-c"], ["bash", "-c"]):
        done = subprocess.run(
            [*shell, f"printf '%s' {quote_for_sh(value)}"], capture_output=True, text=True, check=True
        )
        assert done.stdout == value


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "\r"])
def test_what_cannot_be_quoted_is_refused(value: str) -> None:
    with pytest.raises(RenderError):
        quote_for_sh(value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="is not a directory"):
        Renderer((tmp_path / "none",))


def test_every_built_in_template_compiles() -> None:
    from fwfix.rendering.environment import make_environment

    loader = TracingLoader(())
    environment = make_environment(loader)
    names = [name for name in loader.list_templates() if name.startswith("linux/")]
    assert len(names) > 10
    for name in names:
        environment.get_template(name)


def test_exported_templates_are_ours_and_never_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "new/folder"
    written = export_templates(target)
    assert (target / "linux/arm.sh.j2").read_bytes() == (builtin_templates() / "linux/arm.sh.j2").read_bytes()
    assert len(written) == len(list(target.rglob("*.j2")))
    (target / "linux/arm.sh.j2").write_text("mine")
    with pytest.raises(RenderError, match="already"):
        export_templates(target)
    assert (target / "linux/arm.sh.j2").read_text() == "mine"


def test_the_command_lists_shows_and_exports(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["list"])
    assert "linux/arm.sh.j2" in listed.stdout.splitlines()
    own = tmp_path / "own"
    assert runner.invoke(app, ["export", str(own)]).exit_code == 0
    (own / "linux/arm.sh.j2").write_text("mine\n")
    answer = json.loads(runner.invoke(app, ["list", "--templates", str(own), "--json"]).stdout)
    origin = {each["name"]: each["origin"] for each in answer["templates"]}
    assert origin["linux/arm.sh.j2"] == str(own / "linux/arm.sh.j2")
    assert runner.invoke(app, ["show", "linux/arm.sh.j2", "--templates", str(own)]).stdout == "mine\n"
    failed = runner.invoke(app, ["show", "linux/arm.sh"])
    assert isinstance(failed.exception, RenderError)
    assert failed.exception.next == "Did you mean linux/arm.sh.j2?"
    assert isinstance(runner.invoke(app, ["list", "--templates", "/none"]).exception, UsageError)


def test_templates_beside_the_inventory_are_found(tmp_path: Path) -> None:
    site(tmp_path / "templates", extra="x")
    (tmp_path / "hosts.yaml").write_text("version: 1\n")
    listed = CliRunner().invoke(app, ["list", "-i", str(tmp_path / "hosts.yaml")])
    assert f"extra.j2  from {tmp_path}/templates/extra.j2" in listed.stdout
