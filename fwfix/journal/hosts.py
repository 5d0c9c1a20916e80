"""Write a host with its connection settings as JSON, and read it back without the inventory."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from fwfix.loading.plan_json import as_json
from fwfix.model.host import Host

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def _adapter() -> "TypeAdapter[Host]":
    from pydantic import TypeAdapter  # noqa: PLC0415 - keeps `--help` fast

    return TypeAdapter(Host)


def host_to_json(host: Host) -> dict[str, object]:
    """Write a host as a plan does; secrets stay references."""
    return cast("dict[str, object]", as_json(host))


def host_from_json(record: Mapping[str, object]) -> Host:
    """Read what `host_to_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    host = _adapter().validate_python(record, strict=False)
    return replace(host, labels=MappingProxyType(dict(host.labels)))
