"""Small .NET objects: what each holds. Their members are in `members/`."""

from __future__ import annotations

import functools
import ipaddress
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import Instance

_GUID = re.compile(
    r"\{?\(?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\)?\}?"
)
_VERSION = re.compile(r"\s*\d{1,9}\.\d{1,9}(\.\d{1,9}(\.\d{1,9})?)?\s*")
_IPV4 = re.compile(r"(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}")


@dataclass(frozen=True, slots=True)
class Guid(Instance):
    """System.Guid; 32 lower-case digits."""

    digits: str
    net_type = "System.Guid"

    @staticmethod
    def parse(text: str) -> Guid | None:
        """Return the guid of a text, None if it is none."""
        match = _GUID.fullmatch(text.strip())
        return Guid("".join(match.groups()).lower()) if match else None

    def as_text(self, form: str = "D") -> str:
        """Return the guid in one of .NET's forms."""
        d = self.digits
        dashed = f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}"
        forms = {"D": dashed, "": dashed, "N": d, "B": "{" + dashed + "}", "P": "(" + dashed + ")"}
        if form.upper() not in forms:
            raise NotInDialect(f"the guid format '{form}'")
        return forms[form.upper()]


@dataclass(frozen=True, slots=True, order=True)
class Version(Instance):
    """System.Version; a part that is not given is -1."""

    major: int
    minor: int
    build: int = -1
    revision: int = -1
    net_type = "System.Version"

    @staticmethod
    def parse(text: str) -> Version | None:
        """Return the version of a text, None if it is none."""
        if not _VERSION.fullmatch(text):
            return None
        return Version(*(int(p) for p in text.strip().split(".")))

    def as_text(self) -> str:
        """Return the parts that are given."""
        parts = (self.major, self.minor, self.build, self.revision)
        return ".".join(str(p) for p in parts if p >= 0)


@dataclass(frozen=True, slots=True)
class IPAddress(Instance):
    """System.Net.IPAddress."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    net_type = "System.Net.IPAddress"

    @staticmethod
    def from_text(text: str, failure: Callable[[], Exception]) -> IPAddress:
        """Return the address of a text in its usual form; .NET's unusual ones are not known."""
        if _IPV4.fullmatch(text) or (":" in text and "%" not in text and "[" not in text):
            try:
                return IPAddress(ipaddress.ip_address(text))
            except ValueError:
                raise failure() from None
        if any(c.isdigit() for c in text):
            raise NotInDialect(f"'{text}' as an address")
        raise failure()

    def as_text(self) -> str:
        """Return the address as .NET writes it."""
        if self.address.version == 6 and self.address.ipv4_mapped:  # noqa: PLR2004 - IPv6
            return f"::ffff:{self.address.ipv4_mapped}"
        return str(self.address)


@dataclass(frozen=True, slots=True, eq=False)
class Regex(Instance):
    """System.Text.RegularExpressions.Regex."""

    compiled: NetPattern
    source: str
    net_type = "System.Text.RegularExpressions.Regex"

    def as_text(self) -> str:
        """Return the pattern."""
        return self.source


@dataclass(frozen=True, slots=True, eq=False)
class NetPattern:
    """A pattern of Python with .NET's numbering of groups: those without a name first.

    Attributes:
        numbers: for each .NET number its group in Python.
        names: for each .NET number its name; the number itself where it has none.
    """

    python: re.Pattern[str]
    numbers: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group(Instance):
    """A group of a match."""

    value: str
    index: int
    success: bool
    name: str
    net_type = "System.Text.RegularExpressions.Group"

    def as_text(self) -> str:
        """Return what matched."""
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Match(Group):
    """A match of a regex."""

    pattern: NetPattern | None = None
    found: re.Match[str] | None = None
    text: str = ""
    net_type = "System.Text.RegularExpressions.Match"

    def group(self, number: int) -> Group:
        """Return a group by .NET's number."""
        if self.found is None or self.pattern is None or not 0 <= number < len(self.pattern.numbers):
            return Group("", 0, False, str(number))
        python = self.pattern.numbers[number]
        value = self.found.group(python)
        name = self.pattern.names[number]
        return (
            Group("", 0, False, name) if value is None else Group(value, self.found.start(python), True, name)
        )

    def named(self, name: str) -> Group:
        """Return a group by its name."""
        if self.pattern is not None and name in self.pattern.names:
            return self.group(self.pattern.names.index(name))
        return Group("", 0, False, name)


def make_match(pattern: NetPattern, found: re.Match[str] | None, text: str) -> Match:
    """Return a match, or one without success."""
    if found is None:
        return Match("", 0, False, "0")
    return Match(found.group(), found.start(), True, "0", pattern, found, text)


@dataclass(slots=True, eq=False)
class StringBuilder(Instance):
    """System.Text.StringBuilder."""

    text: str = ""
    net_type = "System.Text.StringBuilder"

    def as_text(self) -> str:
        """Return what was built."""
        return self.text


@dataclass(frozen=True, slots=True)
class Encoding(Instance):
    """A text encoding; `bom` is what a file begins with."""

    net_type: str
    codec: str
    bom: bytes
    ascii_only: bool = False


@dataclass(slots=True, eq=False)
class Stopwatch(Instance):
    """System.Diagnostics.Stopwatch."""

    clock: Callable[[], float]
    started: float | None = None
    elapsed: float = 0.0
    net_type = "System.Diagnostics.Stopwatch"

    def seconds(self) -> float:
        """Return the seconds that it ran."""
        running = self.clock() - self.started if self.started is not None else 0.0
        return self.elapsed + running


@dataclass(slots=True, eq=False)
class Hasher(Instance):
    """A hash algorithm."""

    algorithm: str
    net_type: str


@dataclass(slots=True, eq=False)
class TextWriter(Instance):
    """`[Console]::Out` and `::Error`."""

    write: Callable[[str], None]
    net_type = "System.IO.TextWriter"


@dataclass(slots=True, eq=False)
class TextReader(Instance):
    """`[Console]::In`."""

    read_all: Callable[[], str]
    net_type = "System.IO.TextReader"


@dataclass(frozen=True, slots=True)
class Culture(Instance):
    """A culture; only the invariant one is known."""

    name: str = ""
    net_type = "System.Globalization.CultureInfo"


@dataclass(frozen=True, slots=True)
class Comparer(Instance):
    """System.StringComparer, ordinal."""

    ignore_case: bool
    net_type = "System.StringComparer"


@dataclass(slots=True, eq=False)
class XmlNode(Instance):
    """A document (`element` is its root) or an element of one."""

    element: ET.Element
    document: bool = False

    @property
    def net_type(self) -> str:  # type: ignore[override]
        """The type: a document or an element."""
        return "System.Xml.XmlDocument" if self.document else "System.Xml.XmlElement"


@dataclass(slots=True, eq=False)
class Bag(Instance):
    """An object of the engine with read-only properties, such as `$ExecutionContext`."""

    net_type: str
    properties: dict[str, object] = field(default_factory=dict)


@functools.cache
def _no_doctype(text: str) -> bool:
    return "<!DOCTYPE" not in text and "<!ENTITY" not in text


def parse_xml(text: str) -> XmlNode | None:
    """Return the document of a text, None if it is not well-formed."""
    if not _no_doctype(text):
        raise NotInDialect("a document type in XML")
    try:
        root = ET.fromstring(text)  # noqa: S314 - a script of our own; document types are refused above
    except ET.ParseError:
        return None
    return XmlNode(root, document=True)
