"""Load inventory files, merge them, and resolve every value of every host."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fwfix.errors import InventoryError
from fwfix.loading.calendar import Calendar
from fwfix.loading.checks import HostChecker, check_jumps, check_policy_ports, unknown_name, wrong
from fwfix.loading.digest import digest_of
from fwfix.loading.documents import HostEntry, PolicyEntry
from fwfix.loading.fields import Place, resolve_path
from fwfix.loading.files import LoadedFile, find_files, read_file
from fwfix.loading.merge import Layer, join, layer_of, overlay
from fwfix.model.allow import check_not_everybody, collapse
from fwfix.model.host import Host, Platform, SshSettings, WinrmSettings
from fwfix.model.inventory import ApprovalRule, Inventory, WindowText
from fwfix.model.names import check_address, check_name
from fwfix.model.policy import PROFILES, Action, AllowEntry, Policy

ALL = "all"
NO_JUMP = "none"


def load_inventory(paths: Sequence[Path]) -> Inventory:
    """Load files and folders as one inventory.

    Names in `allow_from` are not looked up, and no file or variable that a host needs is opened: see
    `fwfix.loading.references`.

    Raises:
        InventoryError: the first thing that is wrong, with file and line.
    """
    if not paths:
        raise InventoryError("no inventory given", next="Give -i PATH, or set FWFIX_INVENTORY.")
    inventory = _Assembly([read_file(path) for path in find_files(paths)]).build()
    Calendar(inventory)  # every window and blackout must mean something
    return inventory


class _Assembly:
    """The files of one inventory on their way to becoming one value."""

    def __init__(self, files: Sequence[LoadedFile]) -> None:
        self._files = files
        self._places: dict[object, Place] = {}
        self._defaults = Layer()
        self._groups: dict[str, Layer] = {}
        self._bases: dict[tuple[str, ...], Layer] = {}
        self._layers: dict[str, Layer] = {}

    def build(self) -> Inventory:
        for file in self._files:
            self._read_layers(file)
        policies = self._read_policies()
        windows = self._read_windows()
        approvals = self._approvals()
        hosts = {
            name: self._host(file, name, entry)
            for file in self._files
            for name, entry in file.document.hosts.items()
            if self._claim(file, "hosts", name)
        }
        if not hosts:
            raise InventoryError(
                "no host is defined", path=self._files[0].path, next="Add some under `hosts:`."
            )
        self._check(hosts, policies, windows)
        inventory = Inventory(
            hosts=MappingProxyType(hosts),
            groups=MappingProxyType(self._members(hosts)),
            policies=MappingProxyType(policies),
            windows=MappingProxyType(windows),
            blackouts=self._blackouts(),
            approvals=approvals,
            sources=tuple(file.path.resolve() for file in self._files),
            template_dirs=self._template_dirs(),
            places=MappingProxyType({what: str(place) for what, place in self._places.items()}),
        )
        return replace(inventory, digest=digest_of(inventory))

    def _read_layers(self, file: LoadedFile) -> None:
        for what, place in file.context.places.items():
            self._places.setdefault(what, place)
        if file.document.defaults is not None:
            layer = layer_of(file, file.document.defaults, file.tree["defaults"])
            self._defaults = join(self._defaults, layer, "defaults")
        for name, entry in file.document.groups.items():
            if name == ALL:
                raise wrong(
                    file.place("groups", name), "'all' stands for every host; use `defaults:` for them"
                )
            layer = layer_of(file, entry, file.tree["groups"][name])
            self._groups[name] = join(self._groups.get(name, Layer()), layer, f"groups.{name}")

    def _claim(self, file: LoadedFile, section: str, name: str) -> bool:
        """Note where a name is defined; it may be defined in one file only."""
        place = file.place(section, name)
        first = self._places.setdefault((section, name), place)
        if first is not place:
            singular = {"hosts": "host", "policies": "policy", "maintenance_windows": "window"}[section]
            raise wrong(place, f"{singular} {name!r} is defined twice: here and in {first}")
        return True

    def _read_policies(self) -> dict[str, Policy]:
        policies: dict[str, Policy] = {}
        for file in self._files:
            for name, entry in file.document.policies.items():
                self._claim(file, "policies", name)
                policies[name] = self._policy(file, name, entry)
        return policies

    def _policy(self, file: LoadedFile, name: str, entry: PolicyEntry) -> Policy:
        services = [s for services in entry.ports for s in services] if entry.ports else PROFILES["jetdirect"]
        policy = Policy(
            name=name,
            services=tuple(dict.fromkeys(services)),
            allow_from=tuple(dict.fromkeys(entry.allow_from or ())),
            action=entry.action or Action.DROP,
            log=bool(entry.log),
        )
        check_policy_ports(policy, file.place("policies", name, "ports"))
        _check_sources(policy.allow_from, f"policy {name}", file.place("policies", name, "allow_from"))
        return policy

    def _read_windows(self) -> dict[str, WindowText]:
        windows: dict[str, WindowText] = {}
        for file in self._files:
            for name, entry in file.document.maintenance_windows.items():
                self._claim(file, "maintenance_windows", name)
                windows[name] = WindowText(name=name, recurs=entry.recurs, timezone=entry.timezone)
        return windows

    def _host(self, file: LoadedFile, name: str, entry: HostEntry) -> Host:
        groups = tuple(entry.groups or ())
        own = layer_of(file, entry, file.tree["hosts"][name])
        layer = self._layers[name] = overlay(self._base(file, name, groups), own)
        place = file.place("hosts", name)
        if name == ALL or name in self._groups:
            meaning = "every host" if name == ALL else "a group"
            raise wrong(place, f"host {name!r}: the name already stands for {meaning}; rename one of them")
        if "platform" not in layer.values:
            raise wrong(place, f"host {name}: the key 'platform' is missing: write linux or windows")
        _check_sources(tuple(layer.get("allow_also", ())), f"host {name}", place)
        try:
            return _make_host(name, groups, layer)
        except ValueError as exc:
            raise wrong(place, f"host {name}: {exc}") from None

    def _base(self, file: LoadedFile, host: str, groups: tuple[str, ...]) -> Layer:
        """Return what a host inherits: its groups, the first one first, then the defaults."""
        if groups not in self._bases:
            layer = self._defaults
            for position, group in reversed(list(enumerate(groups))):
                if group not in self._groups or group in groups[:position]:
                    place = file.place("hosts", host, "groups")
                    known = group in self._groups
                    what = f"{group} is listed twice" if known else unknown_name("group", group, self._groups)
                    raise wrong(place, f"host {host}: {what}")
                layer = overlay(layer, self._groups[group])
            self._bases[groups] = layer
        return self._bases[groups]

    def _check(
        self, hosts: Mapping[str, Host], policies: Mapping[str, Policy], windows: Mapping[str, WindowText]
    ) -> None:
        checker = HostChecker(policies, self._where)
        for host in hosts.values():
            checker.check(host)
            if host.window is not None and host.window not in windows and _looks_like_a_name(host.window):
                place = self._where(host.name, "window")
                raise wrong(place, f"host {host.name}: {unknown_name('window', host.window, windows)}")
        check_jumps(hosts, self._where)

    def _where(self, host: str, key: str, inner: str | None = None) -> Place:
        layer = self._layers[host]
        if inner is not None:
            return layer.mappings[key][inner][1]
        return layer.values[key][1]

    def _members(self, hosts: Mapping[str, Host]) -> dict[str, tuple[str, ...]]:
        members: dict[str, list[str]] = {name: [] for name in self._groups}
        for host in hosts.values():
            for group in host.groups:
                members[group].append(host.name)
        return {name: tuple(names) for name, names in members.items()}

    def _blackouts(self) -> tuple[str, ...]:
        texts: list[str] = []
        for file in self._files:
            for number, text in enumerate(file.document.blackouts):
                is_path = text.lower().endswith(".ics")
                texts.append(str(resolve_path(text, file.context.folder)) if is_path else text)
                self._places.setdefault(("blackouts", texts[-1]), file.place("blackouts", number))
        return tuple(dict.fromkeys(texts))

    def _approvals(self) -> ApprovalRule:
        found: tuple[LoadedFile, ApprovalRule] | None = None
        for file in self._files:
            entry = file.document.approvals
            if entry is None:
                continue
            if found is not None:
                first = found[0].place("approvals")
                raise wrong(file.place("approvals"), f"approvals are defined twice: here and in {first}")
            said = {key: getattr(entry, key) for key in entry.model_fields_set}
            found = (file, ApprovalRule(**said))
        return found[1] if found else ApprovalRule()

    def _template_dirs(self) -> tuple[Path, ...]:
        folders = (file.context.folder / "templates" for file in self._files)
        return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def _make_host(name: str, groups: tuple[str, ...], layer: Layer) -> Host:
    address = layer.get("address")
    return Host(
        name=name,
        address=check_address(name) if address is None else address,
        platform=Platform(layer.get("platform")),
        groups=groups,
        labels=MappingProxyType(layer.plain("labels")),
        policies=layer.get("policy", ()),
        allow_also=tuple(dict.fromkeys(layer.get("allow_also", ()))),
        window=layer.get("window"),
        vantage=layer.get("vantage", default=False),
        probe_addresses=tuple(dict.fromkeys(layer.get("probe_addresses", ()))),
        expect_hostname=layer.get("expect_hostname"),
        ssh=SshSettings(**_without_no_jump(layer.plain("ssh"))),
        winrm=WinrmSettings(**_without_no_jump(layer.plain("winrm"))),
    )


def _without_no_jump(settings: dict[str, Any]) -> dict[str, Any]:
    """Let `jump: none` switch off an inherited jump host."""
    return {key: value for key, value in settings.items() if not (key == "jump" and value == NO_JUMP)}


def _looks_like_a_name(window: str) -> bool:
    try:
        check_name(window)
    except ValueError:
        return False
    return True


def _check_sources(entries: tuple[AllowEntry, ...], what: str, place: Place) -> None:
    if not entries:
        return
    try:
        check_not_everybody(collapse(n for entry in entries for n in entry.networks), what)
    except ValueError as exc:
        raise wrong(place, str(exc)) from None
