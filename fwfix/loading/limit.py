"""Select hosts: `host`, `group`, `glob*`, `label:key=value`, `@file`, `!pattern`, `&pattern`, by commas.

As in Ansible the order of the patterns does not matter: the plain ones add up, `&` keeps only what it names
as well, `!` takes away; with no plain one, all hosts are where it starts. Unlike Ansible a pattern that
matches nothing is an error, since a mistyped `!web1` would touch the very host that was to be spared.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from fwfix.errors import InventoryError, UsageError
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.names import show

_ALL = frozenset({"all", "*"})
_GLOB = frozenset("*?[")
_LABEL = "label:"
_LARGEST_FILE = 16 * 1024 * 1024


def select_hosts(inventory: Inventory, limit: str | None) -> tuple[Host, ...]:
    """Return the hosts that a limit names, in the order of the inventory; all of them without a limit.

    Raises:
        UsageError: a pattern is not one, or matches nothing, or nothing is left.
        InventoryError: the same of a line in an `@file`, or the file cannot be read.
    """
    if limit is None:
        return tuple(inventory.hosts.values())
    names = _Selector(inventory).select(_split(limit))
    if not names:
        raise UsageError(f"the limit {show(limit)} leaves no host", next="See `fwfix inventory list`.")
    return tuple(host for name, host in inventory.hosts.items() if name in names)


def _split(limit: str) -> list[str]:
    patterns = [pattern.strip() for pattern in limit.split(",")]
    given = [pattern for pattern in patterns if pattern]
    if not given:
        raise UsageError("the limit is empty", next="Leave --limit out to select every host.")
    return given


class _Selector:
    """Matches patterns against one inventory."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def select(self, patterns: Iterable[str], *, in_file: bool = False) -> frozenset[str]:
        given = tuple(patterns)
        plain = [pattern for pattern in given if pattern[0] not in "!&"]
        chosen: set[str] = set() if plain else set(self._inventory.hosts)
        for pattern in plain:
            chosen.update(self._match(pattern, in_file=in_file))
        for pattern in given:
            if pattern.startswith("&"):
                chosen &= self._match(pattern[1:].strip(), in_file=in_file)
        for pattern in given:
            if pattern.startswith("!"):
                chosen -= self._match(pattern[1:].strip(), in_file=in_file, may_be_empty=True)
        return frozenset(chosen)

    def _match(self, pattern: str, *, in_file: bool, may_be_empty: bool = False) -> frozenset[str]:
        """Return the hosts of one pattern; only a glob may be empty, and only where it takes hosts away."""
        if pattern in _ALL:
            return frozenset(self._inventory.hosts)
        if pattern.startswith("@"):
            if in_file:
                raise UsageError(f"{show(pattern)}: a file of patterns names no further file")
            return self._match_file(Path(pattern[1:]).expanduser())
        if pattern.startswith(_LABEL):
            return self._match_label(pattern)
        if _GLOB & set(pattern):
            found = self._match_glob(pattern)
            if not found and not may_be_empty:
                raise UsageError(f"the limit {show(pattern)} matches no host and no group")
            return found
        return self._match_name(pattern)

    def _match_name(self, pattern: str) -> frozenset[str]:
        if pattern in self._inventory.hosts:
            return frozenset({pattern})
        if pattern not in self._inventory.groups:
            names = [*self._inventory.hosts, *self._inventory.groups]
            nearest = get_close_matches(pattern, names, n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else "See `fwfix inventory list`."
            raise UsageError(f"the limit {show(pattern)} matches no host and no group", next=hint)
        members = self._inventory.groups[pattern]
        if not members:
            raise UsageError(f"the limit {show(pattern)} matches no host: this group is empty")
        return frozenset(members)

    def _match_glob(self, pattern: str) -> frozenset[str]:
        found = {name for name in self._inventory.hosts if fnmatchcase(name, pattern)}
        for group, members in self._inventory.groups.items():
            if fnmatchcase(group, pattern):
                found.update(members)
        return frozenset(found)

    def _match_label(self, pattern: str) -> frozenset[str]:
        key, equals, value = pattern.removeprefix(_LABEL).partition("=")
        if not equals or not key or not value:
            raise UsageError(f"the limit {show(pattern)} is not a label: write label:site=berlin")
        hosts = self._inventory.hosts.values()
        found = frozenset(h.name for h in hosts if key in h.labels and fnmatchcase(h.labels[key], value))
        if found:
            return found
        values = sorted({host.labels[key] for host in hosts if key in host.labels})
        keys = sorted({key for host in hosts for key in host.labels})
        known = f"Values of {key}: {_some(values)}." if values else f"Labels in use: {_some(keys) or 'none'}."
        raise UsageError(f"the limit {show(pattern)} matches no host", next=known)

    def _match_file(self, path: Path) -> frozenset[str]:
        lines = list(_lines(path))
        if not lines:
            raise InventoryError("this file names no host", path=path, next="Put one pattern on each line.")
        for number, pattern in lines:
            try:
                self._match(pattern.lstrip("!&"), in_file=True)
            except UsageError as exc:
                raise InventoryError(exc.message, path=path, line=number, next=exc.next) from None
        return self.select((pattern for _, pattern in lines), in_file=True)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the patterns of a file with their lines; empty lines and comments name nothing."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
        raise InventoryError(f"this file of the limit cannot be read: {reason}", path=path) from None
    if len(content) > _LARGEST_FILE:
        raise InventoryError("this file is too large for a list of hosts", path=path)
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern in line.partition("#")[0].split(","):
            if pattern.strip():
                yield number, pattern.strip()


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")  # noqa: PLR2004 - enough to see the idea
