"""A digest over what an inventory says, not over how it is spelled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

from fwfix.model.inventory import Inventory
from fwfix.model.policy import AllowEntry, Policy
from fwfix.model.protection import merge_services, sources_key

_NOT_CONTENT = frozenset({"digest", "sources", "template_dirs", "groups", "places"})


def digest_of(inventory: Inventory) -> str:
    """Return `sha256:` and the digest of hosts, policies, windows, blackouts and approvals."""
    content = {f.name: getattr(inventory, f.name) for f in fields(inventory) if f.name not in _NOT_CONTENT}
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value: object) -> object:
    """Turn a value into what JSON can hold, in one spelling."""
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Policy):
        services = [str(service) for service in merge_services(value.services)]
        return [value.name, services, _sources(value.allow_from), value.action.value, value.log]
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        if value and isinstance(value[0], AllowEntry):
            return _sources(value)
        return [_plain(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return str(value)


def _sources(entries: tuple[AllowEntry, ...]) -> object:
    names, networks = sources_key(entries)
    return [list(names), [str(network) for network in networks]]
