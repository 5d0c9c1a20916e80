"""What a name, a user, a path or an address may look like, so that it cannot be read as something else.

These texts end up in scripts, ssh options, file paths and comments of rules. Each pattern starts with a
letter or a digit (never with `-`), and none admits a quote, a space, a shell character, a control character
or a character outside ASCII. Loaders and values use the same functions.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

LONGEST_HOST_NAME = 253
LONGEST_NAME = 64
LONGEST_TEXT = 256
_SHOWN = 60

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(NAME_PATTERN, re.ASCII)
_USER = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,62}\\)?"  # CORP\ops
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}"
    r"(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?",  # ops@corp.example
    re.ASCII,
)
_DNS_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_UNSAFE_IN_PATH = re.compile(r"[\"'`$\\;|&<>*?!]")


def show(value: object) -> str:
    """Quote a value for a message: escaped, on one line, cut after 60 characters."""
    text = str(value)
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}... ({len(text)} characters)"


def check_name(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Return a name unchanged.

    Raises:
        ValueError: it holds anything but letters, digits, `.`, `_` and `-`, or is too long.
    """
    if len(text) > longest:
        raise ValueError(f"{show(text)} is too long: a name here has at most {longest} characters")
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{show(text)} is not a name: letters, digits, '.', '_' and '-', a letter or a digit first"
        )
    return text


def check_user(text: str) -> str:
    r"""Return the name of an account unchanged: `ops`, `CORP\ops` or `ops@corp.example`.

    Raises:
        ValueError: it is none of these.
    """
    if not _USER.fullmatch(text):
        local = f"; a local account is {show(text[2:])} alone" if text.startswith(".\\") else ""
        raise ValueError(f"{show(text)} is not a user: write ops, CORP\\ops or ops@corp.example{local}")
    return text


def check_dns_name(text: str) -> str:
    """Return a DNS name in lower case, without the dot at its end.

    Raises:
        ValueError: it is not one.
    """
    name = text.removesuffix(".").lower()
    labels = name.split(".")
    if (
        not text.isascii()
        or len(name) > LONGEST_HOST_NAME
        or not all(_DNS_LABEL.fullmatch(label) for label in labels)
    ):
        raise ValueError(f"{show(text)} is not a DNS name{_idna_hint(text)}")
    if labels[-1].isdigit():
        raise ValueError(f"{show(text)} is neither an IP address nor a DNS name")
    return name


def check_address(text: str) -> str:
    """Return the address of a host in its usual spelling: an IP address or a DNS name.

    Raises:
        ValueError: it is neither, or an address that no host can have.
    """
    if "%" in text:
        raise ValueError(f"{show(text)}: a zone such as %eth0 means something on one machine only")
    bare = text.removeprefix("[").removesuffix("]")
    if bare != text:
        raise ValueError(f"{show(text)}: write the address without brackets, and a port under ssh or winrm")
    try:
        address = ip_address(text)
    except ValueError:
        return check_dns_name(_without_extras(text))
    return str(check_unicast(address))


def check_unicast(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an address that a host can have.

    Raises:
        ValueError: it is IPv4-mapped, multicast, broadcast or the unspecified address.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"{address} is an IPv4 address in IPv6 spelling: write {address.ipv4_mapped}")
    if address.is_multicast:
        raise ValueError(f"{address} is a multicast address, not the address of a host")
    if address.is_unspecified or address == IPv4Address("255.255.255.255"):
        raise ValueError(f"{address} is not the address of a host")
    return address


def check_path_text(text: str) -> str:
    """Return the text of a path unchanged.

    Raises:
        ValueError: it is empty, starts with `-`, or holds a quote, a control or a shell character.
    """
    if not text or text.startswith("-") or not text.isprintable() or _UNSAFE_IN_PATH.search(text):
        raise ValueError(f"{show(text)} is not a path: no quotes, '$', '\\', wildcards or control characters")
    return text


def check_text(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return one line of free text unchanged.

    Raises:
        ValueError: it is empty, too long, or holds a control, line-break or direction mark.
    """
    if not text.strip():
        raise ValueError("is empty")
    if len(text) > longest:
        raise ValueError(f"{show(text)} is too long: at most {longest} characters")
    if not text.isprintable():
        raise ValueError(f"{show(text)} holds a character that cannot be printed")
    return text


def _without_extras(text: str) -> str:
    if "@" in text:
        raise ValueError(f"{show(text)}: write the address alone, and the user under ssh or winrm")
    name, colon, port = text.rpartition(":")
    if colon and port.isdigit() and ":" not in name:
        raise ValueError(f"{show(text)}: write the address alone, and the port under ssh or winrm")
    if "/" in text:
        raise ValueError(f"{show(text)} is not the address of one host")
    return text


def _idna_hint(text: str) -> str:
    if text.isascii():
        return ""
    try:
        return f"; in ASCII it may be {text.encode('idna').decode()}"
    except UnicodeError:
        return ""
