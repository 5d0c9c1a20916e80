"""The site's own rules on a throw-away host: what an administrator would have written."""

from fwfix.lab.linux.spec import HostSpec

_HEAD = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:SITE-IN - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p {icmp} -j ACCEPT
-A INPUT -j SITE-IN
"""
_TAIL = """\
-A SITE-IN -p tcp -m tcp --dport 23 -m comment --comment "site: telnet is gone, see \\"hardening\\"" -j REJECT
-A SITE-IN -m limit --limit 6/min -j NFLOG --nflog-prefix "site-denied: "
COMMIT
"""


def site_rules(spec: HostSpec, family: int) -> str:
    """Return text for iptables-restore (family 4) or ip6tables-restore (family 6)."""
    given = spec.rules if family == 4 else spec.rules6  # noqa: PLR2004 - the family is its own name
    if given is not None:
        return given
    lines = [_HEAD.format(icmp="icmp" if family == 4 else "ipv6-icmp")]  # noqa: PLR2004
    lines += [_accept("tcp", port, "ssh from anywhere") for port in spec.ssh_ports]
    lines += [_accept(item.protocol, item.port, item.process) for item in spec.listeners]
    return "".join(lines) + _TAIL


def _accept(protocol: str, port: int, why: str) -> str:
    match = f"-p {protocol} -m {protocol} --dport {port} -m conntrack --ctstate NEW"
    return f'-A SITE-IN {match} -m comment --comment "site: {why}" -j ACCEPT\n'


def site_ruleset(spec: HostSpec) -> str:
    """Return text for `nft -f`: the same rules in native nftables."""
    if spec.nft_rules is not None:
        return spec.nft_rules
    opened = [f"tcp dport {port} accept" for port in spec.ssh_ports]
    opened += [f"{item.protocol} dport {item.port} accept" for item in spec.listeners]
    return "\n".join(
        (
            "flush ruleset",
            "table inet site {",
            "  set admins { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } }",
            "  chain input {",
            "    type filter hook input priority filter; policy drop;",
            "    ct state vmap { established : accept, related : accept, invalid : drop }",
            '    iifname "lo" accept',
            "    meta l4proto { icmp, ipv6-icmp } accept",
            *(f"    {line}" for line in opened),
            "    ip saddr @admins accept",
            "  }",
            "}",
            "",
        )
    )


def dead_ruleset() -> str:
    """Return text for `nft -f` under which a host keeps its address and answers nothing."""
    return (
        "table inet dead { chain input { type filter hook prerouting priority raw; "
        "meta l4proto { tcp, udp, icmp } drop; icmpv6 type echo-request drop; }; };\n"
    )
