"""Encodings, StringBuilder, Convert, BitConverter, hashes, regexes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.instances import Encoding, Hasher, Match, Regex, StringBuilder, make_match
from fwfix.lab.windows.powershell.members.tables import constructor, method, prop, static, static_prop
from fwfix.lab.windows.powershell.numbers import Byte, Int64
from fwfix.lab.windows.powershell.regexes import compile_regex, replace, split
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.unicode import from_python, to_python
from fwfix.lab.windows.powershell.values import EMPTY, Array, Collection, EnumValue, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_T = "System.Text."
UTF8_NO_BOM = Encoding(_T + "UTF8Encoding", "utf-8", b"")
_UTF8 = Encoding(_T + "UTF8Encoding", "utf-8", b"\xef\xbb\xbf")
_UNICODE = Encoding(_T + "UnicodeEncoding", "utf-16-le", b"\xff\xfe")
_BIG_ENDIAN = Encoding(_T + "UnicodeEncoding", "utf-16-be", b"\xfe\xff")
_ASCII = Encoding(_T + "ASCIIEncoding", "ascii", b"", ascii_only=True)
_BLANKS = re.compile(r"[ \t\r\n]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def encode(text: str, encoding: Encoding) -> bytes:
    """Return a text's bytes."""
    if encoding.codec.startswith("utf-16"):
        return text.encode(encoding.codec, "surrogatepass")
    if encoding.ascii_only:
        return text.encode("ascii", "replace")
    return to_python(text).encode("utf-8")


def decode(content: bytes, encoding: Encoding) -> str:
    """Return the text of a file's bytes; a mark at its beginning says more than the encoding."""
    for known in (_UTF8, _UNICODE, _BIG_ENDIAN):
        if content.startswith(known.bom):
            return _decoded(content[len(known.bom) :], known)
    return _decoded(content, encoding)


def _decoded(content: bytes, encoding: Encoding) -> str:
    if encoding.codec.startswith("utf-16"):
        if len(content) % 2:
            raise NotInDialect("half a character in UTF-16")
        return from_python(content.decode(encoding.codec, "surrogatepass"))
    if encoding.ascii_only:
        return "".join(chr(b) if b < 0x80 else "?" for b in content)  # noqa: PLR2004 - ASCII
    try:
        return from_python(content.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise NotInDialect("bytes that are no UTF-8") from exc


def to_bytes(value: Array) -> bytes:
    """Return the bytes of a byte array."""
    return bytes(int(b) for b in value.items if isinstance(b, int))


def byte_array(content: bytes) -> Array:
    """Return bytes as a byte array."""
    return Array((Byte(b) for b in content), "System.Byte")


for _name, _encoding in {
    "UTF8": _UTF8, "Unicode": _UNICODE, "BigEndianUnicode": _BIG_ENDIAN, "ASCII": _ASCII,
}.items():  # fmt: skip
    static_prop(_T + "Encoding", _name)(lambda _engine, found=_encoding: found)
method(_T + "Encoding", "GetBytes", "string")(lambda _engine, self, text: byte_array(encode(text, self)))
method(_T + "Encoding", "GetByteCount", "string")(lambda _engine, self, text: len(encode(text, self)))
method(_T + "Encoding", "GetString", "byte[]")(
    lambda _engine, self, content: _decoded(to_bytes(content), self)
)
method(_T + "Encoding", "GetPreamble")(lambda _engine, self: byte_array(self.bom))


@method(_T + "Encoding", "GetString", "byte[]", "int", "int")
def _get_string(engine: Core, self: Encoding, content: Array, start: int, count: int) -> Value:  # noqa: PLR0917 - .NET has them so, or all are of one kind
    del engine
    if start < 0 or count < 0 or start + count > len(content.items):
        raise NetError("ArgumentOutOfRangeException")
    return _decoded(to_bytes(content)[start : start + count], self)


constructor(_T + "UTF8Encoding")(lambda _engine: UTF8_NO_BOM)
constructor(_T + "UTF8Encoding", "bool")(lambda _engine, bom: _UTF8 if bom else UTF8_NO_BOM)


@constructor(_T + "UTF8Encoding", "bool", "bool")
def _strict_utf8(engine: Core, bom: bool, strict: bool) -> Value:  # noqa: FBT001 - as .NET has it
    del engine
    if strict:
        raise NotInDialect("an encoding that throws")
    return _UTF8 if bom else UTF8_NO_BOM


# -- StringBuilder

_B = _T + "StringBuilder"
constructor(_B)(lambda _engine: StringBuilder())
constructor(_B, "string")(lambda _engine, text: StringBuilder(text or ""))
prop(_B, "Length")(lambda _engine, self: len(self.text))
method(_B, "ToString")(lambda _engine, self: self.text)


@method(_B, "Append", "object")
def _append(engine: Core, self: StringBuilder, value: Value) -> Value:
    self.text += engine.texts.of(value)
    return self


@method(_B, "AppendLine")
@method(_B, "AppendLine", "string")
def _append_line(engine: Core, self: StringBuilder, text: str | None = "") -> Value:
    self.text += (text or "") + ("\r\n" if engine.edition.desktop else "\n")
    return self


@method(_B, "Clear")
def _clear(engine: Core, self: StringBuilder) -> Value:
    del engine
    self.text = ""
    return self


# -- Convert, BitConverter, hashes

_C = "System.Convert"


@static(_C, "FromBase64String", "string")
def _from_base64(engine: Core, text: str | None) -> Value:
    if text is None:
        raise NetError("ArgumentNullException")
    plain = _BLANKS.sub("", text)
    try:
        if not _BASE64.fullmatch(plain) or len(plain) % 4:
            raise binascii.Error  # noqa: TRY301 - one exit for both
        return byte_array(base64.b64decode(plain, validate=True))
    except binascii.Error:
        message = (
            "The input is not a valid Base-64 string as it contains a non-base 64 character, more than "
            "two padding "
            "characters, or an illegal character among the padding characters."
        )
        raise NetError("FormatException", None if engine.edition.desktop else message) from None


static(_C, "ToBase64String", "byte[]")(lambda _engine, content: base64.b64encode(to_bytes(content)).decode())


@static(_C, "ToInt32", "object")
def _to_int32(engine: Core, value: Value) -> Value:
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise NetError("FormatException")
    return engine.convert.to_number(value, "System.Int32")


@static(_C, "ToInt64", "object")
def _to_int64(engine: Core, value: Value) -> Value:
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise NetError("FormatException")
    return engine.convert.to_number(value, "System.Int64")


@static(_C, "ToInt32", "string", "int")
def _to_int32_base(engine: Core, text: str, base: int) -> Value:
    number = _digits(text, base)
    if number >= 1 << 32:
        raise NetError("OverflowException")
    del engine
    return number - (1 << 32) if number >= 1 << 31 else number


@static(_C, "ToInt64", "string", "int")
def _to_int64_base(engine: Core, text: str, base: int) -> Value:
    del engine
    return Int64(_digits(text, base))


@static(_C, "ToByte", "string", "int")
def _to_byte_base(engine: Core, text: str, base: int) -> Value:
    del engine
    number = _digits(text, base)
    if number > 255:  # noqa: PLR2004 - a byte
        raise NetError("OverflowException")
    return Byte(number)


def _digits(text: str, base: int) -> int:
    digits = {2: "01", 8: "0-7", 10: "0-9", 16: "0-9a-fA-F"}.get(base)
    plain = text[2:] if base == 16 and text.lower().startswith("0x") else text  # noqa: PLR2004 - hexadecimal
    if digits is None or not re.fullmatch(f"[{digits}]{{1,16}}", plain):
        raise NotInDialect(f"'{text}' as a number of base {base}")
    return int(plain, base)


@static(_C, "ToString", "int", "int")
@static(_C, "ToString", "byte", "int")
def _to_base(engine: Core, value: int, base: int) -> Value:
    del engine
    if base not in (2, 8, 10, 16) or value < 0:
        raise NotInDialect("this number in this base")
    return {2: f"{int(value):b}", 8: f"{int(value):o}", 10: str(int(value)), 16: f"{int(value):x}"}[base]


@static(_C, "ToHexString", "byte[]", core=True)
def _to_hex(engine: Core, content: Array) -> Value:
    del engine
    return to_bytes(content).hex().upper()


@static("System.BitConverter", "ToString", "byte[]")
def _bits_text(engine: Core, content: Array) -> Value:
    del engine
    return to_bytes(content).hex("-").upper() if content.items else ""


for _name, _algorithm in {"SHA256": "sha256", "SHA1": "sha1", "SHA512": "sha512", "MD5": "md5"}.items():
    _full = "System.Security.Cryptography." + _name
    static(_full, "Create")(lambda _engine, a=_algorithm, t=_full: Hasher(a, t))
    method(_full, "Dispose")(lambda _engine, _self: EMPTY)


@method("System.Security.Cryptography.SHA256", "ComputeHash", "byte[]")
def _hash(engine: Core, self: Hasher, content: Array) -> Value:
    del engine
    return byte_array(hashlib.new(self.algorithm, to_bytes(content)).digest())


# -- Regex

_R = _T + "RegularExpressions."


def _options(options: EnumValue | None) -> dict[str, bool]:
    number = options.number if options is not None else 0
    if number & ~(1 | 2 | 8 | 16 | 512):
        raise NotInDialect("these options of a regular expression")
    return {"ignore_case": bool(number & 1), "multiline": bool(number & 2), "single_line": bool(number & 16)}


def _compiled(pattern: str, options: EnumValue | None = None) -> Regex:
    return Regex(compile_regex(pattern, **_options(options)), pattern)


def _matches(regex: Regex, text: str) -> Collection:
    found = (make_match(regex.compiled, m, text) for m in regex.compiled.python.finditer(text))
    return Collection(found, _R + "MatchCollection", indexable=True)


_RO = _R + "RegexOptions"
for _extra in ((), (_RO,)):
    static(_R + "Regex", "Matches", "string", "string", *_extra)(
        lambda _engine, text, pattern, options=None: _matches(_compiled(pattern, options), text)
    )
    static(_R + "Regex", "Match", "string", "string", *_extra)(
        lambda _engine, text, pattern, options=None: _first(_compiled(pattern, options), text)
    )
    static(_R + "Regex", "IsMatch", "string", "string", *_extra)(
        lambda _engine, text, pattern, options=None: _first(_compiled(pattern, options), text).success
    )
    static(_R + "Regex", "Split", "string", "string", *_extra)(
        lambda _engine, text, pattern, options=None: Array(
            split(_compiled(pattern, options).compiled, text), "System.String"
        )
    )
    static(_R + "Regex", "Replace", "string", "string", "string", *_extra)(
        lambda _engine, text, pattern, new, options=None: replace(
            _compiled(pattern, options).compiled, text, new
        )
    )
    constructor(_R + "Regex", "string", *_extra)(
        lambda _engine, pattern, options=None: _compiled(pattern, options)
    )
method(_R + "Regex", "Matches", "string")(lambda _engine, self, text: _matches(self, text))
method(_R + "Regex", "Match", "string")(lambda _engine, self, text: _first(self, text))
method(_R + "Regex", "IsMatch", "string")(lambda _engine, self, text: _first(self, text).success)
method(_R + "Regex", "Split", "string")(
    lambda _engine, self, text: Array(split(self.compiled, text), "System.String")
)
method(_R + "Regex", "Replace", "string", "string")(
    lambda _engine, self, text, new: replace(self.compiled, text, new)
)


def _first(regex: Regex, text: str) -> Match:
    return make_match(regex.compiled, regex.compiled.python.search(text), text)


@static(_R + "Regex", "Escape", "string")
def _escape(engine: Core, text: str) -> Value:
    del engine
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
    return "".join(known.get(c) or ("\\" + c if c in "\\*+?|{[()^$.# " else c) for c in text)


prop(_R + "Capture", "Value")(lambda _engine, self: self.value)
prop(_R + "Capture", "Index")(lambda _engine, self: self.index)
prop(_R + "Capture", "Length")(lambda _engine, self: len(self.value))
prop(_R + "Group", "Success")(lambda _engine, self: self.success)
prop(_R + "Group", "Name", core=True)(lambda _engine, self: self.name)


@prop(_R + "Match", "Groups")
def _groups(engine: Core, self: Match) -> Value:
    del engine
    count = len(self.pattern.numbers) if self.pattern is not None else 1
    found: list[Value] = [self.group(n) if self.found is not None else self for n in range(count)]
    return GroupCollection(found, self)


class GroupCollection(Collection):
    """The groups of a match, by number and by name."""

    __slots__ = ("match",)

    def __init__(self, groups: list[Value], match: Match) -> None:
        super().__init__(groups, _R + "GroupCollection", indexable=True)
        self.match = match
