"""Read one YAML file into plain values that remember their lines.

Every scalar stays the text that was written (or None where nothing was): `no`, `022`, `22:00` and
`2026-01-01` never turn into something else on the way, and each key decides itself how to read its text.
Built from parser events and not from `yaml.compose`, so that nesting, aliases and size are limited before
they cost anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fwfix.errors import InventoryError
from fwfix.model.names import show

SECRET_KEYS = frozenset({"password", "passphrase", "become_password"})

_LARGEST_FILE = 64 * 1024 * 1024
_DEEPEST = 20
_MOST_ALIASED = 1_000_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# libyaml's messages quote what they found, which may be a piece of a password.
_QUOTED = re.compile(r"\s*(?:'[^']*'|\"[^\"]*\")")


class Text(str):
    """A scalar and the line where it stands."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def at(cls, line: int, value: str) -> "Text":
        """Make one."""
        text = cls(value)
        text.line = line
        return text


class Row(list[Any]):
    """A list, its line and the line of every item."""

    __slots__ = ("line", "lines", "weight")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []
        self.weight = 1


class Table(dict[str, Any]):
    """A mapping, its line and the line of every key."""

    __slots__ = ("line", "lines", "weight")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        self.weight = 1


Node = Table | Row | Text | None


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Table | Row
    secret: bool
    key: Text | None = None
    merges: list[Table] = field(default_factory=list)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def read_yaml(path: Path) -> Table:
    """Read a file that holds one mapping; an empty file is an empty mapping.

    Raises:
        InventoryError: it cannot be read, or is not such a file; names the line, never a secret.
    """
    text = _read_text(path)
    return _Builder(path).build(_events(path, text))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise InventoryError(f"larger than {_LARGEST_FILE // 1024 // 1024} MiB; split it", path=path)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise InventoryError("this is not UTF-8 text; save the file as UTF-8", path=path, line=line) from None
    except OSError as exc:
        raise InventoryError(f"cannot be read: {exc.strerror or exc}", path=path) from None


def _events(path: Path, text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        problem = _QUOTED.sub("", exc.problem or exc.context or "the text cannot be read")
        line = mark.line + 1 if mark is not None else None
        raise InventoryError(
            f"not valid YAML: {problem}", path=path, line=line, next="Check indentation, colons and quotes."
        ) from None
    except yaml.YAMLError as exc:
        position = getattr(exc, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        raise InventoryError("holds a character that YAML does not allow", path=path, line=line) from None


class _Builder:
    """Turns parser events into one tree."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._aliased = 0
        self._root: Node = None
        self._documents = 0

    def build(self, events: Iterator[yaml.Event]) -> Table:
        for event in events:
            self._take(event)
        if self._root is None:
            return Table(1)
        if not isinstance(self._root, Table):
            raise InventoryError(
                "not an inventory: expected `hosts:` and other keys at the top", path=self._path, line=1
            )
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open(event, Table(_line(event)))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open(event, Row(_line(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._error(event, "a second document (`---`): put it into a file of its own")

    def _error(self, event: yaml.Event, message: str) -> InventoryError:
        return InventoryError(message, path=self._path, line=_line(event))

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None and event.tag != "!":
            raise self._error(event, "a tag (`!...`) means nothing here; quote a text that starts with `!`")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_tag(event)
        line = _line(event)
        empty = event.style in {None, ""} and event.value in _NULLS
        value = None if empty else Text.at(line, event.value)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        self._put(event, value)

    def _open(self, event: yaml.CollectionStartEvent, node: Table | Row) -> None:
        self._refuse_tag(event)
        if len(self._stack) >= _DEEPEST:
            raise self._error(event, f"nested deeper than {_DEEPEST} levels")
        above = self._stack[-1] if self._stack else None
        if above is not None and isinstance(above.node, Table) and above.key is None:
            raise self._error(event, "a key must be a plain text")
        secret = above is not None and (above.secret or above.key in SECRET_KEYS)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._stack.append(_Open(node, secret))

    def _close(self, event: yaml.Event) -> None:
        done = self._stack.pop()
        if isinstance(done.node, Table):
            for base in done.merges:
                for key, value in base.items():
                    if key not in done.node:
                        done.node[key] = value
                        done.node.lines[key] = base.lines[key]
        self._put(event, done.node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise self._error(event, "an alias (`*...`) of nothing; quote the text if it starts with `*`")
        node = self._anchors[event.anchor]
        if any(frame.node is node for frame in self._stack):
            raise self._error(event, "an alias (`*...`) of something that holds it")
        self._aliased += getattr(node, "weight", 1)
        if self._aliased > _MOST_ALIASED:
            raise self._error(event, f"aliases here stand for more than {_MOST_ALIASED} values")
        self._put(event, node)

    def _put(self, event: yaml.Event, value: Node) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.node, Row):
            frame.node.append(value)
            frame.node.lines.append(_line(event))
        elif frame.key is None:
            frame.key = self._key(event, frame, value)
            return
        elif frame.key == "<<":
            self._merge(event, frame, value)
        else:
            frame.node[frame.key] = value
        frame.key = None
        frame.node.weight += getattr(value, "weight", 1)

    def _key(self, event: yaml.Event, frame: _Open, value: Node) -> Text:
        if not isinstance(value, Text):
            raise self._error(event, "a key must be a plain text")
        assert isinstance(frame.node, Table)
        if value != "<<":
            if value in frame.node.lines:
                name = "a key" if frame.secret else show(value)
                first = f"{self._path}:{frame.node.lines[value]}"
                raise self._error(event, f"{name} is defined twice: here and in {first}")
            frame.node.lines[value] = value.line
        return value

    def _merge(self, event: yaml.Event, frame: _Open, value: Node) -> None:
        bases = list(value) if isinstance(value, Row) else [value]
        for base in bases:
            if not isinstance(base, Table):
                raise self._error(event, "`<<` takes a mapping or a list of mappings")
            frame.merges.append(base)
