"""Commands of a script: they exist in every PowerShell from 3.0 on, and take what they are given."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from fwfix.lint.finding import Problem
from fwfix.lint.surface import VERSIONS, Parameter, ParameterSet, cmdlet_names, cmdlets, spelling
from fwfix.lint.tree import Node, at, child, core, find, text_of, variable_name, walk

_MOST_NAMED = 12
# What every cmdlet takes; the type is empty for a switch.
_COMMON = {
    "verbose": "", "debug": "", "erroraction": "a", "warningaction": "a", "errorvariable": "a",
    "warningvariable": "a", "outvariable": "a", "outbuffer": "a",
}  # fmt: skip
_COMMON_SINCE = {
    "pipelinevariable": ("4.0", "5.1"),
    "informationaction": ("5.1",),
    "informationvariable": ("5.1",),
}


@dataclass(slots=True, kw_only=True)
class Call:
    """One command with what it is given.

    Attributes:
        named: parameter in lower case -> where it stands and its value.
        piped: it takes objects from the command in front of it.
        unseen: it gets values that cannot be seen in the script.
    """

    node: Node
    name: str
    named: dict[str, tuple[Node, Node | None]] = field(default_factory=dict)
    positional: list[Node] = field(default_factory=list)
    piped: bool = False
    unseen: bool = False
    shown: str = ""

    @property
    def last(self) -> bool:
        """Whether nothing takes what it puts out."""
        chain = self.node.parent
        return chain is None or chain.children[-1] == self.node


def functions(root: Node) -> Mapping[str, tuple[ParameterSet, bool]]:
    """Return the script's own functions: their parameters, and whether they take more than these."""
    found: dict[str, tuple[ParameterSet, bool]] = {}
    for node in find(root, "function_statement"):
        name = child(node, "function_name")
        parameters: dict[str, Parameter] = {}
        for declared in find(node, "script_parameter"):
            variable = next(find(declared, "variable"))
            key = variable_name(text_of(variable))
            switch = any(text_of(each).lower() == "[switch]" for each in find(declared, "attribute"))
            kind = "" if switch else "object"
            parameters[key] = Parameter(name=key, type=kind, mandatory=False, positional=not switch)
        more = any(text_of(each).lower() == "$args" for each in find(node, "variable"))
        if name is not None:
            found[text_of(name).lower()] = (parameters, more)
    return found


def calls(root: Node) -> Iterator[Call]:
    """Yield every command that is called by its name."""
    own = functions(root)
    for node in find(root, "command"):
        name = child(node, "command_name")
        if name is None:
            continue
        call = Call(node=node, name=text_of(name).lower(), shown=text_of(name))
        call.piped = node.parent is not None and node.parent.children[0] != node
        elements = child(node, "command_elements")
        _read_arguments(call, elements.children if elements else (), _known(call.name, own))
        _unfold(call, root)
        yield call


def _known(name: str, own: Mapping[str, tuple[ParameterSet, bool]]) -> Mapping[str, str]:
    """Return the types of the parameters of a command; the type is empty for a switch."""
    if name in own:
        return {key: each.type for key, each in own[name][0].items()}
    sets = [each for versions in cmdlets().get(name, {}).values() for each in versions]
    return {**_COMMON, **{key: each.type for known in sets for key, each in known.items()}}


def _read_arguments(call: Call, elements: Iterable[Node], types: Mapping[str, str]) -> None:
    waiting, colon = "", False
    for node in elements:
        if node.type == "command_argument_sep":
            colon = text_of(node).strip() == ":"
        elif node.type == "command_parameter":
            waiting = text_of(node).lstrip("-").rstrip(":").lower()
            call.named[waiting] = (node, None)
        elif waiting and (colon or types.get(waiting) != ""):
            call.named[waiting] = (call.named[waiting][0], node)
            waiting = ""
        elif node.is_named and node.type != "argument_list":
            # A list of arguments belongs to the method in front of it: `Write-Output $a.Trim()`.
            call.positional.append(node)
            waiting = ""


def _unfold(call: Call, root: Node) -> None:
    """Replace `@name` by the keys of the hashtables that the script puts into it."""
    for node in [each for each in call.positional if text_of(each).startswith("@") and _is_splat(each)]:
        call.positional.remove(node)
        keys = _keys_of(variable_name(text_of(node)), root)
        if not keys:
            call.unseen = True
        for key in keys:
            call.named[text_of(key).strip("'\"").lower()] = (key, None)


def _is_splat(node: Node) -> bool:
    return core(node).type == "variable"


def _keys_of(name: str, root: Node, seen: frozenset[str] = frozenset()) -> list[Node]:
    found: list[Node] = []
    for node in find(root, "assignment_expression"):
        left = text_of(node.children[0])
        if variable_name(left) == name:
            tables = find(node.children[-1], "hash_literal_expression")
            if (table := next(tables, None)) is not None and (body := child(table, "hash_literal_body")):
                found += [key for entry in body.named_children if (key := child(entry, "key_expression"))]
    for node in find(root, "foreach_statement"):
        variables = [variable_name(text_of(each)) for each in find(node, "variable")][:2]
        if len(variables) > 1 and variables[0] == name and variables[1] not in {name, *seen}:
            found += _keys_of(variables[1], root, seen | {name})
    return found


def check_commands(root: Node) -> Iterator[Problem]:
    """Yield what Windows would not take."""
    own = functions(root)
    for call in calls(root):
        if call.unseen:
            yield at(
                call.node, "what is splatted here is no hashtable of this script, so nobody can check it"
            )
        if call.name in own:
            yield from _check_function(call, *own[call.name])
        elif call.name in cmdlets():
            yield from _check_cmdlet(call)
        elif call.name.endswith(".exe"):
            yield from _check_native(call)
        else:
            yield at(call.node, _unknown(call, own))
        yield from _check_traps(call)


def _unknown(call: Call, own: Iterable[str]) -> str:
    if not call.shown:
        return "something is missing here"
    names = {name.lower(): name for name in (*cmdlet_names(), *own)}
    near = get_close_matches(call.name, names, n=1, cutoff=0.8)
    hint = f"; did you mean {names[near[0]]}?" if near else ""
    if call.name[:1].isdigit():
        hint = "; write numbers that begin a pipeline in ( )"
    elif not hint and "-" not in call.name:
        hint = "; write a program with .exe, and a cmdlet with its full name"
    return f"{call.shown} is no function of this script and no cmdlet of the dialect{hint}"


def _check_function(call: Call, known: ParameterSet, more: bool) -> Iterator[Problem]:  # noqa: FBT001 - one fact
    for name, (node, _) in call.named.items():
        if name not in known:
            yield at(node, f"{call.shown} has no parameter -{spelling(name)}{_near(name, known)}")
    places = sum(each.positional for key, each in known.items() if key not in call.named)
    if len(call.positional) > places and not more:
        yield at(call.node, f"{call.shown} takes {places} values here and gets {len(call.positional)}")


def _check_cmdlet(call: Call) -> Iterator[Problem]:
    versions = cmdlets()[call.name]
    if absent := [version for version in VERSIONS if version not in versions]:
        yield at(call.node, f"{call.shown} is not there in PowerShell {', '.join(absent)}")
    every = {name for sets in versions.values() for each in sets for name in each}
    wrong = False
    types = _known(call.name, {})
    for name, (node, value) in call.named.items():
        if value is None and node.type == "command_parameter" and types.get(name):
            yield at(node, f"-{spelling(name)} of {call.shown} needs a value")
        lacking = [version for version in versions if not _takes(name, version, versions[version])]
        if lacking:
            wrong = True
            where = f" in PowerShell {', '.join(lacking)}" if len(lacking) < len(versions) else ""
            hint = _choices(_everywhere(versions)) if where else _near(name, every, also=_COMMON)
            yield at(node, f"{call.shown} has no parameter -{spelling(name)}{where}{hint}")
    if not wrong:
        troubles = {trouble for sets in versions.values() if (trouble := _no_set(call, sets))}
        yield from (at(call.node, f"{call.shown}: {trouble}") for trouble in sorted(troubles))


def _takes(name: str, version: str, sets: Iterable[ParameterSet]) -> bool:
    if name in _COMMON or version in _COMMON_SINCE.get(name, ()):
        return True
    return any(name in each for each in sets)


def _no_set(call: Call, sets: Iterable[ParameterSet]) -> str:
    """Say why no parameter set fits; nothing where one does."""
    own = {name for name in call.named if name not in _COMMON and name not in _COMMON_SINCE}
    troubles: list[str] = []
    for each in sets:
        if not own <= set(each):
            continue
        free = [parameter for name, parameter in each.items() if parameter.positional and name not in own]
        if len(call.positional) > len(free):
            troubles.append(f"{len(call.positional)} values without a name are too many")
            continue
        filled = {*own, *(parameter.name.lower() for parameter in free[: len(call.positional)])}
        missing = [p.name for name, p in each.items() if p.mandatory and name not in filled]
        if not missing or call.piped or call.unseen:
            return ""
        troubles.append(f"-{missing[0]} is missing")
    return (
        troubles[0]
        if troubles
        else f"no parameter set takes {', '.join(f'-{spelling(n)}' for n in sorted(own))} together"
    )


def _everywhere(versions: Mapping[str, Iterable[ParameterSet]]) -> set[str]:
    """Return the parameters that a cmdlet has in every version."""
    each = [{name for known in sets for name in known} for sets in versions.values()]
    return set.intersection(*each)


def _near(name: str, own: Iterable[str], *, also: Iterable[str] = ()) -> str:
    known = [*own, *also]
    starting = [each for each in known if each.startswith(name)]
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if len(starting) == 1:
        return f"; write -{spelling(starting[0])} out"
    return f"; did you mean -{spelling(near[0])}?" if near else _choices(own)


def _choices(names: Iterable[str]) -> str:
    """Name what there is, as far as people read it."""
    known = sorted(spelling(name) for name in names)
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"; it takes {', '.join(f'-{name}' for name in known[:_MOST_NAMED])}{more}" if known else ""


def _check_native(call: Call) -> Iterator[Problem]:
    for node in call.positional:
        if '"' in text_of(node)[1:-1]:
            yield at(node, "5.1 does not pass quotes inside an argument on to a program")


def _check_traps(call: Call) -> Iterator[Problem]:
    if call.name == "unregister-scheduledtask":
        value = call.named.get("confirm", (call.node, None))[1]
        if value is None or text_of(value).lower() != "$false":
            yield at(call.node, "without -Confirm:$false it asks, and fails where nobody answers")
    if call.name == "convertto-json":
        if call.piped:
            yield at(call.node, "a pipeline unrolls arrays: write ConvertTo-Json -InputObject")
        if "depth" not in call.named:
            yield at(
                call.node, "say -Depth: what lies deeper than 2 turns into names of types without a word"
            )
    if call.name == "convertfrom-json" and not call.last:
        yield at(call.node, "5.1 puts a top-level array out as one object: assign it before you enumerate")
    for node in walk(call.node):
        if node.type == "generic_token" and text_of(node).lstrip("0123456789*").startswith(">"):
            yield at(node, "redirections are not in the dialect: 5.1 turns stderr of a program into an error")
