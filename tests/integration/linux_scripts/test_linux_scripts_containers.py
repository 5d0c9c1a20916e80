"""Published ports, with packets: a container in a namespace of the host, reached from another client."""

from typing import TYPE_CHECKING

import pytest

from fwfix.lab.linux import Lab
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Protocol

if TYPE_CHECKING:
    from conftest import OnHost, RunContainer

pytestmark = pytest.mark.lab

FIRST = "20261121T220003Z-4f2a"
PUBLISHED = PublishedPort(
    protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.31.0.2:80", covered=True
)


@pytest.fixture
def box(lab_of_one: tuple[Lab, "OnHost"], run_container: "RunContainer") -> tuple[Lab, "OnHost"]:
    lab, one = lab_of_one
    run_container(one.host, published=True)
    assert lab.outside.connect(one.host.address, 9100) == "open"
    return lab, one


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_nobody_reaches_it_and_the_counter_proves_it(box: tuple[Lab, "OnHost"], backend: str) -> None:
    lab, one = box
    scripts = one.scripts(
        FIRST, one.protect(), published=(PUBLISHED,), backend="nft" if backend == "nft" else "iptables"
    )
    one.arm(scripts)
    one.apply(scripts, lab.outside.address)
    assert lab.outside.connect(one.host.address, 9100) == "filtered"
    rules = one.sh("iptables-save -c") if backend == "iptables" else one.host.ruleset()
    (probe,) = [
        line for line in rules.splitlines() if ":probe-" in line and ("DNAT" in line or "dnat" in line)
    ]
    assert not probe.startswith("[0:0]")
    assert "packets 0 " not in probe
    one.confirm(scripts)
    assert one.rollback()["ok"]
    assert lab.outside.connect(one.host.address, 9100) == "open"


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_who_is_allowed_still_reaches_it_and_hears_the_answer(
    box: tuple[Lab, "OnHost"], backend: str
) -> None:
    lab, one = box
    wanted = one.protect(allowed=(f"{lab.outside.address}/32",))
    one.install(
        one.scripts(FIRST, wanted, published=(PUBLISHED,), backend="nft" if backend == "nft" else "iptables")
    )
    assert lab.outside.connect(one.host.address, 9100) == "open"
    assert one.rollback()["ok"]
