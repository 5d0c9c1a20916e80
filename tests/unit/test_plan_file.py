"""A saved plan: what is written is what is read, and what was touched is refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.errors import PlanFileError, RefusedError
from fwfix.loading.plan_file import check_not_expired, digest_of, dump_plan, load_plan, parse_plan, save_plan
from fwfix.model.hazard import STOP_CODES, WARN_CODES, Hazard
from fwfix.model.host import Become, Host, HostKeyPolicy, Platform, SshSettings, WinrmSettings
from fwfix.model.plan import Acceptance, Change, ChangeOp, HostPlan, Plan, PlannedOutcome, Reason
from fwfix.model.policy import Action, AllowEntry, Family, Protection, Protocol, Service, SourceKind
from fwfix.model.runid import make_run_id
from fwfix.model.script import Script, TemplateOrigin
from fwfix.secrets import SecretKind, SecretRef

TEXT = st.text(max_size=12)
NAME = st.text(alphabet="abcdefgh0123456789", max_size=6).map(lambda text: f"n{text}")
ADDRESS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
NETWORK = st.one_of(
    st.builds(lambda a, n: IPv4Network((a, n), strict=False), st.ip_addresses(v=4), st.integers(1, 32)),
    st.builds(lambda a, n: IPv6Network((a, n), strict=False), st.ip_addresses(v=6), st.integers(1, 128)),
)
LENGTH = st.builds(lambda ms: timedelta(milliseconds=ms), st.integers(0, 10**8))
INSTANT = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SECRET = st.builds(SecretRef, kind=st.sampled_from(SecretKind), argument=TEXT, command=st.tuples(TEXT, TEXT))
SSH = st.builds(
    SshSettings,
    user=st.none() | NAME,
    port=st.none() | st.integers(1, 65535),
    password=st.none() | SECRET,
    identity_file=st.none() | NAME.map(lambda name: Path("/keys") / name),
    passphrase=st.none() | SECRET,
    known_hosts=st.none(),
    host_key=st.sampled_from(HostKeyPolicy),
    jump=st.none() | NAME,
    become=st.sampled_from(Become),
    become_password=st.none() | SECRET,
)
ENTRY = st.builds(
    AllowEntry,
    text=TEXT,
    kind=st.sampled_from(SourceKind),
    name=NAME,
    networks=st.lists(NETWORK, max_size=2).map(tuple),
)
SERVICE = st.builds(
    lambda protocol, first, more: Service(protocol=protocol, first=first, last=first + more),
    st.sampled_from(Protocol),
    st.integers(1, 65000),
    st.integers(0, 10),
)
PROTECTION = st.builds(
    Protection,
    service=SERVICE,
    allowed=st.lists(NETWORK, max_size=3).map(tuple),
    action=st.sampled_from(Action),
    log=st.booleans(),
)
SCRIPT = st.builds(
    Script,
    name=NAME,
    text=st.text(max_size=60),
    changes=st.booleans(),
    templates=st.lists(st.builds(TemplateOrigin, name=NAME, origin=TEXT, sha256=TEXT), max_size=2).map(tuple),
)
HAZARD = st.builds(Hazard, code=st.sampled_from(sorted(STOP_CODES | WARN_CODES)), message=TEXT)
CHANGE = st.builds(
    Change,
    op=st.sampled_from(ChangeOp),
    object=st.just("rule"),
    family=st.none() | st.sampled_from(Family),
    text=TEXT,
)


def hosts(name: str) -> st.SearchStrategy[HostPlan]:
    host = st.builds(
        Host,
        name=st.just(name),
        address=st.integers(1, 200).map(lambda n: f"10.0.0.{n}"),
        platform=st.sampled_from(Platform),
        groups=st.lists(NAME, max_size=2).map(tuple),
        labels=st.dictionaries(NAME, TEXT, max_size=2),
        allow_also=st.lists(ENTRY, max_size=1).map(tuple),
        window=st.none() | TEXT,
        probe_addresses=st.lists(ADDRESS, max_size=2).map(tuple),
        ssh=SSH,
        winrm=st.builds(WinrmSettings, password=st.none() | SECRET),
    )
    return st.builds(
        HostPlan,
        host=host,
        outcome=st.sampled_from(PlannedOutcome),
        reason=st.none() | st.builds(Reason, code=NAME, message=TEXT, next=TEXT),
        protections=st.lists(PROTECTION, max_size=2).map(tuple),
        identity=TEXT,
        fingerprint=TEXT,
        changes=st.lists(CHANGE, max_size=2).map(tuple),
        hazards=st.lists(HAZARD, max_size=2).map(tuple),
        scripts=st.dictionaries(NAME, SCRIPT, max_size=3),
        probe_addresses=st.lists(ADDRESS, max_size=2).map(tuple),
        controller_address=st.none() | ADDRESS,
        deadline=LENGTH,
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(NAME, unique=True, max_size=3))
    planned = tuple(draw(hosts(name)) for name in names)
    changing = [each.host.name for each in planned if each.outcome is PlannedOutcome.CHANGE]
    cut = draw(st.integers(0, len(changing)))
    waves = tuple(tuple(wave) for wave in (changing[:cut], changing[cut:]) if wave)
    created = draw(INSTANT)
    return Plan(
        run_id=make_run_id(created, draw(st.integers(0, 65535))),
        created_at=created,
        hosts=planned,
        waves=waves,
        accepted=Acceptance(
            everywhere=draw(st.frozensets(NAME, max_size=2)),
            hosts=draw(st.dictionaries(NAME, st.frozensets(NAME, max_size=2), max_size=2)),
        ),
        confirm_within=draw(st.none() | LENGTH),
        expires_at=draw(st.none() | INSTANT),
        operator=draw(TEXT),
        reason=draw(TEXT),
        vantages=tuple(each.host for each in planned[:1]),
    )


def example_plan() -> Plan:
    script = Script(name="arm", text="#!/bin/sh\necho armed\n", changes=True)
    host = Host(
        name="label-gw-01",
        address="10.1.2.3",
        platform=Platform.LINUX,
        ssh=SshSettings(password=SecretRef(kind=SecretKind.ENV, argument="SSH_PASSWORD")),
    )
    return Plan(
        run_id="20261121T220003Z-4f2a",
        created_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
        expires_at=datetime(2026, 12, 5, 22, 0, 3, tzinfo=UTC),
        hosts=(
            HostPlan(
                host=host,
                outcome=PlannedOutcome.CHANGE,
                scripts={"arm": script},
                probe_addresses=(IPv4Address("10.1.2.3"), IPv6Address("fd00::3")),
                deadline=timedelta(seconds=120),
            ),
        ),
        waves=(("label-gw-01",),),
    )


def edited(change: object) -> bytes:
    document = json.loads(dump_plan(example_plan()))
    assert callable(change)
    change(document)
    return json.dumps(document).encode()


@given(plans())
@settings(max_examples=60, deadline=None)
def test_what_is_saved_is_what_is_read(plan: Plan) -> None:
    content = dump_plan(plan)
    assert parse_plan(content) == plan
    assert dump_plan(parse_plan(content)) == content


def test_a_file_round_trips_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    digest = save_plan(example_plan(), path)
    found = load_plan(path)
    assert found.plan == example_plan()
    assert found.digest == digest == digest_of(path.read_bytes())
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]


def test_equal_scripts_are_written_once() -> None:
    one = example_plan().hosts[0]
    other = replace(one, host=replace(one.host, name="label-gw-02"), scripts=dict(one.scripts))
    document = json.loads(dump_plan(replace(example_plan(), hosts=(one, other))))
    ((digest, script),) = document["scripts"].items()
    assert script["text"] == "#!/bin/sh\necho armed\n"
    assert [host["scripts"] for host in document["hosts"]] == [{"arm": digest}, {"arm": digest}]


def test_a_secret_stays_a_reference() -> None:
    document = json.loads(dump_plan(example_plan()))
    assert document["hosts"][0]["host"]["ssh"]["password"] == {
        "kind": "env",
        "argument": "SSH_PASSWORD",
        "command": [],
    }


@pytest.mark.parametrize(
    ("key", "value"), [("text", "rm -rf /\n"), ("name", "observe"), ("changes", False), ("templates", [{}])]
)
def test_an_edited_script_is_refused(key: str, value: object) -> None:
    def edit(document: dict[str, dict[str, dict[str, object]]]) -> None:
        for script in document["scripts"].values():
            script[key] = value

    with pytest.raises(PlanFileError, match="was edited"):
        parse_plan(edited(edit))


def test_a_missing_script_is_refused() -> None:
    with pytest.raises(PlanFileError, match="script 'arm' is missing"):
        parse_plan(edited(lambda document: document["scripts"].clear()))


def test_a_script_that_no_host_names_is_refused() -> None:
    with pytest.raises(PlanFileError, match="did not write"):
        parse_plan(edited(lambda document: document["hosts"][0]["scripts"].clear()))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", "fwfix.plan/2", "this fwfix reads 'fwfix.plan/1'"),
        ("schema", "fwfix.run/1", "this fwfix reads"),
        ("schema", 1, "is not a saved plan"),
        ("run_id", "today", "is not a run id"),
        ("run_id", None, "is not a run id"),
        ("waves", [], "its waves do not fit its hosts"),
        ("waves", [["label-gw-01"], ["label-gw-01"]], "its waves do not fit"),
        ("created_at", "yesterday", "is damaged: created_at"),
        ("hosts", "none", "is damaged: hosts"),
        ("unheard_of", 1, "something that fwfix did not write"),
        ("max_fail", 1, "is damaged: max_fail"),
    ],
)
def test_a_damaged_document_is_refused_by_name(key: str, value: object, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        parse_plan(edited(lambda document: document.update({key: value})))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_plan_that_was_written_anew_in_another_encoding_is_refused(encoding: str) -> None:
    content = dump_plan(example_plan()).decode().encode(encoding)
    with pytest.raises(PlanFileError, match="is no JSON"):
        parse_plan(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 200_000, b'{"schema": "fwfix.plan/1"}'],
    ids=lambda content: repr(content[:9]),
)
def test_what_is_no_plan_is_refused(content: bytes) -> None:
    with pytest.raises(PlanFileError):
        parse_plan(content)


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["hosts"][0]["host"].update(address="10.1.2.4"),
        lambda document: document.update(expires_at=None),
        lambda document: document.pop("digest"),
        lambda document: document.update(digest="0" * 64),
    ],
)
def test_a_plan_that_somebody_edited_is_refused_whatever_it_was(edit: object) -> None:
    with pytest.raises(PlanFileError, match="was edited"):
        parse_plan(edited(edit))


def test_only_what_a_plan_says_counts_and_not_how_it_is_laid_out() -> None:
    assert parse_plan(edited(lambda _: None)) == example_plan()


def test_an_unknown_key_deep_inside_is_refused() -> None:
    with pytest.raises(PlanFileError, match="did not write"):
        parse_plan(edited(lambda document: document["hosts"][0]["host"].update(surprise=True)))


def test_a_plan_without_a_run_id_is_never_saved(tmp_path: Path) -> None:
    shown = example_plan()
    unsaved = Plan(run_id=None, created_at=shown.created_at, hosts=())
    with pytest.raises(PlanFileError, match="without a run id"):
        save_plan(unsaved, tmp_path / "plan.json")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="cannot be written"):
        save_plan(example_plan(), tmp_path / "missing" / "plan.json")
    with pytest.raises(PlanFileError, match="cannot be read"):
        load_plan(tmp_path / "missing" / "plan.json")


def test_a_plan_expires_to_the_second() -> None:
    plan = example_plan()
    assert plan.expires_at is not None
    check_not_expired(plan, plan.expires_at - timedelta(seconds=1))
    with pytest.raises(RefusedError) as refused:
        check_not_expired(plan, plan.expires_at)
    assert refused.value.code == "expired-plan"
