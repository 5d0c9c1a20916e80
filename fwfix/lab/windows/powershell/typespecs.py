"""Types as written in a script."""

import re

from fwfix.lab.windows.powershell.nodes import TypeSpec
from fwfix.lab.windows.powershell.signals import NotInDialect

_TYPE = re.compile(
    r"\s*(?P<name>[\w.+`]+)\s*(?:\[(?P<inner>[^\[\]]*(?:\[\])?[^\[\]]*)\])?(?P<array>\[\])?\s*"
)


def parse_type(text: str, line: int) -> TypeSpec:
    """Return a type from its text, without the outer brackets."""
    match = _TYPE.fullmatch(text)
    if not match:
        raise NotInDialect("this type", line=line, text=text)
    inner = match["inner"]
    if inner is None:
        return TypeSpec(name=match["name"], is_array=bool(match["array"]))
    if not inner.strip():
        if match["array"]:
            raise NotInDialect("an array of arrays", line=line, text=text)
        return TypeSpec(name=match["name"], is_array=True)
    if inner.strip().startswith(","):
        raise NotInDialect("an array of several dimensions", line=line, text=text)
    arguments = tuple(parse_type(part, line) for part in inner.split(","))
    return TypeSpec(name=match["name"], arguments=arguments, is_array=bool(match["array"]))
