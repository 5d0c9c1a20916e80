"""The profile that gives `pwsh` the cmdlets of Windows: proxies, generated from the tables of the stand-ins.

A profile, because it is loaded before `-File`, `-Command` and `-EncodedCommand` alike, so that scripts, their
arguments and their standard input reach the engine as they are. Functions take precedence over cmdlets.
"""

from collections.abc import Iterable, Iterator
from importlib import resources

from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.signature import ALL_SETS, Binding, Command, Parameter
from fwfix.lab.windows.pwsh.wire import enum_name

# Types that the captured surfaces name and that .NET has under this name everywhere.
_PLAIN = frozenset((
    "string", "bool", "byte", "int", "uint16", "uint32", "uint64", "long", "double", "datetime", "timespan",
    "hashtable", "uri", "object",
))  # fmt: skip
_BODY = """\
    process {{{before}
        $fwfixCall = Start-FwfixCall @{{
            cmdlet = '{name}'
            set = [string]$PSCmdlet.ParameterSetName
            given = ConvertTo-FwfixGiven $PSBoundParameters
        }}
        try {{
            while ($true) {{
                $fwfixAnswer = Read-FwfixAnswer $fwfixCall
                $fwfixKind = [string]$fwfixAnswer.Kind
                if ($fwfixKind -eq 'end') {{ break }}
                if ($fwfixKind -eq 'object') {{ $PSCmdlet.WriteObject($fwfixAnswer.Value, $false) }}
                if ($fwfixKind -eq 'error') {{ $PSCmdlet.WriteError($fwfixAnswer.Value) }}
                if ($fwfixKind -eq 'stop') {{ $PSCmdlet.ThrowTerminatingError($fwfixAnswer.Value) }}
                if ($fwfixKind -eq 'ask') {{
                    $fwfixYes = $PSCmdlet.ShouldProcess($fwfixAnswer.Target, $fwfixAnswer.Action)
                    Send-FwfixLine $fwfixCall @{{ yes = [bool]$fwfixYes }}
                }}
            }}
        }} finally {{
            Close-FwfixCall $fwfixCall
        }}
    }}
"""
_ELSEWHERE = """
        if (-not (@(@($Path) + @($LiteralPath)) -like 'HKLM:*')) {{
            Microsoft.PowerShell.Management\\{name} @PSBoundParameters
            return
        }}"""
_PATHS = """\
        [Parameter(ParameterSetName = 'Path', Mandatory = $true, Position = 0, ValueFromPipeline = $true,
            ValueFromPipelineByPropertyName = $true)] [string[]] $Path,
        [Parameter(ParameterSetName = 'LiteralPath', Mandatory = $true,
            ValueFromPipelineByPropertyName = $true)]
        [Alias('PSPath', 'LP')] [string[]] $LiteralPath,
        [string] $Filter,
        [string[]] $Include,
        [string[]] $Exclude,
"""
# What pwsh has itself; only the registry and the policy of the host are the twin's.
_OWN = (
    ("Get-ItemProperty", "Path", _PATHS + "        [Parameter(Position = 1)] [string[]] $Name", True),
    ("Test-Path", "Path", _PATHS + "        [string] $PathType,\n        [switch] $IsValid", True),
    ("Get-ExecutionPolicy", "", "        [object] $Scope,\n        [switch] $List", False),
)
_TAIL = """\
$PSStyle.OutputRendering = 'PlainText'
$ProgressPreference = 'SilentlyContinue'
& {
    $hello = Start-FwfixCall @{ hello = [string]$PSVersionTable.PSVersion }
    $answer = Read-FwfixAnswer $hello
    if ($answer.Kind -ne 'end') { Stop-FwfixTwin 'fwfix: the twin does not greet' 126 }
    Close-FwfixCall $hello
}
"""


class UnknownTypeError(ValueError):
    """A stand-in declares a type of which the generator does not know what PowerShell calls it."""


def profile_text(commands: Iterable[Command], enums: Iterable[EnumType]) -> str:
    """Return the whole profile.

    Args:
        commands: the stand-ins that scripts may call.
        enums: every enum that a parameter takes or an object shows.
    """
    head = resources.files(__package__).joinpath("head.ps1").read_text(encoding="utf-8")
    return "\n".join((head, *_enums(enums), *(_proxy(each) for each in commands), *_own(), _TAIL))


def _enums(enums: Iterable[EnumType]) -> Iterator[str]:
    known = list(enums)
    for kind in known:
        lines = "\n".join(f"    {name} = {number}" for name, number in kind.members)
        flags = "[Flags()] " if kind.flags else ""
        yield f"{flags}enum {enum_name(kind.full_name)} {{\n{lines}\n}}\n"
    names = [enum_name(kind.full_name) for kind in known]
    entries = "\n".join(f"    '{name}' = [{name}]" for name in names)
    yield f"$global:FwfixEnums = @{{\n{entries}\n}}\n"


def _proxy(command: Command) -> str:
    options = ["PositionalBinding = $false"]
    if command.default_set:
        options.append(f"DefaultParameterSetName = '{command.default_set}'")
    if command.should_process:
        options += ["SupportsShouldProcess = $true", f"ConfirmImpact = '{command.confirm_impact}'"]
    parameters = ",\n".join(_parameter(each) for each in command.parameters)
    return _function(command.name, ", ".join(options), parameters, "")


def _own() -> Iterator[str]:
    for name, default_set, parameters, has_paths in _OWN:
        options = f"DefaultParameterSetName = '{default_set}'" if default_set else ""
        yield _function(name, options, parameters, _ELSEWHERE.format(name=name) if has_paths else "")


def _function(name: str, options: str, parameters: str, before: str) -> str:
    body = _BODY.format(name=name, before=before)
    head = f"function global:{name} {{\n    [CmdletBinding({options})]\n"
    return f"{head}    param(\n{parameters}\n    )\n{body}}}\n"


def _parameter(each: Parameter) -> str:
    lines = [_attribute(name, how) for name, how in each.sets.items()]
    if each.aliases:
        lines.append("[Alias(" + ", ".join(f"'{alias}'" for alias in each.aliases) + ")]")
    if each.allow_null:
        lines.append("[AllowNull()]")
    if each.allow_empty:
        lines += ["[AllowEmptyString()]", "[AllowEmptyCollection()]"]
    if each.ps_type:
        lines.append(f"[PSTypeName('{each.ps_type}')]")
    lines.append(f"{_type(each)} ${each.name}")
    return "\n".join("        " + line for line in lines)


def _attribute(set_name: str, how: Binding) -> str:
    words = [] if set_name == ALL_SETS else [f"ParameterSetName = '{set_name}'"]
    if how.mandatory:
        words.append("Mandatory = $true")
    if how.position is not None:
        words.append(f"Position = {how.position}")
    if how.pipeline:
        words.append("ValueFromPipeline = $true")
    if how.by_property:
        words.append("ValueFromPipelineByPropertyName = $true")
    if how.remaining:
        words.append("ValueFromRemainingArguments = $true")
    return "[Parameter(" + ", ".join(words) + ")]"


def _type(each: Parameter) -> str:
    """Return the type literal; objects of the model bind by their type name alone."""
    if each.is_switch:
        return "[switch]"
    if isinstance(each.type, NetType):
        element = each.type.element or each.type.full_name
        return f"[{enum_name(element)}{'[]' if each.type.element else ''}]"
    name, many = each.type.removesuffix("[]"), "[]" if each.type.endswith("[]") else ""
    if name in ("", "ciminstance"):
        return f"[object{many}]"
    if name not in _PLAIN:
        raise UnknownTypeError(f"-{each.name} [{each.type}]")
    return f"[{name}{many}]"
