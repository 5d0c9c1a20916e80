"""The engine as the twin uses it: stand-ins, a host of its own, editions, cancelling."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from fwfix.lab.windows.powershell import (
    CORE_7,
    DESKTOP_3_0,
    DESKTOP_5_1,
    Command,
    Engine,
    EnumValue,
    Host,
    Invocation,
    NativeResult,
    cim_instance,
    enum_type,
    parameter,
    per_record,
)

_ACTION = enum_type("Fw.Action", {"NotConfigured": 0, "Allow": 2, "Block": 4})
_RULE = "Microsoft.Management.Infrastructure.CimInstance#MSFT_NetFirewallRule"


def _new_rule(call: Invocation) -> None:
    if call.text("Name") == "taken":
        raise call.throw("exists", "AlreadyThere", category="ResourceExists")
    call.write(
        cim_instance("MSFT_NetFirewallRule", [("Name", call.text("Name")), ("Action", call.get("Action"))])
    )


def _get_rule(call: Invocation) -> None:
    for name in call.texts("Name"):
        if name == "missing":
            call.write_error(
                "none", "CmdletizationQuery_NotFound_InstanceID", category="ObjectNotFound", target=name
            )
        else:
            call.write(cim_instance("MSFT_NetFirewallRule", [("Name", name)]))


def _get_filter(call: Invocation) -> None:
    rule = call.get("AssociatedNetFirewallRule")
    call.write(
        cim_instance("MSFT_NetProtocolPortFilter", [("Of", call.engine.access.property(rule, "Name"))])
    )


def _unregister(call: Invocation) -> None:
    if call.confirmed():
        call.write("gone " + call.text("TaskName"))


_STAND_INS = (
    Command(
        name="New-NetFirewallRule",
        parameters=(
            parameter("Name", "string", mandatory=True),
            parameter("Action", _ACTION),
            parameter("RemoteAddress", "string[]"),
        ),
        make=per_record(_new_rule),
    ),
    Command(
        name="Get-NetFirewallRule",
        parameters=(
            parameter("Name", "string[]", position=0, sets=("ByName",)),
            parameter("All", "switch", sets=("All",)),
        ),
        make=per_record(_get_rule),
        default_set="ByName",
    ),
    Command(
        name="Get-NetFirewallPortFilter",
        parameters=(
            parameter(
                "AssociatedNetFirewallRule",
                "object",
                mandatory=True,
                pipeline=True,
                ps_type=_RULE,
                sets=("ByRule",),
            ),
        ),
        make=per_record(_get_filter),
    ),
    Command(
        name="Unregister-ScheduledTask",
        parameters=(parameter("TaskName", "string", position=0),),
        make=per_record(_unregister),
        should_process=True,
        confirm_impact="High",
    ),
)


class _Registry:
    def values(self, path: str) -> Mapping[str, object] | None:
        return {"R1": "v2|LPort=9100|"} if path.lower() == "software\\fw" else None


class _Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_795_298_400 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        del stopped
        self.seconds += seconds


def _out(script: str, **options: object) -> str:
    engine = Engine(commands=_STAND_INS, types=(_ACTION,), **options)  # type: ignore[arg-type]
    result = engine.run(script)
    assert result.refusal is None, str(result.refusal)
    return result.stdout.decode()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("[string](New-NetFirewallRule -Name a -Action Block).Action", "Block\n"),
        ("[int](New-NetFirewallRule -Name a -Action block).Action", "4\n"),
        (
            "try { New-NetFirewallRule -Name a -Action Nope } catch { $_.FullyQualifiedErrorId }",
            "ParameterArgumentTransformationError,New-NetFirewallRule\n",
        ),
        (
            "try { New-NetFirewallRule -Nope 1 } catch { $_.FullyQualifiedErrorId }",
            "NamedParameterNotFound,New-NetFirewallRule\n",
        ),
        (
            "try { New-NetFirewallRule -Action Block } catch { $_.FullyQualifiedErrorId }",
            "MissingMandatoryParameter,New-NetFirewallRule\n",
        ),
        (
            "try { New-NetFirewallRule -Name '' } catch { $_.FullyQualifiedErrorId }",
            "ParameterArgumentValidationErrorEmptyStringNotAllowed,New-NetFirewallRule\n",
        ),
        (
            (
                "try { New-NetFirewallRule -Name taken } catch "
                '{ "$($_.FullyQualifiedErrorId) $($_.CategoryInfo.Category)" }'
            ),
            "AlreadyThere,New-NetFirewallRule ResourceExists\n",
        ),
    ],
)
def test_a_stand_in_binds_its_parameters_and_fails_with_the_ids_of_powershell(
    script: str, expected: str
) -> None:
    assert _out(script) == expected


def test_an_error_of_a_stand_in_that_ends_nothing_follows_the_error_action() -> None:
    script = """
        $r = @(Get-NetFirewallRule a, missing, b -ErrorAction SilentlyContinue | ForEach-Object { $_.Name })
        "$($r -join ',') $($Error[0].FullyQualifiedErrorId)"
        try { Get-NetFirewallRule -Name missing -ErrorAction Stop } catch { $_.FullyQualifiedErrorId }
        $ErrorActionPreference = 'Stop'
        try { Get-NetFirewallRule -Name missing; 'never' } catch { "$($_.Exception.Message)" }
    """
    identity = "CmdletizationQuery_NotFound_InstanceID,Get-NetFirewallRule"
    assert _out(script) == f"a,b {identity}\n{identity}\nnone\n"


def test_an_object_binds_through_the_pipeline_by_the_name_of_its_type() -> None:
    assert _out("(Get-NetFirewallRule -Name a, b | Get-NetFirewallPortFilter).Of -join ','") == "a,b\n"
    script = "try { 'x' | Get-NetFirewallPortFilter -ErrorAction Stop } catch { $_.FullyQualifiedErrorId }"
    assert _out(script) == "InputObjectNotBound,Get-NetFirewallPortFilter\n"


def test_an_object_of_another_type_is_refused_as_an_argument_too() -> None:
    script = (
        "try { Get-NetFirewallPortFilter -AssociatedNetFirewallRule x } catch { $_.FullyQualifiedErrorId }"
    )
    assert _out(script) == "ParameterArgumentTransformationError,Get-NetFirewallPortFilter\n"


class _Files:
    """Files in memory, by exact path."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.folders: set[str] = set()

    def is_file(self, path: str) -> bool:
        return path in self.content

    def is_folder(self, path: str) -> bool:
        return path in self.folders

    def read(self, path: str) -> bytes:
        if path not in self.content:
            raise FileNotFoundError(path)
        return self.content[path]

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        self.content[path] = (self.content.get(path, b"") if append else b"") + content

    def delete(self, path: str) -> None:
        self.content.pop(path, None)

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        if target in self.content and not overwrite:
            raise FileExistsError(target)
        self.content[target] = self.content.pop(source)

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        if target in self.content and not overwrite:
            raise FileExistsError(target)
        self.content[target] = self.content[source]

    def make_folder(self, path: str) -> None:
        self.folders.add(path)

    def delete_folder(self, path: str, *, recursive: bool) -> None:
        del recursive
        self.folders.discard(path)

    def names(self, path: str) -> list[str]:
        return [p for p in self.content if p.startswith(path)]


def test_a_state_file_is_written_and_renamed_in_the_files_of_the_host() -> None:
    files = _Files()
    script = r"""
        $d = $env:ProgramData + '\fwfix'
        $null = [IO.Directory]::CreateDirectory($d)
        [IO.File]::WriteAllText("$d\armed", 'run', (New-Object Text.UTF8Encoding $false))
        [IO.File]::Move("$d\armed", "$d\confirmed")
        try { [IO.File]::Move("$d\armed", "$d\x") } catch { $_.Exception.InnerException.GetType().Name }
        "$([IO.File]::Exists("$d\confirmed")) $([IO.File]::ReadAllText("$d\confirmed"))"
    """
    host = Host(files=files, environment={"PROGRAMDATA": r"C:\ProgramData"})
    assert _out(script, edition=DESKTOP_5_1, host=host) == "FileNotFoundException\r\nTrue run\r\n"
    assert files.content == {r"C:\ProgramData\fwfix\confirmed": b"run"}


def test_a_reference_changes_the_variable_of_the_caller() -> None:
    assert _out("function f { param([ref]$r) $r.Value = 5 }; $v = 1; f ([ref]$v); $v") == "5\n"


def test_flags_are_named_in_order() -> None:
    flags = enum_type("Fw.Profile", {"Any": 0, "Domain": 1, "Private": 2, "Public": 4}, flags=True)
    command = Command(
        name="Get-Flags", parameters=(), make=per_record(lambda c: c.write(EnumValue(flags, 5)))
    )
    result = Engine(commands=(command,), types=(flags,)).run("[string](Get-Flags)")
    assert result.stdout == b"Domain, Public\n"


def test_a_command_of_high_impact_fails_where_nobody_can_be_asked() -> None:
    script = """
        try { Unregister-ScheduledTask t } catch { $_.Exception.GetType().Name }
        Unregister-ScheduledTask t -Confirm:$false
    """
    assert _out(script) == "PSInvalidOperationException\ngone t\n"


def test_the_registry_of_the_host_answers_paths_of_hklm() -> None:
    script = r"""
        "$(Test-Path -LiteralPath 'HKLM:\SOFTWARE\Fw') $(Test-Path -LiteralPath 'HKLM:\SOFTWARE\No')"
        $o = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Fw'
        foreach ($p in $o.PSObject.Properties) { if ($p.Name -notlike 'PS*') { "$($p.Name)=$($p.Value)" } }
        try { Get-ItemProperty -LiteralPath 'HKLM:\No' -ErrorAction Stop } catch { $_.FullyQualifiedErrorId }
    """
    expected = (
        "True False\nR1=v2|LPort=9100|\nPathNotFound,Microsoft.PowerShell.Commands.GetItemPropertyCommand\n"
    )
    assert _out(script, host=Host(registry=_Registry())) == expected


def test_sleeping_and_reading_the_time_use_the_clock_of_the_host() -> None:
    script = "$a = [DateTime]::UtcNow; Start-Sleep -Seconds 90; [string]([DateTime]::UtcNow - $a)"
    assert _out(script, host=Host(clock=_Clock())) == "00:01:30\n"


def test_a_native_program_gets_its_arguments_and_sets_the_exit_code() -> None:
    seen: list[list[str]] = []

    def whoami(arguments: list[str], stdin: bytes) -> NativeResult:
        del stdin
        seen.append(arguments)
        return NativeResult(exit_code=5, stdout=b"S-1-16-12288\r\n", stderr=b"odd\n")

    script = '$x = whoami.exe /groups 2>$null; "$x $LASTEXITCODE"'
    assert _out(script, host=Host(natives={"whoami": whoami})) == "S-1-16-12288 5\n"
    assert seen == [["/groups"]]


def test_the_bootstrap_of_a_script_on_stdin_runs_it_and_keeps_its_exit_code() -> None:
    boot = (
        "$b = [Convert]::FromBase64String(($input | Out-String)); "
        "& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString($b)))"
    )
    result = Engine().run(boot, stdin=b"J2hp\r\nJzsgZX\r\nhpdCA3")
    assert (result.stdout, result.exit_code) == (b"hi\n", 7)


@pytest.mark.parametrize(
    ("edition", "expected"),
    [(CORE_7, "\"<a> & 'b'\"\n"), (DESKTOP_5_1, '"\\u003ca\\u003e \\u0026 \\u0027b\\u0027"\r\n')],
)
def test_json_is_escaped_as_the_edition_does(edition: object, expected: str) -> None:
    assert _out("ConvertTo-Json -Compress -InputObject \"<a> & 'b'\"", edition=edition) == expected


def test_the_version_table_names_the_version() -> None:
    assert _out("[string]$PSVersionTable.PSVersion", edition=DESKTOP_3_0) == "3.0\r\n"
    assert _out("[string]$PSVersionTable.PSVersion.Major", edition=DESKTOP_5_1) == "5\r\n"


@pytest.mark.parametrize(
    "script",
    [
        "'a'.Contains('A', [StringComparison]::OrdinalIgnoreCase)",
        "[IO.File]::Move('a', 'b', $true)",
        "[Convert]::ToHexString([byte[]](1, 2))",
    ],
)
def test_a_member_that_the_framework_of_windows_powershell_lacks_is_refused_there(script: str) -> None:
    refusal = Engine(edition=DESKTOP_5_1).run(script).refusal
    assert refusal is not None
    assert "4.5" in str(refusal)


@pytest.mark.parametrize("script", ["while ($true) { }", "for (;;) { $x = 1 }", "Start-Sleep -Seconds 600"])
def test_a_running_script_stops_promptly_when_it_is_cancelled(script: str) -> None:
    engine = Engine()
    results = []
    worker = threading.Thread(target=lambda: results.append(engine.run("'up'\n" + script)))
    worker.start()
    deadline = time.monotonic() + 20
    while worker.is_alive() and time.monotonic() < deadline:
        engine.cancel()
        worker.join(0.05)
    assert not worker.is_alive()
    assert results[0].cancelled


def test_a_deadline_stops_a_script() -> None:
    result = Engine().run("while ($true) { }", deadline=0.05)
    assert result.cancelled


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("'a'\nGet-WmiObject x", 2),
        ("'a'\n\n$x = 1 ?? 2", 3),
        ("[Nope.Type]::Do()", 1),
        ("'a'.Nope()", 1),
        ("enum A { B }", 1),
        ("1..3 | Sort-Object -Stable", 1),
        ("[pscustomobject]@{ a = 1 }", 1),
    ],
)
def test_what_the_engine_does_not_know_is_refused_with_its_line(script: str, line: int) -> None:
    result = Engine().run(script)
    assert result.exit_code == 125
    assert result.refusal is not None
    assert result.refusal.line == line


def test_five_hundred_lines_run_in_well_below_a_second() -> None:
    script = "$h = [ordered]@{}\n" + "".join(
        f"$h['k{i}'] = \"v$({i} + 1)\"; if ($h.Count -lt 0) {{ 'no' }}\n" for i in range(500)
    )
    started = time.monotonic()
    result = Engine().run(script + "$h.Count")
    assert result.stdout == b"500\n"
    assert time.monotonic() - started < 5
