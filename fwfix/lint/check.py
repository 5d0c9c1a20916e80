"""Checks every script that a set of templates makes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from xml.parsers import expat

from fwfix.lint.finding import Finding, Problem
from fwfix.lint.powershell import check_powershell
from fwfix.lint.rendering import Rendered, render_all
from fwfix.lint.shell import check_shell, shells
from fwfix.lint.values import check_values
from fwfix.rendering.environment import make_environment
from fwfix.rendering.loader import BUILTIN, TracingLoader, builtin_templates, template_names

_PLACED = re.compile(r"(?P<file>[^:\n]+)(?::(?P<line>[0-9]+))?: (?P<message>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked, by which shells, and what was found."""

    scripts: int
    shells: tuple[str, ...]
    findings: tuple[Finding, ...]


def check_templates(directories: Sequence[Path]) -> Report:
    """Render every script, the site's own templates in front of the built-in ones, and check it."""
    scripts, errors = render_all(directories)
    loader = TracingLoader(directories)
    findings = {_unrendered(error, loader) for error in errors} | set(_unquoted(loader))
    for script in scripts:
        for problem in _check(script):
            name, line = script.place(problem.line)
            findings.add(Finding(file=_file(name, loader), line=line, message=problem.message))
    if not errors:
        findings.update(_unused(directories, scripts))
    return Report(
        scripts=len(scripts),
        shells=tuple(" ".join(words) for words in shells()),
        findings=tuple(sorted(findings)),
    )


def _unquoted(loader: TracingLoader) -> Iterator[Finding]:
    environment = make_environment(loader)
    for name in loader.list_templates():
        for problem in check_values(environment, name, loader.text(name)):
            yield Finding(file=_file(name, loader), line=problem.line, message=problem.message)


def _check(script: Rendered) -> tuple[Problem, ...]:
    match script.language:
        case "sh":
            return check_shell(script.text)
        case "powershell":
            return check_powershell(script.text)
        case "xml":
            return check_xml(script.text)
    return ()


def check_xml(source: str) -> tuple[Problem, ...]:
    """Return what makes a document unreadable."""
    try:
        # A text says its encoding in vain: it has been decoded.
        expat.ParserCreate().Parse(source, True)
    except expat.ExpatError as error:
        return (Problem(line=error.lineno, message=f"this is no XML: {expat.ErrorString(error.code)}"),)
    return ()


def _file(name: str, loader: TracingLoader) -> str:
    """Return what people open: the path of an own template, `builtin/NAME` for one of ours."""
    if "/" not in name:
        return name
    origin = loader.describe(name)
    bare = name.removeprefix(BUILTIN)
    return f"{BUILTIN}{bare}" if origin.origin == "builtin" else origin.origin


def _unrendered(error: str, loader: TracingLoader) -> Finding:
    match = _PLACED.fullmatch(error)
    if match is None:
        return Finding(file="templates", line=1, message=error)
    path = Path(match["file"])
    ours = builtin_templates()
    if path.is_relative_to(ours):
        file = f"{BUILTIN}{path.relative_to(ours).as_posix()}"
    else:
        file = _file(match["file"], loader) if match["file"] in loader.list_templates() else match["file"]
    return Finding(file=file, line=int(match["line"] or 1), message=match["message"])


def _unused(directories: Sequence[Path], scripts: Sequence[Rendered]) -> Iterator[Finding]:
    """Yield own templates that no script is made from: their names are misspelt, or nothing includes them."""
    used = {name.removeprefix(BUILTIN) for script in scripts for name in script.templates}
    for directory in directories:
        for name in template_names(directory):
            if name not in used:
                near = get_close_matches(name, template_names(builtin_templates()), n=1, cutoff=0.7)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield Finding(
                    file=str(directory / name), line=1, message=f"no script is made from this template{hint}"
                )
