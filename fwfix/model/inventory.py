"""All hosts, policies and named windows of the loaded files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from fwfix.model.host import Host
from fwfix.model.policy import Policy, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowText:
    """A maintenance window as the inventory writes it; `window.py` gives it a meaning."""

    name: str
    recurs: str
    timezone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """How many people must have signed a plan."""

    required: int = 0
    allowed_signers: Path | None = None
    author_may_approve: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the inventory files say, merged.

    Attributes:
        hosts: by name, in the order of the files.
        groups: names of hosts by group, in the order of the files.
        digest: `sha256:` over the resolved content; two spellings of the same inventory agree.
        sources: the files read.
        template_dirs: the `templates/` folders beside the files.
        blackouts: intervals as written, .ics paths made absolute.
        places: where a secret reference, a path, an `allow_from` entry or `("hosts", name)` first stands, as
            `file:line`; for messages only.
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]]
    policies: Mapping[str, Policy]
    windows: Mapping[str, WindowText] = field(default_factory=lambda: MappingProxyType({}))
    blackouts: tuple[str, ...] = ()
    approvals: ApprovalRule = field(default_factory=ApprovalRule)
    digest: str = ""
    sources: tuple[Path, ...] = ()
    template_dirs: tuple[Path, ...] = ()
    places: Mapping[object, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    @property
    def windows_in_use(self) -> tuple[WindowText, ...]:
        """Every window: those with a name, and those written out at some host, under their text.

        So that whoever works on a few hosts only still knows that others have a window.
        """
        texts = dict.fromkeys(host.window for host in self.hosts.values() if host.window is not None)
        inline = [text for text in texts if text not in self.windows]
        return (
            *self.windows.values(),
            *(WindowText(name=text, recurs=text, timezone=None) for text in inline),
        )

    def services_of(self, host: Host) -> tuple[Service, ...]:
        """Return what a host's policies protect, each service once."""
        found = (service for name in host.policies for service in self.policies[name].services)
        return tuple(dict.fromkeys(found))
