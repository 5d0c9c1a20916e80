"""Strings of .NET are UTF-16: a character beyond the BMP is two."""


def from_python(text: str) -> str:
    """Return a text in UTF-16 units."""
    if text.isascii() or all(ord(c) < 1 << 16 for c in text):
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(raw[i : i + 2], "little")) for i in range(0, len(raw), 2))


def to_python(text: str) -> str:
    """Return a text with its pairs joined; half a pair becomes the replacement character."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
