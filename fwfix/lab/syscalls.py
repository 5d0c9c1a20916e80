"""The few system calls that a host is made of and that Python 3.11 has no name for."""

import contextlib
import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

CAP_SYS_RAWIO = 17
CAP_SYS_TIME = 25

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name for new ones."""
    _check(_libc.unshare(flags), "unshare")


def enter(path: str, kind: int) -> None:
    """Enter the namespace behind the path."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_handle(handle, kind)
    finally:
        os.close(handle)


def enter_handle(handle: int, kind: int) -> None:
    """Enter the namespace behind an open file."""
    _check(_libc.setns(handle, kind), "setns")


def mount(source: str, target: str, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """Mount a file system, or the source itself with MS_BIND."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {kind or 'bind'} on {target}")


def unmount(target: str) -> None:
    """Unmount lazily; a target that is no mount point raises OSError."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Make new_root the root of this mount namespace and let go of the old one."""
    os.chdir(new_root)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send the signal when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def drop_capabilities(*numbers: int) -> None:
    """Keep every program that this process and its children execute from having the capabilities."""
    for number in numbers:
        _check(_libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0), "prctl")


def set_host_name(name: str) -> None:
    """Name the host of this UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def set_process_name(name: str) -> None:
    """Show the name in ps, ss and /proc, where this process was forked and never executed anything."""
    raw = name.encode()
    _check(_libc.prctl(_PR_SET_NAME, ctypes.c_char_p(raw[:15]), 0, 0, 0), "prctl")
    # The command line is ordinary memory of the process; nothing but /proc/PID/cmdline reads it again.
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123 - pathlib is not worth its memory here
            fields = file.read().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        if end - start > len(raw):
            ctypes.memmove(start, raw.ljust(end - start, b"\0"), end - start)
