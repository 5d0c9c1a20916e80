"""Variables of a script: one that is never set is empty without a word."""

from collections.abc import Iterator
from difflib import get_close_matches

from fwfix.lint.finding import Problem
from fwfix.lint.tree import Node, at, find, text_of, variable_name

# PowerShell's own, and what the bootstrap of fwfix sets.
_GIVEN = {
    "_", "args", "true", "false", "null", "error", "pid", "psversiontable", "input", "matches", "home",
    "myinvocation", "erroractionpreference", "progresspreference", "lastexitcode", "?", "psscriptroot",
    "psboundparameters", "fwfixarguments",
}  # fmt: skip


def check_variables(root: Node) -> Iterator[Problem]:
    """Yield variables that nothing sets."""
    known = {*_GIVEN, *_set(root)}
    told: set[str] = set()
    for node in find(root, "variable"):
        written = text_of(node)
        name = variable_name(written).removeprefix("script:")
        if name in known or name in told or name.startswith("env:"):
            continue
        told.add(name)
        near = get_close_matches(name, known - _GIVEN, n=1, cutoff=0.7)
        hint = f"; did you mean ${near[0]}?" if near else ""
        yield at(node, f"{written} is set nowhere in this script{hint}")


def _set(root: Node) -> Iterator[str]:
    for node in find(root, "left_assignment_expression", "script_parameter"):
        # In $a[$b] = 1 it is the first that changes.
        variable = next(find(node, "variable"), None)
        if variable is not None:
            yield variable_name(text_of(variable)).removeprefix("script:")
    for node in find(root, "foreach_statement"):
        yield variable_name(text_of(next(find(node, "variable"))))
