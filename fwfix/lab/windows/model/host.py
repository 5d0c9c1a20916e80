"""A Windows host without its network: everything that the stand-in cmdlets ask and change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from fwfix.lab.windows.model.clock import HostClock, RealHostClock
from fwfix.lab.windows.model.facts import FIREWALL, SCHEDULE, Facts
from fwfix.lab.windows.model.files import DiskFiles
from fwfix.lab.windows.model.firewall import Firewall
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.policy import Interface
from fwfix.lab.windows.model.registry import HostRegistry
from fwfix.lab.windows.model.task_xml import Definition
from fwfix.lab.windows.model.tasks import Instance, RunAction, Scheduler


def _no_engine(_definition: Definition, _instance: Instance) -> int:
    """Run nothing: a host without an engine has no program to start (ERROR_FILE_NOT_FOUND)."""
    return 2147942402


class WindowsHost:
    """One host: firewall, registry, scheduler, disk, facts and clock.

    Args:
        run_action: runs what a scheduled task says.
    """

    def __init__(
        self,
        *,
        knobs: Knobs | None = None,
        name: str = "TWIN",
        interfaces: tuple[Interface, ...] = (),
        clock: HostClock | None = None,
    ) -> None:
        self.knobs = knobs if knobs is not None else Knobs()
        self.clock: HostClock = clock if clock is not None else RealHostClock(self.knobs.clock_skew)
        self.facts = Facts(name=name, booted=self.clock.now())
        if self.knobs.mpssvc_down:
            self.facts.services[FIREWALL] = replace(self.facts.services[FIREWALL], running=False)
        found = interfaces or (Interface(),)
        self.interfaces = tuple(replace(each, category=self.knobs.category) for each in found)
        self.firewall = Firewall(
            self.knobs, running=lambda: self.facts.runs(FIREWALL), interfaces=lambda: self.interfaces
        )
        self.registry = HostRegistry(self.firewall, self.facts)
        self.files = DiskFiles()
        self.on_battery = self.knobs.on_battery
        self.run_action: RunAction = _no_engine
        self.scheduler = Scheduler(
            clock=self.clock,
            run=self._run,
            on_battery=lambda: self.on_battery,
            running=lambda: self.facts.runs(SCHEDULE),
        )
        self._at_reboot: list[Callable[[], None]] = []

    def _run(self, definition: Definition, instance: Instance) -> int:
        return self.run_action(definition, instance)

    def on_reboot(self, hook: Callable[[], None]) -> None:
        """Call this when the host goes down: it ends shells and whatever else does not survive."""
        self._at_reboot.append(hook)

    def reboot(
        self, *, off_for: timedelta = timedelta(), let_pass: Callable[[timedelta], None] | None = None
    ) -> None:
        """Go down and come up again: shells and processes end; rules, files and tasks stay.

        Args:
            off_for: how long the host is off.
            let_pass: moves a virtual clock by that time; without it no time passes.
        """
        off_since = self.clock.now()
        for hook in self._at_reboot:
            hook()
        self.scheduler.power_off()
        if let_pass is not None:
            let_pass(off_for)
        # No machine boots twice within a second, which is how exactly Windows tells when it booted.
        self.facts.booted = max(self.clock.now(), self.facts.booted + timedelta(seconds=1))
        self.scheduler.power_on(off_since=off_since)

    def turn(self, knobs: Knobs) -> None:
        """Become another host while it runs; what scripts have changed meanwhile stays."""
        before = self.knobs
        self.firewall.turn(before, knobs)
        self.knobs = knobs
        if isinstance(self.clock, RealHostClock):
            self.clock.skew = knobs.clock_skew
            self.scheduler.wake()
        if knobs.mpssvc_down != before.mpssvc_down:
            self.set_service(FIREWALL, running=not knobs.mpssvc_down)
        if knobs.on_battery != before.on_battery:
            self.set_battery(on_battery=knobs.on_battery)
        if knobs.category != before.category:
            self.set_category(knobs.category)
        self.firewall.changed()

    def set_service(self, name: str, *, running: bool) -> None:
        """Start or stop a service."""
        self.facts.services[name] = replace(self.facts.services[name], running=running)
        self.firewall.changed()

    def set_battery(self, *, on_battery: bool) -> None:
        """Pull or plug the power cable."""
        self.on_battery = on_battery
        self.scheduler.battery()

    def set_category(self, category: str) -> None:
        """Move every interface to another network category."""
        self.interfaces = tuple(replace(each, category=category) for each in self.interfaces)
        self.firewall.changed()

    def close(self) -> None:
        """End the scheduler and what it runs."""
        self.scheduler.close()
