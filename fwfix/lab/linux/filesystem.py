"""The root file system of a host: an overlay of this machine's, with everything private hidden.

Runs in the new mount namespace of the host's first process, before and after pivot_root.
"""

import contextlib
import glob
import os
import stat
import time
from pathlib import Path
from typing import TypedDict

from fwfix.lab import syscalls

# Everything else at the top of this machine's file system is either hidden or not there at all.
_SHARED = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc"}
_EMPTY = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777, "var": 0o755}
_EMPTY |= {
    "root": 0o700,
    "home": 0o755,
    "mnt": 0o755,
    "media": 0o755,
    "opt": 0o755,
    "srv": 0o755,
    "boot": 0o755,
}
_HIDDEN_ETC = (
    "ssh",
    "sudoers.d",
    "ssl/private",
    "iptables",
    "fwfix",
    "cron.d",
    "rc.local",
    "nftables.d",
    "docker",
)
_VAR = {"lib": 0o755, "lib/misc": 0o755, "lib/sudo": 0o711, "log": 0o755, "cache": 0o755, "spool": 0o755}
_VAR |= {"tmp": 0o1777, "backups": 0o755, "mail": 0o755, "local": 0o755, "opt": 0o755}
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_OPAQUE = "trusted.overlay.opaque"


class FileSystemPlan(TypedDict):
    """What the builder decides about a host's file system."""

    base: str
    var_size: str | None
    directories: list[tuple[str, int, int]]
    files: list[tuple[str, int, int, str]]
    links: list[tuple[str, str]]
    removed: list[str]


def make_root(plan: FileSystemPlan) -> None:
    """Build the host's root and move into it; the old root is gone afterwards."""
    base = Path(plan["base"])
    root = base / "root"
    first = not base.joinpath("upper").exists()
    if first:
        _prepare(base)
    _mount_overlay(base, root)
    if plan["var_size"] is not None:
        syscalls.mount(str(base / "var"), str(root / "var"), flags=syscalls.MS_BIND)
    _mount_kernel(root)
    _mount_devices(root / "dev")
    _mount_volatile(root)
    syscalls.pivot_root(str(root))
    if first:  # from here on no link of this machine's can lead a write out of the host
        _fill(plan)


def mount_var(plan: FileSystemPlan) -> None:
    """Give a host its small /var, which outlives a reboot; runs in the supervisor."""
    var = Path(plan["base"], "var")
    if plan["var_size"] is None or var.exists():
        return
    var.mkdir(parents=True)
    syscalls.mount("tmpfs", str(var), "tmpfs", options=f"size={plan['var_size']},mode=755")


def _prepare(base: Path) -> None:
    for name in ("upper", "work", "root"):
        (base / name).mkdir(parents=True, exist_ok=True)
    upper = base / "upper"
    for name, mode in _EMPTY.items():
        _opaque(upper / name, mode)
    for entry in os.scandir("/"):
        if entry.name not in _SHARED and entry.name not in _EMPTY:
            os.mknod(upper / entry.name, stat.S_IFCHR, os.makedev(0, 0))  # the overlay's way to say: deleted
    _opaque(upper / "etc", 0o755, opaque=False)
    for name in _HIDDEN_ETC:
        where = Path("/etc", name)
        if where.is_dir():
            mode = stat.S_IMODE(where.stat().st_mode)
            (upper / "etc" / name).parent.mkdir(exist_ok=True)
            _opaque(upper / "etc" / name, mode)


def _opaque(path: Path, mode: int, *, opaque: bool = True) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    if opaque:
        os.setxattr(path, _OPAQUE, b"y")


def _mount_overlay(base: Path, root: Path) -> None:
    os.chdir(base)  # in the options of an overlay, commas and colons of a path would mean something
    options = "lowerdir=/,upperdir=upper,workdir=work"
    deadline = time.monotonic() + 5
    while True:
        try:
            syscalls.mount("overlay", str(root), "overlay", options=options)
        except OSError as error:
            # After a reboot the kernel may still be letting go of the mount before.
            if error.errno != 16 or time.monotonic() > deadline:  # noqa: PLR2004 - EBUSY
                raise
            time.sleep(0.01)
        else:
            return


def _fill(plan: FileSystemPlan) -> None:
    for name, mode in _VAR.items():
        _directory(Path("/var", name), mode, 0)
    Path("/var/run").symlink_to("/run")
    Path("/var/lock").symlink_to("/run/lock")
    for pattern in plan["removed"]:
        for match in glob.glob(pattern):  # noqa: PTH207 - the pattern is absolute
            Path(match).unlink()
    for path, mode, owner in plan["directories"]:
        _directory(Path(path), mode, owner)
    for path, mode, owner, text in plan["files"]:
        _write(Path(path), mode, owner, text)
    for path, target in plan["links"]:
        Path(path).unlink(missing_ok=True)
        Path(path).symlink_to(target)


def _directory(path: Path, mode: int, owner: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    os.chown(path, owner, owner)


def _write(path: Path, mode: int, owner: int, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    os.chown(path, owner, owner)


def _mount_kernel(root: Path) -> None:
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("proc", str(root / "proc"), "proc", flags=quiet)
    # The one file in there whose writer takes the whole machine along.
    with contextlib.suppress(FileNotFoundError):
        syscalls.mount("/dev/null", str(root / "proc/sysrq-trigger"), flags=syscalls.MS_BIND)
    syscalls.mount("sysfs", str(root / "sys"), "sysfs", flags=quiet | syscalls.MS_RDONLY)


def _mount_devices(dev: Path) -> None:
    syscalls.mount("tmpfs", str(dev), "tmpfs", flags=syscalls.MS_NOSUID, options="mode=755,size=1m")
    for name, (major, minor) in _NODES.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    syscalls.mount(
        "devpts", str(dev / "pts"), "devpts", flags=syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options=options
    )
    _mount_memory(dev / "shm", 0o1777)
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _mount_memory(path: Path, mode: int) -> None:
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", str(path), "tmpfs", flags=flags, options=f"mode={mode:o}")


def _mount_volatile(root: Path) -> None:
    for name, mode in (("run", 0o755), ("tmp", 0o1777)):
        _mount_memory(root / name, mode)
    for name, mode in (("sshd", 0o755), ("lock", 0o1777)):
        (root / "run" / name).mkdir()
        (root / "run" / name).chmod(mode)
