"""Enums of .NET and PowerShell that scripts meet."""

from fwfix.lab.windows.powershell.nettypes import EnumType, TypeTable

_BASES = ("System.Enum", "System.ValueType", "System.IComparable", "System.IFormattable")
_SEQUENCES = {
    "System.DayOfWeek": "Sunday Monday Tuesday Wednesday Thursday Friday Saturday",
    "System.DateTimeKind": "Unspecified Utc Local",
    "System.StringComparison": (
        "CurrentCulture CurrentCultureIgnoreCase InvariantCulture InvariantCultureIgnoreCase Ordinal "
        "OrdinalIgnoreCase"
    ),
    "System.IO.SearchOption": "TopDirectoryOnly AllDirectories",
    "System.MidpointRounding": "ToEven AwayFromZero",
    "System.EnvironmentVariableTarget": "Process User Machine",
    "System.Management.Automation.PSLanguageMode": (
        "FullLanguage RestrictedLanguage NoLanguage ConstrainedLanguage"
    ),
    "System.Management.Automation.ActionPreference": "SilentlyContinue Stop Continue Inquire Ignore Suspend",
    "System.ConsoleColor": (
        "Black DarkBlue DarkGreen DarkCyan DarkRed DarkMagenta DarkYellow Gray DarkGray Blue Green Cyan "
        "Red Magenta "
        "Yellow White"
    ),
    "System.Management.Automation.ErrorCategory": (
        "NotSpecified OpenError CloseError DeviceError DeadlockDetected InvalidArgument InvalidData "
        "InvalidOperation "
        "InvalidResult InvalidType MetadataError NotImplemented NotInstalled ObjectNotFound OperationStopped "
        "OperationTimeout SyntaxError ParserError PermissionDenied ResourceBusy ResourceExists "
        "ResourceUnavailable "
        "ReadError WriteError FromStdErr SecurityError ProtocolError ConnectionError AuthenticationError "
        "LimitsExceeded "
        "QuotaExceeded NotEnabled"
    ),
}
_NUMBERED = {
    "System.IO.FileMode": {
        "CreateNew": 1, "Create": 2, "Open": 3, "OpenOrCreate": 4, "Truncate": 5, "Append": 6,
    },
    "System.ServiceProcess.ServiceControllerStatus": {
        "Stopped": 1, "StartPending": 2, "StopPending": 3, "Running": 4, "ContinuePending": 5,
        "PausePending": 6,
        "Paused": 7,
    },
    "System.TypeCode": {
        "Empty": 0, "Object": 1, "DBNull": 2, "Boolean": 3, "Char": 4, "SByte": 5, "Byte": 6, "Int16": 7,
        "UInt16": 8,
        "Int32": 9, "UInt32": 10, "Int64": 11, "UInt64": 12, "Single": 13, "Double": 14, "Decimal": 15,
        "DateTime": 16,
        "String": 18,
    },
    "System.Net.Sockets.AddressFamily": {"Unspecified": 0, "InterNetwork": 2, "InterNetworkV6": 23},
}  # fmt: skip
_FLAGS = {
    "System.StringSplitOptions": {"None": 0, "RemoveEmptyEntries": 1},
    "System.IO.FileAttributes": {
        "ReadOnly": 1, "Hidden": 2, "System": 4, "Directory": 16, "Archive": 32, "Device": 64, "Normal": 128,
        "Temporary": 256, "SparseFile": 512, "ReparsePoint": 1024, "Compressed": 2048, "Offline": 4096,
        "NotContentIndexed": 8192, "Encrypted": 16384,
    },
    "System.IO.FileAccess": {"Read": 1, "Write": 2, "ReadWrite": 3},
    "System.IO.FileShare": {"None": 0, "Read": 1, "Write": 2, "ReadWrite": 3, "Delete": 4, "Inheritable": 16},
    "System.Globalization.DateTimeStyles": {
        "None": 0, "AllowLeadingWhite": 1, "AllowTrailingWhite": 2, "AllowInnerWhite": 4,
        "AllowWhiteSpaces": 7,
        "NoCurrentDateDefault": 8, "AdjustToUniversal": 16, "AssumeLocal": 32, "AssumeUniversal": 64,
        "RoundtripKind": 128,
    },
    "System.Globalization.NumberStyles": {
        "None": 0, "AllowLeadingWhite": 1, "AllowTrailingWhite": 2, "AllowLeadingSign": 4, "Integer": 7,
        "AllowHexSpecifier": 512, "HexNumber": 515, "Number": 111, "Float": 167, "Any": 511,
    },
    "System.Text.RegularExpressions.RegexOptions": {
        "None": 0, "IgnoreCase": 1, "Multiline": 2, "ExplicitCapture": 4, "Compiled": 8, "Singleline": 16,
        "IgnorePatternWhitespace": 32, "RightToLeft": 64, "ECMAScript": 256, "CultureInvariant": 512,
    },
}  # fmt: skip


def enum_type(full_name: str, members: dict[str, int], *, flags: bool = False) -> EnumType:
    """Return an enum, for the type table of an engine."""
    return EnumType(full_name, _BASES, "", True, tuple(members.items()), flags)


def add_enums(types: TypeTable) -> None:
    """Make the enums known."""
    for name, words in _SEQUENCES.items():
        types.add(enum_type(name, {word: number for number, word in enumerate(words.split())}))
    for name, members in _NUMBERED.items():
        types.add(enum_type(name, members))
    for name, members in _FLAGS.items():
        types.add(enum_type(name, members, flags=True))
