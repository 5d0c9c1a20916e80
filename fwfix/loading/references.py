"""Check what an inventory points to on this machine: secrets, key files, and names in `allow_from`.

Loading opens none of these, so that an inventory can be read anywhere; whoever is about to contact hosts, and
`fwfix inventory check`, look here first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fwfix.errors import InventoryError, SecretError
from fwfix.loading.checks import jump_of, unknown_name
from fwfix.model.host import Become, Host, HostKeyPolicy, Platform
from fwfix.model.inventory import Inventory
from fwfix.model.policy import AllowEntry, SourceKind
from fwfix.model.protection import named_entries
from fwfix.secret_store import SecretStore
from fwfix.secrets import SecretRef

_LARGEST_KEY = 1024 * 1024
_PUBLIC_KEY = (b"ssh-", b"ecdsa-", b"sk-")
_T = TypeVar("_T")


def check_references(inventory: Inventory, hosts: Sequence[Host], store: SecretStore) -> None:
    """Check everything that the given hosts and the jump hosts before them need from here.

    Raises:
        InventoryError: the first problem; names the place in the inventory, never a secret.
    """
    for problem in find_problems(inventory, hosts, store):
        raise problem


def find_problems(
    inventory: Inventory, hosts: Sequence[Host], store: SecretStore
) -> Iterator[InventoryError]:
    """Yield everything that does not lead anywhere, each once."""
    for entry, host in named_entries(hosts, inventory).items():
        problem = _entry_problem(inventory, entry)
        if problem:
            yield _error(inventory, entry, host, problem)
    needed = [*hosts, *jump_hosts(inventory, hosts)]
    for (key, path), host in _unique((named, h) for h in needed for named in _files(h)):
        problem = _file_problem(key, path)
        if problem:
            yield _error(inventory, path, host, problem)
    for ref, host in _unique((ref, h) for h in needed for ref in secrets_of(h)):
        try:
            store.check(ref)
        except SecretError as exc:
            yield _error(inventory, ref, host, exc.message, hint=exc.next)


def _unique(pairs: Iterable[tuple[_T, Host]]) -> Iterator[tuple[_T, Host]]:
    """Yield each thing once, with the first host that needs it."""
    seen: set[_T] = set()
    for what, host in pairs:
        if what not in seen:
            seen.add(what)
            yield what, host


def _error(inventory: Inventory, what: object, host: Host, problem: str, *, hint: str = "") -> InventoryError:
    where = inventory.places.get(what[1] if isinstance(what, tuple) else what)
    path, _, line = where.rpartition(":") if where else ("", "", "")
    number = int(line) if line.isdigit() else None
    return InventoryError(f"host {host.name}: {problem}", path=path or None, line=number, next=hint)


def _entry_problem(inventory: Inventory, entry: AllowEntry) -> str | None:
    if entry.kind is SourceKind.HOST and entry.name not in inventory.hosts:
        return f"{entry.text} is allowed: {unknown_name('host', entry.name, inventory.hosts)}"
    if entry.kind is SourceKind.GROUP:
        if entry.name not in inventory.groups:
            return f"{entry.text} is allowed: {unknown_name('group', entry.name, inventory.groups)}"
        if not inventory.groups[entry.name]:
            return f"{entry.text} is allowed, but no host is in this group"
    return None


def jump_hosts(inventory: Inventory, hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts of the inventory that others are reached through."""
    found: dict[str, Host] = {}
    for host in hosts:
        jump = jump_of(host)
        while jump is not None and jump in inventory.hosts and jump not in found:
            found[jump] = inventory.hosts[jump]
            jump = found[jump].ssh.jump
    # A jump host is reached over SSH, whatever runs on it.
    return [replace(host, platform=Platform.LINUX) for host in found.values()]


def secrets_of(host: Host) -> list[SecretRef]:
    """Return the secret references that reaching a host needs."""
    if host.platform is Platform.LINUX:
        found = [host.ssh.password, host.ssh.passphrase]
        if host.ssh.become is not Become.NONE:
            found.append(host.ssh.become_password)
    else:
        found = [host.winrm.password]
    return [ref for ref in found if ref is not None]


def _files(host: Host) -> list[tuple[str, Path]]:
    """Return what must be there, each with its key."""
    if host.platform is Platform.LINUX:
        named = {"identity_file": host.ssh.identity_file}
        if host.ssh.host_key is HostKeyPolicy.STRICT:
            named["known_hosts"] = host.ssh.known_hosts
    else:
        winrm = host.winrm
        named = {"ca_file": winrm.ca_file, "cert_file": winrm.cert_file, "key_file": winrm.key_file}
    return [(key, path) for key, path in named.items() if path is not None]


def _file_problem(key: str, path: Path) -> str | None:
    try:
        if not path.is_file():
            return f"{key}: {path} is not there" if not path.exists() else f"{key}: {path} is not a file"
        with path.open("rb") as file:
            content = file.read(_LARGEST_KEY)
    except OSError as exc:
        return f"{key}: {path} cannot be read: {exc.strerror}"
    return _content_problem(key, path, content)


def _content_problem(key: str, path: Path, content: bytes) -> str | None:
    private = b"PRIVATE KEY-----" in content
    if key == "identity_file" and content.startswith(b"PuTTY-User-Key-File"):
        return f"{key}: {path} is a PuTTY key; convert it with: puttygen {path} -O private-openssh"
    if key == "identity_file" and not private and not content.startswith(_PUBLIC_KEY):
        return f"{key}: {path} holds no SSH key"
    if key == "key_file" and not private:
        return f"{key}: {path} holds no private key in PEM form"
    if key in {"ca_file", "cert_file"} and b"-----BEGIN CERTIFICATE" not in content:
        return f"{key}: {path} holds no certificate in PEM form"
    return None
