"""What a vantage proves whose address is not known, or that is certain of `open` alone."""

from ipaddress import ip_address, ip_network

from fwfix.drivers.base import Counter, Judgement
from fwfix.model.outcome import Expectation, ProbeResult, Reading, Target
from fwfix.model.policy import Action, Address, Family, Protection, Protocol, Service
from fwfix.verification import Evidence, Vantage, Verdict, judge_evidence

SERVICE = Service(protocol=Protocol.TCP, first=9100, last=9100)
TARGET = Target(vantage="bastion", address=ip_address("192.0.2.7"), protocol=Protocol.TCP, port=9100)
JUMP = ip_address("192.0.2.1")


def judge(
    *,
    before: ProbeResult,
    after: ProbeResult,
    allowed: str = "",
    source: Address | None = None,
    certain: bool = False,
    packets: int = 0,
    enforced: bool = False,
) -> Verdict:
    networks = (ip_network(allowed),) if allowed else ()
    protection = Protection(service=SERVICE, allowed=networks, action=Action.DROP, log=False)
    counter = Counter(
        source=JUMP, family=Family.IPV4, protocol=Protocol.TCP, port=9100, published=False, packets=packets
    )
    evidence = Evidence(
        protections=(protection,),
        vantages=(
            Vantage(name="bastion", sources={} if source is None else {Family.IPV4: source}, certain=certain),
        ),
        before=(Reading(target=TARGET, result=before, settled=True),),
        after=(Reading(target=TARGET, result=after, settled=True),),
        judgement=Judgement(
            counters=(counter,),
            enforced=frozenset({(Family.IPV4, Protocol.TCP, 9100)} if enforced else ()),
        ),
        listeners_before=(),
        listeners_after=(),
    )
    return judge_evidence(evidence, accept_unproven=False)


def reason(verdict: Verdict) -> str | None:
    return None if verdict.reason is None else verdict.reason.code


OPEN, FILTERED = ProbeResult.OPEN, ProbeResult.FILTERED


def test_open_from_an_unknown_address_counts_only_where_nobody_is_allowed() -> None:
    assert reason(judge(before=OPEN, after=OPEN)) == "still-open"
    somebody = judge(before=OPEN, after=OPEN, allowed="10.0.0.0/8")
    assert somebody.probes[0].expected is None
    assert reason(somebody) == "unproven"
    assert reason(judge(before=OPEN, after=OPEN, allowed="2001:db8::/64")) == "still-open"


def test_open_from_a_known_address_that_must_be_blocked_counts() -> None:
    assert reason(judge(before=OPEN, after=OPEN, allowed="10.0.0.0/8", source=JUMP)) == "still-open"


def test_not_open_is_proof_only_by_the_counter_of_its_address() -> None:
    assert reason(judge(before=OPEN, after=FILTERED, source=JUMP)) == "unproven"
    proven = judge(before=OPEN, after=FILTERED, source=JUMP, packets=2)
    assert (reason(proven), proven.probes[0].proof) == (None, "counter +2")


def test_silence_behind_an_enforced_rule_proves_it_to_who_can_tell_silence() -> None:
    tells = judge(before=OPEN, after=FILTERED, source=JUMP, certain=True, enforced=True)
    assert (reason(tells), tells.probes[0].proof) == (None, "enforced; open before")
    cannot = judge(before=OPEN, after=FILTERED, source=JUMP, enforced=True)
    assert reason(cannot) == "unproven"


def test_who_is_certain_of_open_alone_is_never_cut_off_but_seen_to_keep_access() -> None:
    kept = judge(before=OPEN, after=OPEN, allowed="192.0.2.0/24", source=JUMP)
    assert kept.probes[0].expected is Expectation.OPEN
    lost = judge(before=OPEN, after=FILTERED, allowed="192.0.2.0/24", source=JUMP)
    assert (lost.probes[0].expected, reason(lost)) == (None, "unproven")
    sure = judge(before=OPEN, after=FILTERED, allowed="192.0.2.0/24", source=JUMP, certain=True)
    assert reason(sure) == "allowed-source-cut"
