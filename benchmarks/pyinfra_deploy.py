"""Only the two rules, in front of the site's own, with pyinfra: no chain, no switch, no proof."""

from pyinfra.operations import iptables, server

for version in (4, 6):
    iptables.rule(
        name=f"Drop raw printing over IPv{version}",
        chain="INPUT",
        jump="DROP",
        append=False,
        version=version,
        protocol="tcp",
        destination_port=9100,
    )
server.shell(name="End", commands=["true"])
