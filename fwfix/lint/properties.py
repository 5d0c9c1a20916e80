"""Properties of objects whose type a script does not tell: something in the dialect has one of that name.

A name that any cmdlet puts out passes wherever it stands. A misspelt one does not, and neither does one that
came later than Windows Server 2012.
"""

import functools
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches

from fwfix.lint.finding import Problem
from fwfix.lint.outputs import OUTPUTS, VALUES
from fwfix.lint.surface import net_types, spelling
from fwfix.lint.tree import Node, at, child, core, find, text_of

_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STRINGS = ("verbatim_string_characters", "expandable_string_literal")


@functools.cache
def _listed() -> frozenset[str]:
    words = " ".join((*OUTPUTS.values(), VALUES)).split()
    return frozenset((*words, *(spelling(name) for kind in net_types().values() for name in kind.properties)))


def check_properties(root: Node, is_unknown: Callable[[Node], bool]) -> Iterator[Problem]:
    """Yield properties that nothing has.

    Args:
        root: a script.
        is_unknown: whether a node is a property of something whose type is not known.
    """
    known = {name.lower(): name for name in (*_listed(), *_own(root))}
    for node in find(root, "member_access"):
        named = child(node, "member_name")
        written = text_of(named) if named is not None else ""
        if _PLAIN.fullmatch(written) and written.lower() not in known and is_unknown(node):
            near = get_close_matches(written.lower(), known, n=1, cutoff=0.7)
            hint = f"; did you mean {known[near[0]]}?" if near else ""
            other = f"a value of the registry or of a document is written .'{written}'"
            yield at(node, f"nothing in the dialect has a property {written}{hint} ({other})")


def _own(root: Node) -> Iterator[str]:
    """Yield names that the script itself gives: keys, words in strings, properties that it sets."""
    for node in find(root, "key_expression", *_STRINGS):
        word = text_of(node).strip("'\"")
        if _PLAIN.fullmatch(word):
            yield word
    for node in find(root, "left_assignment_expression"):
        member = child(core(node), "member_name")
        if member is not None:
            yield text_of(member)
