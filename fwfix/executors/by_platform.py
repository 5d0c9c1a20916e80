"""One connector for a mixed fleet: each platform's own executor, made when the first host needs it."""

import threading
from collections.abc import Callable, Mapping

from fwfix.executors.base import Connector, Executor
from fwfix.model.host import Host, Platform


class PlatformConnector:
    """Hands each host to the connector of its platform."""

    def __init__(self, makers: Mapping[Platform, Callable[[], Connector]]) -> None:
        self._makers = makers
        self._made: dict[Platform, Connector] = {}
        self._lock = threading.Lock()

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Get the secrets of a host that take time."""
        self.of(host.platform).prepare(host, deadline=deadline)

    def open(self, host: Host, *, deadline: float) -> Executor:
        """Open a new connection to a host."""
        return self.of(host.platform).open(host, deadline=deadline)

    def close(self) -> None:
        """Close what the platforms' connectors share."""
        for connector in self._made.values():
            connector.close()

    def of(self, platform: Platform) -> Connector:
        """Return the connector of a platform; made now if it was not needed before."""
        with self._lock:
            if platform not in self._made:
                self._made[platform] = self._makers[platform]()
            return self._made[platform]
