"""What a throw-away Linux host is like: kind by default, unkind on request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Firewall = Literal["iptables-nft", "iptables-legacy", "nftables", "none"]
Sudo = Literal["password", "nopasswd", "refused", "restricted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One process that listens on one port, in both families, and writes down every byte that it is sent.

    A UDP listener answers BJNP packets as a printer does (A5) and nothing else.

    Attributes:
        process: name in `ss -p` and `ps`, 15 characters at most.
    """

    port: int = 9100
    protocol: Literal["tcp", "udp"] = "tcp"
    process: str = "p910nd"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One host.

    Attributes:
        user: who logs on; `root` is possible.
        password: of that user, for SSH and sudo; chosen at random per lab where None.
        sudo: `password` asks, `nopasswd` does not, `refused` is not in sudoers, `restricted` may run
            iptables-save and nothing else.
        sudoers: replaces the line of the user in sudoers.
        root_logon: root may log on with the lab's key.
        shell: log-on shell of the user.
        noisy: every start-up file of the user's shells prints, and sshd shows a banner.
        path_without_sbin: neither a session (root's included) nor sudo (no secure_path) has sbin in its PATH.
        ssh_ports: where sshd listens.
        sshd_config: further lines for sshd_config, in front of ours (the first value counts in sshd).
        firewall: the back end that `iptables` speaks, or native nftables rules, or no rules at all.
        rules, rules6: text for iptables-restore and ip6tables-restore instead of the realistic default.
        nft_rules: text for `nft -f` with firewall="nftables".
        nft_only: no iptables of any kind is there.
        ip6tables: whether there is an ip6tables.
        ipv6: whether the host speaks IPv6.
        listeners: real processes; empty for none.
        dead: the address exists, and every TCP and UDP packet to it vanishes.
        hang: port 22 accepts and never says anything.
        var_size: size of /var, such as `1m`, so that a test can fill it.
        behind: name of another host of the lab through which alone this one can be reached.
        boot: shell commands run at the end of every boot, as units of an init system would.
        files: further files, path to text.
    """

    name: str
    user: str = "ops"
    password: str | None = None
    sudo: Sudo = "password"
    sudoers: str | None = None
    root_logon: bool = False
    shell: str = "/bin/bash"
    noisy: bool = False
    path_without_sbin: bool = False
    ssh_ports: tuple[int, ...] = (22,)
    sshd_config: str = ""
    firewall: Firewall = "iptables-nft"
    rules: str | None = None
    rules6: str | None = None
    nft_rules: str | None = None
    nft_only: bool = False
    ip6tables: bool = True
    ipv6: bool = True
    listeners: tuple[Listener, ...] = (Listener(),)
    dead: bool = False
    hang: bool = False
    var_size: str | None = None
    behind: str | None = None
    boot: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
