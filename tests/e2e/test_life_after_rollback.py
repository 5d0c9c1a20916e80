"""A rollback says whether the ports are as they were before the run."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site

pytestmark = pytest.mark.lab


def test_a_port_that_somebody_else_blocks_by_now_is_no_success(site: "Site") -> None:
    run_id = site.fwfix.apply().run_id
    site.sh("iptables -I INPUT 1 -p tcp --dport 9100 -j DROP")
    undone = site.fwfix.rollback(code=3)
    assert (undone.outcome(), undone.reason()) == ("rolled_back", "not-as-before")
    assert undone.steps() == ["observe", "rollback", "check"]
    assert undone.document["exit_code"] == 3
    assert site.host.address in undone.host()["reason"]["message"]
    assert site.states() == {run_id: "reverted"}
    assert "FWFIX" not in site.rules()
    again = site.fwfix.rollback(run_id, code=3)
    assert (again.outcome(), again.reason()) == ("rolled_back", "not-as-before")
    assert "rollback" not in again.steps()
    site.sh("iptables -D INPUT -p tcp --dport 9100 -j DROP")
    assert site.fwfix.rollback(run_id, code=0).outcome() == "noop"


def test_a_port_that_a_later_run_blocks_is_as_it_should_be(site: "Site") -> None:
    first = site.fwfix.apply().run_id
    site.fwfix.rollback(first)
    site.fwfix.apply()
    assert site.fwfix.rollback(first, code=0).outcome() == "noop"


def test_a_service_that_was_stopped_in_the_meantime_is_only_a_warning(site: "Site") -> None:
    site.fwfix.apply()
    site.sh("kill -9 $(ps -eo pid,comm | awk '$2 == \"p910nd\"{print $1}')")
    undone = site.fwfix.rollback(code=0)
    assert (undone.outcome(), undone.reason()) == ("rolled_back", "listener-gone")


def test_silence_is_a_failure_also_where_the_service_is_stopped_besides(site: "Site") -> None:
    site.fwfix.apply()
    site.sh("kill -9 $(ps -eo pid,comm | awk '$2 == \"p910nd\"{print $1}')")
    site.sh("ip6tables -I INPUT 1 -p tcp --dport 9100 -j DROP")
    assert site.fwfix.rollback(code=3).reason() == "not-as-before"
