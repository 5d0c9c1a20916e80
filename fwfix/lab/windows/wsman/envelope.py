"""SOAP out: answers and faults, element for element as Windows writes them."""

import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from fwfix.lab.windows.wsman.faults import Fault
from fwfix.lab.windows.wsman.soap import IDENTITY, RSP, A, P, S, W

X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
E = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
F = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
PLUGIN = 'provider="Shell cmd plugin" path="%systemroot%\\system32\\winrscmd.dll"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an answer repeats of its request.

    Attributes:
        relates_to: the message id; empty if there was none to read.
        machine: how the client calls the host.
        activity: whether answers of this host name the activity for its event log.
    """

    relates_to: str
    machine: str
    language: str = "en-US"
    activity: bool = False


def element(name: str, text: str = "", **attributes: str) -> str:
    """Return one element with text; attributes in the order given."""
    tail = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{tail}>{escape(text)}</{name}>"


def new_id() -> str:
    """Return a fresh identifier in the capitals of Windows."""
    return str(uuid.uuid4()).upper()


def answer(action: str, body: str, origin: Origin) -> bytes:
    """Return the envelope of an answer; `body` is XML with the prefixes s, a, x, w, rsp, p."""
    spaces = f'xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:w="{W}" xmlns:rsp="{RSP}" xmlns:p="{P}"'
    return _envelope(spaces, _header(action, origin), body, origin)


def fault(what: Fault, origin: Origin) -> bytes:
    """Return the envelope of a fault."""
    spaces = (
        f'xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:e="{E}" xmlns:n="{N}" xmlns:w="{W}" xmlns:p="{P}"'
    )
    subcode = f"<s:Subcode>{element('s:Value', what.subcode)}</s:Subcode>" if what.subcode else ""
    value = what.value or ("s:Sender" if what.sender else "s:Receiver")
    reason = f'<s:Text xml:lang="{origin.language}">{escape(what.reason)}</s:Text>'
    body = (
        f"<s:Fault><s:Code>{element('s:Value', value)}{subcode}</s:Code><s:Reason>{reason}</s:Reason>"
        f"<s:Detail>{_detail(what, origin)}</s:Detail></s:Fault>"
    )
    return _envelope(spaces, _header(FAULT_ACTION, origin), body, origin)


def identity(version: str) -> bytes:
    """Return the answer to Identify."""
    product = f"OS: {version} SP: 0.0 Stack: 3.0"
    body = (
        element("wsmid:ProtocolVersion", W)
        + element("wsmid:ProductVendor", "Microsoft Corporation")
        + element("wsmid:ProductVersion", product)
    )
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}"><s:Header></s:Header><s:Body>'
        f'<wsmid:IdentifyResponse xmlns:wsmid="{IDENTITY}">{body}</wsmid:IdentifyResponse>'
        "</s:Body></s:Envelope>"
    ).encode()


def _detail(what: Fault, origin: Origin) -> str:
    address = element("w:FaultDetail", what.detail_address) if what.detail else ""
    culprit = element("a:Action", what.culprit) if what.culprit else ""
    message = escape(what.message or what.reason)
    if what.plugin:
        message = f"<f:ProviderFault {PLUGIN}>{message}</f:ProviderFault>"
    attributes = f'xmlns:f="{F}" Code="{what.code}" Machine={quoteattr(origin.machine)}'
    return f"{culprit}{address}<f:WSManFault {attributes}><f:Message>{message}</f:Message></f:WSManFault>"


def _header(action: str, origin: Origin) -> str:
    activity = element("p:ActivityId", new_id()) if origin.activity else ""
    related = element("a:RelatesTo", origin.relates_to) if origin.relates_to else ""
    return (
        f"{element('a:Action', action)}{element('a:MessageID', f'uuid:{new_id()}')}{activity}"
        f"{element('a:To', ANONYMOUS)}{related}"
    )


def _envelope(spaces: str, header: str, body: str, origin: Origin) -> bytes:
    return (
        f'<s:Envelope xml:lang="{origin.language}" {spaces}><s:Header>{header}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()
