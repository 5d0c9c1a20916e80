"""Whether this machine can run a lab."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables-nft-restore": "iptables",
    "sshd": "openssh-server",
    "sudo": "sudo",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_TRY = (
    "ip link add left type veth peer name right && ip link add switch type bridge && nft add table inet fwfix"
)


def requirements() -> tuple[str, ...]:
    """Say what this machine lacks for a lab, one sentence's part each; nothing if it can run one."""
    if sys.platform != "linux":
        return ("this is not Linux",)
    if os.geteuid() != 0:
        return ("it needs root",)
    path = os.pathsep.join((os.environ.get("PATH", ""), _SBIN))
    missing = [
        f"{tool} is missing (package {package})"
        for tool, package in _TOOLS.items()
        if not shutil.which(tool, path=path)
    ]
    missing += [
        f"{folder} is a file system of its own" for folder in ("/usr", "/etc") if Path(folder).is_mount()
    ]
    return tuple(missing) if missing else _try_namespaces()


def _try_namespaces() -> tuple[str, ...]:
    argv = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "sh", "-c", _TRY]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return (f"no network namespaces with veth, bridge and nftables: {done.stderr.strip()}",)
    return ()


def legacy_missing() -> str | None:
    """Say why iptables-legacy does not work on this machine; None if it does."""
    argv = [
        "unshare",
        "--net",
        "iptables-legacy",
        "-A",
        "INPUT",
        "-m",
        "conntrack",
        "--ctstate",
        "INVALID",
        "-j",
        "DROP",
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip() or "iptables-legacy fails"
