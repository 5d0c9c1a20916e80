"""`fwfix verify`: is every host as the policy wants it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fwfix.cli.options import ConnectTimeout, Forks, InventoryPaths, Json, Limit, Templates, program

if TYPE_CHECKING:
    from fwfix.model.host import Host
    from fwfix.model.outcome import HostReport


def verify(
    context: typer.Context,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    forks: Forks = 50,
    connect_timeout: ConnectTimeout = "10s",
    templates: Templates = None,
    *,
    as_json: Json = False,
) -> None:
    """Check rules, what stands in front of them, and the ports themselves. Changes nothing."""
    from fwfix.cli.reporting import begin, leave, mention_unfinished
    from fwfix.cli.session import duration, load, make_renderer, protections_of, running, services_of
    from fwfix.output.observe import make_observer
    from fwfix.runner.fleet import each_host, observe_hosts
    from fwfix.runner.log import NoLog
    from fwfix.runner.verify import verify_host

    timeout = duration(connect_timeout, "--connect-timeout")
    mention_unfinished(context)
    loaded = load(inventory, limit)
    protections = protections_of(loaded)
    begun = begin("verify")
    with (
        make_observer(program(context), "verify") as observer,
        running(
            run_id=begun.run_id,
            hosts=loaded.inventory.hosts,
            vantages=loaded.vantage_hosts,
            store=loaded.store,
            renderer=make_renderer(templates, loaded.inventory),
            log=NoLog(),
            observer=observer,
            connect_timeout=timeout,
        ) as (surroundings, lookout),
    ):
        observer.run_started(hosts=len(loaded.hosts))
        seen = observe_hosts(
            loaded.hosts, surroundings, services=services_of(protections), forks=forks, keep=False
        )

        def work(host: Host) -> HostReport:
            return verify_host(
                host, protections[host.name], seen=seen[host.name], context=surroundings, lookout=lookout
            )

        reports = {host.name: report for host, report in each_host(loaded.hosts, work, forks=forks)}
        interrupted = surroundings.brake.stopped is not None
    ordered = [reports[host.name] for host in loaded.hosts]
    leave(context, begun, ordered, as_json=as_json, interrupted=interrupted)
