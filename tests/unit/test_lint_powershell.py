"""The lint finds what PowerShell 3.0 to 5.1 would not take, and what is outside the dialect of templates."""

import base64

import pytest

from fwfix.executors.winrm_delivery import pack
from fwfix.lint.powershell import check_powershell
from fwfix.model.script import Invocation, Script

WRONG = {
    "parameter-misspelt": ("Get-NetFirewallRule -PolicyStor 'x'", "no parameter -policystor"),
    "parameter-abbreviated": ("Get-Service -Name 'x' -ErrorAct 'Stop'", "write -ErrorAction out"),
    "parameter-too-new": ("Get-NetTCPConnection -OwningProcess 1", "in PowerShell 3.0"),
    "parameter-of-7": ("1 | ForEach-Object -Parallel { $_ }", "no parameter -parallel"),
    "json-of-7": ("ConvertTo-Json -InputObject 1 -Depth 3 -AsArray", "no parameter -asarray"),
    "common-parameter-too-new": ("Get-Printer -InformationAction 'Ignore'", "in PowerShell 3.0, 4.0"),
    "parameter-sets": ("Get-CimInstance -ClassName x -Query z -Filter y", "no parameter set"),
    "mandatory": ("New-NetFirewallRule -Name 'x'", "-DisplayName is missing"),
    "value-missing": ("Get-Printer -Name", "-Name of Get-Printer needs a value"),
    "type-missing": ("New-Object -TypeName", "-TypeName of New-Object needs a value"),
    "expression-missing": ("foreach ($a in) {}", "something is missing"),
    "too-many-values": ("Start-Sleep 1 2", "too many"),
    "splatted": ("$r = @{ DisplayName = 'a'; Namee = 'b' }\nNew-NetFirewallRule @r", "no parameter -namee"),
    "splatted-in-a-loop": (
        "$r = @()\n$r += @{ DisplayNam = 'a' }\nforeach ($q in $r) { New-NetFirewallRule @q }",
        "no parameter -displaynam",
    ),
    "splatted-unseen": ("$r = Get-Printer\nNew-NetFirewallRule @r", "no hashtable"),
    "cmdlet-misspelt": ("Get-NetFirewalRule -Name 'a'", "did you mean Get-NetFirewallRule"),
    "cmdlet-outside": ("'a' | Set-Content 'x'", "Set-Content is no function"),
    "alias": ("Get-Printer | Where { $_ }", "Where is no function"),
    "program-without-exe": ("$x = @(whoami /groups)", "with .exe"),
    "function-parameter": ("function f {\n param($A)\n $A\n}\nf -B 1", "no parameter -b"),
    "function-values": ("function f {\n param($A)\n $A\n}\nf 1 2", "takes 1 values"),
    "static-misspelt": ("$x = [IO.File]::Exist('a')", "did you mean Exists"),
    "static-too-new": ("$x = [Convert]::ToHexString($null)", "does not exist in .NET Framework 4.5"),
    "overload-too-new": ("[IO.File]::Move('a', 'b', $true)", "takes 2 arguments"),
    "com-object-outside": ("$x = New-Object -ComObject 'HNetCfg.FwPolicy2'", "which has Schedule.Service"),
    "com-member-misspelt": (
        "$x = New-Object -ComObject 'Schedule.Service'\n$x.Conect()",
        "Conect does not exist; did you mean connect",
    ),
    "com-member-of-a-member": (
        "$x = New-Object -ComObject 'Schedule.Service'\n$x.GetFolder('a').DeleteFolder('b')",
        "takes 2 arguments, not 1",
    ),
    "property-misspelt": ("$x = [DateTime]::UtcNow.Yaer", "does not exist"),
    "property-of-a-variable": ("$t = [DateTime]::UtcNow\n$x = $t.Yaer", "does not exist"),
    "property-of-a-cmdlet": ("$x = (Get-Service -Name 'a').Stats", "did you mean Status"),
    "property-too-new": ("$x = (Get-Service -Name 'a').StartType", "has a property StartType"),
    "property-in-a-pipeline": ("Get-Printer | ForEach-Object { $_.PortNme }", "did you mean PortName"),
    "property-of-an-error": ("try { 1 } catch { $x = $_.FullyQualifiedErorId }", "FullyQualifiedErrorId"),
    "property-of-a-table": ("$h = @{ own = 1 }\n$x = $h.onw", "has a property onw"),
    "property-of-a-list": ("$a = @(1)\n$x = $a.Cuont", "did you mean Count"),
    "method-misspelt": ("$x = [DateTime]::UtcNow.ToUniversalTme()", "did you mean ToUniversalTime"),
    "method-of-a-parameter": ("function f {\n param([string]$A)\n $A.Trimm()\n}\nf 'a'", "did you mean Trim"),
    "method-of-anything": ("$x = $null.Trimm()", "no type of the dialect has a method Trimm"),
    "method-in-an-argument": ("Write-Output ('a').Trm()", "did you mean Trim"),
    "method-in-a-string": ('$x = "a$([IO.File]::Exist(1))"', "did you mean Exists"),
    "contains-too-new": ("$x = 'a'.Contains('b', [StringComparison]::Ordinal)", "takes 1 arguments"),
    "enum-misspelt": ("$x = [StringComparison]::Ordnal", "did you mean Ordinal"),
    "split-of-a-text": ("$x = 'a'.Split('::')", "use -split"),
    "type-misspelt": ("$x = New-Object Text.UTF8Encodng", "did you mean [Text.UTF8Encoding]"),
    "type-outside": ("$x = [xml]'<a/>'", "not a type of the dialect"),
    "cim-members": ("$x = $null.CimInstanceProperties", "cast it to [string]"),
    "null-coalescing": ("$a = $null ?? 1", "?? is new in PowerShell 7"),
    "ternary": ("$a = 1\n$b = $a ? 2 : 3", "new in PowerShell 7"),
    "chain": ("whoami.exe && whoami.exe", "new in PowerShell 7"),
    "syntax": ("if (1) {", "missing"),
    "switch": ("switch (1) { 1 { 2 } }", "`switch`"),
    "redirection": ("whoami.exe 2>$null", "redirections"),
    "operator": ("$x = 5 -band 1", "-band"),
    "operator-is": ("$x = 5 -is [int]", "-is"),
    "unrolled-if": ("$x = if (1) { @(1) } else { @() }", "wrap it in @( )"),
    "unrolled-return": ("function f { return @(1) }", "return unrolls"),
    "unrolled-entry": ("$x = @{ a = (1, 2 | ForEach-Object { $_ }) }", "write @( )"),
    "uncaptured": ("$l = New-Object Collections.ArrayList\n$l.Add(1)", "becomes output"),
    "args-of-a-block": ("& { $args }", "is its own"),
    "stale-matches": ("$x = 'a' -match 'b'\n$y = $Matches[0]", "inside the if"),
    "compared-as-texts": ("$p = '10'\nif ($p -lt 9) { 1 }", "cast the left side"),
    "json-piped": ("@(1) | ConvertTo-Json -Depth 2", "-InputObject"),
    "json-depth": ("ConvertTo-Json -InputObject 1", "say -Depth"),
    "json-top-level-array": ("ConvertFrom-Json -InputObject '1' | Out-Null", "assign it"),
    "unregister-asks": ("Unregister-ScheduledTask -TaskName 'x'", "-Confirm:$false"),
    "quote-in-an-argument": ("""whoami.exe 'a "b" c'""", "quotes inside"),
    "typographic-end": ("$x = 'a \u2019 b'", "double it"),
    "typographic-quote": ("Write-Output \u201ca\u201d", "write plain ones"),
    "variable-misspelt": ("$there = 1\nWrite-Output $theer", "did you mean $there"),
}
RIGHT = """
$text = 'it''s a \u2019\u2019 quote'
$names = @('a', "b $text c")
$found = [ordered]@{}
foreach ($name in $names) { $found[$name] = [string]$name.Length }
$found.Add('x', 1)
$list = New-Object Collections.ArrayList
[void]$list.Add(1)
function Get-FwfixThing {
    param([string]$Path, [switch]$Deep)
    if ($Path -match '^(a)') { return $Matches[1] }
    try { return [IO.File]::ReadAllText($Path).Trim() } catch { throw }
}
$rules = @(Get-NetFirewallRule -PolicyStore 'ActiveStore' -Name $names | Where-Object { $_ })
while ([DateTime]::UtcNow -lt [DateTime]::UtcNow.AddSeconds(1)) { Start-Sleep -Milliseconds 50 }
$thing = [string](Get-FwfixThing -Deep 'a')
$own = @{ mine = 1 }
$own.later = $own.mine
$seen = @($rules[0].Name, $own.later, (Get-ItemProperty -LiteralPath 'HKLM:/x').'Whatever')
whoami.exe /groups | Out-Null
Unregister-ScheduledTask -TaskName $thing -Confirm:$false
Write-Output (ConvertTo-Json -InputObject @{ rules = $seen; list = $list.ToArray() } -Depth 4 -Compress)
exit 0
"""


@pytest.mark.parametrize("name", WRONG)
def test_the_lint_finds(name: str) -> None:
    source, expected = WRONG[name]
    messages = [problem.message for problem in check_powershell(source + "\n")]
    assert any(expected in message for message in messages), messages


def test_the_dialect_passes() -> None:
    assert check_powershell(RIGHT) == ()


@pytest.mark.parametrize("source", ["", "\n", "# nothing but a word\n"])
def test_a_script_without_a_statement_passes(source: str) -> None:
    assert check_powershell(source) == ()


def test_a_problem_has_the_line_on_which_it_stands() -> None:
    (problem,) = check_powershell("$a = 1\n\n$b = [IO.File]::Exist('a')\n")
    assert problem.line == 3


def test_the_bootstrap_leaves_the_dialect_only_to_read_its_input_and_the_language_mode() -> None:
    parcel = pack(Invocation(script=Script(name="x", text="exit 0", changes=False)))
    bootstrap = base64.b64decode(parcel.arguments[-1]).decode("utf-16-le")
    messages = {
        problem.message.partition(" (")[0].partition(";")[0] for problem in check_powershell(bootstrap)
    }
    assert messages == {
        "$ExecutionContext is set nowhere in this script",
        "nothing in the dialect has a property SessionState",
        "nothing in the dialect has a property LanguageMode",
        "Out-String is no function of this script and no cmdlet of the dialect",
    }
