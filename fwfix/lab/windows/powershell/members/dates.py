"""System.DateTime, System.TimeSpan, Stopwatch."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.formats import format_span
from fwfix.lab.windows.powershell.instances import Culture, Stopwatch
from fwfix.lab.windows.powershell.members.tables import constructor, method, prop, static, static_prop
from fwfix.lab.windows.powershell.nettypes import EnumType
from fwfix.lab.windows.powershell.numbers import Int64
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.times import (
    TICKS_PER_SECOND,
    DateTime,
    TimeSpan,
    from_python,
    make_datetime,
    parse_datetime,
    parse_exact,
    parse_span,
)  # fmt: skip
from fwfix.lab.windows.powershell.values import EMPTY, EnumValue, Reference, Value

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_D, _T, _W = "System.DateTime", "System.TimeSpan", "System.Diagnostics.Stopwatch"
_FILETIME_ZERO = 504911232000000000
_DAY = 86400 * TICKS_PER_SECOND
_UNITS = {
    "Days": _DAY, "Hours": 3600 * TICKS_PER_SECOND, "Minutes": 60 * TICKS_PER_SECOND,
    "Seconds": TICKS_PER_SECOND,
    "Milliseconds": TICKS_PER_SECOND // 1000,
}  # fmt: skip


def _enum(engine: Core, kind: str, name: str) -> EnumValue:
    found = engine.types.by_full_name(kind)
    assert isinstance(found, EnumType)
    number = found.number_of(name)
    assert number is not None
    return EnumValue(found, number)


for _name, _get in {
    "Year": lambda d: d.moment.year, "Month": lambda d: d.moment.month, "Day": lambda d: d.moment.day,
    "Hour": lambda d: d.moment.hour, "Minute": lambda d: d.moment.minute, "Second": lambda d: d.moment.second,
    "Millisecond": lambda d: d.fraction // 10_000, "DayOfYear": lambda d: d.moment.timetuple().tm_yday,
    "Ticks": lambda d: Int64(d.ticks), "Date": lambda d: DateTime(d.ticks - d.ticks % _DAY, d.kind),
    "TimeOfDay": lambda d: TimeSpan(d.ticks % _DAY),
}.items():  # fmt: skip
    prop(_D, _name)(lambda _engine, self, get=_get: get(self))


@prop(_D, "Kind")
def _kind(engine: Core, self: DateTime) -> Value:
    return _enum(engine, "System.DateTimeKind", self.kind)


@prop(_D, "DayOfWeek")
def _day_of_week(engine: Core, self: DateTime) -> Value:
    return _enum(engine, "System.DayOfWeek", self.moment.strftime("%A"))


def _shift(unit: int) -> Callable[[Core, DateTime, float], DateTime]:
    def shift(engine: Core, self: DateTime, amount: float) -> DateTime:
        exact = Decimal(repr(amount)) * unit
        if exact != int(exact) or engine.edition.desktop and exact % (TICKS_PER_SECOND // 1000):  # noqa: RUF021 - Framework rounds
            raise NotInDialect("a shift of a time by a fraction")
        return DateTime(self.ticks + int(exact), self.kind)

    return shift


for _name, _unit in _UNITS.items():
    method(_D, "Add" + _name, "double")(_shift(_unit))


@method(_D, "AddMonths", "int")
def _add_months(engine: Core, self: DateTime, months: int) -> Value:
    del engine
    moment = self.moment
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    for day in range(moment.day, 27, -1):
        try:
            made = make_datetime((year, month + 1, day), self.kind)
        except NetError:
            continue
        return DateTime(made.ticks + self.ticks % _DAY, self.kind)
    return DateTime(
        make_datetime((year, month + 1, moment.day), self.kind).ticks + self.ticks % _DAY, self.kind
    )


@method(_D, "AddYears", "int")
def _add_years(engine: Core, self: DateTime, years: int) -> Value:
    return _add_months(engine, self, years * 12)


@method(_D, "AddTicks", "long")
def _add_ticks(engine: Core, self: DateTime, ticks: int) -> Value:
    del engine
    return DateTime(self.ticks + int(ticks), self.kind)


@method(_D, "Add", "timespan")
def _add(engine: Core, self: DateTime, span: TimeSpan) -> Value:
    del engine
    return DateTime(self.ticks + span.ticks, self.kind)


@method(_D, "Subtract", "timespan")
@method(_D, "Subtract", "datetime")
def _subtract(engine: Core, self: DateTime, other: TimeSpan | DateTime) -> Value:
    del engine
    if isinstance(other, DateTime):
        return TimeSpan(self.ticks - other.ticks)
    return DateTime(self.ticks - other.ticks, self.kind)


@method(_D, "ToUniversalTime")
def _to_utc(engine: Core, self: DateTime) -> Value:
    del engine
    return DateTime(self.ticks, "Utc")


@method(_D, "ToLocalTime")
def _to_local(engine: Core, self: DateTime) -> Value:
    del engine
    return DateTime(self.ticks, "Local")


@method(_D, "ToString")
def _text(engine: Core, self: DateTime) -> Value:
    del engine
    return self.text("G")


@method(_D, "ToString", "string")
@method(_D, "ToString", "string", "System.Globalization.CultureInfo")
def _text_as(engine: Core, self: DateTime, form: str, culture: Culture | None = None) -> Value:
    del engine, culture
    return self.text(form or "G")


@method(_D, "ToFileTimeUtc")
@method(_D, "ToFileTime")
def _file_time(engine: Core, self: DateTime) -> Value:
    del engine
    if self.ticks < _FILETIME_ZERO:
        raise NetError("ArgumentOutOfRangeException")
    return Int64(self.ticks - _FILETIME_ZERO)


@static(_D, "FromFileTimeUtc", "long")
def _from_file_time(engine: Core, ticks: int) -> Value:
    del engine
    return DateTime(int(ticks) + _FILETIME_ZERO, "Utc")


@method(_D, "CompareTo", "datetime")
def _compare(engine: Core, self: DateTime, other: DateTime) -> Value:
    del engine
    return (self.ticks > other.ticks) - (self.ticks < other.ticks)


@static_prop(_D, "UtcNow")
def _utc_now(engine: Core) -> Value:
    return from_python(engine.host.clock.now())


@static_prop(_D, "Now")
def _now(engine: Core) -> Value:
    return DateTime(from_python(engine.host.clock.now()).ticks, "Local")


@static_prop(_D, "Today")
def _today(engine: Core) -> Value:
    ticks = from_python(engine.host.clock.now()).ticks
    return DateTime(ticks - ticks % _DAY, "Local")


static_prop(_D, "MinValue")(lambda _engine: DateTime(0))
static_prop(_D, "MaxValue")(lambda _engine: DateTime(3155378975999999999))


@static(_D, "SpecifyKind", "datetime", "System.DateTimeKind")
def _specify(engine: Core, value: DateTime, kind: EnumValue) -> Value:
    del engine
    return DateTime(value.ticks, kind.kind.name_of(kind.number) or "Unspecified")


def _zone(styles: EnumValue | None) -> str:
    number = styles.number if styles is not None else 0
    known = {0: "local", 128: "roundtrip", 16: "utc", 80: "assume-utc"}
    if number not in known:
        raise NotInDialect("these styles of a date")
    return known[number]


def _parsed(text: str, styles: EnumValue | None) -> DateTime:
    zone = _zone(styles)
    found = parse_datetime(text, zone="utc" if zone == "assume-utc" else zone)
    if found is None:
        if any(c.isdigit() for c in text):
            raise NotInDialect(f"'{text}' as a date")
        raise NetError("FormatException")
    return (
        DateTime(found.ticks, "Utc")
        if zone == "assume-utc" or (zone == "utc" and found.kind != "Unspecified")
        else found
    )


@static(_D, "Parse", "string")
@static(_D, "Parse", "string", "System.Globalization.CultureInfo")
@static(_D, "Parse", "string", "System.Globalization.CultureInfo", "System.Globalization.DateTimeStyles")
def _parse(engine: Core, text: str, culture: Culture | None = None, styles: EnumValue | None = None) -> Value:
    del engine, culture
    return _parsed(text, styles)


@static(_D, "ParseExact", "string", "string", "System.Globalization.CultureInfo")
@static(
    _D,
    "ParseExact",
    "string",
    "string",
    "System.Globalization.CultureInfo",
    "System.Globalization.DateTimeStyles",
)
def _parse_exact(  # noqa: PLR0917 - .NET has them so, or all are of one kind
    engine: Core, text: str, form: str, culture: Culture | None, styles: EnumValue | None = None
) -> Value:
    del engine, culture
    zone = _zone(styles)
    found = parse_exact(text, form)
    if found is None:
        raise NetError("FormatException")
    return DateTime(found.ticks, "Utc") if zone == "assume-utc" else found


@static(_D, "TryParse", "string", "ref")
def _try_parse(engine: Core, text: str, result: Reference) -> Value:
    del engine
    try:
        result.set(_parsed(text, None))
    except NetError:
        result.set(DateTime(0))
        return False
    return True


@constructor(_D, rest=True)
def _new(engine: Core, *arguments: Value) -> Value:
    values = list(arguments)
    kind = "Unspecified"
    if len(values) in (2, 7, 8) and not (len(values) == 7 and isinstance(values[-1], int)):  # noqa: PLR2004 - with a kind
        chosen = engine.convert.to(values.pop(), engine.types.by_full_name("System.DateTimeKind"))
        assert isinstance(chosen, EnumValue)
        kind = chosen.kind.name_of(chosen.number) or kind
    numbers = [int(v) for v in values if isinstance(v, int)]
    if len(numbers) != len(values) or len(numbers) not in (1, 3, 6, 7):
        raise NotInDialect("making a DateTime of this")
    return DateTime(numbers[0], kind) if len(numbers) == 1 else make_datetime(tuple(numbers), kind)


# -- TimeSpan

for _position, _name in enumerate(("Days", "Hours", "Minutes", "Seconds")):
    prop(_T, _name)(lambda _engine, self, at=_position: self.parts()[at])
prop(_T, "Milliseconds")(lambda _engine, self: int(self.parts()[4] / 10_000))
prop(_T, "Ticks")(lambda _engine, self: Int64(self.ticks))
for _name, _unit in _UNITS.items():
    prop(_T, "Total" + _name)(lambda _engine, self, unit=_unit: self.ticks / unit)


def _from(unit: int) -> Callable[[Core, float], TimeSpan]:
    def make(engine: Core, amount: float) -> TimeSpan:
        exact = Decimal(repr(amount)) * unit
        if exact % (TICKS_PER_SECOND // 1000):
            raise NotInDialect("a time span of a fraction of a millisecond")
        del engine
        return TimeSpan(int(exact))

    return make


for _name, _unit in _UNITS.items():
    static(_T, "From" + _name, "double")(_from(_unit))
static(_T, "FromTicks", "long")(lambda _engine, ticks: TimeSpan(int(ticks)))
static_prop(_T, "Zero")(lambda _engine: TimeSpan(0))


@method(_T, "ToString")
def _span_text(engine: Core, self: TimeSpan) -> Value:
    del engine
    return self.text()


@method(_T, "ToString", "string")
def _span_text_as(engine: Core, self: TimeSpan, form: str) -> Value:
    del engine
    return format_span(self, form)


@method(_T, "Add", "timespan")
def _span_add(engine: Core, self: TimeSpan, other: TimeSpan) -> Value:
    del engine
    return TimeSpan(self.ticks + other.ticks)


@method(_T, "Subtract", "timespan")
def _span_subtract(engine: Core, self: TimeSpan, other: TimeSpan) -> Value:
    del engine
    return TimeSpan(self.ticks - other.ticks)


method(_T, "Negate")(lambda _engine, self: TimeSpan(-self.ticks))
method(_T, "Duration")(lambda _engine, self: TimeSpan(abs(self.ticks)))


@static(_T, "Parse", "string")
def _span_parse(engine: Core, text: str) -> Value:
    del engine
    found = parse_span(text)
    if found is None:
        raise NotInDialect(f"'{text}' as a time span")
    return found


@constructor(_T, rest=True)
def _new_span(engine: Core, *arguments: Value) -> Value:
    del engine
    numbers = [int(a) for a in arguments if isinstance(a, int) and not isinstance(a, bool)]
    if len(numbers) != len(arguments) or not numbers or len(numbers) == 2:  # noqa: PLR2004 - no such constructor
        raise NotInDialect("making a TimeSpan of this")
    if len(numbers) == 1:
        return TimeSpan(numbers[0])
    days, rest = (numbers[0], numbers[1:]) if len(numbers) > 3 else (0, numbers)  # noqa: PLR2004 - with days
    hours, minutes, seconds, milliseconds = (*rest, 0)[:4]
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return TimeSpan(total * TICKS_PER_SECOND + milliseconds * 10_000)


# -- Stopwatch


@static(_W, "StartNew")
def _start_new(engine: Core) -> Value:
    clock = engine.host.clock.monotonic
    return Stopwatch(clock, clock())


@method(_W, "Stop")
def _stop(engine: Core, self: Stopwatch) -> Value:
    del engine
    self.elapsed, self.started = self.seconds(), None
    return EMPTY


prop(_W, "ElapsedMilliseconds")(lambda _engine, self: Int64(int(self.seconds() * 1000)))
prop(_W, "Elapsed")(lambda _engine, self: TimeSpan(int(self.seconds() * TICKS_PER_SECOND)))
prop(_W, "IsRunning")(lambda _engine, self: self.started is not None)


_FREQUENCY = 10_000_000
_CORE_FREQUENCY = 1_000_000_000


@static(_W, "GetTimestamp")
def _timestamp(engine: Core) -> Value:
    frequency = _FREQUENCY if engine.edition.desktop else _CORE_FREQUENCY
    return Int64(int(engine.host.clock.monotonic() * frequency))


static_prop(_W, "Frequency")(lambda engine: Int64(_FREQUENCY if engine.edition.desktop else _CORE_FREQUENCY))
