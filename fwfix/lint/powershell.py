"""Every check of one PowerShell script."""

import functools

from fwfix.lint.commands import check_commands
from fwfix.lint.dialect import check_dialect, check_syntax
from fwfix.lint.finding import Problem
from fwfix.lint.members import Types, check_members
from fwfix.lint.tree import parse, walk
from fwfix.lint.variables import check_variables


@functools.lru_cache(maxsize=64)
def check_powershell(source: str) -> tuple[Problem, ...]:
    """Return what PowerShell 3.0, 4.0 or 5.1 would not take, or would take for something else."""
    root = parse(source)
    if all(node.type in {"comment", "ERROR", "program"} for node in walk(root)):
        # To the grammar a script without a statement is an error; to PowerShell it is not.
        return ()
    problems = {*check_syntax(root)}
    if not problems:
        # Where the syntax is wrong everything else is guessing.
        problems |= {
            *check_dialect(root),
            *check_commands(root),
            *check_members(root, Types(root)),
            *check_variables(root),
        }
    return tuple(sorted(problems))
