"""Plans, summaries and progress as people read them; a host cannot write to the operator's terminal."""

import io
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_network
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.model.hazard import Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import HostReport, Outcome, RunReport
from fwfix.model.plan import (
    Acceptance,
    Change,
    ChangeOp,
    HostPlan,
    Plan,
    PlannedOutcome,
    Reason,
)
from fwfix.model.policy import Action, Family, Protection, Protocol, Service
from fwfix.model.script import Script
from fwfix.output.observe import make_observer
from fwfix.output.plain import PlainLines
from fwfix.output.plan import plan_lines
from fwfix.output.printing import Output
from fwfix.output.summary import summary_lines
from fwfix.output.text import Line, Style, moment, printable, took, write_lines

RUN = "20261121T220003Z-4f2a"
START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1), "CET")


def text_of(lines: Iterable[Line]) -> str:
    return "\n".join(line.text for line in lines)


def report_of(*hosts: HostReport, command: str = "apply") -> RunReport:
    return RunReport(
        command=command,
        run_id=RUN,
        started_at=START,
        finished_at=START + timedelta(seconds=65),
        operator="ops",
        controller="jump01",
        fwfix_version="0.1.0",
        ticket="",
        plan_digest="",
        exit_code=0,
        hosts=hosts,
    )


def ended(name: str, outcome: Outcome, **more: object) -> HostReport:
    values: dict[str, object] = {"name": name, "address": "10.0.0.1", "platform": "linux", "outcome": outcome}
    return HostReport(**(values | more))  # type: ignore[arg-type]


def plan_of(*hosts: HostPlan, accepted: Acceptance | None = None) -> Plan:
    return Plan(
        run_id=RUN,
        created_at=START,
        hosts=hosts,
        waves=(("a",), ("b", "c")),
        accepted=accepted or Acceptance(),
        operator="ops (sudo)",
        controller="jump01",
        ticket="CHG-1",
    )


CHANGING = HostPlan(
    host=Host(name="a", address="10.1.2.3", platform=Platform.LINUX),
    outcome=PlannedOutcome.CHANGE,
    protections=(
        Protection(
            service=Service(protocol=Protocol.TCP, first=9100, last=9100),
            allowed=(ip_network("10.0.5.0/24"), ip_network("fd00:5::/64")),
            action=Action.DROP,
            log=False,
        ),
    ),
    identity="machine",
    backend="iptables-nft",
    deadline=timedelta(seconds=120),
    changes=(
        Change(op=ChangeOp.ADD, object="rule", family=Family.IPV6, text="-A six"),
        Change(op=ChangeOp.ADD, object="rule", family=Family.IPV4, text="-A four"),
        Change(op=ChangeOp.REMOVE, object="rule", family=Family.IPV4, text="-A old"),
    ),
    hazards=(
        Hazard(code="session-would-be-cut", message="10.9.9.9 is connected to 9100/tcp"),
        Hazard(code="listener-unknown", message="lpd2 listens"),
    ),
    scripts=MappingProxyType({"apply": Script(name="apply", text="line one\nline two\x07", changes=True)}),
)


def test_a_plan_reads_like_a_diff_by_family() -> None:
    text = text_of(plan_lines(plan_of(CHANGING), zone=UTC))

    start = text.index("  ipv4:")
    assert text[start:].startswith("  ipv4:\n  + rule -A four\n  - rule -A old\n  ipv6:\n  + rule -A six\n")
    assert "9100/tcp: drop everybody but 10.0.5.0/24, fd00:5::/64" in text
    assert "restores itself unless confirmed within 2m" in text
    assert f"Plan {RUN}, made 2026-11-21 22:00:03 UTC by ops (sudo) on jump01" in text
    assert "2 waves of 1, 2 hosts" in text


def test_a_plan_names_hazards_and_who_would_be_cut_off() -> None:
    text = text_of(plan_lines(plan_of(CHANGING)))

    assert (
        "a (10.1.2.3, linux, iptables-nft) would be skipped, unless with --accept session-would-be-cut"
        in text
    )
    assert "would be cut off: 10.9.9.9 is connected to 9100/tcp" in text
    assert "! stop session-would-be-cut: 10.9.9.9 is connected" in text
    assert "! warn listener-unknown: lpd2 listens" in text
    assert "1 host: 0 to change, 0 as wanted already, 1 to skip because of a hazard." in text


def test_an_accepted_hazard_is_shown_but_skips_nobody() -> None:
    accepted = Acceptance(everywhere=frozenset({"session-would-be-cut"}))

    text = text_of(plan_lines(plan_of(CHANGING, accepted=accepted)))

    assert "a (10.1.2.3, linux, iptables-nft) would change" in text
    assert "! stop (accepted) session-would-be-cut" in text
    assert "1 to change" in text


def test_scripts_are_shown_on_request_only_and_line_by_line() -> None:
    assert "line one" not in text_of(plan_lines(plan_of(CHANGING)))
    assert "  | line one\n  | line two\\x07" in text_of(plan_lines(plan_of(CHANGING), show_scripts=True))


def test_a_host_that_could_not_be_planned_says_why_and_what_to_do() -> None:
    failed = HostPlan(
        host=CHANGING.host,
        outcome=PlannedOutcome.FAILED,
        reason=Reason(code="unreachable", message="nobody answers", next="is it on?"),
    )

    text = text_of(plan_lines(plan_of(failed)))

    assert "unreachable: nobody answers\n  next: is it on?" in text
    assert "cut off" not in text


def test_the_summary_says_when_an_unknown_host_restores_itself_in_local_time_and_utc() -> None:
    lost = ended(
        "b",
        Outcome.UNKNOWN,
        reason=Reason(code="lost", message="no answer to confirm", next="Raise --connect-timeout."),
        reverts_at=START + timedelta(hours=1, minutes=30),
    )

    text = text_of(summary_lines(report_of(ended("a", Outcome.APPLIED), lost), zone=BERLIN))

    assert "unknown: b (10.0.0.1)\n  lost: no answer to confirm" in text
    assert "restores itself at 2026-11-22 00:30:03 CET (2026-11-21 23:30:03 UTC)" in text
    assert f"next: ask the host with `fwfix status`, then `fwfix runs recover {RUN}`" in text
    assert f"apply {RUN}: 1 applied, 1 unknown (2 hosts, 1m05s)" in text


def test_an_unknown_host_that_should_have_restored_itself_is_said_to_go_on_trying() -> None:
    text = text_of(summary_lines(report_of(ended("b", Outcome.UNKNOWN, reverts_at=START)), zone=BERLIN))

    assert "was due to restore itself at 2026-11-21 23:00:03 CET" in text
    assert "tries again every 10 s" in text


def test_a_journal_that_cannot_be_written_is_mended_before_an_unknown_host_is_asked_again() -> None:
    full = Reason(code="journal", message="the disk is full", next="Make room.")

    assert "next: Make room." in text_of(summary_lines(report_of(ended("b", Outcome.UNKNOWN, reason=full))))


def test_what_verify_could_not_look_at_keeps_the_advice_of_its_reason() -> None:
    silent = Reason(code="unreachable", message="no answer", next="Raise --connect-timeout.")

    text = text_of(summary_lines(report_of(ended("b", Outcome.UNKNOWN, reason=silent), command="verify")))

    assert "next: Raise --connect-timeout." in text


@pytest.mark.parametrize(
    "outcome", [Outcome.UNKNOWN, Outcome.FAILED, Outcome.REVERTED, Outcome.SKIPPED, Outcome.DRIFT]
)
def test_every_host_in_trouble_is_named_with_something_to_do(outcome: Outcome) -> None:
    text = text_of(summary_lines(report_of(ended("b", outcome))))

    assert f"{outcome}: b" in text
    assert "  next: " in text
    assert "RUN" not in text


@pytest.mark.parametrize(("command", "advice"), [("apply", "runs recover"), ("rollback", "rollback")])
def test_the_way_out_of_an_unknown_state_names_the_run(command: str, advice: str) -> None:
    # Without its id, `runs recover` takes only runs whose controller was killed.
    report = report_of(ended("a", Outcome.UNKNOWN), command=command)
    assert f"`fwfix {advice} {RUN}`" in text_of(summary_lines(report))


def test_hosts_that_share_a_reason_share_their_lines_and_keep_their_names() -> None:
    reason = Reason(code="wave-stopped", message="a limit was exceeded", next="apply --continue RUN")
    hosts = [ended(f"h{number}", Outcome.SKIPPED, reason=reason) for number in range(3)]

    text = text_of(summary_lines(report_of(*hosts)))

    assert "skipped: 3 hosts: h0, h1, h2" in text
    assert text.count("wave-stopped") == 1
    assert f"next: apply --continue {RUN}" in text


def test_the_worst_comes_first_and_fine_hosts_cost_no_line() -> None:
    hosts = [ended("s", Outcome.SKIPPED), ended("f", Outcome.FAILED), ended("u", Outcome.UNKNOWN)]
    fine = [ended(f"a{number}", Outcome.APPLIED) for number in range(5)]

    text = text_of(summary_lines(report_of(*hosts, *fine)))

    assert text.index("unknown: u") < text.index("failed: f") < text.index("skipped: s")
    assert "a0" not in text


def test_a_host_that_is_still_applied_although_it_should_not_be_is_named_at_the_end() -> None:
    reason = Reason(code="rollback-failed", message="still applied", next="fwfix rollback RUN -l a")
    text = text_of(summary_lines(report_of(ended("a", Outcome.APPLIED, reason=reason))))
    assert "applied: a (10.0.0.1)\n  rollback-failed: still applied\n" in text
    assert f"  next: fwfix rollback {RUN} -l a" in text


def test_what_an_applied_host_should_be_known_for_is_noted() -> None:
    hazard = Hazard(code="not-persistent", message="no init system")
    host = ended("a", Outcome.APPLIED, hazards=(hazard,), notes=("a foreign rule went",))

    text = text_of(summary_lines(report_of(host)))

    assert "note: a: not-persistent: no init system" in text
    assert "note: a: a foreign rule went" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü €", "plain ü €"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202efdp", "abc\\u202efdp"),
        ("\u2028", "\\u2028"),
        ("\udc80", "\\udc80"),
        ("a\tb", "a\tb"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert Line(text).text == shown


@given(st.text())
def test_no_text_at_all_can_act_on_a_terminal_or_break_a_line(text: str) -> None:
    shown = Line(text).text.replace("\t", " ")

    assert all(character.isprintable() or character.isspace() for character in shown)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) <= 1


@given(st.text())
def test_nothing_that_a_host_says_reaches_a_report_raw(text: str) -> None:
    stream = io.StringIO()
    host = ended(
        "a",
        Outcome.FAILED,
        address=text,
        reason=Reason(code="x", message=text, next=text),
    )
    Output(stdout=stream, color=False).report(report_of(host))
    PlainLines(stream, "apply").host_done(host)

    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_long_lines_are_not_wrapped_and_files_get_no_colour() -> None:
    stream = io.StringIO()
    Output(stdout=stream, color=True).lines([Line("x" * 5000, Style.BAD)])

    assert stream.getvalue() == "x" * 5000 + "\n"


def test_a_terminal_gets_colour_unless_the_operator_says_no() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for color, expected in ((True, "\x1b[31mx\x1b[0m\n"), (False, "x\n")):
        stream = Terminal()
        Output(stdout=stream, color=color).lines([Line("x", Style.BAD)])
        assert stream.getvalue() == expected


def test_a_stream_that_cannot_encode_a_character_gets_it_written_out() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    write_lines(stream, [Line("ü")], color=False)

    assert raw.getvalue() == b"\\xfc\n"


def test_with_json_only_the_document_is_on_stdout() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    output = Output(as_json=True, stdout=stdout, stderr=stderr)
    output.report(report_of(ended("a", Outcome.FAILED)))
    output.say("prose")

    assert stdout.getvalue().startswith('{\n  "schema": "fwfix.run/1"')
    assert stdout.getvalue().endswith("}\n")
    assert "failed: a" in stderr.getvalue()
    assert "prose" in stderr.getvalue()


def test_without_json_there_is_no_document() -> None:
    stdout = io.StringIO()
    Output(stdout=stdout).report(report_of(ended("a", Outcome.APPLIED)))

    assert "schema" not in stdout.getvalue()


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (UTC, "2026-11-21 22:00:03 UTC"),
        (BERLIN, "2026-11-21 23:00:03 CET (22:00:03 UTC)"),
        (timezone(timedelta(hours=9), "JST"), "2026-11-22 07:00:03 JST (2026-11-21 22:00:03 UTC)"),
    ],
)
def test_a_moment_is_given_in_both_times(zone: timezone, text: str) -> None:
    assert moment(START, zone) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.34, "0.3s"), (42, "42s"), (65, "1m05s"), (600, "10m00s")])
def test_lengths_of_time_are_short(seconds: float, text: str) -> None:
    assert took(seconds) == text


def plain_progress(hosts: int) -> list[str]:
    stream = io.StringIO()
    lines = PlainLines(stream, "apply", now=lambda: START)
    lines.run_started(hosts=hosts, run_id=RUN)
    lines.wave_started(1, of=2, hosts=hosts)
    for number in range(hosts):
        lines.host_step(f"h{number}", "arm")
        lines.host_done(ended(f"h{number}", Outcome.APPLIED))
    lines.note("a limit was exceeded")
    lines.close()
    return stream.getvalue().splitlines()


def test_plain_progress_is_one_line_an_event() -> None:
    assert plain_progress(1) == [
        f"22:00:03 apply {RUN}: 1 host",
        "22:00:03 wave 1 of 2: 1 host",
        "22:00:03 h0: arm",
        "22:00:03 [1/1] h0: applied",
        "22:00:03 a limit was exceeded",
    ]


def test_a_host_that_is_undone_when_the_run_stops_is_counted_once() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream, "apply", now=lambda: START)
    lines.run_started(hosts=2)
    for outcome in (Outcome.APPLIED, Outcome.REVERTED):
        lines.host_done(ended("a", outcome))
    assert "[2/2]" not in stream.getvalue()
    assert stream.getvalue().count("[1/2]") == 2


def test_plain_progress_of_many_hosts_leaves_the_steps_out() -> None:
    lines = plain_progress(1000)

    assert len(lines) == 1003
    assert not any("arm" in line for line in lines)


def test_lines_of_many_threads_do_not_mix() -> None:
    stream = io.StringIO()
    with make_observer(Output(), "apply", stream=stream) as observer:  # type: ignore[arg-type]

        def live(number: int) -> None:
            for _ in range(50):
                observer.host_done(ended(f"host-{number}", Outcome.APPLIED))

        threads = [threading.Thread(target=live, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert all(line[9:].startswith("host-") and line.endswith(": applied") for line in lines)


def test_progress_that_nobody_reads_any_more_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    lines = PlainLines(Gone(), "apply")
    lines.run_started(hosts=1)
    lines.host_step("gw", "arm")
    lines.note("goes on")
    lines.close()
