"""The files of a throw-away host: accounts, sshd, sudo, PAM, and whatever the spec asks for."""

import ctypes
import secrets
from pathlib import Path

from fwfix.errors import LabError
from fwfix.lab.linux.filesystem import FileSystemPlan
from fwfix.lab.linux.rules import site_ruleset
from fwfix.lab.linux.spec import HostSpec

_OPS_ID = 1000
_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_SBIN = "/usr/local/bin:/usr/bin:/bin"
_IPTABLES = ("/usr/sbin", "/sbin")
_NOISE = 'echo "*** {name}: authorised use only; your quota is 93% ***"\n'

_File = tuple[str, int, int, str]


def hash_password(password: str) -> str:
    """Hash a password for /etc/shadow with the C library that will check it."""
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt.restype = ctypes.c_char_p
        hashed = library.crypt(password.encode(), f"$6${secrets.token_hex(6)}$".encode())
        if hashed:
            return bytes(hashed).decode()
    raise LabError("The C library's crypt is not there.", next="Install libcrypt1.")


def file_system_plan(
    spec: HostSpec, *, base: Path, password_hash: str, host_key: str, host_key_line: str, authorized: str
) -> FileSystemPlan:
    """Decide every file of the host that differs from this machine's."""
    owner = 0 if spec.user == "root" else _OPS_ID
    home = "/root" if spec.user == "root" else f"/home/{spec.user}"
    files = [
        *_accounts(spec, home, password_hash),
        *_identity(spec),
        *_ssh(spec, host_key, host_key_line),
        *_sudo(spec),
        (f"{home}/.ssh/authorized_keys", 0o600, owner, authorized),
        *((path, 0o644, 0, text) for path, text in spec.files.items()),
    ]
    if spec.root_logon:
        files.append(("/root/.ssh/authorized_keys", 0o600, 0, authorized))
    if spec.noisy:
        files += _noise(spec, home, owner)
    if spec.firewall == "nftables":
        files.append(("/etc/nftables.conf", 0o755, 0, "#!/usr/sbin/nft -f\n" + site_ruleset(spec)))
    return FileSystemPlan(
        base=str(base),
        var_size=spec.var_size,
        directories=[("/root/.ssh", 0o700, 0), (home, 0o700, owner), (f"{home}/.ssh", 0o700, owner)],
        files=files,
        links=[] if spec.nft_only else _alternatives(spec),
        removed=_removed(spec),
    )


def _accounts(spec: HostSpec, home: str, password_hash: str) -> list[_File]:
    users = [item for item in _table("/etc/passwd") if item[0] not in ("root", "sshd", spec.user)]
    groups = [item for item in _table("/etc/group") if item[0] != spec.user]
    passwd = [f"root:x:0:0:root:/root:{spec.shell if spec.user == 'root' else '/bin/bash'}"]
    passwd += [":".join((item[0], "x", *item[2:])) for item in users]
    passwd.append("sshd:x:990:65534::/run/sshd:/usr/sbin/nologin")
    group = [":".join((item[0], "x", item[2], "")) for item in groups]
    if spec.user != "root":
        passwd.append(f"{spec.user}:x:{_OPS_ID}:{_OPS_ID}:{spec.user}:{home}:{spec.shell}")
        group.append(f"{spec.user}:x:{_OPS_ID}:")
    names = [line.partition(":")[0] for line in passwd]
    shadow = [f"{name}:{password_hash if name == spec.user else '*'}:20000:0:99999:7:::" for name in names]
    return [
        ("/etc/passwd", 0o644, 0, "\n".join(passwd) + "\n"),
        ("/etc/group", 0o644, 0, "\n".join(group) + "\n"),
        ("/etc/shadow", 0o600, 0, "\n".join(shadow) + "\n"),
        ("/etc/gshadow", 0o600, 0, "".join(f"{line.partition(':')[0]}:*::\n" for line in group)),
    ]


def _table(path: str) -> list[list[str]]:
    """Read this machine's system accounts or groups; a host has all of them and nobody else."""
    lines = (line.split(":") for line in Path(path).read_text(encoding="utf-8").splitlines() if ":" in line)
    return [item for item in lines if int(item[2]) < _OPS_ID]


def _identity(spec: HostSpec) -> list[_File]:
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n::1 localhost ip6-localhost ip6-loopback\n"
    return [
        ("/etc/hostname", 0o644, 0, f"{spec.name}\n"),
        ("/etc/hosts", 0o644, 0, hosts),
        ("/etc/resolv.conf", 0o644, 0, ""),
        ("/etc/machine-id", 0o444, 0, secrets.token_hex(16) + "\n"),
    ]


def _ssh(spec: HostSpec, host_key: str, host_key_line: str) -> list[_File]:
    root = "yes" if spec.user == "root" else "prohibit-password" if spec.root_logon else "no"
    config = [
        spec.sshd_config,
        *(f"Port {port}" for port in spec.ssh_ports),
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "PidFile /run/sshd.pid",
        "UseDNS no",
        "UsePAM no",
        "GSSAPIAuthentication no",
        "KbdInteractiveAuthentication no",
        "PasswordAuthentication yes",
        f"PermitRootLogin {root}",
        "PrintMotd no",
        "AcceptEnv LANG LC_*",
        f"SetEnv PATH={_NO_SBIN}" if spec.path_without_sbin else "",
        "Subsystem sftp internal-sftp",
        "Banner /etc/issue.net" if spec.noisy else "",
    ]
    return [
        ("/etc/ssh/sshd_config", 0o644, 0, "\n".join(config) + "\n"),
        ("/etc/ssh/ssh_host_ed25519_key", 0o600, 0, host_key),
        ("/etc/ssh/ssh_host_ed25519_key.pub", 0o644, 0, host_key_line + "\n"),
    ]


def _sudo(spec: HostSpec) -> list[_File]:
    right = {
        "password": f"{spec.user} ALL=(ALL:ALL) ALL",
        "nopasswd": f"{spec.user} ALL=(ALL:ALL) NOPASSWD: ALL",
        "refused": "",
        "restricted": f"{spec.user} ALL=(root) NOPASSWD: /usr/sbin/iptables-save",
    }[spec.sudo]
    lines = [
        "Defaults env_reset",
        "Defaults mail_badpass",
        "" if spec.path_without_sbin else f'Defaults secure_path="{_SBIN}"',
        "root ALL=(ALL:ALL) ALL",
        right if spec.sudoers is None else spec.sudoers,
    ]
    # This machine's own PAM may ask a directory server; a wrong password is told at once (nodelay).
    stack = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_unix.so\n"
    pam = [(f"/etc/pam.d/{name}", 0o644, 0, stack) for name in ("sudo", "sudo-i", "su", "su-l", "other")]
    return [("/etc/sudoers", 0o440, 0, "\n".join(lines) + "\n"), *pam]


def _noise(spec: HostSpec, home: str, owner: int) -> list[_File]:
    text = _NOISE.format(name=spec.name)
    names = (".bashrc", ".profile", ".zshenv", ".cshrc", ".ssh/rc")
    return [(f"{home}/{name}", 0o644, owner, text) for name in names] + [
        ("/etc/issue.net", 0o644, 0, "Go away.\n")
    ]


def _alternatives(spec: HostSpec) -> list[tuple[str, str]]:
    kind = "legacy" if spec.firewall == "iptables-legacy" else "nft"
    tools = [
        f"{family}-{kind}{end}" for family in ("iptables", "ip6tables") for end in ("", "-save", "-restore")
    ]
    return [(f"/etc/alternatives/{tool.replace('-' + kind, '')}", f"/usr/sbin/{tool}") for tool in tools]


def _removed(spec: HostSpec) -> list[str]:
    tools = []
    if spec.nft_only:
        tools += ["iptables*", "ip6tables*", "xtables*", "ebtables*", "arptables*"]
    elif not spec.ip6tables:
        tools += ["ip6tables*"]
    removed = [f"{folder}/{tool}" for folder in _IPTABLES for tool in tools]
    return removed if spec.firewall == "nftables" else [*removed, "/etc/nftables.conf"]
