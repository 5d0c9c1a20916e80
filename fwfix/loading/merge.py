"""Merge what several places say about a host: host, then groups in the order listed, then defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fwfix.errors import InventoryError
from fwfix.loading.documents import CommonEntry
from fwfix.loading.fields import Place
from fwfix.loading.files import LoadedFile
from fwfix.loading.yaml_tree import Table

Placed = tuple[Any, Place]

_MAPPINGS = ("ssh", "winrm", "labels")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says, each value with where it stands."""

    values: Mapping[str, Placed] = field(default_factory=dict)
    mappings: Mapping[str, Mapping[str, Placed]] = field(default_factory=dict)

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - each key has its own type
        """Return a value without its place."""
        return self.values[key][0] if key in self.values else default

    def plain(self, key: str) -> dict[str, Any]:
        """Return a mapping without its places."""
        return {name: value for name, (value, _) in self.mappings.get(key, {}).items()}


def layer_of(file: LoadedFile, entry: CommonEntry, node: Table | None) -> Layer:
    """Make a layer of one entry; `node` is the part of the tree that it was read from."""
    values: dict[str, Placed] = {}
    mappings: dict[str, dict[str, Placed]] = {}
    for key in entry.model_fields_set:
        assert node is not None
        if key not in _MAPPINGS:
            values[key] = (getattr(entry, key), Place(file.path, node.lines[key]))
            continue
        inner = getattr(entry, key)
        lines = node[key].lines if isinstance(node[key], Table) else {}
        items = inner if isinstance(inner, dict) else {k: getattr(inner, k) for k in inner.model_fields_set}
        mappings[key] = {name: (value, Place(file.path, lines[name])) for name, value in items.items()}
    return Layer(values, mappings)


def overlay(low: Layer, high: Layer) -> Layer:
    """Let one layer win over another; mappings merge key by key, everything else replaces."""
    mappings = {
        key: {**low.mappings.get(key, {}), **high.mappings.get(key, {})}
        for key in {**low.mappings, **high.mappings}
    }
    return Layer({**low.values, **high.values}, mappings)


def join(first: Layer, second: Layer, what: str) -> Layer:
    """Join what two files say about the same group or the defaults.

    Raises:
        InventoryError: both say something about the same key; names both places.
    """
    _refuse_both(first.values, second.values, what)
    for key in first.mappings:
        _refuse_both(first.mappings[key], second.mappings.get(key, {}), f"{what}.{key}")
    return overlay(first, second)


def _refuse_both(first: Mapping[str, Placed], second: Mapping[str, Placed], what: str) -> None:
    for key, (_, place) in second.items():
        if key in first:
            raise InventoryError(
                f"{what}.{key} is defined twice: here and in {first[key][1]}",
                path=place.path,
                line=place.line,
            )
