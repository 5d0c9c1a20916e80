"""What the parameters of New- and Set-NetFirewallRule say about a rule."""

from collections.abc import Callable, Iterator

from fwfix.lab.windows.cmdlets.base import Scene
from fwfix.lab.windows.model.errors import UnknownToModelError
from fwfix.lab.windows.model.knobs import PROFILES
from fwfix.lab.windows.model.rules import protocol_number
from fwfix.lab.windows.powershell import EnumValue, Invocation, NotInDialect


def given(scene: Scene, call: Invocation) -> dict[str, object]:
    """Return the fields of a rule that a call sets."""
    return dict(_given(scene, call))


def _given(scene: Scene, call: Invocation) -> Iterator[tuple[str, object]]:
    for parameter, field, read in _FIELDS:
        if call.has(parameter):
            yield field, read(scene, call, parameter)


def _any(text: str) -> str:
    return "" if text.lower() == "any" else text


def _any_list(call: Invocation, name: str) -> tuple[str, ...]:
    return tuple(call.texts(name)) or ("Any",)


def _profiles(call: Invocation, name: str) -> tuple[str, ...]:
    value = call.get(name)
    if not isinstance(value, EnumValue) or value.number == 0:
        return ()
    if value.number & ~7:
        raise NotInDialect("this profile of a rule")
    return tuple(name for bit, name in enumerate(PROFILES) if value.number & (1 << bit))


def _interfaces(scene: Scene, call: Invocation, name: str) -> tuple[str, ...]:
    names = [name for name in call.texts(name) if name.lower() != "any"]
    known = {interface.alias.lower(): interface.alias for interface in scene.host.interfaces}
    for alias in names:
        if alias.lower() not in known:
            raise UnknownToModelError(f"a rule about the interface {alias!r}")
    return tuple(known[alias.lower()] for alias in names)


# Parameter, field of a rule, and how the one becomes the other.
_FIELDS: tuple[tuple[str, str, Callable[[Scene, Invocation, str], object]], ...] = (
    ("Description", "description", lambda _, call, name: call.text(name)),
    ("Enabled", "enabled", lambda _, call, name: call.enum_name(name) == "True"),
    ("Profile", "profiles", lambda _, call, name: _profiles(call, name)),
    ("Direction", "inbound", lambda _, call, name: call.enum_name(name) == "Inbound"),
    ("Action", "action", lambda _, call, name: call.enum_name(name)),
    ("LocalAddress", "local_addresses", lambda _, call, name: _any_list(call, name)),
    ("RemoteAddress", "remote_addresses", lambda _, call, name: _any_list(call, name)),
    ("Protocol", "protocol", lambda _, call, name: protocol_number(call.text(name))),
    ("LocalPort", "local_ports", lambda _, call, name: tuple(call.texts(name))),
    ("RemotePort", "remote_ports", lambda _, call, name: tuple(call.texts(name))),
    ("Program", "program", lambda _, call, name: _any(call.text(name))),
    ("Service", "service", lambda _, call, name: _any(call.text(name))),
    ("InterfaceAlias", "interfaces", _interfaces),
)
PARAMETERS = tuple(parameter for parameter, _, _ in _FIELDS)
