"""The engine's own syntax tree; every node knows its line."""

from dataclasses import dataclass

Value = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything with a place in the script."""

    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSpec:
    """A type as written: `int`, `string[]`, `Collections.Generic.List[object]`."""

    name: str
    arguments: tuple["TypeSpec", ...] = ()
    is_array: bool = False

    def __str__(self) -> str:
        inner = f"[{','.join(str(a) for a in self.arguments)}]" if self.arguments else ""
        return self.name + inner + ("[]" if self.is_array else "")


class Expression(Node):
    """Something with a value."""

    __slots__ = ()


class Statement(Node):
    """Something that runs."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Node):
    """Statements in a row."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal(Expression):
    """A number or a string without parts; `text` is how a bare number was written."""

    value: Value
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expandable(Expression):
    """A string with variables and subexpressions in it."""

    parts: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable(Expression):
    """`$name`, `$scope:name`."""

    scope: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLiteral(Expression):
    """`a, b`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayExpression(Expression):
    """`@( )`."""

    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class SubExpression(Expression):
    """`$( )`."""

    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Paren(Expression):
    """`( )`."""

    body: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class HashLiteral(Expression):
    """`@{ }`."""

    entries: tuple[tuple[Expression, Statement], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptBlockLiteral(Expression):
    """`{ }`."""

    body: "ScriptBody"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeLiteral(Expression):
    """`[type]` as a value."""

    spec: TypeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast(Expression):
    """`[type]value`."""

    spec: TypeSpec
    operand: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Expression):
    """`-not`, `!`, `-`, `+`, `,`, `-join`, `-split`, `-bnot`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Expression):
    """Two operands; the operator is lower case, without its dash."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Expression):
    """`target.name`, `target::name`."""

    target: Expression
    name: Expression
    static: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Index(Expression):
    """`target[index]`."""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke(Expression):
    """`target.name(arguments)`."""

    target: Expression
    name: Expression
    static: bool
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Expression):
    """`++` and `--`."""

    target: Expression
    delta: int
    prefix: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection(Node):
    """`2>$null`, `2>&1`, `> file`."""

    stream: str
    merge: bool
    target: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument(Node):
    """One element after a command's name.

    Attributes:
        parameter: name after the dash; empty for a positional one.
        value: None for a parameter without a colon and value.
        splat: `@name`.
        bare: written without quotes, as plain text.
    """

    parameter: str = ""
    value: Expression | None = None
    splat: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Node):
    """A command with its arguments. `call` is empty, `&` or `.`."""

    name: str | Expression
    call: str
    arguments: tuple[Argument, ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionElement(Node):
    """An expression as first element of a pipeline."""

    expression: Expression
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Statement):
    """Elements joined by `|`."""

    elements: tuple[ExpressionElement | Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Statement):
    """`target op= statement`."""

    target: Expression
    operator: str
    value: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Statement):
    """Conditions in order, then what runs if none holds."""

    clauses: tuple[tuple[Statement, Block], ...]
    otherwise: Block | None


@dataclass(frozen=True, slots=True, kw_only=True)
class While(Statement):
    """`while`."""

    condition: Statement
    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class DoLoop(Statement):
    """`do { } while` and `do { } until`."""

    condition: Statement
    body: Block
    until: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class For(Statement):
    """`for`."""

    start: Statement | None
    condition: Statement | None
    step: Statement | None
    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreach(Statement):
    """`foreach`."""

    variable: Variable
    items: Statement
    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Statement):
    """`switch`; a clause without a condition is the default."""

    mode: str
    case_sensitive: bool
    subject: Statement
    clauses: tuple[tuple[Expression | None, Block], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Statement):
    """`try`, `catch`, `finally`."""

    body: Block
    catches: tuple[tuple[tuple[TypeSpec, ...], Block], ...]
    finally_body: Block | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(Statement):
    """`break`, `continue`, `return`, `throw`, `exit`."""

    kind: str
    value: Statement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute(Node):
    """`[Parameter(Mandatory)]`; a type constraint is a `TypeSpec` instead."""

    name: str
    positional: tuple[Expression, ...]
    named: tuple[tuple[str, Expression | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDeclaration(Node):
    """One parameter of a function or script block."""

    name: str
    types: tuple[TypeSpec, ...]
    attributes: tuple[Attribute, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptBody(Node):
    """A script, function or script block; either `end` alone or named blocks."""

    parameters: tuple[ParameterDeclaration, ...]
    attributes: tuple[Attribute, ...]
    begin: Block | None
    process: Block | None
    end: Block | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDefinition(Statement):
    """`function` and `filter`."""

    name: str
    body: ScriptBody
