"""Each way in which a rule can exist on Windows and do nothing: a hazard before, a failure after."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwfix.drivers.windows_facts import Network, facts_of
from fwfix.drivers.windows_hazards import WindowsCircumstances, find_windows_hazards
from fwfix.errors import PrivilegeError, ScriptError
from fwfix.lab.windows.model.facts import Printer
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.model.hazard import Severity
from fwfix.model.policy import Family, Protocol

if TYPE_CHECKING:
    from conftest import Maker, Windows, Wish

RUN = "20261121T220003Z-4f2a"
RULE = f"fwfix-{RUN}-1"
CODE = "rule-would-not-be-enforced"
ALLOW = "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=Theirs|"
BYPASS = "v2.29|Action=ByPass|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=Scanners|"
# Each way of windows.md 3.3: the host, the hazard before, and what it says.
WAYS = {
    "profile off": (Knobs(profiles_off=("Private",)), CODE, "firewall is off"),
    "profile off by policy": (Knobs(gpo_profiles_off=("Private",)), CODE, "firewall is off"),
    "profile of the domain off": (
        Knobs(category="DomainAuthenticated", profiles_off=("Domain",)),
        CODE,
        "off in the Domain profile",
    ),
    "no local rules": (Knobs(gpo_merge_off=True), CODE, "forbids local rules"),
    "no single ports": (Knobs(user_ports_off=True), CODE, "single ports"),
    "interface excluded": (Knobs(excluded_interfaces=("Ethernet",)), CODE, "excluded"),
    "service stopped": (Knobs(mpssvc_down=True), CODE, "MpsSvc"),
    "same name in policy": (Knobs(gpo_rules=((RULE, ALLOW),)), CODE, "replaces ours"),
    "authenticated bypass": (Knobs(other_rules=(("s", BYPASS),)), "rule-shadowed", "local rule Scanners"),
    "bypass of policy": (Knobs(gpo_rules=(("s", BYPASS),)), "rule-shadowed", "policy rule Scanners"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_rule_that_would_do_nothing_is_a_hazard(make_windows: "Maker", way: str) -> None:
    knobs, code, why = WAYS[way]
    hazards = [each for each in make_windows(knobs).draft().hazards if each.code == code]
    assert any(why in each.message for each in hazards), hazards
    assert all(each.severity is Severity.STOP for each in hazards)


# Without the service no rule can be made: what is left of that way is below.
@pytest.mark.parametrize("way", [each for each in WAYS if each != "service stopped"])
def test_a_rule_that_does_nothing_is_a_failed_verification(make_windows: "Maker", way: str) -> None:
    knobs, _, _ = WAYS[way]
    windows = make_windows(knobs)
    plan = windows.plan()
    assert windows.arm(plan).ok
    assert windows.apply(plan).ok
    judgement = windows.judge(replace(plan, hazards=()))
    assert judgement.problems
    assert not judgement.enforced


@pytest.mark.parametrize("service", ["MpsSvc", "BFE"])
def test_a_service_that_stops_after_apply_is_a_failed_verification_and_a_hazard_of_the_next_plan(
    windows: "Windows", service: str
) -> None:
    plan = windows.applied()
    assert windows.judge(plan).enforced
    windows.host.set_service(service, running=False)
    judgement = windows.judge(plan)
    assert any(service in problem for problem in judgement.problems)
    assert not judgement.enforced
    assert any(each.code == CODE and service in each.message for each in windows.draft().hazards)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"products": ("Acme Firewall",)}, "Acme Firewall"),
        ({"profiles": (), "troubles": {"profiles": "Windows System Error 1753"}}, "1753"),
    ],
)
def test_what_a_server_cannot_have_is_a_hazard_and_a_failed_verification_too(
    windows: "Windows", wish: "Wish", change: dict[str, object], why: str
) -> None:
    plan = windows.applied()
    seen = windows.look()
    seen = replace(seen, facts=replace(facts_of(seen), **change))  # type: ignore[arg-type]
    judgement = windows.driver.judge(plan, RUN, seen)
    assert any(why in problem for problem in judgement.problems)
    assert not judgement.enforced
    circumstances = WindowsCircumstances(
        observation=seen, facts=facts_of(seen), protections=(wish(),), rules=()
    )
    hazards = find_windows_hazards(circumstances)
    assert [each.code for each in hazards if why in each.message] == [CODE]


@pytest.mark.parametrize(
    ("peer", "allowed", "told"),
    [("192.0.2.7", (), True), ("192.0.2.7", ("192.0.2.7/32",), False), ("192.0.2.1", (), False)],
)
def test_a_controller_on_the_host_itself_meets_no_rule_and_is_told_so(
    windows: "Windows", wish: "Wish", peer: str, allowed: tuple[str, ...], *, told: bool
) -> None:
    windows.tcp = (windows.tcp[0], replace(windows.tcp[1], remote_address=peer))
    found = [each for each in windows.draft(wish(*allowed)).hazards if each.code == "unproven"]
    assert [each.severity for each in found] == [Severity.STOP] * told
    assert all("the host itself (192.0.2.7)" in each.message for each in found)


def test_a_range_of_ports_counts_where_single_ports_do_not(make_windows: "Maker", wish: "Wish") -> None:
    windows = make_windows(Knobs(user_ports_off=True))
    wishes = (wish(port=8610, last=8614),)
    assert CODE not in {each.code for each in windows.draft(*wishes).hazards}
    judgement = windows.judge(windows.applied(*wishes))
    assert judgement.problems == ()
    assert {port for _, _, port in judgement.enforced} == set(range(8610, 8615))


def test_an_interface_that_is_excluded_and_not_in_use_is_no_hazard(make_windows: "Maker") -> None:
    windows = make_windows(Knobs(excluded_interfaces=("Wi-Fi",)))
    assert CODE not in {each.code for each in windows.draft().hazards}
    assert windows.judge(windows.applied()).problems == ()


def test_a_network_of_a_category_that_is_not_known_could_be_of_any_profile(windows: "Windows") -> None:
    facts = replace(facts_of(windows.look()), networks=(Network(interface="Ethernet", category="New"),))
    assert [profile.name for profile in facts.profiles_in_use] == ["Domain", "Private", "Public"]


def test_a_host_that_prints_over_bjnp_itself_is_pointed_out_for_those_ports_only(
    windows: "Windows", wish: "Wish"
) -> None:
    printer = Printer(name="Canon", port_name="IP_1", host_address="192.0.2.50", port_number=8611)
    windows.host.facts.printers = (printer,)
    hazards = windows.draft(wish(port=8610, last=8614)).hazards
    assert any(each.code == "bjnp-client" and "192.0.2.50" in each.message for each in hazards)
    assert "bjnp-client" not in {each.code for each in windows.draft().hazards}


def test_profiles_that_no_network_uses_are_no_hazard(make_windows: "Maker") -> None:
    windows = make_windows(Knobs(profiles_off=("Public", "Domain")))
    assert CODE not in {each.code for each in windows.draft().hazards}
    assert windows.judge(windows.applied()).problems == ()


def test_a_plain_host_has_only_the_hazards_of_every_platform(windows: "Windows") -> None:
    windows.host.firewall.remove(["raw-printing-in"])
    assert windows.draft().hazards == ()


def test_an_enforced_rule_names_every_port_and_family_that_it_blocks(windows: "Windows") -> None:
    judgement = windows.judge(windows.applied())
    assert judgement.enforced == {
        (Family.IPV4, Protocol.TCP, 9100),
        (Family.IPV6, Protocol.TCP, 9100),
    }


def test_a_rule_that_somebody_disabled_or_narrowed_is_found(windows: "Windows") -> None:
    plan = windows.applied()
    windows.host.firewall.change([RULE], enabled=False)
    assert any("disabled" in problem for problem in windows.judge(plan).problems)
    assert not windows.draft().in_place
    windows.host.firewall.remove([RULE])
    assert any("missing" in problem for problem in windows.judge(plan).problems)


def test_a_rule_of_another_run_on_the_port_changes_nothing(make_windows: "Maker") -> None:
    other = "v2.29|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=Other|"
    windows = make_windows(Knobs(other_rules=(("other-block", other),)))
    windows.applied()
    assert windows.rollback().ok
    assert windows.rules()["other-block"] == other


def test_a_shielded_host_that_should_let_some_in_is_pointed_out(make_windows: "Maker", wish: "Wish") -> None:
    windows = make_windows(Knobs(shielded=True))
    assert "shielded" in {each.code for each in windows.draft(wish("192.0.2.0/28")).hazards}
    assert "shielded" not in {each.code for each in windows.draft(wish()).hazards}


def test_an_account_without_an_administrators_token_is_refused(make_windows: "Maker") -> None:
    with pytest.raises(PrivilegeError):
        make_windows(Knobs(not_admin=True)).look()


@pytest.mark.parametrize("version", ["6.1.7601", "6.0.6002"])
def test_a_windows_without_the_cmdlets_is_refused_clearly(windows: "Windows", version: str) -> None:
    windows.host.facts.version = version
    with pytest.raises(ScriptError) as refused:
        windows.look()
    assert refused.value.code == "unsupported-os"
    assert "Server 2012" in refused.value.message


def test_an_observation_says_who_listens_who_is_connected_and_how_we_came(windows: "Windows") -> None:
    seen = windows.look()
    (listener,) = [each for each in seen.listeners if each.port == 9100]
    assert (listener.process, listener.protocol) == ("labelgw", Protocol.TCP)
    assert listener.command.endswith("labelgw.exe")
    assert (str(seen.management.peer), seen.management.port) == ("192.0.2.1", 5986)
    assert [str(address) for address in seen.addresses] == ["192.0.2.7", "2001:db8::7"]
    assert seen.families == frozenset(Family)
    assert seen.identity == windows.host.facts.machine_id


def test_looking_changes_nothing(windows: "Windows") -> None:
    before = windows.rules()
    windows.look()
    assert windows.rules() == before
    assert not windows.host.files.is_folder(r"C:\ProgramData\fwfix")


def test_a_fingerprint_is_steady_and_changes_with_what_decides(windows: "Windows") -> None:
    first = windows.draft().fingerprint
    windows.tcp = windows.tcp[:1]  # somebody else's WinRM session ended
    windows.clock.ahead += 60
    assert windows.draft().fingerprint == first
    windows.host.set_category("Public")
    assert windows.draft().fingerprint != first


def test_a_plan_shows_an_allow_list_as_all_but(windows: "Windows", wish: "Wish") -> None:
    (change,) = windows.draft(wish("10.0.5.0/24", "2001:db8:5::/64")).changes
    assert "all but 10.0.5.0/24, 2001:db8:5::/64" in change.text


def test_an_allow_list_stands_as_one_block_of_all_others(windows: "Windows", wish: "Wish") -> None:
    wishes = (wish("10.0.5.0/24"),)
    plan = windows.applied(*wishes)
    text = windows.rules()[RULE]
    assert "RA4=0.0.0.0-10.0.4.255|" in text
    assert "RA4=10.0.6.0-126.255.255.255|" in text
    assert "RA6=::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff|" in text
    assert windows.judge(plan).problems == ()
    assert windows.draft(*wishes).in_place
    assert not windows.draft(wish("10.0.5.0/25")).in_place


@pytest.mark.parametrize("owner", ["BU", "S-1-5-21-1-2-3-1001"])
def test_a_folder_that_others_own_is_refused_and_nothing_in_it_is_run(windows: "Windows", owner: str) -> None:
    plan = windows.plan()
    windows.host.files.make_folder(r"C:\ProgramData\fwfix")
    windows.permissions.set_owner(r"C:\ProgramData\fwfix", owner)
    assert windows.arm(plan).code == "foreign-record"
    assert not windows.host.files.is_folder(r"C:\ProgramData\fwfix\runs")
    with pytest.raises(ScriptError, match="cannot be trusted"):
        windows.draft()


def test_a_record_that_somebody_planted_is_never_run(windows: "Windows") -> None:
    windows.applied()
    windows.permissions.set_owner(windows.file("")[:-1], "BU")
    assert windows.rollback().code == "foreign-record"
    assert windows.ours() == [RULE]
    assert windows.record() is None


def test_a_reparse_point_is_refused(windows: "Windows", monkeypatch: pytest.MonkeyPatch) -> None:
    plan = windows.plan()
    windows.host.files.make_folder(r"C:\ProgramData\fwfix")
    files = type(windows.host.files)
    monkeypatch.setattr(files, "is_link", lambda _self, path: path.endswith("fwfix"), raising=False)
    answer = windows.arm(plan)
    assert answer.code == "foreign-record"
    assert "reparse" in answer.message


def test_a_record_of_another_machine_is_never_acted_on(windows: "Windows") -> None:
    windows.applied()
    windows.host.facts.machine_id = "00000000-0000-4000-8000-000000000000"
    record = windows.record()
    assert record is not None
    assert record.foreign
    assert windows.rollback().code == "foreign-record"
    assert windows.ours() == [RULE]


def test_a_change_of_the_way_in_makes_a_plan_stale_and_a_session_of_others_does_not(
    windows: "Windows",
) -> None:
    listener = replace(windows.tcp[0], local_port=5986, pid=4)
    windows.tcp = (*windows.tcp, listener)
    first = windows.draft().fingerprint
    windows.tcp = (*windows.tcp, replace(windows.tcp[1], local_port=5985, remote_address="192.0.2.99"))
    assert windows.draft().fingerprint == first
    windows.tcp = (*windows.tcp, replace(listener, local_port=5985))
    assert windows.draft().fingerprint != first
