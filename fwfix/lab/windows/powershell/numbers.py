"""Whole numbers of .NET's sizes; `Int32` is Python's own int, `Double` its float, `Decimal` its Decimal."""


class Sized(int):
    """A whole number of another size than Int32."""

    low = 0
    high = 0
    name = ""

    __slots__ = ()


class SByte(Sized):
    """System.SByte."""

    low, high, name = -(1 << 7), (1 << 7) - 1, "SByte"
    __slots__ = ()


class Byte(Sized):
    """System.Byte."""

    low, high, name = 0, (1 << 8) - 1, "Byte"
    __slots__ = ()


class Int16(Sized):
    """System.Int16."""

    low, high, name = -(1 << 15), (1 << 15) - 1, "Int16"
    __slots__ = ()


class UInt16(Sized):
    """System.UInt16."""

    low, high, name = 0, (1 << 16) - 1, "UInt16"
    __slots__ = ()


class UInt32(Sized):
    """System.UInt32."""

    low, high, name = 0, (1 << 32) - 1, "UInt32"
    __slots__ = ()


class Int64(Sized):
    """System.Int64."""

    low, high, name = -(1 << 63), (1 << 63) - 1, "Int64"
    __slots__ = ()


class UInt64(Sized):
    """System.UInt64."""

    low, high, name = 0, (1 << 64) - 1, "UInt64"
    __slots__ = ()


INT32_LOW, INT32_HIGH = -(1 << 31), (1 << 31) - 1
SIZED: dict[str, type[Sized]] = {
    kind.name: kind for kind in (SByte, Byte, Int16, UInt16, UInt32, Int64, UInt64)
}
