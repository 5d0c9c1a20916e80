"""The files that a kept lab leaves for its user: inventory.yaml, demo.json, and the secrets they refer to."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fwfix.lab.network import Network

_POLICY = "block-raw-printing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One host of any platform as the inventory has it.

    Attributes:
        settings: the `ssh` or `winrm` mapping, secrets by reference.
    """

    name: str
    platform: str
    address: str
    address6: str
    netns: str
    settings: Mapping[str, object]


def write_inventory(network: Network, directory: Path, entries: Sequence[Entry]) -> Path:
    """Write inventory.yaml and demo.json for the hosts; return the path of the inventory.

    The policy allows one address that nobody on the switch has: neither this machine nor `outside` gets in.
    """
    import yaml  # noqa: PLC0415 - not needed by the supervisor, which imports this package without site-packages

    inventory = {
        "version": 1,
        "defaults": {"policy": _POLICY},
        "policies": {_POLICY: {"ports": ["jetdirect"], "allow_from": [*network.strangers]}},
        "hosts": {entry.name: _host(entry) for entry in entries},
    }
    outside = network.outside
    demo = {
        "hosts": [
            {key: getattr(entry, key) for key in ("name", "platform", "address", "address6", "netns")}
            for entry in entries
        ],
        "outside": {"netns": outside.netns, "address": outside.address, "address6": outside.address6},
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "inventory.yaml"
    write_file(network, path, yaml.safe_dump(inventory, sort_keys=False))
    write_file(network, directory / "demo.json", json.dumps(demo, indent=2) + "\n")
    return path


def _host(entry: Entry) -> dict[str, object]:
    kind = "winrm" if entry.platform == "windows" else "ssh"
    return {"address": entry.address, "platform": entry.platform, kind: dict(entry.settings)}


def write_file(network: Network, path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file that goes with the lab; nobody but its owner can read it at any moment."""
    network.record.add_file(path)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
