"""How long a host may need from arming to confirming, at worst (D10). Pure."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil

from fwfix.model.host import Platform
from fwfix.model.policy import Service

# C7: an attempt shorter than this misreads slow rejects as drops; all attempts must agree.
ATTEMPT_SECONDS = 3.0
ATTEMPTS = 2
# Targets of one host are tried at once, so many at a time.
AT_ONCE = 16
# arm, apply, read back on a new connection, read back again, confirm: each may need a logon.
ROUND_TRIPS = 6
SLACK_SECONDS = 20.0
SHORTEST = timedelta(seconds=5)
_DEFAULTS = {Platform.LINUX: timedelta(seconds=120), Platform.WINDOWS: timedelta(seconds=300)}


def worst_case(
    *, round_trip: float, services: Sequence[Service], addresses: int, vantages: int = 1
) -> timedelta:
    """Return the time that a host may need.

    Args:
        round_trip: seconds that looking at the host took, logon included.
        services: each port of them is probed.
        addresses: how many addresses of the host are probed.
        vantages: how many places probe it; they take turns.
    """
    ports = sum(len(service.ports) for service in services)
    batches = ceil(max(1, ports * max(1, addresses)) / AT_ONCE)
    probing = ATTEMPT_SECONDS * ATTEMPTS * batches * max(1, vantages)
    return timedelta(seconds=ceil(ROUND_TRIPS * round_trip + probing + SLACK_SECONDS))


def deadline_for(platform: Platform, worst: timedelta, asked: timedelta | None) -> timedelta:
    """Return what the timer is armed with: as asked for, else the worst case but at least the default."""
    return asked if asked is not None else max(worst, _DEFAULTS[platform])
