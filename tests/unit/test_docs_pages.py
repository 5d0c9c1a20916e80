"""The pages say what is true: commands parse, examples load, links lead somewhere, references are current."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fwfix import __version__
from fwfix.cli.main import app
from fwfix.loading.inventory import load_inventory

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> Iterator[str]:
    for kind, text in FENCE.findall(page.read_text()):
        if kind == language:
            yield text


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for language in ("sh", ""):
            for block in blocks(page, language):
                for line in block.splitlines():
                    if line.startswith("fwfix "):
                        yield page.name, line.split(" > ")[0]


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_of_the_pages_parses(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    # Unknown commands and options are refused before --help is looked at.
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, (page, done.output)
    usage = done.output.splitlines()[0] if done.output else ""
    assert f" {words[0]} " in usage, (page, usage)


def test_the_readme_has_commands_to_try() -> None:
    assert sum(page == "README.md" for page, _ in commands()) > 10


def test_the_inventory_of_the_readme_loads(tmp_path: Path) -> None:
    examples = list(blocks(ROOT / "README.md", "yaml"))
    assert examples
    for number, text in enumerate(examples):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert load_inventory([path]).hosts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_command_reference_is_what_help_says() -> None:
    script = ROOT / "scripts" / "generate-docs"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_architecture_page_names_every_room() -> None:
    spec = importlib.util.spec_from_file_location("floors", Path(__file__).with_name("test_architecture.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = re.findall(r"^\|[^|]*\|([^|]+)\|[^|]*\|$", page, re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert named == {room for floor in module.FLOORS for room in floor}


def test_the_changelog_tells_of_this_version_or_of_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in text or "## [Unreleased]" in text


def test_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    from fwfix.cli import main

    text = (ROOT / "README.md").read_text()
    section = text.partition("### Exit codes")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert told == {0, 1, 2, 3, 4, 5, 6, 130}
    assert {main.EXIT_UNEXPECTED, main.EXIT_USAGE, main.EXIT_REFUSED, main.EXIT_INTERRUPTED} <= told
