"""Values in templates of scripts: each goes through the filter of its language, which alone sets quotes."""

from collections.abc import Iterator
from dataclasses import dataclass

import jinja2
from jinja2 import nodes

from fwfix.lint.finding import Problem

# Templates of other kinds (rules, XML) get values that are checked before, and have no filter.
_FILTERS = {".sh.j2": "sh", ".ps1.j2": "ps"}
_ESCAPES = {"sh": "\\", "ps": "`"}
# Plain letters and digits whatever a plan says, and what is a piece of script or quoted already.
_PLAIN = frozenset({"run_id", "backend", "family", "delimiter", "loop", "self"})
_READY = {"sh": frozenset[str](), "ps": frozenset({"rollback", "task"})}
_PLAIN_KEYS = frozenset({"first", "last", "family"})
_PLAIN_FILTERS = frozenset({"int", "length", "count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One `{{ }}` and what stands before it on its line."""

    line: int
    expression: str
    before: str


def check_values(environment: jinja2.Environment, name: str, source: str) -> Iterator[Problem]:
    """Yield values that could leave their place in a script, as soon as one holds a quote or a blank."""
    quoting = next((found for end, found in _FILTERS.items() if name.endswith(end)), None)
    if quoting is None:
        return
    try:
        known = _quoted_names(environment.parse(source), quoting)
        shown = tuple(_shown(environment, source))
    except jinja2.TemplateSyntaxError:
        return  # whoever renders it says so
    for each in shown:
        inside = _surroundings(each.before, _ESCAPES[quoting])
        written = f"{{{{ {each.expression} }}}}"
        tree = next(environment.parse(written).find_all(nodes.Output)).nodes[0]
        if inside == "#":
            continue
        if not _is_safe(tree, quoting, known):
            # Lines of a file that is written on the host begin with a value; no command does.
            if each.before.strip("\0 \t"):
                right = f"{{{{ {each.expression} | {quoting} }}}}"
                message = f"{written} goes into the script as it is: write {right}, without quotes around it"
                yield Problem(line=each.line, message=message)
        elif inside and _is_quoted(tree, quoting):
            message = f"{written} stands in quotes, but the filter {quoting} sets its own: take them away"
            yield Problem(line=each.line, message=message)


def _shown(environment: jinja2.Environment, source: str) -> Iterator[_Shown]:
    before, start, words = "", 0, list[str]()
    for line, kind, value in environment.lex(source):
        match kind:
            case "data":
                *ended, last = str(value).split("\n")
                before = last if ended else before + last
            case "variable_begin":
                start, words = line, []
            case "variable_end":
                yield _Shown(line=start, expression="".join(words).strip(), before=before)
                before += "\0"
            case "block_end" | "comment_end":
                before = "" if "\n" in str(value) else before
            case _:
                words.append(str(value))


def _surroundings(before: str, escape: str) -> str:
    """Return the quote that is open at the end of the beginning of a line, `#` in a comment, else nothing."""
    inside, at = [""], 0
    while at < len(before):
        character, quote = before[at], inside[-1]
        if character == escape and quote != "'":
            at += 1
        elif quote == character or (character == ")" and not quote and len(inside) > 1):
            inside.pop()
        elif quote != "'" and before.startswith("$(", at):
            inside.append("")
            at += 1
        elif not quote and character in "'\"":
            inside.append(character)
        elif not quote and character == "#" and not before[at - 1 : at].strip():
            return "#"
        at += 1
    return inside[-1]


def _quoted_names(tree: nodes.Template, quoting: str) -> frozenset[str]:
    """Return the names that stand for what a template has quoted before, and those that need no quotes."""
    known = _PLAIN | _READY[quoting] | {each.target for each in tree.find_all(nodes.Import)}
    for each in tree.find_all(nodes.Assign):
        if isinstance(each.target, nodes.Name) and _is_safe(each.node, quoting, known):
            known |= {each.target.name}
    return known


def _is_quoted(node: nodes.Node, quoting: str) -> bool:
    return isinstance(node, nodes.Filter) and node.name == quoting


def _is_safe(node: nodes.Node, quoting: str, known: frozenset[str]) -> bool:
    """Tell whether nothing but plain characters and what the filter has quoted comes out of an expression."""
    if parts := _parts(node):
        return all(_is_safe(part, quoting, known) for part in parts)
    match node:
        case nodes.Name(name=name):
            return name in known
        case nodes.Getattr(node=inner, attr=key):
            return key in _PLAIN_KEYS or (isinstance(inner, nodes.Name) and inner.name == "loop")
        case nodes.Filter(name="map", args=[nodes.Const(value=name), *_]):
            return bool(name == quoting)
        case nodes.Filter(name=name):
            return name == quoting or name in _PLAIN_FILTERS
        case nodes.Call(node=nodes.Getattr(node=inner)):
            return isinstance(inner, nodes.Name) and inner.name in known
    # What a macro or a block shows is looked at where it stands.
    return isinstance(node, (nodes.Const, nodes.Compare, nodes.Test, nodes.Call))


def _parts(node: nodes.Node) -> list[nodes.Expr]:
    """Return the values that an expression puts together or chooses from."""
    match node:
        case nodes.CondExpr(expr1=first, expr2=second):
            return [first, second] if second is not None else [first]
        case nodes.Concat(nodes=parts):
            return parts
        case nodes.Filter(name="join", node=inner) if inner is not None:
            return [inner]
    return []
