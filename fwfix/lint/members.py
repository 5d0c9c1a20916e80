"""Types and members of a script: they exist in .NET Framework 4.5, on which PowerShell 3.0 to 5.1 run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from fwfix.lint.com import COM_OBJECTS, COM_TYPES
from fwfix.lint.commands import Call, calls
from fwfix.lint.finding import Problem
from fwfix.lint.properties import check_properties
from fwfix.lint.surface import NetType, Overloads, net_types, spelling
from fwfix.lint.tree import Node, at, child, core, find, inside, text_of, variable_name

_SHORT_NAMES = {
    "string": "system.string", "int": "system.int32", "long": "system.int64", "double": "system.double",
    "bool": "system.boolean", "char": "system.char", "array": "system.array", "datetime": "system.datetime",
    "timespan": "system.timespan", "hashtable": "system.collections.hashtable", "version": "system.version",
    "ordered": "system.collections.specialized.ordereddictionary", "math": "system.math",
}  # fmt: skip
_FIXED = {
    "verbatim_string_characters": "system.string", "expandable_string_literal": "system.string",
    "verbatim_here_string_characters": "system.string",
    "hash_literal_expression": "system.collections.hashtable",
}  # fmt: skip
# Types of PowerShell itself, and those of which only casts are in the dialect.
_PLAIN = {"byte", "object", "void", "pscustomobject", "scriptblock", "switch"}
_PLAIN_STATIC = {("scriptblock", "create"): 1}
# Their properties are keys, or those of their elements.
_OPEN = {
    "system.array", "system.collections.hashtable", "system.collections.specialized.ordereddictionary",
}  # fmt: skip
_ON_EVERYTHING = {"count", "length", "psobject"}
# Their answer is rarely wanted, and lands in the output where nobody takes it.
_MUTATORS = {"add", "append", "appendline", "createdirectory", "remove"}
_CIM_ONLY = {"ciminstanceproperties", "cimclass", "cimsystemproperties"}
_NUMERIC_ORDER = {"-lt", "-le", "-gt", "-ge"}


def resolve(written: str) -> NetType | None:
    """Return the type of a name as scripts write it; None where only casts to it are known, or nothing."""
    name = written.strip("[]").strip().lower()
    full = _SHORT_NAMES.get(name, name if name.startswith("system.") else f"system.{name}")
    return None if written.strip().endswith("[]]") else net_types().get(full)


@dataclass(slots=True)
class Types:
    """What is known about the types of the variables of a script."""

    root: Node
    variables: dict[str, NetType | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Twice: what is known of one variable tells of others.
        for _ in range(2):
            self.variables = self._gather()

    def _gather(self) -> dict[str, NetType | None]:
        seen: dict[str, list[NetType | None]] = {}
        for node in find(self.root, "assignment_expression"):
            left, operator, value = node.children[0], text_of(node.children[1]), node.children[-1]
            found = self.of(value) if operator == "=" else None
            cast = next(find(left, "type_literal"), None)
            variable = next(find(left, "variable"), None)
            # A member or an element of a variable is not the variable.
            if variable is not None and core(left).type == "variable":
                seen.setdefault(variable_name(text_of(variable)), []).append(found)
            elif cast is not None and variable is not None:
                seen.setdefault(variable_name(text_of(variable)), []).append(resolve(text_of(cast)))
        for node in find(self.root, "script_parameter"):
            kind = next(find(node, "attribute"), None)
            name = variable_name(text_of(next(find(node, "variable"))))
            seen.setdefault(name, []).append(resolve(text_of(kind)) if kind else None)
        for node in find(self.root, "foreach_statement"):
            seen.setdefault(variable_name(text_of(next(find(node, "variable")))), []).append(None)
        return {name: found[0] for name, found in seen.items() if all(each == found[0] for each in found)}

    def of(self, node: Node) -> NetType | None:
        """Return the type of an expression, where the script alone tells it."""
        node = core(node)
        if node.type in _FIXED:
            return net_types()[_FIXED[node.type]]
        match node.type:
            case "parenthesized_expression":
                found = inside(node)
                return self.of(found) if found is not None else None
            case "cast_expression":
                return resolve(text_of(node.children[0]))
            case "variable":
                return self.variables.get(variable_name(text_of(node)))
            case "additive_expression":
                return self._sum(node)
            case "comparison_expression":
                joins = any(text_of(each).lower() == "-join" for each in node.children)
                return net_types()["system.string"] if joins else None
            case "member_access" | "invokation_expression":
                return self._of_member(node)
            case "command":
                return self._of_new_object(node)
        return None

    def _sum(self, node: Node) -> NetType | None:
        left = self.of(node.children[0])
        return left if left is not None and left.name == "System.String" else None

    def _of_member(self, node: Node) -> NetType | None:
        target, name, static = parts(node)
        known = resolve(text_of(target)) if static else self.of(target)
        if known is None:
            return None
        if not is_method(node):
            where = known.static_properties if static else known.properties
            return net_types().get(f"system.{where.get(name.lower(), '')}".lower())
        overloads = (known.static_methods if static else known.methods).get(name.lower(), ())
        returned = {each.returns for each in fitting(overloads, len(arguments(node)))}
        if len(returned) != 1:
            return None
        name = returned.pop().lower()
        return net_types().get(f"system.{name}") or COM_TYPES.get(name)

    def _of_new_object(self, node: Node) -> NetType | None:
        if not text_of(node).lower().startswith("new-object"):
            return None
        made = next((call for call in calls(node) if call.node == node), None)
        if made is not None and "comobject" in made.named:
            return COM_OBJECTS.get(_com_name(made))
        return resolve(text_of(made.positional[0]).strip("'\"")) if made and made.positional else None


def _com_name(made: Call) -> str:
    value = made.named["comobject"][1]
    return text_of(value).strip("'\"").lower() if value is not None else ""


def parts(node: Node) -> tuple[Node, str, bool]:
    """Return the target of a member, its name, and whether it is static."""
    name = child(node, "member_name")
    static = any(each.type == "::" for each in node.children)
    return node.children[0], text_of(name) if name is not None else "", static


def argument_list(node: Node) -> Node | None:
    """Return what makes a method of a member; as an argument of a command it stands beside it."""
    while (found := child(node, "argument_list")) is None and node.parent is not None:
        follows = node.next_sibling
        if follows is not None or node.parent.type == "command_elements":
            return follows if follows is not None and follows.type == "argument_list" else None
        if node.parent.child_count != 1:
            return None
        node = node.parent
    return found


def is_method(node: Node) -> bool:
    """Tell a method from a property."""
    return node.type == "invokation_expression" or argument_list(node) is not None


def arguments(node: Node) -> list[Node]:
    """Return the arguments of a method."""
    listed = argument_list(node)
    inner = child(listed, "argument_expression_list") if listed is not None else None
    return [each for each in inner.children if each.is_named] if inner is not None else []


def fitting(overloads: Overloads, count: int) -> Overloads:
    """Return the overloads that take so many arguments."""
    return tuple(each for each in overloads if each.least <= count <= each.most)


def check_members(root: Node, types: Types) -> Iterator[Problem]:
    """Yield types and members that are not there."""
    yield from _check_types(root)
    for node in find(root, "member_access", "invokation_expression"):
        target, name, static = parts(node)
        if not name or name.startswith(("$", "(", "'", '"')):
            if static or is_method(node):
                yield at(node, "a computed method is not in the dialect")
        elif static:
            yield from _check_static(node, target, name)
        else:
            yield from _check_instance(node, types.of(target), name)
            yield from _check_split(node, name)
    yield from check_properties(root, lambda node: _is_of_unknown(node, types))
    for node in find(root, "pipeline"):
        yield from _check_captured(node, types)
    yield from _check_order(root, types)


def _check_types(root: Node) -> Iterator[Problem]:
    for node in find(root, "type_literal", "attribute"):
        if not _is_type(text_of(node).strip("[]").strip()):
            yield at(node, _unknown_type(text_of(node)))
    for call in calls(root):
        if "comobject" in call.named and _com_name(call) not in COM_OBJECTS:
            names = ", ".join(each.name for each in COM_OBJECTS.values())
            yield at(call.node, f"the COM object {_com_name(call)} is not in the dialect, which has {names}")
        named = call.named.get("typename", (call.node, None))[1]
        first = named if named is not None else next(iter(call.positional), None)
        if call.name == "new-object" and first is not None:
            written = text_of(first).strip("'\"")
            if not _is_type(written):
                yield at(call.node, _unknown_type(f"[{written}]"))


def _is_type(name: str) -> bool:
    return name.lower() in _PLAIN or resolve(name) is not None


def _unknown_type(written: str) -> str:
    names = {known.short.lower(): known.short for known in net_types().values()}
    near = get_close_matches(written.strip("[]").lower().removeprefix("system."), names, n=1, cutoff=0.8)
    hint = f"; did you mean [{names[near[0]]}]?" if near else ""
    return f"{written} is not a type of the dialect{hint}"


def _check_static(node: Node, target: Node, name: str) -> Iterator[Problem]:
    written = text_of(target)
    known = resolve(written)
    if target.type != "type_literal":
        yield at(node, "a static member of a computed type is not in the dialect")
    elif known is None:
        plain = written.strip("[]").lower()
        count = _PLAIN_STATIC.get((plain, name.lower()))
        if plain in _PLAIN and count is None:
            near = ", ".join(f"::{member}" for kind, member in _PLAIN_STATIC if kind == plain)
            yield at(
                node, f"{written}::{name} is not in the dialect" + (f", which has {near}" if near else "")
            )
        elif count is not None and len(arguments(node)) != count:
            yield at(node, f"{written}::{name} takes {count} arguments, not {len(arguments(node))}")
    elif not is_method(node):
        if name.lower() not in known.static_properties:
            yield at(node, _absent(known, f"::{name}", name, known.static_properties))
    else:
        yield from _check_call(node, known, name, static=True)


def _check_call(node: Node, known: NetType, name: str, *, static: bool) -> Iterator[Problem]:
    methods = known.static_methods if static else known.methods
    shown = f"{'::' if static else '.'}{name}"
    overloads = methods.get(name.lower())
    count = len(arguments(node))
    if overloads is None:
        yield at(node, _absent(known, shown, name, methods))
    elif not fitting(overloads, count):
        words = ", ".join(sorted({str(each.least) for each in overloads}))
        where = "" if known.name.lower() in COM_TYPES else " in .NET Framework 4.5"
        yield at(node, f"[{known.short}]{shown} takes {words} arguments{where}, not {count}")


def _absent(known: NetType, shown: str, name: str, names: Mapping[str, object]) -> str:
    near = get_close_matches(name.lower(), list(names), n=1, cutoff=0.7)
    hint = f"; did you mean {spelling(near[0])}?" if near else ""
    where = "" if known.name.lower() in COM_TYPES else " in .NET Framework 4.5"
    return f"[{known.short}]{shown} does not exist{where}{hint}"


def _check_instance(node: Node, known: NetType | None, name: str) -> Iterator[Problem]:
    key = name.lower()
    if not is_method(node):
        if key in _CIM_ONLY:
            yield at(node, f"{name} is not in the dialect: read the property and cast it to [string]")
        closed = known is not None and known.name.lower() not in _OPEN
        if known is not None and closed and key not in known.properties and key not in _ON_EVERYTHING:
            yield at(node, _absent(known, f".{name}", name, known.properties))
    elif known is not None and known.name != "System.Array":
        yield from _check_call(node, known, name, static=False)
    else:
        every = {method: each for kind in net_types().values() for method, each in kind.methods.items()}
        some = [kind.methods[key] for kind in net_types().values() if key in kind.methods]
        if not some:
            near = get_close_matches(key, list(every), n=1, cutoff=0.7)
            hint = f"; did you mean {spelling(near[0])}?" if near else ""
            yield at(node, f"no type of the dialect has a method {name} in .NET Framework 4.5{hint}")
        elif not any(fitting(overloads, len(arguments(node))) for overloads in some):
            yield at(node, f"{name} takes no {len(arguments(node))} arguments in .NET Framework 4.5")


def _is_of_unknown(node: Node, types: Types) -> bool:
    """Tell whether a node is a property of something whose type is not known, or is open."""
    target, _, static = parts(node)
    if static or is_method(node):
        return False
    known = types.of(target)
    return known is None or known.name.lower() in _OPEN


def _check_split(node: Node, name: str) -> Iterator[Problem]:
    given = [core(each) for each in arguments(node)]
    if name.lower() == "split" and any(
        each.type.endswith("string_literal") or each.type == "verbatim_string_characters"
        for each in given[:1]
    ):
        text = text_of(given[0])[1:-1]
        if len(text.replace("`", "")) > 1:
            yield at(node, "Split splits at every one of these characters in .NET Framework: use -split")


def _check_order(root: Node, types: Types) -> Iterator[Problem]:
    for node in find(root, "comparison_expression"):
        if node.child_count < 3 or text_of(node.children[1]).lower() not in _NUMERIC_ORDER:  # noqa: PLR2004
            continue
        left = types.of(node.children[0])
        if left is not None and left.name == "System.String":
            yield at(node, f"{text_of(node.children[1])} compares as texts here: cast the left side to [int]")


def _check_captured(pipeline: Node, types: Types) -> Iterator[Problem]:
    call = core(pipeline)
    if (
        call.type != "invokation_expression"
        or pipeline.parent is None
        or pipeline.parent.type != "statement_list"
    ):
        return
    target, name, static = parts(call)
    known = resolve(text_of(target)) if static else types.of(target)
    methods = {} if known is None else known.static_methods if static else known.methods
    silent = all(each.returns == "Void" for each in methods.get(name.lower(), ())) and known is not None
    if name.lower() in _MUTATORS and not silent:
        yield at(pipeline, f"what {name} answers becomes output: write [void] or $null = in front")
