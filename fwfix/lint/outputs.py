"""Properties of the objects that the cmdlets of the dialect put out, as Microsoft documents their classes.

A property that is not there is empty without a word, so that nobody else finds a misspelt one. What came
after Windows Server 2012 is left out, such as `StartType` of a service (.NET Framework 4.6.1).
"""

from collections.abc import Mapping

# Cmdlet -> properties: of its CIM classes (MSFT_*, Win32_*), or of its .NET type with what PowerShell adds.
OUTPUTS: Mapping[str, str] = {
    "Get-NetFirewallRule": """
        Name DisplayName Description DisplayGroup Group Enabled Profile Platform Direction Action
        EdgeTraversalPolicy LooseSourceMapping LocalOnlyMapping Owner PrimaryStatus Status EnforcementStatus
        PolicyStoreSource PolicyStoreSourceType InstanceID
    """,
    "Get-NetFirewallProfile": """
        Name Enabled DefaultInboundAction DefaultOutboundAction AllowInboundRules AllowLocalFirewallRules
        AllowLocalIPsecRules AllowUserApps AllowUserPorts AllowUnicastResponseToMulticast NotifyOnListen
        EnableStealthModeForIPsec LogFileName LogMaxSizeKilobytes LogAllowed LogBlocked LogIgnored
        DisabledInterfaceAliases InstanceID
    """,
    "Get-NetFirewallPortFilter": "Protocol LocalPort RemotePort IcmpType InstanceID",
    "Get-NetFirewallAddressFilter": "LocalAddress RemoteAddress InstanceID",
    "Get-NetFirewallApplicationFilter": "Program Package InstanceID",
    "Get-NetFirewallServiceFilter": "Service InstanceID",
    "Get-NetFirewallInterfaceFilter": "InterfaceAlias InstanceID",
    "Get-NetFirewallInterfaceTypeFilter": "InterfaceType InstanceID",
    "Get-NetFirewallSecurityFilter": """
        Authentication Encryption OverrideBlockRules LocalUser RemoteUser RemoteMachine InstanceID
    """,
    "Get-NetFirewallSetting": """
        Name Exemptions EnableStatefulFtp EnableStatefulPptp RemoteMachineTransportAuthorizationList
        RemoteMachineTunnelAuthorizationList RemoteUserTransportAuthorizationList
        RemoteUserTunnelAuthorizationList RequireFullAuthSupport CertValidationLevel AllowIPsecThroughNAT
        MaxSAIdleTimeSeconds KeyEncoding EnablePacketQueuing InstanceID
    """,
    "Get-ScheduledTask": """
        Actions Author Date Description Documentation Principal SecurityDescriptor Settings Source State
        TaskName TaskPath Triggers URI Version
        Arguments Execute WorkingDirectory Id UserId GroupId LogonType RunLevel
        Enabled StartBoundary EndBoundary ExecutionTimeLimit Delay Repetition Interval Duration
        StopAtDurationEnd
        AllowDemandStart AllowHardTerminate Compatibility DeleteExpiredTaskAfter DisallowStartIfOnBatteries
        Hidden MultipleInstances Priority RestartCount RestartInterval RunOnlyIfIdle
        RunOnlyIfNetworkAvailable StartWhenAvailable StopIfGoingOnBatteries WakeToRun
    """,
    "Get-ScheduledTaskInfo": """
        TaskName TaskPath LastRunTime LastTaskResult NextRunTime NumberOfMissedRuns
    """,
    "Get-NetTCPConnection": """
        LocalAddress LocalPort RemoteAddress RemotePort State AppliedSetting OwningProcess CreationTime
        OffloadState
    """,
    "Get-NetUDPEndpoint": "LocalAddress LocalPort OwningProcess CreationTime",
    "Get-NetConnectionProfile": """
        Name InterfaceAlias InterfaceIndex NetworkCategory IPv4Connectivity IPv6Connectivity
    """,
    "Get-NetIPAddress": """
        IPAddress InterfaceAlias InterfaceIndex AddressFamily Type PrefixLength PrefixOrigin SuffixOrigin
        AddressState ValidLifetime PreferredLifetime SkipAsSource PolicyStore
    """,
    "Get-Printer": """
        Name ComputerName Type DriverName PortName Shared ShareName Published Comment Location DeviceType
        PrinterStatus JobCount
    """,
    "Get-PrinterPort": """
        Name ComputerName Description PortMonitor PrinterHostAddress PortNumber Protocol LprQueueName
        LprByteCounting SNMPEnabled SNMPCommunity SNMPIndex
    """,
    "Get-Service": """
        Name DisplayName ServiceName Status ServiceType MachineName CanStop CanPauseAndContinue CanShutdown
        DependentServices ServicesDependedOn RequiredServices
    """,
    "Get-Process": """
        Id Name ProcessName Path Company Description FileVersion Product ProductVersion MainModule Modules
        MachineName StartTime HasExited ExitCode SessionId Handles Threads WorkingSet64 Responding
    """,
    "Get-Acl": "Path Owner Group Access Sddl AccessToString AreAccessRulesProtected AreAccessRulesCanonical",
    "Get-CimInstance": """
        Caption Version BuildNumber CSName ProductType LastBootUpTime LocalDateTime OSArchitecture
        InstallDate SystemDirectory WindowsDirectory Locale OSLanguage
        Name Domain DomainRole PartOfDomain Workgroup Manufacturer Model
        displayName productState instanceGuid pathToSignedProductExe pathToSignedReportingExe
    """,
    # Of errors, of any object, and of variables that PowerShell sets.
    "catch": """
        FullyQualifiedErrorId Exception CategoryInfo InvocationInfo TargetObject ErrorDetails
        ScriptStackTrace Category Activity Reason TargetName TargetType
    """,
    "PSObject": "PSObject Properties Members BaseObject TypeNames Name Value TypeNameOfValue",
    "$PSVersionTable": "PSVersion PSCompatibleVersions BuildVersion CLRVersion WSManStackVersion",
    "$MyInvocation": "MyCommand ScriptName Line InvocationName",
}
# Of no cmdlet: values of the registry, what stands in the record of a run, what its rollback.ps1 answers.
VALUES = """
    MachineGuid EnableScripts ExecutionPolicy
    word message holder notes
    run_id machine_id boot_id operator controller ticket fwfix_version armed_at armed_uptime seconds deadline
    backend supersedes desired
"""
