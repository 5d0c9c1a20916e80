"""What Set-NetFirewallRule and Set-NetFirewallProfile change on the twin's host model."""

from ipaddress import ip_address

import pytest

from fwfix.lab.windows.cmdlets import TYPES, stand_ins
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.packets import Packet, Verdict, decide
from fwfix.lab.windows.powershell import DESKTOP_5_1, Engine, Host, RunResult

BLOCK = "$null = New-NetFirewallRule -Name t -DisplayName t -Action Block -Protocol TCP -LocalPort 9100;"


def run(host: WindowsHost, script: str, *, administrator: bool = True) -> RunResult:
    outside = Host(files=host.files, registry=host.registry, clock=host.clock)
    commands = stand_ins(host, administrator=administrator)
    return Engine(edition=DESKTOP_5_1, host=outside, commands=commands, types=TYPES).run(script)


def ask(host: WindowsHost, script: str) -> str:
    result = run(host, script)
    assert result.refusal is None, result.refusal
    return result.stdout.decode().strip()


def caught(script: str) -> str:
    return f"try {{ $null = {script} -ErrorAction Stop }} catch {{ $_.FullyQualifiedErrorId }}"


def passes(host: WindowsHost, source: str = "192.0.2.7", port: int = 9100) -> bool:
    local = "192.0.2.1" if ":" not in source else "2001:db8::1"
    packet = Packet(
        inbound=True, protocol=6, local=ip_address(local), remote=ip_address(source), local_port=port
    )
    return decide(host.firewall.policy(), packet, host.facts) is Verdict.PASS


@pytest.mark.parametrize(
    "change",
    [
        "-Enabled False",
        "-Action Allow",
        "-RemoteAddress 198.51.100.0/24",
        "-LocalPort 9101",
        "-Protocol UDP",
        "-Profile Public",
        "-Direction Outbound",
    ],
)
def test_a_changed_rule_no_longer_drops_what_it_dropped(change: str) -> None:
    host = WindowsHost()
    ask(host, BLOCK)
    assert not passes(host)
    ask(host, f"Set-NetFirewallRule -Name t {change}")
    assert passes(host)


def test_a_change_leaves_the_rest_of_a_rule_alone() -> None:
    host = WindowsHost()
    ask(host, BLOCK + "Set-NetFirewallRule -DisplayName t -RemoteAddress 192.0.2.7,'2001:db8::/32'")
    assert [passes(host, source) for source in ("192.0.2.7", "192.0.2.8", "2001:db8::9")] == [
        False,
        True,
        False,
    ]
    shown = ask(
        host, "$p = Get-NetFirewallRule -Name t | Get-NetFirewallPortFilter; $p.Protocol + $p.LocalPort"
    )
    assert shown == "TCP9100"


def test_rules_of_a_group_change_together_and_are_shown_when_asked() -> None:
    host = WindowsHost()
    make = "$null = New-NetFirewallRule -Name {0} -DisplayName {0} -Group g -Action Block;"
    changed = (
        "Set-NetFirewallRule -Group g -NewDisplayName both -PassThru | ForEach-Object { $_.DisplayName }"
    )
    assert ask(host, make.format("a") + make.format("b") + changed).split() == ["both", "both"]


def test_a_rule_from_the_pipeline_is_the_one_that_changes() -> None:
    host = WindowsHost()
    ask(host, BLOCK + "Get-NetFirewallRule -Name t | Set-NetFirewallRule -Action Allow")
    assert ask(host, "[string](Get-NetFirewallRule -Name t).Action") == "Allow"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("-Name t -RemoteAddress host.example", "HRESULT 0x80070057,Set-NetFirewallRule"),
        ("-Name t -LocalPort 70000", "HRESULT 0x80070057,Set-NetFirewallRule"),
        ("-Name t -Protocol Any", "HRESULT 0x80070057,Set-NetFirewallRule"),
        ("-Name t -NewDisplayName All", "HRESULT 0x80070057,Set-NetFirewallRule"),
        ("-Name no -Enabled False", "CmdletizationQuery_NotFound_InstanceID,Set-NetFirewallRule"),
    ],
)
def test_a_change_that_windows_refuses_changes_nothing(change: str, wanted: str) -> None:
    host = WindowsHost()
    ask(host, BLOCK)
    before = host.firewall.registry(group=False)
    assert ask(host, caught(f"Set-NetFirewallRule {change}")) == wanted
    assert host.firewall.registry(group=False) == before


def test_nothing_changes_without_rights_or_service_or_with_whatif() -> None:
    host = WindowsHost()
    ask(host, BLOCK + "Set-NetFirewallRule -Name t -Action Allow -WhatIf")
    ask(host, "Set-NetFirewallProfile -All -Enabled False -WhatIf")
    for script in ("Set-NetFirewallRule -Name t -Action Allow", "Set-NetFirewallProfile -All -Enabled False"):
        name = script.partition(" ")[0]
        denied = run(host, caught(script), administrator=False)
        assert denied.stdout.decode().strip() == f"Windows System Error 5,{name}"
        host.set_service("MpsSvc", running=False)
        assert ask(host, caught(script)) == f"Windows System Error 1753,{name}"
        host.set_service("MpsSvc", running=True)
    assert not passes(host)


@pytest.mark.parametrize(
    ("change", "printing", "other"),
    [
        ("-Name Private -Enabled False", True, True),
        ("-Profile Domain,Public -Enabled False", False, False),
        ("-DefaultInboundAction Allow", False, True),
        ("-All -DisabledInterfaceAliases Ethernet", True, True),
    ],
)
def test_a_changed_profile_decides_about_packets(change: str, printing: bool, other: bool) -> None:  # noqa: FBT001
    host = WindowsHost()
    ask(host, f"{BLOCK} Set-NetFirewallProfile {change}")
    assert (passes(host), passes(host, port=12345)) == (printing, other)


def test_a_shielded_profile_lets_nothing_in_until_it_is_opened_again() -> None:
    host = WindowsHost()
    assert passes(host, port=5985)
    ask(host, "Set-NetFirewallProfile -Name Private -AllowInboundRules False")
    assert not passes(host, port=5985)
    ask(host, "Set-NetFirewallProfile -Name Private -AllowInboundRules NotConfigured")
    assert passes(host, port=5985)


def test_group_policy_wins_over_a_local_profile() -> None:
    host = WindowsHost(knobs=Knobs(gpo_profiles_off=("Private",)))
    ask(host, f"{BLOCK} Set-NetFirewallProfile -Name Private -Enabled True")
    assert passes(host)
    assert ask(host, "[string](Get-NetFirewallProfile -Name Private).Enabled") == "True"
    active = "[string](Get-NetFirewallProfile -Name Private -PolicyStore ActiveStore).Enabled"
    assert ask(host, active) == "False"


@pytest.mark.parametrize(
    "beyond",
    [
        "Set-NetFirewallProfile -All -AllowLocalFirewallRules False",
        "Set-NetFirewallProfile -All -Enabled False -PolicyStore ActiveStore",
        "Set-NetFirewallRule -Name t -EdgeTraversalPolicy Allow",
        "Set-NetFirewallRule -Name t -Enabled False -PolicyStore ActiveStore",
    ],
)
def test_what_the_model_does_not_know_is_refused(beyond: str) -> None:
    host = WindowsHost()
    ask(host, BLOCK)
    assert run(host, beyond).refusal is not None
