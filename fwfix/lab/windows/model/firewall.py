"""The firewall service: stores of rules and profiles, who may change them, and who hears of it."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import fields, replace

from fwfix.lab.windows.model import grammar, rules, values
from fwfix.lab.windows.model.errors import UnknownToModelError, system_error
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.policy import (
    GROUP_POLICY,
    LOCAL,
    ActiveRule,
    Interface,
    Policy,
    Profile,
    group_profiles,
    in_force,
    local_profiles,
)  # fmt: skip
from fwfix.lab.windows.model.rules import Rule

PERSISTENT, ACTIVE, RSOP = "PersistentStore", "ActiveStore", "RSOP"
# Windows has more: SystemDefaults, StaticServiceStore, ConfigurableServiceStore, and stores of GPOs by name.
STORES = (PERSISTENT, ACTIVE, RSOP)
_WINRM = (
    "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort={port}|App=System|Name={title}|EmbedCtxt={group}|"
)
_PRINTING = "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=Raw printing (9100)|"
STANDARD_RULES = (
    (
        "WINRM-HTTP-In-TCP",
        _WINRM.format(
            port=5985, title="Windows Remote Management (HTTP-In)", group="Windows Remote Management"
        ),
    ),
    (
        "WINRM-HTTPS-In-TCP",
        _WINRM.format(
            port=5986, title="Windows Remote Management (HTTPS-In)", group="Windows Remote Management"
        ),
    ),
    ("raw-printing-in", _PRINTING),
)


class Firewall:
    """The stores of a host; safe from several threads.

    Args:
        running: whether MpsSvc runs; every call asks.
        interfaces: of the host, now.
    """

    def __init__(
        self, knobs: Knobs, *, running: Callable[[], bool], interfaces: Callable[[], tuple[Interface, ...]]
    ) -> None:
        self._lock = threading.RLock()
        self._running = running
        self._interfaces = interfaces
        self._version = grammar.VERSIONS[knobs.ps_version]
        given = (*STANDARD_RULES, *_given_rules(knobs).items())
        self._local = {name: grammar.parse_rule(name, text) for name, text in given}
        self._group = {name: grammar.parse_rule(name, text) for name, text in knobs.gpo_rules}
        self.local_profiles = local_profiles(knobs)
        self.group_profiles = group_profiles(knobs)
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this after every change, before the cmdlet that made it returns."""
        self._listeners.append(listener)

    def changed(self) -> None:
        """Say that something that decides about packets has changed."""
        for listener in self._listeners:
            listener()

    @property
    def size(self) -> int:
        """How many rules there are."""
        with self._lock:
            return len(self._local) + len(self._group)

    def policy(self) -> Policy:
        """Return what is in force now."""
        with self._lock:
            return Policy(
                running=self._running(),
                profiles=tuple(
                    in_force(group, self.local_profiles[name]) for name, group in self.group_profiles.items()
                ),
                interfaces=self._interfaces(),
                local=tuple(self._local.values()),
                group=tuple(self._group.values()),
            )

    def read(self, store: str) -> tuple[ActiveRule, ...]:
        """Return the rules of a store; only those of the active store have a status.

        Raises:
            RefusalError: the service does not run.
        """
        self.check_running()
        if store == ACTIVE:
            return self.policy().active()
        with self._lock:
            found = self._local if store == PERSISTENT else self._group
            source = LOCAL if store == PERSISTENT else GROUP_POLICY
            return tuple(ActiveRule(rule=rule, source=source, status=()) for rule in found.values())

    def profiles(self, store: str) -> tuple[Profile, ...]:
        """Return the profiles of a store."""
        self.check_running()
        with self._lock:
            if store == ACTIVE:
                return self.policy().profiles
            return tuple((self.local_profiles if store == PERSISTENT else self.group_profiles).values())

    def check_running(self) -> None:
        """Raise what a cmdlet gets while the service is down."""
        if not self._running():
            raise system_error(1753)

    def add(self, rule: Rule) -> Rule:
        """Add a rule to the local store and return it as it is kept.

        Raises:
            RefusalError: Windows refuses it; a name that is there already is error 183.
        """
        self.check_running()
        kept = checked(rule)
        with self._lock:
            if any(name.lower() == kept.name.lower() for name in self._local):
                raise system_error(183)
            self._local[kept.name] = kept
        self.changed()
        return kept

    def change(self, names: Iterable[str], **changes: object) -> tuple[Rule, ...]:
        """Change rules of the local store, all or none, and return them as they are kept.

        Raises:
            RefusalError: Windows refuses what one of them would become.
        """
        self.check_running()
        with self._lock:
            found = [self._local[name] for name in names if name in self._local]
            kept = [checked(replace(rule, **changes)) for rule in found]  # type: ignore[arg-type]
            self._local.update({rule.name: rule for rule in kept})
        self.changed()
        return tuple(kept)

    def remove(self, names: Iterable[str]) -> None:
        """Remove rules of the local store; one that has gone meanwhile is no error."""
        self.check_running()
        with self._lock:
            for name in names:
                self._local.pop(name, None)
        self.changed()

    def set_profiles(self, profiles: Iterable[Profile]) -> None:
        """Replace what the local store says about profiles."""
        self.check_running()
        with self._lock:
            self.local_profiles.update({profile.name: profile for profile in profiles})
        self.changed()

    def turn(self, before: Knobs, after: Knobs) -> None:
        """Follow the knobs; of the local store only what they changed changes."""
        group = {name: grammar.parse_rule(name, text) for name, text in after.gpo_rules}
        old, new = _given_rules(before), _given_rules(after)
        added = {name: grammar.parse_rule(name, text) for name, text in new.items() if old.get(name) != text}
        with self._lock:
            self._group = group
            self._local = {name: rule for name, rule in self._local.items() if name in new or name not in old}
            self._local.update(added)
            self.local_profiles = {
                name: _followed(profile, local_profiles(before)[name], local_profiles(after)[name])
                for name, profile in self.local_profiles.items()
            }
            self.group_profiles = group_profiles(after)

    def registry(self, *, group: bool) -> dict[str, str]:
        """Return the rules of a store as the registry has them."""
        with self._lock:
            found = self._group if group else self._local
            return {name: grammar.rule_text(rule, version=self._version) for name, rule in found.items()}


def checked(rule: Rule) -> Rule:
    """Return a rule as Windows writes it back.

    Raises:
        RefusalError: Windows refuses it.
        UnknownToModelError: the model does not know what Windows would do.
    """
    rules.check_texts(rule)
    if rule.action not in ("Allow", "Block"):
        raise UnknownToModelError(f"a rule with the action {rule.action}")
    return replace(
        rule,
        profiles=rules.check_profiles(rule.profiles),
        local_ports=values.ports(rule.local_ports, protocol=rule.protocol),
        remote_ports=values.ports(rule.remote_ports, protocol=rule.protocol),
        local_addresses=values.addresses(rule.local_addresses),
        remote_addresses=values.addresses(rule.remote_addresses),
    )


def _given_rules(knobs: Knobs) -> dict[str, str]:
    return dict((*knobs.other_rules, *_filler(knobs.n_rules)))


def _followed(profile: Profile, before: Profile, after: Profile) -> Profile:
    """Return a profile with those settings changed that differ between two others."""
    names = [field.name for field in fields(profile)]
    return replace(
        profile,
        **{name: getattr(after, name) for name in names if getattr(before, name) != getattr(after, name)},
    )


def _filler(count: int) -> list[tuple[str, str]]:
    text = "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort={port}|Name=Filler {number}|"
    return [
        (f"filler-{number}", text.format(port=20000 + number % 10000, number=number))
        for number in range(count)
    ]
