"""What Windows PowerShell writes to stderr, made readable: CLIXML between plain lines. Decides nothing."""

import re
from xml.etree import ElementTree as ET

_HEADER = "#< CLIXML"
_DOCUMENT = re.compile(r"<Objs\b.*?</Objs>", re.DOTALL)
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NAMESPACE = "{http://schemas.microsoft.com/powershell/2004/04}"
_KEPT = {"error", "warning"}


def plain_text(stderr: bytes) -> str:
    """Return stderr for people: errors and warnings of every CLIXML document, and the lines around them."""
    text = stderr.decode("utf-8", "replace").replace("\r\n", "\n")
    if "<Objs" not in text:
        return text.replace(f"{_HEADER}\n", "")
    return _DOCUMENT.sub(lambda found: _messages(found[0]), text.replace(f"{_HEADER}\n", ""))


def _messages(document: str) -> str:
    try:
        root = ET.fromstring(document)  # noqa: S314 - expat of today refuses entity bombs; no DTD is fetched
    except ET.ParseError:
        return document
    found = root.iterfind(f"{_NAMESPACE}S")
    return "".join(_unescaped(each.text or "") for each in found if each.get("S", "").lower() in _KEPT)


def _unescaped(text: str) -> str:
    """Undo `_x000D_` and the like; two of them may be one character beyond the first plane."""
    joined = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\r\n", "\n")
