"""Types by name: accelerators, full names, what derives from what, enums."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.signals import NotInDialect

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.nodes import TypeSpec

OBJECT = "System.Object"


@dataclass(frozen=True, slots=True)
class NetType:
    """A type.

    Attributes:
        bases: full names of everything that it derives from or implements, as far as known, without Object.
        element: full name of the element type of an array or list.
        value_type: cannot be null.
    """

    full_name: str
    bases: tuple[str, ...] = ()
    element: str = ""
    value_type: bool = False

    @property
    def name(self) -> str:
        """The name without its namespace."""
        head = self.full_name.split("[[")[0]
        return head.rsplit(".", 1)[-1]

    def derives_from(self, full_name: str) -> bool:
        """Say whether a value of this type is one of the other, too."""
        return full_name in (self.full_name, OBJECT) or full_name in self.bases


@dataclass(frozen=True, slots=True)
class EnumType(NetType):
    """An enum with its members in order of declaration."""

    members: tuple[tuple[str, int], ...] = field(default=())
    flags: bool = False

    def name_of(self, number: int) -> str | None:
        """Return the name of a number, None if it has none."""
        for name, value in self.members:
            if value == number:
                return name
        return None

    def number_of(self, name: str) -> int | None:
        """Return the number of a name in any case, or of several flags with commas; None if there is none."""
        if self.flags and "," in name:
            numbers = [self.number_of(part.strip()) for part in name.split(",")]
            named = [each for each in numbers if each is not None]
            return reduce(or_, named) if len(named) == len(numbers) else None
        for known, value in self.members:
            if known.lower() == name.lower():
                return value
        return None


_ACCELERATORS = {
    "int": "System.Int32", "int32": "System.Int32", "long": "System.Int64", "int64": "System.Int64",
    "int16": "System.Int16", "byte": "System.Byte", "sbyte": "System.SByte", "uint16": "System.UInt16",
    "uint32": "System.UInt32", "uint64": "System.UInt64", "double": "System.Double",
    "decimal": "System.Decimal",
    "float": "System.Single", "single": "System.Single", "string": "System.String", "char": "System.Char",
    "bool": "System.Boolean", "boolean": "System.Boolean", "object": OBJECT, "array": "System.Array",
    "hashtable": "System.Collections.Hashtable", "datetime": "System.DateTime", "timespan": "System.TimeSpan",
    "guid": "System.Guid", "version": "System.Version", "uri": "System.Uri",
    "regex": "System.Text.RegularExpressions.Regex",
    "xml": "System.Xml.XmlDocument", "void": "System.Void", "math": "System.Math",
    "convert": "System.Convert",
    "type": "System.Type", "ref": "System.Management.Automation.PSReference",
    "switch": "System.Management.Automation.SwitchParameter",
    "scriptblock": "System.Management.Automation.ScriptBlock",
    "psobject": "System.Management.Automation.PSObject",
    "pscustomobject": "System.Management.Automation.PSObject",
    "ordered": "System.Collections.Specialized.OrderedDictionary",
    "exception": "System.Exception", "ipaddress": "System.Net.IPAddress", "environment": "System.Environment",
    "ciminstance": "Microsoft.Management.Infrastructure.CimInstance",
    "cultureinfo": "System.Globalization.CultureInfo",
    "psvariable": "System.Management.Automation.PSVariable",
    "bigint": "System.Numerics.BigInteger", "pscredential": "System.Management.Automation.PSCredential",
    "securestring": "System.Security.SecureString", "stringcomparison": "System.StringComparison",
}  # fmt: skip

_NUMBERS = ("System.ValueType", "System.IComparable", "System.IFormattable")
_LISTS = ("System.Collections.IList", "System.Collections.ICollection", "System.Collections.IEnumerable")
_DICTIONARY = (
    "System.Collections.IDictionary",
    "System.Collections.ICollection",
    "System.Collections.IEnumerable",
)
_SYSTEM_EXCEPTION = ("System.SystemException", "System.Exception")
_RUNTIME = ("System.Management.Automation.RuntimeException", *_SYSTEM_EXCEPTION)
_SESSION = ("System.Management.Automation.SessionStateException", *_RUNTIME)
_PARAMETER = ("System.Management.Automation.ParameterBindingException", *_RUNTIME)
_ARGUMENT = ("System.ArgumentException", *_SYSTEM_EXCEPTION)
_IO = ("System.IO.IOException", *_SYSTEM_EXCEPTION)
_A = "System.Management.Automation."

_DECLARED: dict[str, tuple[str, ...]] = {
    "System.String": ("System.IComparable", "System.Collections.IEnumerable", "System.ICloneable"),
    "System.Array": _LISTS,
    "System.Collections.ArrayList": _LISTS,
    "System.Collections.Hashtable": _DICTIONARY,
    "System.Collections.Specialized.OrderedDictionary": _DICTIONARY,
    "System.Exception": (),
    "System.SystemException": ("System.Exception",),
    "System.ApplicationException": ("System.Exception",),
    "System.ArgumentException": _SYSTEM_EXCEPTION,
    "System.ArgumentNullException": _ARGUMENT,
    "System.ArgumentOutOfRangeException": _ARGUMENT,
    "System.InvalidOperationException": _SYSTEM_EXCEPTION,
    "System.NotSupportedException": _SYSTEM_EXCEPTION,
    "System.NotImplementedException": _SYSTEM_EXCEPTION,
    "System.FormatException": _SYSTEM_EXCEPTION,
    "System.ArithmeticException": _SYSTEM_EXCEPTION,
    "System.OverflowException": ("System.ArithmeticException", *_SYSTEM_EXCEPTION),
    "System.DivideByZeroException": ("System.ArithmeticException", *_SYSTEM_EXCEPTION),
    "System.InvalidCastException": _SYSTEM_EXCEPTION,
    "System.IndexOutOfRangeException": _SYSTEM_EXCEPTION,
    "System.NullReferenceException": _SYSTEM_EXCEPTION,
    "System.UnauthorizedAccessException": _SYSTEM_EXCEPTION,
    "System.TimeoutException": _SYSTEM_EXCEPTION,
    "System.Collections.Generic.KeyNotFoundException": _SYSTEM_EXCEPTION,
    "System.IO.IOException": _SYSTEM_EXCEPTION,
    "System.IO.FileNotFoundException": _IO,
    "System.IO.DirectoryNotFoundException": _IO,
    "System.Xml.XmlException": _SYSTEM_EXCEPTION,
    _A + "RuntimeException": _SYSTEM_EXCEPTION,
    _A + "PSInvalidCastException": ("System.InvalidCastException", *_SYSTEM_EXCEPTION),
    _A + "PSInvalidOperationException": ("System.InvalidOperationException", *_SYSTEM_EXCEPTION),
    _A + "PSArgumentException": _ARGUMENT,
    _A + "PSArgumentNullException": ("System.ArgumentNullException", *_ARGUMENT),
    _A + "PSNotSupportedException": ("System.NotSupportedException", *_SYSTEM_EXCEPTION),
    _A + "MethodException": ("System.Management.Automation.ExtendedTypeSystemException", *_RUNTIME),
    _A + "MethodInvocationException": (
        _A + "MethodException", _A + "ExtendedTypeSystemException", *_RUNTIME,
    ),
    _A + "SetValueException": (_A + "ExtendedTypeSystemException", *_RUNTIME),
    _A + "SetValueInvocationException": (
        _A + "SetValueException", _A + "ExtendedTypeSystemException", *_RUNTIME,
    ),
    _A + "GetValueInvocationException": (
        _A + "GetValueException", _A + "ExtendedTypeSystemException", *_RUNTIME,
    ),
    _A + "PropertyNotFoundException": (_A + "ExtendedTypeSystemException", *_RUNTIME),
    _A + "ParseException": _RUNTIME,
    _A + "CommandNotFoundException": _RUNTIME,
    _A + "ParameterBindingException": _RUNTIME,
    _A + "ParameterBindingValidationException": _PARAMETER,
    _A + "ParameterBindingArgumentTransformationException": _PARAMETER,
    _A + "ArgumentTransformationMetadataException": (_A + "MetadataException", *_RUNTIME),
    _A + "ValidationMetadataException": (_A + "MetadataException", *_RUNTIME),
    _A + "ItemNotFoundException": _SESSION,
    _A + "DriveNotFoundException": _SESSION,
    _A + "ActionPreferenceStopException": _RUNTIME,
    _A + "CmdletInvocationException": _RUNTIME,
    "Microsoft.PowerShell.Commands.WriteErrorException": _SYSTEM_EXCEPTION,
    "Microsoft.Management.Infrastructure.CimException": ("System.Exception",),
    _A + "ErrorRecord": (), _A + "ScriptBlock": (), _A + "PSCustomObject": (_A + "PSObject",),
    _A + "PSObject": (), _A + "PSReference": (), _A + "PSModuleInfo": (), "System.Type": (),
    "System.RuntimeType": ("System.Type",),
    "System.Void": (), "System.Math": (), "System.Convert": (), "System.Environment": (),
    "System.Console": (),
    "System.BitConverter": (), "System.IO.File": (), "System.IO.FileStream": (),
    "System.IO.Directory": (), "System.IO.Path": (),
    "System.Text.Encoding": (), "System.Text.UTF8Encoding": ("System.Text.Encoding",),
    "System.Text.UnicodeEncoding": ("System.Text.Encoding",),
    "System.Text.ASCIIEncoding": ("System.Text.Encoding",),
    "System.Text.StringBuilder": (), "System.Text.RegularExpressions.Regex": (),
    "System.Text.RegularExpressions.Match": (
        "System.Text.RegularExpressions.Group", "System.Text.RegularExpressions.Capture",
    ),
    "System.Text.RegularExpressions.Group": ("System.Text.RegularExpressions.Capture",),
    "System.Security.Cryptography.SHA256": (
        "System.Security.Cryptography.HashAlgorithm", "System.IDisposable",
    ),
    "System.Globalization.CultureInfo": ("System.IFormatProvider",),
    "System.Diagnostics.Stopwatch": (), "System.Xml.XmlDocument": ("System.Xml.XmlNode",),
    "System.Xml.XmlElement": ("System.Xml.XmlNode",), "System.Version": ("System.IComparable",),
    "System.Uri": (),
    "System.Net.IPAddress": (), "System.StringComparer": (), "System.Threading.Thread": (),
    "System.IO.TextWriter": (), "System.IDisposable": (), "System.Collections.IDictionary": (),
    "System.Collections.IEnumerable": (), "System.Collections.ICollection": (),
    "System.Collections.IList": (),
    "System.Enum": (), "System.ValueType": (), "System.IComparable": (), "System.IFormattable": (),
    OBJECT: (),
    "System.ICloneable": (), _A + "PSReference`1": (_A + "PSReference",),
    "System.Collections.DictionaryEntry": ("System.ValueType",),
    _A + "LanguagePrimitives": (), _A + "PSCmdlet": (), "System.Net.Dns": (),
    "System.Diagnostics.Process": (),
    "Microsoft.Management.Infrastructure.CimInstance": (),
    "System.Management.Automation.InformationRecord": (),
}  # fmt: skip
_VALUE_TYPES = (
    "Int32", "Int64", "Int16", "Byte", "SByte", "UInt16", "UInt32", "UInt64", "Double", "Decimal", "Boolean",
    "Char", "DateTime", "TimeSpan", "Guid",
)  # fmt: skip


class TypeTable:
    """The types that an engine knows; stand-ins may add their own enums."""

    def __init__(self) -> None:
        self.types: dict[str, NetType] = {}
        for name, bases in _DECLARED.items():
            self.add(NetType(name, bases))
        for short in _VALUE_TYPES:
            self.add(NetType(f"System.{short}", _NUMBERS, value_type=True))
        self.add(
            NetType("System.Management.Automation.SwitchParameter", ("System.ValueType",), value_type=True)
        )

    def add(self, kind: NetType) -> NetType:
        """Make a type known."""
        self.types[kind.full_name.lower()] = kind
        return kind

    def find(self, name: str) -> NetType | None:
        """Return a type by accelerator, full name or name without `System.`."""
        lowered = name.lower()
        known = _ACCELERATORS.get(lowered)
        if known:
            return self.types.get(known.lower())
        return self.types.get(lowered) or self.types.get("system." + lowered)

    def by_full_name(self, name: str) -> NetType:
        """Return a type that the engine itself names."""
        if name.endswith("[]"):
            return self.array_of(name[:-2])
        return self.types.get(name.lower()) or NetType(name)

    def array_of(self, element: str) -> NetType:
        """Return the type of an array."""
        return NetType(element + "[]", ("System.Array", *_LISTS), element=element)

    def resolve(self, spec: TypeSpec, line: int = 0) -> NetType:
        """Return the type of a name in a script.

        Raises:
            NotInDialect: the name is not known; PowerShell may well know it.
        """
        found = self._generic(spec) if spec.arguments else self.find(spec.name)
        if found is None:
            raise NotInDialect(f"the type [{spec}]", line=line)
        return self.array_of(found.full_name) if spec.is_array else found

    def _generic(self, spec: TypeSpec) -> NetType | None:
        name = spec.name.lower().removeprefix("system.").removesuffix("`1").removesuffix("`2")
        arguments = [self.resolve(a) for a in spec.arguments]
        if name == "collections.generic.list" and len(arguments) == 1:
            return NetType("System.Collections.Generic.List`1", _LISTS, element=arguments[0].full_name)
        return None
