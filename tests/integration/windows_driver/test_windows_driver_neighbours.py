"""What else is about the ports on a Windows host: rules of others, and printers that it prints to itself."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.windows.model.facts import Printer
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.model.hazard import Severity

if TYPE_CHECKING:
    from conftest import Maker, Windows, Wish

LABELS = Printer(name="Labels", port_name="IP_192.0.2.50", host_address="192.0.2.50", port_number=9100)
RULE = "v2.29|Action={action}|Active={active}|Dir={dir}|Protocol=6|{ports}Name=Theirs|"


def rule(
    action: str,
    *,
    ports: str = "LPort=9100|",
    active: str = "TRUE",
    direction: str = "In",
    name: str = "Theirs",
) -> str:
    return RULE.format(action=action, ports=ports, active=active, dir=direction, name=name)


def told(windows: "Windows", code: str, *wishes: object) -> list[str]:
    """Return what a plan says under a code; nothing of it stops the host."""
    found = [each for each in windows.draft(*wishes).hazards if each.code == code]  # type: ignore[arg-type]
    assert {each.severity for each in found} <= {Severity.WARN}
    return [each.message for each in found]


def test_an_allow_rule_on_the_port_is_named_with_its_store_and_what_becomes_of_it(windows: "Windows") -> None:
    (said,) = told(windows, "other-rule-on-port")
    assert 'local Allow rule raw-printing-in "Raw printing (9100)" names 9100/tcp' in said
    assert "overrides" in said
    assert "whom the policy does not allow" in said


def test_a_block_rule_on_the_port_is_said_to_stay(make_windows: "Maker") -> None:
    windows = make_windows(Knobs(other_rules=(("other-block", rule("Block")),)))
    said = next(each for each in told(windows, "other-rule-on-port") if "other-block" in each)
    assert 'local Block rule other-block "Theirs" names 9100/tcp' in said
    assert "blocked already" in said
    assert "after a rollback too" in said


def test_a_rule_of_group_policy_is_named_with_that_store(make_windows: "Maker") -> None:
    windows = make_windows(Knobs(gpo_rules=(("{1-2-3}", rule("Allow", ports="LPort2_10=9000-9200|")),)))
    assert any('policy Allow rule {1-2-3} "Theirs"' in each for each in told(windows, "other-rule-on-port"))


@pytest.mark.parametrize(
    "text",
    [
        rule("Allow", active="FALSE"),
        rule("Allow", direction="Out"),
        rule("Allow", ports="LPort=515|"),
        rule("Allow", ports="App=C:\\other.exe|"),  # of any port: not about this one
        rule("Allow", ports="LPort=RPC|"),
        rule("Allow").replace("Protocol=6", "Protocol=17"),
    ],
)
def test_a_rule_that_says_nothing_about_the_port_is_not_named(make_windows: "Maker", text: str) -> None:
    windows = make_windows(Knobs(other_rules=(("theirs", text),)))
    assert not any("theirs" in each for each in told(windows, "other-rule-on-port"))


def test_a_rule_about_two_ports_of_the_policy_is_named_once(make_windows: "Maker", wish: "Wish") -> None:
    text = rule("Allow", ports="LPort=9100|LPort=515|")
    windows = make_windows(Knobs(other_rules=(("theirs", text),)))
    (said,) = [
        each for each in told(windows, "other-rule-on-port", wish(), wish(port=515)) if "theirs" in each
    ]
    assert "9100/tcp, 515/tcp" in said


def test_our_own_rules_are_not_those_of_others(windows: "Windows") -> None:
    windows.host.firewall.remove(["raw-printing-in"])
    windows.applied()
    assert told(windows, "other-rule-on-port") == []


def test_printers_that_the_host_prints_to_are_named_as_not_touched(windows: "Windows") -> None:
    assert told(windows, "prints-elsewhere") == []
    windows.host.facts.printers = (LABELS,)
    (said,) = told(windows, "prints-elsewhere")
    assert "Labels (192.0.2.50)" in said
    assert "9100/tcp" in said
    assert "outbound" in said


def test_printers_of_other_ports_and_of_this_host_itself_are_not_named(windows: "Windows") -> None:
    windows.host.facts.printers = (
        replace(LABELS, port_name="1", port_number=515),
        replace(LABELS, port_name="2", host_address="127.0.0.1"),
        replace(LABELS, port_name="3", host_address="192.0.2.7"),
        replace(LABELS, port_name="4", host_address=""),
        replace(LABELS, port_name="5", host_address="localhost"),
    )
    assert told(windows, "prints-elsewhere") == []


def test_a_print_server_gets_one_line_for_all_its_printers(windows: "Windows") -> None:
    windows.host.facts.printers = tuple(
        replace(LABELS, name=f"Q{n:03}", port_name=f"IP_{n}", host_address=f"198.51.100.{n}")
        for n in range(1, 101)
    )
    (said,) = told(windows, "prints-elsewhere")
    assert "Q001 (198.51.100.1)" in said
    assert "and 92 more" in said


def test_every_port_of_a_pool_is_a_printer(windows: "Windows") -> None:
    pooled = replace(LABELS, port_name="IP_1,IP_2", host_address="")
    ports = (
        replace(LABELS, name="One", port_name="IP_1", host_address="192.0.2.51"),
        replace(LABELS, name="Two", port_name="IP_2", host_address="192.0.2.52"),
    )
    windows.host.facts.printers = (pooled, *ports)
    (said,) = told(windows, "prints-elsewhere")
    assert "Labels (192.0.2.51), Labels (192.0.2.52)" in said


def test_a_host_that_prints_over_bjnp_is_told_for_its_ports(windows: "Windows", wish: "Wish") -> None:
    windows.host.facts.printers = (replace(LABELS, name="Canon", port_number=8611),)
    (said,) = told(windows, "prints-elsewhere", wish(port=8610, last=8614))
    assert "8610-8614/tcp" in said
