# The part of the profile that is the same for every twin. It is dot-sourced into the global scope, not a module:
# functions of a module would not see the $ErrorActionPreference of the script that calls them.
# A fault in here ends the process with 126: under SilentlyContinue nobody would hear of it otherwise.

function global:Stop-FwfixTwin {
    param([string]$Message, [int]$Code)
    [Console]::Error.WriteLine($Message)
    [Console]::Error.Flush()
    [Environment]::Exit($Code)
}

function global:Start-FwfixCall {
    param([hashtable]$Asked)
    Set-StrictMode -Off
    $ErrorActionPreference = 'Stop'
    try {
        $client = [Net.Sockets.TcpClient]::new('127.0.0.1', [int]$env:FWFIX_TWIN_PORT)
        $stream = $client.GetStream()
        $plain = [Text.UTF8Encoding]::new($false)
        $call = @{ Client = $client; Reader = [IO.StreamReader]::new($stream, $plain); Stream = $stream }
        $Asked['token'] = $env:FWFIX_TWIN_TOKEN
        Send-FwfixLine $call $Asked
        return $call
    } catch {
        Stop-FwfixTwin ('fwfix: the twin cannot be asked: ' + [string]$_) 126
    }
}

function global:Send-FwfixLine {
    param([hashtable]$Call, [hashtable]$Sent)
    Set-StrictMode -Off
    $ErrorActionPreference = 'Stop'
    try {
        $text = Microsoft.PowerShell.Utility\ConvertTo-Json -InputObject $Sent -Depth 50 -Compress -EscapeHandling EscapeNonAscii
        $bytes = [Text.Encoding]::ASCII.GetBytes($text + "`n")
        $Call.Stream.Write($bytes, 0, $bytes.Length)
        $Call.Stream.Flush()
    } catch {
        Stop-FwfixTwin ('fwfix: the twin cannot be told: ' + [string]$_) 126
    }
}

function global:Read-FwfixAnswer {
    param([hashtable]$Call)
    Set-StrictMode -Off
    $ErrorActionPreference = 'Stop'
    try {
        $line = $Call.Reader.ReadLine()
        if ($null -eq $line) { throw 'it hung up' }
        $sent = Microsoft.PowerShell.Utility\ConvertFrom-Json -InputObject $line
        $answer = @{ Kind = [string]$sent.k; Value = $null; Target = ''; Action = '' }
        if ($answer.Kind -eq 'refused') { Stop-FwfixTwin ([string]$sent.v) 125 }
        if ($answer.Kind -eq 'object') { $answer.Value = ConvertFrom-FwfixValue $sent.v }
        if ($answer.Kind -eq 'error' -or $answer.Kind -eq 'stop') { $answer.Value = ConvertFrom-FwfixError $sent }
        if ($answer.Kind -eq 'ask') {
            $answer.Target = [string]$sent.target
            $answer.Action = [string]$sent.action
        }
        return $answer
    } catch {
        Stop-FwfixTwin ('fwfix: the answer of the twin cannot be read: ' + [string]$_) 126
    }
}

function global:Close-FwfixCall {
    param([hashtable]$Call)
    $Call.Client.Dispose()
}

function global:ConvertFrom-FwfixError {
    param($Sent)
    $message = ([string]$Sent.message).Substring(1)
    # Some of the exceptions are in modules that PowerShell has on Windows alone.
    $type = [string]$Sent.exception -as [type]
    $exception = $null
    if ($null -ne $type) {
        try { $exception = [Activator]::CreateInstance($type, [object[]]@($message)) } catch { $exception = $null }
    }
    if ($null -eq $exception) { $exception = [Management.Automation.RuntimeException]::new($message) }
    $target = ConvertFrom-FwfixValue $Sent.target
    $category = [Management.Automation.ErrorCategory]([string]$Sent.category)
    return [Management.Automation.ErrorRecord]::new($exception, [string]$Sent.id, $category, $target)
}

function global:ConvertFrom-FwfixValue {
    param($Sent)
    $kind = [string]$Sent.k
    if ($kind -eq 'null') { return $null }
    if ($kind -eq 'text') { return ([string]$Sent.v).Substring(1) }
    if ($kind -eq 'bool') { return [bool]$Sent.v }
    if ($kind -eq 'number') {
        return [Convert]::ChangeType([string]$Sent.v, [type]('System.' + [string]$Sent.t), [cultureinfo]::InvariantCulture)
    }
    if ($kind -eq 'enum') { return [Enum]::ToObject($global:FwfixEnums[[string]$Sent.t], [int]$Sent.v) }
    if ($kind -eq 'date') { return [DateTime]::new([long]$Sent.v, [DateTimeKind]([string]$Sent.z)) }
    if ($kind -eq 'array') {
        $items = @($Sent.v)
        $element = [object]
        if ([string]$Sent.e -eq 'System.String') { $element = [string] }
        $array = [Array]::CreateInstance($element, $items.Length)
        for ($index = 0; $index -lt $items.Length; $index++) {
            $array.SetValue((ConvertFrom-FwfixValue $items[$index]), $index)
        }
        return , $array
    }
    if ($kind -eq 'object') { return ConvertFrom-FwfixObject $Sent }
    throw ('a value of the kind ' + $kind)
}

function global:ConvertFrom-FwfixObject {
    param($Sent)
    $object = [pscustomobject]@{}
    foreach ($pair in @($Sent.p)) {
        $value = ConvertFrom-FwfixValue $pair[1]
        $object.PSObject.Properties.Add([Management.Automation.PSNoteProperty]::new([string]$pair[0], $value))
    }
    $names = @($Sent.types)
    for ($index = $names.Length - 1; $index -ge 0; $index--) {
        if ([string]$names[$index] -ne 'System.Object') { $object.PSObject.TypeNames.Insert(0, [string]$names[$index]) }
    }
    # What the object is to the model; a method, because properties would show in Select-Object and ConvertTo-Json.
    $handle = [scriptblock]::Create("'" + [string]$Sent.h + "'")
    $object.PSObject.Methods.Add([Management.Automation.PSScriptMethod]::new('FwfixHandle', $handle))
    return $object
}

function global:ConvertTo-FwfixGiven {
    param($Bound)
    Set-StrictMode -Off
    $ErrorActionPreference = 'Stop'
    $common = @(
        'Verbose', 'Debug', 'ErrorAction', 'WarningAction', 'InformationAction', 'ProgressAction', 'ErrorVariable',
        'WarningVariable', 'InformationVariable', 'OutVariable', 'OutBuffer', 'PipelineVariable', 'WhatIf', 'Confirm'
    )
    $given = @{}
    try {
        foreach ($name in @($Bound.Keys)) {
            if ($common -notcontains $name) { $given[$name] = ConvertTo-FwfixValue $Bound[$name] }
        }
    } catch {
        Stop-FwfixTwin ('fwfix: an argument cannot be told to the twin: ' + [string]$_) 126
    }
    return $given
}

function global:ConvertTo-FwfixValue {
    param($Value)
    if ($null -eq $Value) { return @{ k = 'null' } }
    $type = $Value.GetType()
    if ($Value -is [string]) { return @{ k = 'text'; v = '=' + [string]$Value } }
    if ($Value -is [Management.Automation.SwitchParameter]) { return @{ k = 'switch'; v = [bool]$Value } }
    if ($Value -is [bool]) { return @{ k = 'bool'; v = [bool]$Value } }
    if ($Value -is [Enum]) { return @{ k = 'enum'; t = $type.Name; v = $Value.ToString('d') } }
    if ($Value -is [DateTime]) { return @{ k = 'date'; v = [string]$Value.Ticks; z = [string]$Value.Kind } }
    if ($Value -is [TimeSpan]) { return @{ k = 'span'; v = [string]$Value.Ticks } }
    if ($type.IsPrimitive) {
        return @{ k = 'number'; t = $type.Name; v = [Convert]::ToString($Value, [cultureinfo]::InvariantCulture) }
    }
    if ($Value -is [Array]) {
        $items = @(foreach ($item in $Value) { ConvertTo-FwfixValue $item })
        return @{ k = 'array'; e = $type.GetElementType().FullName; v = $items }
    }
    if ($null -ne $Value.PSObject.Methods['FwfixHandle']) { return @{ k = 'object'; h = [string]$Value.FwfixHandle() } }
    return @{ k = 'other'; v = $type.FullName }
}
