"""Knobs, troubles and quotas of a running twin, changed by name and value."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta

from fwfix.errors import LabError
from fwfix.lab.windows.model.knobs import PROFILES, Knobs
from fwfix.lab.windows.twin import Twin
from fwfix.lab.windows.wsman.config import Quotas
from fwfix.lab.windows.wsman.trouble import Mishap, Trouble


class TurnError(LabError):
    """There is no such knob, or it does not take such a value."""

    code = "twin-turn"


Request = Mapping[str, object]


def obey(twin: Twin, request: Request) -> object:
    """Do what a request says and return what the twin is like then.

    Args:
        twin: running.
        request: `do`, and what the deed takes.

    Raises:
        TurnError: it cannot be done.
    """
    deeds: dict[str, Callable[[Twin, Request], None]] = {
        "show": lambda _twin, _request: None,
        "reboot": lambda twin, _request: twin.reboot(),
        "end-shells": lambda twin, _request: twin.server.shells.close_all(),
        "set": lambda twin, request: twin.turn(knob(str(request.get("name")), request.get("value"))),
        "trouble": lambda twin, request: twin.server.trouble(trouble_of(request.get("value"))),
        "quotas": lambda twin, request: twin.server.shells.allow(quotas_of(request.get("value"))),
    }
    deed = deeds.get(str(request.get("do")))
    if deed is None:
        raise TurnError(f"A twin cannot {request.get('do')}; it can {', '.join(deeds)}.")
    deed(twin, request)
    knobs = twin.host.knobs
    return {field.name: _shown(getattr(knobs, field.name)) for field in fields(knobs)}


def _shown(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


_CHOICES: dict[str, tuple[str, ...]] = {
    "ps_version": ("3.0", "4.0", "5.1"),
    "category": ("Public", "Private", "DomainAuthenticated"),
    "default_inbound": ("Block", "Allow"),
    "locale": ("en-US", "de-DE"),
    "profiles_off": PROFILES,
    "gpo_profiles_off": PROFILES,
}


def knob(name: str, value: object) -> dict[str, object]:
    """Return a change of knobs.

    Raises:
        TurnError: there is no such knob, or it is of another kind.
    """
    plain = Knobs()
    if name not in {field.name for field in fields(plain)}:
        raise TurnError(f"There is no knob {name!r}.")
    old = getattr(plain, name)
    if isinstance(old, str) and isinstance(value, float):
        value = str(value)
    allowed = _CHOICES.get(name)
    if allowed is not None and not set(value if isinstance(value, list) else [value]) <= set(allowed):
        raise TurnError(f"{name} takes {', '.join(allowed)}.")
    if isinstance(old, timedelta):
        return {name: _seconds(value)}
    if isinstance(old, tuple) and isinstance(value, list):
        made = tuple(tuple(each) if isinstance(each, list) else each for each in value)
        return {name: made}
    if isinstance(old, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return {name: float(value)}
    if type(value) is not type(old):
        raise TurnError(f"{name} takes a value such as {json.dumps(_shown(old))}.")
    return {name: value}


def _seconds(value: object) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TurnError("A time is a number of seconds.")
    return timedelta(seconds=value)


def trouble_of(value: object) -> Trouble:
    """Return the trouble that JSON says: at, on, status, delay, delays.

    Raises:
        TurnError: it says something else.
    """
    given = _object(value)
    if unknown := set(given) - {"at", "on", "status", "delay", "delays"}:
        raise TurnError(f"A trouble has no {min(unknown)!r}.")
    at, on, status, delays = (_object(given.get(name, {})) for name in ("at", "on", "status", "delays"))
    try:
        return Trouble(
            at={int(number): Mishap(name) for number, name in at.items()},
            on={action: Mishap(name) for action, name in on.items()},
            status={int(number): _whole(code) for number, code in status.items()},
            delay=_seconds(given.get("delay", 0)),
            delays={action: _seconds(late) for action, late in delays.items()},
        )
    except ValueError as error:
        raise TurnError(f"This trouble is not known: {error}.") from error


def quotas_of(value: object) -> Quotas:
    """Return the quotas of a service, those that JSON does not name as Windows has them.

    Raises:
        TurnError: it says something else.
    """
    given = {name: _whole(number) for name, number in _object(value).items()}
    plain = Quotas()
    for name in given:
        if not isinstance(getattr(plain, name, None), int):
            raise TurnError(f"There is no quota {name!r}.")
    return replace(plain, **given)  # type: ignore[arg-type]


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TurnError("This takes a JSON object.")
    return dict(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TurnError("This takes a whole number.")
    return value
