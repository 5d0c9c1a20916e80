"""XML documents as PowerShell shows them: children and attributes are properties."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.instances import XmlNode
from fwfix.lab.windows.powershell.members.tables import method, prop
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import EMPTY, Array, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_DOCUMENT, _ELEMENT, _NODE = "System.Xml.XmlDocument", "System.Xml.XmlElement", "System.Xml.XmlNode"


def local_name(tag: str) -> str:
    """Return a tag without its namespace."""
    return tag.rsplit("}", 1)[-1]


def child(node: XmlNode, name: str) -> Value:
    """Return the children and attributes of a name: one, several, or `EMPTY` for none."""
    lowered = name.lower()
    found: list[Value] = []
    if node.document:
        if local_name(node.element.tag).lower() == lowered:
            return XmlNode(node.element)
        return EMPTY
    found.extend(v for k, v in node.element.attrib.items() if local_name(k).lower() == lowered)
    found.extend(_value(e) for e in node.element if local_name(e.tag).lower() == lowered)
    if not found:
        return EMPTY
    return found[0] if len(found) == 1 else Array(found)


def _value(element: ET.Element) -> Value:
    """An element of text alone is that text; one with nothing in it is an empty string."""
    if len(element) == 0 and not element.attrib:
        return element.text or ""
    return XmlNode(element)


@prop(_DOCUMENT, "DocumentElement")
def _root(engine: Core, self: XmlNode) -> Value:
    del engine
    return XmlNode(self.element)


@prop(_ELEMENT, "Name")
@prop(_ELEMENT, "LocalName")
def _name(engine: Core, self: XmlNode) -> Value:
    del engine
    if any(k.lower() == "name" for k in self.element.attrib) or any(
        local_name(e.tag).lower() == "name" for e in self.element
    ):
        found = child(self, "Name")
        if found is not EMPTY:
            return found
    if "}" in self.element.tag:
        raise NotInDialect("the name of an element with a namespace")
    return self.element.tag


@prop(_NODE, "InnerText")
def _inner_text(engine: Core, self: XmlNode) -> Value:
    del engine
    return "".join(self.element.itertext())


@method(_NODE, "GetAttribute", "string")
def _attribute(engine: Core, self: XmlNode, name: str) -> Value:
    del engine
    return self.element.attrib.get(name, "")


@method(_NODE, "HasAttribute", "string")
def _has_attribute(engine: Core, self: XmlNode, name: str) -> Value:
    del engine
    return name in self.element.attrib
