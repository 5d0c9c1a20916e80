"""A host that has no policy is as wanted, so that print servers and vantages may stand in the inventory."""

import pytest

from fwfix.drivers.base import Desired
from fwfix.drivers.linux import LinuxDriver
from fwfix.drivers.windows import WindowsDriver
from fwfix.model.host import Host, Platform
from fwfix.rendering.environment import Renderer


@pytest.mark.parametrize(("platform", "kind"), [("linux", LinuxDriver), ("windows", WindowsDriver)])
def test_a_host_without_a_policy_has_nothing_to_change(
    platform: str, kind: type[LinuxDriver] | type[WindowsDriver]
) -> None:
    driver = kind(Renderer(()))
    host = Host(name="prt-srv-01", address="10.0.5.10", platform=Platform(platform))
    desired = Desired(
        host=host, run_id="20261121T220003Z-4f2a", protections=(), observation=driver.assume(host)
    )
    draft = driver.draft(desired)
    assert (draft.in_place, draft.problems, draft.changes) == (True, (), ())
