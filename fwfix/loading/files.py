"""Find the inventory files and read each of them into its sections."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fwfix.errors import InventoryError
from fwfix.loading.documents import (
    ApprovalsEntry,
    CommonEntry,
    Document,
    HostEntry,
    PolicyEntry,
    Section,
    SshEntry,
    WindowEntry,
    WinrmEntry,
)
from fwfix.loading.fields import FileContext, Place
from fwfix.loading.yaml_tree import SECRET_KEYS, Row, Table, read_yaml
from fwfix.model.names import show

_SUFFIXES = frozenset({".yaml", ".yml"})
_SECTIONS: dict[str, type[Section]] = {
    "hosts": HostEntry,
    "groups": CommonEntry,
    "policies": PolicyEntry,
    "maintenance_windows": WindowEntry,
}
_LEAVES: dict[str, type[Section]] = {
    "ssh": SshEntry,
    "winrm": WinrmEntry,
    "defaults": CommonEntry,
    "approvals": ApprovalsEntry,
}


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """One file: its sections, and the tree that knows their lines."""

    path: Path
    tree: Table
    document: Document
    context: FileContext

    def place(self, *keys: str | int) -> Place:
        """Return where a key stands, or the last of its parents that has a line."""
        return Place(self.path, _line_of(self.tree, keys))


def find_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files of an inventory, each once: a folder stands for the YAML files right in it, by name.

    Raises:
        InventoryError: a path leads nowhere, or a folder holds no YAML file.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _files_of(path):
            found.setdefault(file.resolve(), file)
    return tuple(found.values())


def _files_of(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            files = sorted(
                entry
                for entry in path.iterdir()
                if entry.suffix in _SUFFIXES and not entry.name.startswith(".") and entry.is_file()
            )
            if not files:
                raise InventoryError("no *.yaml or *.yml file in this folder", path=path)
            return files
        if not path.exists():
            raise InventoryError("no such file or folder", path=path, next="Give -i the inventory's path.")
    except (OSError, ValueError) as exc:
        raise InventoryError(f"cannot be read: {getattr(exc, 'strerror', None) or exc}", path=path) from None
    return [path]


def read_file(path: Path) -> LoadedFile:
    """Read one inventory file.

    Raises:
        InventoryError: the first thing wrong with it, by line, and how many more there are.
    """
    tree = read_yaml(path)
    context = FileContext(path=path, folder=path.resolve().parent)
    try:
        document = Document.model_validate(tree, context=context)
    except ValidationError as exc:
        problems = sorted(_problem(tree, dict(error)) for error in exc.errors(include_url=False))
    else:
        return LoadedFile(path=path, tree=tree, document=document, context=context)
    line, message = problems[0]
    more = f"And {len(problems) - 1} more in this file." if len(problems) > 1 else ""
    raise InventoryError(message, path=path, line=line, next=more)


def _problem(tree: Table, error: dict[str, Any]) -> tuple[int, str]:
    keys = tuple(key for key in error["loc"] if key != "[key]")
    secret = any(key in SECRET_KEYS for key in keys)
    if error["type"] == "extra_forbidden":
        *parents, unknown = keys
        return _line_of(tree, keys), f"{_dotted(tuple(parents))}{_unknown_key(tuple(parents), str(unknown))}"
    if error["type"] == "missing":
        return _line_of(tree, keys[:-1]), f"{_dotted(keys[:-1])}the key {keys[-1]!r} is missing"
    return _line_of(tree, keys), f"{_dotted(keys)}{_reason(error, secret=secret)}"


def _reason(error: dict[str, Any], *, secret: bool) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    value = error.get("input")
    if value is None or error["type"] == "too_short":
        return "is empty"
    if error["type"] in {"dict_type", "model_type", "model_attributes_type"}:
        return "takes a mapping of keys, one per line, as in `key: value`"
    if error["type"] == "list_type" and isinstance(value, str):
        return f"takes a list: write [{value}]" if not secret and len(value) <= 60 else "takes a list"  # noqa: PLR2004
    if error["type"] == "list_type":
        return "takes a list, as in [a, b]"
    return str(error["msg"])


def _unknown_key(parents: tuple[str | int, ...], unknown: str) -> str:
    names = list(_model_at(parents).model_fields)
    nearest = get_close_matches(unknown.lower().replace("-", "_"), names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown key {show(unknown)}; {hint}Valid keys: {', '.join(names)}"


def _model_at(keys: tuple[str | int, ...]) -> type[Section]:
    if not keys:
        return Document
    if len(keys) == 2 and keys[0] in _SECTIONS:  # noqa: PLR2004 - a section and a name in it
        return _SECTIONS[str(keys[0])]
    return _LEAVES.get(str(keys[-1]), Document)


def _dotted(keys: tuple[str | int, ...]) -> str:
    text = ""
    for key in keys:
        piece = key if isinstance(key, str) and key.isprintable() and len(key) <= 64 else "?"  # noqa: PLR2004
        text += f"[{key + 1}]" if isinstance(key, int) else f".{piece}" if text else piece
    return f"{text}: " if text else ""


def _line_of(tree: Table, keys: Sequence[str | int]) -> int:
    node: Any = tree
    line = tree.line
    for key in keys:
        if isinstance(node, Table) and key in node:
            line = node.lines[str(key)]
            node = node[str(key)]
        elif isinstance(node, Row) and isinstance(key, int) and key < len(node):
            line = node.lines[key]
            node = node[key]
        else:
            break
    return line
