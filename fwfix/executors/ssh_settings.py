"""Turn settings of ssh_config into a target: honour what we can, refuse what we cannot."""

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from getpass import getuser
from pathlib import Path

from fwfix.errors import ConnectError
from fwfix.executors.ssh_config import Settings, home
from fwfix.executors.ssh_target import Target
from fwfix.model.host import SshSettings

_DEFAULT_IDENTITIES = ("id_rsa", "id_ecdsa", "id_ed25519")
_TRIED_BY_SSH = frozenset(
    f"~/.ssh/{name}"
    for name in (
        *_DEFAULT_IDENTITIES,
        "id_ecdsa_sk",
        "id_ed25519_sk",
        "id_xmss",
        "id_dsa",
        "id_mldsa44_ed25519",
    )
)
# What we cannot do, by keyword, with the values that ask for nothing.
_REFUSED: Mapping[str, tuple[str, ...]] = {
    "pkcs11provider": ("none", ""),
    "proxyusefdpass": ("no", "false"),
    "knownhostscommand": ("none", ""),
    "remotecommand": ("none", ""),
    "sessiontype": ("default", ""),
}
_YES = frozenset(("yes", "true"))
_METHODS = {
    "publickey": "pubkeyauthentication",
    "keyboard-interactive": "kbdinteractiveauthentication",
    "password": "passwordauthentication",
}


def target_of(name: str, address: str, ssh: SshSettings, found: Settings) -> Target:
    """Put the inventory's values over those of ssh_config.

    Args:
        name: how people call the host.
        address: what the inventory, or the name of a jump host, says.
        ssh: the inventory's settings.
        found: what `ssh -G` answered.

    Raises:
        ConnectError: ssh_config asks for something that we cannot do.
    """
    _refuse_impossible(name, found)
    hostname = _one(found, "hostname") or address
    _refuse_moved(name, address, hostname)
    port = ssh.port or int(_one(found, "port") or 22)
    user = ssh.user or _one(found, "user") or getuser()
    tokens = _tokens(address=address, hostname=hostname, port=port, user=user, found=found)
    alias = _one(found, "hostkeyalias")
    explicit, default = _identities(ssh, found, tokens)
    return Target(
        name=name,
        address=hostname,
        port=port,
        user=user,
        key_name=(alias or hostname).lower(),
        aliased=bool(alias),
        family=_one(found, "addressfamily") or "any",
        bind_address=_unless_none(_one(found, "bindaddress")),
        bind_interface=_unless_none(_one(found, "bindinterface")),
        proxy_command=_proxy_command(ssh, found, tokens),
        jumps=_jumps(ssh, found, tokens),
        explicit_identities=explicit,
        default_identities=default,
        certificates=tuple(_path(value, tokens) for value in found.get("certificatefile", ())),
        identities_only=_one(found, "identitiesonly") in _YES,
        identity_agent=_agent(found, tokens),
        methods=_methods(found),
        user_known_hosts=(ssh.known_hosts,)
        if ssh.known_hosts is not None
        else _paths(found, "userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2"), tokens),
        global_known_hosts=_paths(
            found, "globalknownhostsfile", ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"), tokens
        ),
        revoked_keys=_optional_path(found, "revokedhostkeys", tokens),
        hash_known_hosts=_one(found, "hashknownhosts") in _YES,
        host_key=ssh.host_key,
        password=ssh.password,
        passphrase=ssh.passphrase,
    )


def _refuse_impossible(name: str, found: Settings) -> None:
    for keyword, harmless in _REFUSED.items():
        value = _one(found, keyword)
        if value.lower() not in (*harmless, ""):
            raise ConnectError(
                f"ssh_config sets {keyword} {value} for {name}, which fwfix cannot do.",
                next="Remove it for this host, or set what it needs in the inventory.",
                code="ssh-config",
            )


def _refuse_moved(name: str, address: str, hostname: str) -> None:
    """Refuse a HostName that leads away from an address: the probes would test another machine."""
    if hostname.lower() == address.lower() or not _is_address(address):
        return
    raise ConnectError(
        f"The inventory says that {name} is {address}, but HostName in ssh_config leads to {hostname}.",
        next="Give the inventory the right address, or remove HostName.",
        code="ssh-config",
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _one(found: Settings, keyword: str) -> str:
    return found.get(keyword, ("",))[0].strip()


def _unless_none(value: str) -> str:
    return "" if value.lower() == "none" else value


def _tokens(*, address: str, hostname: str, port: int, user: str, found: Settings) -> dict[str, str]:
    local = socket.gethostname()
    return {
        "%": "%",
        "d": str(home()),
        "h": hostname,
        "i": str(os.getuid()),
        "k": _one(found, "hostkeyalias") or hostname,
        "L": local.partition(".")[0],
        "l": local,
        "n": address,
        "p": str(port),
        "r": user,
        "u": getuser(),
    }


def _expand(value: str, tokens: Mapping[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[1] not in tokens:
            raise ConnectError(
                f"ssh_config uses %{match[1]} in `{value}`, which fwfix does not know.", code="ssh-config"
            )
        return tokens[match[1]]

    return re.sub(r"%(.)", replaced, value)


def _path(value: str, tokens: Mapping[str, str]) -> Path:
    expanded = _expand(value.strip('"'), tokens)
    text = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], ""), expanded)
    return home() / text[2:] if text.startswith("~/") else Path(text)


def _paths(
    found: Settings, keyword: str, default: tuple[str, ...], tokens: Mapping[str, str]
) -> tuple[Path, ...]:
    words = _one(found, keyword).split() or default
    return tuple(_path(word, tokens) for word in words if word.lower() != "none")


def _optional_path(found: Settings, keyword: str, tokens: Mapping[str, str]) -> Path | None:
    value = _unless_none(_one(found, keyword))
    return _path(value, tokens) if value else None


def _identities(
    ssh: SshSettings, found: Settings, tokens: Mapping[str, str]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    named = [value for value in found.get("identityfile", ()) if value.strip('"') not in _TRIED_BY_SSH]
    explicit = [_path(value, tokens) for value in named if value.lower() != "none"]
    if ssh.identity_file is not None:
        explicit.insert(0, ssh.identity_file)
    default = () if named else tuple(home() / ".ssh" / name for name in _DEFAULT_IDENTITIES)
    return tuple(explicit), default


def _agent(found: Settings, tokens: Mapping[str, str]) -> str:
    value = _one(found, "identityagent")
    if value.lower() == "none":
        return ""
    if value in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if re.fullmatch(r"\$\w+", value):
        return os.environ.get(value[1:], "")
    return str(_path(value, tokens))


def _proxy_command(ssh: SshSettings, found: Settings, tokens: Mapping[str, str]) -> str:
    value = _unless_none(_one(found, "proxycommand"))
    if ssh.jump is not None or not value:
        return ""
    return _expand(value, tokens)


def _jumps(ssh: SshSettings, found: Settings, tokens: Mapping[str, str]) -> tuple[str, ...]:
    if ssh.jump is not None:
        return (ssh.jump,)
    value = _unless_none(_one(found, "proxyjump"))
    return tuple(_expand(hop.strip(), tokens) for hop in value.split(",") if hop.strip())


def _methods(found: Settings) -> tuple[str, ...]:
    preferred = [word for word in _one(found, "preferredauthentications").split(",") if word] or [*_METHODS]
    return tuple(
        method
        for method in preferred
        if method in _METHODS and _one(found, _METHODS[method]).lower() not in {"no", "false"}
    )
