"""Enums of the modules NetSecurity, ScheduledTasks, NetTCPIP and NetConnection, and their exceptions."""

from fwfix.lab.windows.powershell import EnumType, EnumValue, NetType, enum_type

_GENERATED = "Microsoft.PowerShell.Cmdletization.GeneratedTypes."
_NET_SECURITY = _GENERATED + "NetSecurity."
CIM_EXCEPTION = "Microsoft.Management.Infrastructure.CimException"
CIM_JOB_EXCEPTION = "Microsoft.PowerShell.Cmdletization.Cim.CimJobException"

ENABLED = enum_type(_NET_SECURITY + "Enabled", {"True": 1, "False": 2})
GPO_BOOLEAN = enum_type(_NET_SECURITY + "GpoBoolean", {"False": 0, "True": 1, "NotConfigured": 2})
DIRECTION = enum_type(_NET_SECURITY + "Direction", {"Inbound": 1, "Outbound": 2})
ACTION = enum_type(_NET_SECURITY + "Action", {"NotConfigured": 0, "Allow": 2, "Block": 4})
EDGE = enum_type(_NET_SECURITY + "EdgeTraversal", {"Block": 0, "Allow": 1, "DeferToUser": 2, "DeferToApp": 3})
PROFILE = enum_type(
    _NET_SECURITY + "Profile",
    {"Any": 0, "Domain": 1, "Private": 2, "Public": 4, "NotApplicable": 65536},
    flags=True,
)
PRIMARY_STATUS = enum_type(
    _NET_SECURITY + "PrimaryStatus", {"Unknown": 0, "OK": 1, "Inactive": 2, "Error": 3}
)
STORE_TYPE = enum_type(
    _NET_SECURITY + "PolicyStoreType",
    {"None": 0, "Local": 1, "GroupPolicy": 2, "Dynamic": 3, "Generated": 4, "Hardcoded": 5},
)
INTERFACE_TYPE = enum_type(
    _NET_SECURITY + "InterfaceType", {"Any": 0, "Wired": 1, "Wireless": 2, "RemoteAccess": 4}, flags=True
)
AUTHENTICATION = enum_type(_NET_SECURITY + "Authentication", {"NotRequired": 0, "Required": 1, "NoEncap": 2})
ENCRYPTION = enum_type(_NET_SECURITY + "Encryption", {"NotRequired": 0, "Required": 1, "Dynamic": 2})
DYNAMIC = enum_type(
    _NET_SECURITY + "DynamicTransport",
    {"Any": 0, "ProximityApps": 1, "ProximitySharing": 2, "WifiDirectPrinting": 3, "WifiDirectDisplay": 4,
     "WifiDirectDevices": 5},
)  # fmt: skip
TCP_STATE = enum_type(
    _GENERATED + "NetTCPConnection.State",
    {
        "Closed": 1, "Listen": 2, "SynSent": 3, "SynReceived": 4, "Established": 5, "FinWait1": 6,
        "FinWait2": 7, "CloseWait": 8, "Closing": 9, "LastAck": 10, "TimeWait": 11,
        "DeleteTCB": 12, "Bound": 100,
    },
)  # fmt: skip
CATEGORY = enum_type(
    _GENERATED + "NetConnectionProfile.NetworkCategory",
    {"Public": 0, "Private": 1, "DomainAuthenticated": 2},
)
FAMILY = enum_type(_GENERATED + "NetIPAddress.AddressFamily", {"IPv4": 2, "IPv6": 23})
ADDRESS_STATE = enum_type(
    _GENERATED + "NetIPAddress.AddressState",
    {"Invalid": 0, "Tentative": 1, "Duplicate": 2, "Deprecated": 3, "Preferred": 4},
)
PREFIX_ORIGIN = enum_type(
    _GENERATED + "NetIPAddress.PrefixOrigin",
    {"Other": 0, "Manual": 1, "WellKnown": 2, "Dhcp": 3, "RouterAdvertisement": 4},
)
SUFFIX_ORIGIN = enum_type(
    _GENERATED + "NetIPAddress.SuffixOrigin",
    {"Other": 0, "Manual": 1, "WellKnown": 2, "Dhcp": 3, "Link": 4, "Random": 5},
)
TASK_STATE = enum_type(
    _GENERATED + "ScheduledTask.StateEnum",
    {"Unknown": 0, "Disabled": 1, "Queued": 2, "Ready": 3, "Running": 4},
)
_TASK = _GENERATED + "ScheduledTask."
RUN_LEVEL = enum_type(_TASK + "RunLevelEnum", {"Limited": 0, "Highest": 1})
LOGON_TYPE = enum_type(
    _TASK + "LogonTypeEnum",
    {"None": 0, "Password": 1, "S4U": 2, "Interactive": 3, "Group": 4, "ServiceAccount": 5,
     "InteractiveOrPassword": 6},
)  # fmt: skip
MULTIPLE_INSTANCES = enum_type(_TASK + "MultipleInstancesEnum", {"Parallel": 0, "Queue": 1, "IgnoreNew": 2})
# Parameters of these types are declared, but the stand-ins refuse them.
OPAQUE = (
    "CimSession", "AppliedSetting", "OffloadState", "Type", "PrefixOrigin", "SuffixOrigin", "AddressState",
    "IPv4Connectivity", "IPv6Connectivity", "CompatibilityEnum",
    "ProcessTokenSidTypeEnum", "DayOfWeek", "Process", "ServiceController", "uri",
)  # fmt: skip
BY_NAME = {
    "Enabled": ENABLED, "GpoBoolean": GPO_BOOLEAN, "Direction": DIRECTION, "Action": ACTION,
    "EdgeTraversal": EDGE, "Profile": PROFILE, "PrimaryStatus": PRIMARY_STATUS, "PolicyStoreType": STORE_TYPE,
    "InterfaceType": INTERFACE_TYPE, "Authentication": AUTHENTICATION, "Encryption": ENCRYPTION,
    "RunLevelEnum": RUN_LEVEL, "LogonTypeEnum": LOGON_TYPE, "MultipleInstancesEnum": MULTIPLE_INSTANCES,
    "DynamicTransport": DYNAMIC, "State": TCP_STATE, "NetworkCategory": CATEGORY, "AddressFamily": FAMILY,
}  # fmt: skip
TYPES: tuple[NetType, ...] = (
    *BY_NAME.values(),
    TASK_STATE,
    ADDRESS_STATE,
    PREFIX_ORIGIN,
    SUFFIX_ORIGIN,
    NetType(CIM_JOB_EXCEPTION, ("System.SystemException", "System.Exception")),
)


def named(kind: EnumType, name: str) -> EnumValue:
    """Return the value of a name, which the enum must have."""
    number = kind.number_of(name)
    assert number is not None, (kind.full_name, name)
    return EnumValue(kind, number)
