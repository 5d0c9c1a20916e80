"""The part of PowerShell that templates are written in; 3.0 to 7 read it alike."""

from collections.abc import Iterator

from fwfix.lint.finding import Problem
from fwfix.lint.tree import Node, at, core, find, inside, parents, text_of, walk

_KNOWN = """
    additive_argument_expression additive_expression argument_expression argument_expression_list
    argument_list array_expression array_literal_expression array_type_name assignement_operator
    assignment_expression attribute attribute_list bitwise_argument_expression bitwise_expression
    cast_expression catch_clause catch_clauses command command_argument_sep command_elements
    command_invokation_operator command_name command_name_expr command_parameter comment
    comparison_argument_expression comparison_expression comparison_operator decimal_integer_literal
    element_access else_clause elseif_clause elseif_clauses empty_statement
    expandable_string_literal expression_with_unary_operator finally_clause flow_control_statement
    foreach_statement format_argument_expression format_expression format_operator function_name
    function_statement generic_token hash_entry hash_literal_body hash_literal_expression
    hexadecimal_integer_literal if_statement integer_literal invokation_expression key_expression
    left_assignment_expression logical_argument_expression logical_expression member_access
    member_name multiplicative_argument_expression multiplicative_expression param_block
    parameter_list parenthesized_expression path_command_name path_command_name_token pipeline
    pipeline_chain post_decrement_expression post_increment_expression pre_decrement_expression
    pre_increment_expression program range_argument_expression range_expression real_literal
    script_block script_block_body script_block_expression script_parameter simple_name
    statement_block statement_list string_literal sub_expression try_statement type_identifier
    type_literal type_name type_spec unary_expression variable verbatim_here_string_characters
    verbatim_string_characters while_condition while_statement
"""
_NODES = frozenset(_KNOWN.split())
_OPERATORS = frozenset(
    f"-{prefix}{word}"
    for prefix in ("", "c", "i")
    for word in (
        "eq", "ne", "lt", "le", "gt", "ge", "like", "notlike", "match", "notmatch", "contains", "notcontains",
        "in", "notin", "replace", "split", "join",
    )
)  # fmt: skip
_OTHER_OPERATORS = frozenset({"-and", "-or", "-not", "-f"})
_WORDS = {"command_invokation_operator": {"&"}, "assignement_operator": {"=", "+=", "-="}}
_NAMES = {
    "pipeline_chain_tail": "&& and || are new in PowerShell 7",
    "redirection": "redirections are not in the dialect: 5.1 turns stderr of a program into an error",
    "redirections": "redirections are not in the dialect: 5.1 turns stderr of a program into an error",
    "attribute_name": "attributes of parameters are not in the dialect",
    "named_block_list": "begin, process and end are not in the dialect",
}
_NEW_IN_7 = ("??", "?.", "?[", "&&", "||", " ? ")
_STATEMENTS = {"if_statement", "foreach_statement", "while_statement", "try_statement"}
_SINGLE, _DOUBLE = "'\u2018\u2019\u201a\u201b", '"\u201c\u201d\u201e'
_TYPOGRAPHIC = frozenset((_SINGLE + _DOUBLE + "\u2013\u2014\u2015").replace("'", "").replace('"', ""))
_STRINGS = {
    "verbatim_string_characters", "verbatim_here_string_characters", "expandable_string_literal",
    "expandable_here_string_literal",
}  # fmt: skip


def check_syntax(root: Node) -> Iterator[Problem]:
    """Yield what is no PowerShell, or is new in 7."""
    for node in walk(root):
        if node.is_missing:
            yield at(node, f"{node.type} is missing here")
        elif node.type == "ERROR" and not any(each.type == "ERROR" for each in parents(node)):
            yield at(node, _explain(node))


def _explain(node: Node) -> str:
    written = text_of(node).strip().split("\n")[0][:60]
    if written.lower().startswith("param"):
        return "what follows param( ) cannot be parsed here: write it on a line of its own"
    around = text_of(node.parent) if node.parent is not None else written
    line = around.split("\n")[max(0, node.start_point[0] - (node.parent or node).start_point[0])]
    new = next((word for word in _NEW_IN_7 if word in line), "")
    return f"{new.strip()} is new in PowerShell 7" if new else f"this cannot be parsed: {written}"


def check_dialect(root: Node) -> Iterator[Problem]:
    """Yield constructs, operators and characters outside the dialect."""
    yield from _constructs(root)
    for node in walk(root):
        if node.type == "comparison_operator" and text_of(node).lower() not in _OPERATORS:
            yield at(node, f"{text_of(node)} is not in the dialect")
        elif not node.is_named and node.type.startswith("-") and node.type[1:].isalpha():
            if node.type not in _OPERATORS | _OTHER_OPERATORS and not _in_comparison(node):
                yield at(node, f"{node.type} is not in the dialect")
        elif node.type in _WORDS and text_of(node) not in _WORDS[node.type]:
            yield at(node, f"{text_of(node)} is not in the dialect")
        yield from _quotes(node)
    yield from _traps(root)


def _in_comparison(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "comparison_operator"


def _constructs(node: Node) -> Iterator[Problem]:
    """Yield the outermost nodes that the dialect does not have."""
    if node.is_named and node.type not in _NODES and node.type != "ERROR":
        word = node.type.removesuffix("_statement").removesuffix("_literal").replace("_", " ")
        yield at(node, _NAMES.get(node.type, f"`{word}` is not in the dialect"))
        return
    for each in node.children:
        yield from _constructs(each)


def _quotes(node: Node) -> Iterator[Problem]:
    if node.type == "verbatim_string_characters":
        # PowerShell takes any of them for the end of the string, and two for one.
        inner = text_of(node)[1:-1]
        position = 0
        while position < len(inner):
            if inner[position] in _SINGLE and inner[position + 1 : position + 2] not in tuple(_SINGLE):
                yield at(
                    node,
                    f"{inner[position]} ends this string for PowerShell: double it, or use the filter ps",
                )
                return
            position += 2 if inner[position] in _SINGLE else 1
    elif node.type == "verbatim_here_string_characters":
        for line in text_of(node).split("\n")[1:-1]:
            if line[:1] in tuple(_SINGLE) and line[1:2] == "@":
                yield at(node, f"the line {line[:20]} ends this here-string for PowerShell")
    elif node.type == "expandable_string_literal" and any(
        each in text_of(node)[1:-1] for each in _DOUBLE[1:]
    ):
        yield at(node, "a typographic quote ends this string for PowerShell")
    elif _is_code(node) and _TYPOGRAPHIC & set(text_of(node)):
        yield at(node, "PowerShell takes typographic quotes and dashes for plain ones: write plain ones")


def _is_code(node: Node) -> bool:
    if node.child_count or node.type == "comment":
        return False
    return not any(each.type in _STRINGS for each in (node, *parents(node)))


def _traps(root: Node) -> Iterator[Problem]:
    for node in find(root, "assignment_expression"):
        if node.children[-1].type in _STATEMENTS:
            yield at(node, "one element comes out of a statement without its array: wrap it in @( )")
    for node in find(root, "flow_control_statement"):
        if text_of(node).lower().startswith("return") and core(node.children[-1]).type == "array_expression":
            yield at(node, "return unrolls an array of one: put out the elements, and wrap the call in @( )")
    for node in find(root, "hash_entry"):
        value = core(node.children[-1] if node.children[-1].is_named else node.children[-2])
        if value.type == "parenthesized_expression" and any(True for _ in _in_row(value)):
            yield at(node, "one element comes out of ( ) without its array: write @( )")
    for node in find(root, "variable"):
        yield from _automatic(node)


def _in_row(value: Node) -> Iterator[Node]:
    inner = inside(value)
    if inner is not None and inner.type == "pipeline_chain":
        for command in (each for each in inner.children if each.type == "command"):
            if text_of(command).lower().startswith(("foreach-object", "where-object")):
                yield command


def _automatic(node: Node) -> Iterator[Problem]:
    name = text_of(node).lower()
    if name in {"$args", "$psboundparameters"}:
        owner = next(
            (n for n in parents(node) if n.type in {"script_block_expression", "function_statement"}), None
        )
        if owner is not None and owner.type == "script_block_expression":
            yield at(node, f"{name} of a script block is its own, not that of the function around it")
    if name == "$matches":
        conditions = [core(each.children[2]) for each in parents(node) if each.type == "if_statement"]
        if not any("match" in text_of(each).lower() for each in conditions):
            yield at(
                node, "after a -match that failed $Matches is that of an earlier one: use it inside the if"
            )
