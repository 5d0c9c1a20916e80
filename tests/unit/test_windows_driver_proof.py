"""Where no packet is counted: a probe that met something before, and silence of an enforced rule now."""

from ipaddress import ip_address

import pytest

from fwfix.drivers.base import Judgement
from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.policy import Action, Family, Protection, Protocol, Service
from fwfix.verification import CONTROLLER, Evidence, Vantage, Verdict, judge_evidence

PORT = Service(protocol=Protocol.TCP, first=9100, last=9100)
WISH = Protection(service=PORT, allowed=(), action=Action.DROP, log=False)
TARGET = Target(vantage=CONTROLLER, address=ip_address("192.0.2.7"), protocol=Protocol.TCP, port=9100)
KEY = frozenset({(Family.IPV4, Protocol.TCP, 9100)})
OPEN, CLOSED, FILTERED = ProbeResult.OPEN, ProbeResult.CLOSED, ProbeResult.FILTERED


def judged(before: ProbeResult, after: ProbeResult, judgement: Judgement, *, settled: bool = True) -> Verdict:
    evidence = Evidence(
        protections=(WISH,),
        vantages=(Vantage(name=CONTROLLER, sources={Family.IPV4: ip_address("192.0.2.1")}),),
        before=(Reading(target=TARGET, result=before, settled=True),),
        after=(Reading(target=TARGET, result=after, settled=settled),),
        judgement=judgement,
        listeners_before=(),
        listeners_after=(),
    )
    return judge_evidence(evidence, accept_unproven=False)


@pytest.mark.parametrize("before", [OPEN, CLOSED])
def test_silence_after_an_answer_is_the_proof_of_an_enforced_rule(before: ProbeResult) -> None:
    verdict = judged(before, FILTERED, Judgement(enforced=KEY))
    assert verdict.reason is None
    assert verdict.probes[0].proof == f"enforced; {before} before"


@pytest.mark.parametrize(
    ("before", "after", "enforced"),
    [
        (FILTERED, FILTERED, KEY),  # it was silent before: nothing shows that our rule did it
        (OPEN, FILTERED, frozenset()),  # the rule is not enforced
        (OPEN, CLOSED, KEY),  # the service stopped; Windows drops in silence
    ],
)
def test_anything_else_is_no_proof(
    before: ProbeResult, after: ProbeResult, enforced: frozenset[tuple[Family, Protocol, int]]
) -> None:
    verdict = judged(before, after, Judgement(enforced=enforced))
    assert verdict.reason is not None
    assert verdict.reason.code == "unproven"


def test_a_probe_that_has_not_ended_yet_proves_nothing() -> None:
    verdict = judged(OPEN, FILTERED, Judgement(enforced=KEY), settled=False)
    assert not verdict.settled
    assert verdict.probes[0].proof is None


def test_silence_that_the_replaced_run_made_is_inherited() -> None:
    verdict = judged(FILTERED, FILTERED, Judgement(enforced=KEY, inherited=KEY))
    assert verdict.reason is None
    assert "replaces" in (verdict.probes[0].proof or "")


def test_an_open_port_is_never_proven() -> None:
    verdict = judged(OPEN, OPEN, Judgement(enforced=KEY))
    assert verdict.reason is not None
    assert verdict.reason.code == "still-open"


def test_a_rule_that_is_not_enforced_is_the_reason_for_an_open_port() -> None:
    verdict = judged(OPEN, OPEN, Judgement(problems=("the firewall is off in the Private profile",)))
    assert verdict.reason is not None
    assert verdict.reason.code == "rules-not-in-place"
    assert "Private" in verdict.reason.message
