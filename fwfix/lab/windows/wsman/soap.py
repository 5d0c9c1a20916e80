"""SOAP in: XML without DTDs and entities, and what the header of a WS-Management message says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from xml.etree import ElementTree as ET

from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.faults import Fault, FaultError

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
XML = "http://www.w3.org/XML/1998/namespace"

_UNDERSTOOD = frozenset({A, W, P})
_LONGEST_ID = 2048
_SMALLEST_ENVELOPE = 8192
_SHORTEST_TIMEOUT = timedelta(milliseconds=500)
_DEEPEST = 100
_DURATION = re.compile(r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,6})?)S)?)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of the header."""

    name: str
    value: str
    must_comply: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request of WS-Management.

    Attributes:
        timeout: OperationTimeout; None if the client sets none.
        body: the Body element.
    """

    action: str
    message_id: str
    to: str
    resource: str
    body: ET.Element = field(repr=False)
    selectors: Mapping[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    timeout: timedelta | None = None
    max_envelope_size: int = 153600
    language: str = "en-US"

    @property
    def machine(self) -> str:
        """The host as the client calls it, which is how faults name it."""
        return host_of(self.to)

    def option(self, name: str) -> str:
        """Return an option, empty if it is not set."""
        return next((each.value for each in self.options if each.name.upper() == name), "")


def host_of(address: str) -> str:
    """Return the host part of an address."""
    found = re.match(r"\w+://(\[[^\]]*\]|[^:/]*)", address)
    return found[1].strip("[]") if found else ""


class _Builder(ET.TreeBuilder):
    """A tree without document types, and not deeper than a message ever is."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def doctype(self, *_: str | None) -> None:
        raise FaultError(faults.BAD_XML)

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise FaultError(faults.BAD_XML)
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def parse_xml(data: bytes) -> ET.Element:
    """Return the root element.

    Raises:
        FaultError: it is not XML, or not XML that a message may be.
    """
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 - see the builder
    try:
        parser.feed(data)
        root: ET.Element = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FaultError(faults.BAD_XML) from error
    return root


def parse_message(root: ET.Element) -> Message:
    """Read the header of a request.

    Raises:
        FaultError: it is not one that the service can act on; the message id, if any, is `relates_to(root)`.
    """
    if root.tag != f"{{{S}}}Envelope":
        raise FaultError(faults.WRONG_SOAP if root.tag.endswith("}Envelope") else faults.BAD_XML)
    header, body = root.find(f"{{{S}}}Header"), root.find(f"{{{S}}}Body")
    if header is None:
        raise FaultError(faults.MISSING_HEADER)
    if body is None:
        raise FaultError(faults.NO_BODY)
    _check_understood(header)
    return Message(
        action=_required(header, A, "Action"),
        message_id=_required(header, A, "MessageID"),
        to=_required(header, A, "To"),
        resource=_text(header, W, "ResourceURI"),
        body=body,
        selectors=_selectors(header),
        options=_options(header),
        timeout=_timeout(_text(header, W, "OperationTimeout")),
        max_envelope_size=_envelope_size(_text(header, W, "MaxEnvelopeSize")),
        language=_language(header),
    )


def relates_to(root: ET.Element) -> str:
    """Return the message id, empty if there is none."""
    return (root.findtext(f"{{{S}}}Header/{{{A}}}MessageID") or "").strip()[:_LONGEST_ID]


def parse_duration(text: str) -> timedelta:
    """Return an xs:duration of days and smaller units.

    Raises:
        ValueError: it is not one.
    """
    found = _DURATION.match(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{text!r} is no duration.")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _text(header: ET.Element, namespace: str, name: str) -> str:
    return (header.findtext(f"{{{namespace}}}{name}") or "").strip()


def _required(header: ET.Element, namespace: str, name: str) -> str:
    found = header.findall(f"{{{namespace}}}{name}")
    if not found:
        raise FaultError(faults.MISSING_HEADER)
    text = (found[0].text or "").strip()
    if len(found) > 1 or not text or len(text) > _LONGEST_ID:
        raise FaultError(faults.BAD_HEADER)
    return text


def _check_understood(header: ET.Element) -> None:
    for element in header:
        demanded = element.get(f"{{{S}}}mustUnderstand", "false").lower() in ("true", "1")
        if demanded and element.tag.partition("}")[0].lstrip("{") not in _UNDERSTOOD:
            raise FaultError(faults.NOT_UNDERSTOOD)


def _selectors(header: ET.Element) -> dict[str, str]:
    selectors: dict[str, str] = {}
    for element in header.iterfind(f"{{{W}}}SelectorSet/{{{W}}}Selector"):
        name = element.get("Name", "")
        if name in selectors:
            raise FaultError(_duplicate_selectors())
        selectors[name] = (element.text or "").strip()
    return selectors


def _duplicate_selectors() -> Fault:
    return Fault(
        code=2150858847,
        sender=True,
        subcode="w:InvalidSelectors",
        reason="The WS-Management service cannot process the request because the request contains duplicate "
        "selectors. ",
        detail="DuplicateSelectors",
    )


def _options(header: ET.Element) -> tuple[Option, ...]:
    return tuple(
        Option(
            name=element.get("Name", ""),
            value=(element.text or "").strip(),
            must_comply=element.get("MustComply", "false").lower() in ("true", "1"),
        )
        for element in header.iterfind(f"{{{W}}}OptionSet/{{{W}}}Option")
    )


def _timeout(text: str) -> timedelta | None:
    if not text:
        return None
    try:
        timeout = parse_duration(text)
    except ValueError as error:
        raise FaultError(faults.BAD_HEADER) from error
    if timeout < _SHORTEST_TIMEOUT:
        raise FaultError(faults.TIMEOUT_TOO_SMALL)
    return timeout


def _envelope_size(text: str) -> int:
    if not text:
        return 153600
    if not text.isdecimal() or len(text) > len(str(1 << 62)):
        raise FaultError(faults.BAD_HEADER)
    if int(text) < _SMALLEST_ENVELOPE:
        raise FaultError(faults.ENVELOPE_TOO_SMALL)
    return int(text)


def _language(header: ET.Element) -> str:
    element = header.find(f"{{{W}}}Locale")
    said = "" if element is None else element.get(f"{{{XML}}}lang", "")
    return said if re.fullmatch(r"[A-Za-z-]{2,20}", said) else "en-US"
