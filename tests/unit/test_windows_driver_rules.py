"""Rules as the registry of Windows spells them, compared by what they mean."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from fwfix.drivers.windows_facts import WindowsFacts
from fwfix.drivers.windows_hazards import HAZARDS, enforcement_problems
from fwfix.drivers.windows_observation import read_windows_observation
from fwfix.drivers.windows_rules import differences, parse_rule
from fwfix.errors import AnswerError, PrivilegeError, ScriptError
from fwfix.model.hazard import Hazard
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Result
from fwfix.rendering.windows import WindowsRule, make_rules

RUN = "20261121T220003Z-4f2a"
HEAD = "v2.29|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=9100|"
TAIL = "Name=fwfix 9100/tcp|Desc=Blocks|EmbedCtxt=fwfix|"


def tcp(first: int, last: int | None = None) -> Service:
    return Service(protocol=Protocol.TCP, first=first, last=last or first)


def wanted(*allowed: str, service: Service | None = None) -> WindowsRule:
    wish = Protection(
        service=service or tcp(9100),
        allowed=tuple(ip_network(text) for text in allowed),
        action=Action.DROP,
        log=False,
    )
    return make_rules(RUN, (wish,))[0]


def found(text: str, rule: WindowsRule) -> list[str]:
    return list(differences(parse_rule(rule.name, text, store="local"), rule))


def test_a_rule_as_it_was_made_has_no_difference() -> None:
    assert found(HEAD + TAIL, wanted()) == []


def test_addresses_are_compared_by_meaning() -> None:
    rule = wanted("10.0.5.0/24")
    addresses = (
        "RA4=0.0.0.0-10.0.4.255|RA4=10.0.6.0/255.255.254.0|RA4=10.0.8.0-126.255.255.255|RA4=128.0.0.0/1|"
        "RA6=::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff|"
    )
    assert found(HEAD + addresses + TAIL, rule) == []
    assert found(HEAD + addresses.replace("128.0.0.0/1", "128.0.0.0/2") + TAIL, rule)
    assert found(HEAD + addresses.replace("RA6=::2-", "RA6=::3-") + TAIL, rule)
    assert found(HEAD + TAIL, rule)
    assert found(HEAD + addresses.replace("128.0.0.0/1", "LocalSubnet") + TAIL, rule)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Action=Block", "Action=Allow", "does not block"),
        ("Active=TRUE", "Active=FALSE", "is disabled"),
        ("Dir=In", "Dir=Out", "does not block"),
        ("LPort=9100", "LPort=9101", "is not about 9100/tcp"),
        ("Protocol=6", "Protocol=17", "is not about 9100/tcp"),
        ("LPort=9100|", "LPort=9100|Profile=Public|", "was narrowed (Profile)"),
        ("LPort=9100|", "LPort=9100|App=C:\\x.exe|", "was narrowed (App)"),
        ("LPort=9100|", "LPort=9100|RA4=10.0.0.0/255.0.0.0|", "does not block everybody"),
    ],
)
def test_every_change_of_a_rule_is_found(old: str, new: str, said: str) -> None:
    assert any(said in each for each in found((HEAD + TAIL).replace(old, new), wanted()))


def test_a_range_of_ports_is_one_rule() -> None:
    rule = wanted(service=tcp(8610, 8614))
    assert found(HEAD.replace("LPort=9100", "LPort2_10=8610-8614") + TAIL, rule) == []


@pytest.mark.parametrize(
    ("condition", "meets"),
    [
        ("Protocol=6|LPort=9100|", True),
        ("Protocol=6|LPort2_10=9000-9200|", True),
        ("Protocol=6|LPort=515|LPort=9100|", True),
        ("Protocol=6|LPort=RPC|", True),
        ("Protocol=6|", True),
        ("", True),
        ("Protocol=6|LPort=515|", False),
        ("Protocol=17|LPort=9100|", False),
    ],
)
def test_a_rule_that_could_meet_a_packet_is_told_from_one_that_cannot(condition: str, meets: bool) -> None:  # noqa: FBT001 - a parameter of a test
    rule = parse_rule("x", f"v2.29|Action=Allow|Active=TRUE|Dir=In|{condition}Name=x|", store="policy")
    assert rule.may_match(tcp(9100)) is meets


@pytest.mark.parametrize(
    "status", [("1",), ("Full",), ("Enforced",), ("1", "5"), ("Full", "ProfileInactive")]
)
def test_names_and_numbers_of_enforcement_mean_the_same(status: tuple[str, ...]) -> None:
    assert list(enforcement_problems(WindowsFacts(enforced={"r": status}), "r")) == []


@pytest.mark.parametrize("status", [(), ("5",), ("1", "16"), ("2",), ("Something new",), ("1", "99")])
def test_an_unknown_word_of_enforcement_is_no_proof(status: tuple[str, ...]) -> None:
    assert list(enforcement_problems(WindowsFacts(enforced={"r": status}), "r"))


def test_every_hazard_of_windows_stands_in_its_page_with_its_severity() -> None:
    page = (Path(__file__).parents[2] / "docs" / "windows-hosts.md").read_text(encoding="utf-8")
    for code in HAZARDS:
        assert f"| `{code}` | {Hazard(code=code, message='').severity} |" in page


def answer(text: str) -> Result:
    return Result(exit_code=0, stdout=text, stderr="", took_ms=1)


def test_an_answer_that_is_cut_is_no_observation() -> None:
    with pytest.raises(AnswerError):
        read_windows_observation(answer('{"schema": "fwfix.answer/1", "ok": true'))
    with pytest.raises(AnswerError):
        read_windows_observation(answer('{"schema": "fwfix.answer/1", "script": "observe", "ok": true}'))


def test_a_refusal_says_which() -> None:
    head = '{"schema": "fwfix.answer/1", "script": "observe", "ok": false, "message": "m", "code": '
    with pytest.raises(PrivilegeError):
        read_windows_observation(answer(head + '"not-administrator"}'))
    with pytest.raises(ScriptError) as refused:
        read_windows_observation(answer(head + '"unsupported-os"}'))
    assert refused.value.code == "unsupported-os"


@pytest.mark.parametrize(
    ("boot", "timer", "left"),
    [("b1", False, 30), ("b0", True, 30), ("b0", False, None)],
)
def test_a_timer_of_an_earlier_boot_is_not_pending(boot: str, timer: bool, left: int | None) -> None:  # noqa: FBT001 - a parameter of a test
    text = (
        '{"schema": "fwfix.answer/1", "ok": true, "machine_id": "m", "boot_id": "b1", "uptime": "70.00",'
        f' "records": [{{"run_id": "{RUN}", "state": "armed", "deadline": "100.00", "boot_id": "{boot}",'
        f' "timer": {str(timer).lower()}, "machine_id": "m"}}]}}'
    )
    (record,) = read_windows_observation(answer(text)).records
    assert record.remaining == (None if left is None else timedelta(seconds=left))
