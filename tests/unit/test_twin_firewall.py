"""The firewall of the twin's host model, through its stand-in cmdlets."""

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.windows.cmdlets import TYPES, stand_ins
from fwfix.lab.windows.model.grammar import parse_rule, rule_text
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.packets import Packet, Verdict, decide
from fwfix.lab.windows.powershell import DESKTOP_5_1, Engine, Host, RunResult

if TYPE_CHECKING:
    from tests.conftest import MakeEngine

BLOCK = "New-NetFirewallRule -Name t -DisplayName t -Action Block -Protocol TCP -LocalPort 9100"
STATUS = "@((Get-NetFirewallRule -PolicyStore ActiveStore -Name t).EnforcementStatus) -join ','"


class Console:
    """Runs scripts on one engine, each on a host of its own unless it is given one."""

    def __init__(self, make: "MakeEngine") -> None:
        self._make = make

    def __call__(
        self,
        script: str,
        *,
        administrator: bool = True,
        host: WindowsHost | None = None,
        knobs: Knobs | None = None,
    ) -> str:
        """Run a script on a host and return its output without the last line end."""
        result = self._run(script, host or WindowsHost(knobs=knobs), administrator=administrator)
        assert result.refusal is None, result.refusal
        return result.stdout.decode().strip()

    def refuses(self, script: str) -> bool:
        """Say whether the model refuses to answer."""
        return self._run(script, WindowsHost(), administrator=True).refusal is not None

    def _run(self, script: str, host: WindowsHost, *, administrator: bool) -> RunResult:
        engine = self._make(
            edition=DESKTOP_5_1,
            host=Host(files=host.files, registry=host.registry, clock=host.clock),
            commands=stand_ins(host, administrator=administrator),
            types=TYPES,
        )
        return engine.run(script)


@pytest.fixture
def ask(make_engine: "MakeEngine") -> Console:
    """Return a console on the small engine, then on the real one."""
    return Console(make_engine)


def caught(script: str) -> str:
    """Return a script that prints the id of its error."""
    return f"try {{ $null = {script} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"


def test_a_second_rule_of_a_name_is_error_183(ask: Console) -> None:
    assert ask(f"$null = {BLOCK}; {caught(BLOCK)}") == "Windows System Error 183,New-NetFirewallRule"


def test_an_absent_rule_is_not_found_by_its_instance_id(ask: Console) -> None:
    for verb in ("Get", "Remove", "Disable", "Enable"):
        found = ask(caught(f"{verb}-NetFirewallRule -Name nothing"))
        assert found == f"CmdletizationQuery_NotFound_InstanceID,{verb}-NetFirewallRule"


def test_a_wildcard_that_finds_nothing_is_no_error(ask: Console) -> None:
    assert ask(caught("Get-NetFirewallRule -Name nothing*")) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "-RemoteAddress host.example",
        "-RemoteAddress 10.0.0.9-10.0.0.1",
        "-RemoteAddress 10.0.0.1-fd00::1",
        "-RemoteAddress 10.0.0.0/33",
        "-LocalPort 65536",
        "-LocalPort '9101-9100'",
        "-LocalPort abc",
    ],
)
def test_a_bad_address_or_port_is_an_invalid_parameter(ask: Console, wrong: str) -> None:
    script = f"New-NetFirewallRule -DisplayName t -Protocol TCP {wrong}"
    assert ask(caught(script)) == "HRESULT 0x80070057,New-NetFirewallRule"


def test_ports_without_a_protocol_are_an_invalid_parameter(ask: Console) -> None:
    assert ask(caught("New-NetFirewallRule -DisplayName t -LocalPort 9100")).startswith("HRESULT 0x80070057")


@pytest.mark.parametrize(("count", "wanted"), [(1000, ""), (1001, "HRESULT 0x80070057,New-NetFirewallRule")])
def test_a_rule_takes_a_thousand_ranges_of_a_family(ask: Console, count: int, wanted: str) -> None:
    ranges = ",".join(f"'10.{n // 200}.{n % 200}.1-10.{n // 200}.{n % 200}.9'" for n in range(count))
    assert ask(caught(f"New-NetFirewallRule -DisplayName t -RemoteAddress @({ranges})")) == wanted


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/255.0.0.0"),
        ("10.1.2.3/255.255.0.0", "10.1.0.0/255.255.0.0"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("fd00::/16", "fd00::/16"),
        ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
        ("LOCALSUBNET", "LocalSubnet"),
        ("Any", "Any"),
    ],
)
def test_addresses_come_back_as_windows_writes_them(ask: Console, given: str, kept: str) -> None:
    script = (
        f"$null = New-NetFirewallRule -Name t -DisplayName t -RemoteAddress '{given}'\n"
        "(Get-NetFirewallRule -Name t | Get-NetFirewallAddressFilter).RemoteAddress"
    )
    assert ask(script) == kept


@pytest.mark.parametrize(
    ("knobs", "status"),
    [
        (Knobs(), "Enforced,ProfileInactive"),
        (Knobs(gpo_merge_off=True), "ProfileInactive,LocalFirewallRulesDisallowed"),
        (Knobs(user_ports_off=True), "ProfileInactive,LocalGlobalOpenPortsDisallowed"),
        (Knobs(profiles_off=("Private",)), "FirewallOffInProfile,ProfileInactive"),
        (Knobs(gpo_profiles_off=("Private",)), "FirewallOffInProfile,ProfileInactive"),
        (Knobs(profiles_off=("Public",)), "Enforced,ProfileInactive"),
    ],
)
def test_the_active_store_says_whether_a_rule_has_an_effect(ask: Console, knobs: Knobs, status: str) -> None:
    assert ask(f"$null = {BLOCK}; {STATUS}", knobs=knobs) == status


def test_two_ports_are_no_user_port(ask: Console) -> None:
    script = f"$null = {BLOCK},'9101'; {STATUS}"
    assert ask(script, knobs=Knobs(user_ports_off=True)) == "Enforced,ProfileInactive"


def test_a_disabled_rule_is_disabled_everywhere(ask: Console) -> None:
    assert ask(f"$null = {BLOCK}; Disable-NetFirewallRule -Name t; {STATUS}") == "DisabledObject"


def test_a_rule_of_group_policy_hides_the_local_one(ask: Console) -> None:
    policy = (("t", "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=t|"),)
    script = f"$null = {BLOCK}; $r = Get-NetFirewallRule -PolicyStore ActiveStore -Name t\n"
    script += "[string]$r.Action + ' ' + [string]$r.PolicyStoreSourceType"
    assert ask(script, knobs=Knobs(gpo_rules=policy)) == "Allow GroupPolicy"


def test_the_service_that_is_down_is_error_1753(ask: Console) -> None:
    knobs = Knobs(mpssvc_down=True)
    assert ask(caught(BLOCK), knobs=knobs) == "Windows System Error 1753,New-NetFirewallRule"
    assert ask("[string](Get-Service -Name MpsSvc).Status", knobs=knobs) == "Stopped"


def test_somebody_without_rights_is_error_5(ask: Console) -> None:
    assert ask(caught(BLOCK), administrator=False) == "Windows System Error 5,New-NetFirewallRule"


def test_a_german_host_keeps_the_ids_and_changes_the_text(ask: Console) -> None:
    script = f"$null = {BLOCK}; try {{ $null = {BLOCK} -ErrorAction Stop }} catch {{ $_.Exception.Message }}"
    assert ask(script, knobs=Knobs(locale="de-DE")).startswith("Eine Datei kann nicht")


def test_the_registry_shows_the_rule_in_its_grammar_and_the_grammar_reads_it_back(ask: Console) -> None:
    host = WindowsHost()
    ask(f"{BLOCK} -RemoteAddress '10.0.0.0/8','fd00::/16' -Group fwfix -Profile Private", host=host)
    path = r"HKLM:\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
    text = ask(f"(Get-ItemProperty -LiteralPath '{path}').t", host=host)
    assert text == (
        "v2.29|Action=Block|Active=TRUE|Dir=In|Protocol=6|Profile=Private|LPort=9100|"
        "RA4=10.0.0.0/255.0.0.0|RA6=fd00::/16|Name=t|EmbedCtxt=fwfix|"
    )
    assert rule_text(parse_rule("t", text)) == text


@pytest.mark.parametrize(
    "beyond",
    [
        "Get-NetFirewallRule -TracePolicyStore",
        "Get-NetFirewallRule -PolicyStore SystemDefaults",
        "New-NetFirewallRule -DisplayName t -LocalUser x",
        "New-NetFirewallRule -DisplayName t -RemoteAddress DNS",
        "Get-ItemProperty -LiteralPath 'HKLM:\\SOFTWARE\\Elsewhere'",
        "Get-CimInstance -ClassName Win32_Nothing",
        "Get-Service",
    ],
)
def test_what_the_model_does_not_know_is_refused(ask: Console, beyond: str) -> None:
    assert ask.refuses(beyond)


def test_a_cmdlet_takes_longer_the_more_rules_the_host_has(ask: Console) -> None:
    host = WindowsHost(knobs=Knobs(n_rules=200, seconds_per_rule=0.0005))
    before = host.clock.monotonic()
    ask(BLOCK, host=host)
    assert host.clock.monotonic() - before >= 0.1


BYPASS = "v2.29|Action=ByPass|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=Scanners|"


def test_a_rule_with_authenticated_bypass_stands_in_the_registry_and_lets_nobody_in() -> None:
    assert rule_text(parse_rule("s", BYPASS)) == BYPASS
    source = ip_address("192.0.2.99")
    packet = Packet(
        inbound=True, protocol=6, local=ip_address("192.0.2.7"), local_port=9100, remote=source, remote_port=1
    )
    for text, verdict in ((BYPASS, Verdict.DROP), (BYPASS.replace("ByPass", "Allow"), Verdict.PASS)):
        host = WindowsHost(knobs=Knobs(other_rules=(("s", text),)))
        host.firewall.remove(["raw-printing-in"])
        assert decide(host.firewall.policy(), packet, host.facts) is verdict


def test_a_cmdlet_that_would_show_a_rule_with_authenticated_bypass_is_refused() -> None:
    host = WindowsHost(knobs=Knobs(other_rules=(("s", BYPASS),)))
    result = Engine(edition=DESKTOP_5_1, commands=stand_ins(host, administrator=True), types=TYPES).run(
        "Get-NetFirewallRule -Name 's'"
    )
    assert result.refusal is not None
