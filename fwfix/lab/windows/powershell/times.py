"""DateTime and TimeSpan, counted in ticks of 100 ns as .NET does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import Instance

TICKS_PER_SECOND = 10_000_000
_EPOCH = datetime(1, 1, 1)  # noqa: DTZ001 - .NET's day one, without a zone
_MAX_TICKS = 3155378975999999999
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November",
    "December",
)  # fmt: skip
_STANDARD = {
    "s": "yyyy-MM-ddTHH:mm:ss", "o": "yyyy-MM-ddTHH:mm:ss.fffffffK", "u": "yyyy-MM-dd HH:mm:ssZ",
    "d": "MM/dd/yyyy", "D": "dddd, dd MMMM yyyy", "t": "HH:mm", "T": "HH:mm:ss", "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss", "f": "dddd, dd MMMM yyyy HH:mm", "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'", "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK", "M": "MMMM dd", "m": "MMMM dd", "y": "yyyy MMMM", "Y": "yyyy MMMM",
}  # fmt: skip
_TOKEN = re.compile(
    r"yyyyy+|yyyy|yyy|yy|y|MMMM+|MMM|MM|M|dddd+|ddd|dd|d|HH?|hh?|mm?|ss?|f{1,7}|F{1,7}|tt?|K|zzz|zz|z|'[^']*'|\"[^\"]*\"|\\.|.",
    re.DOTALL,
)
_ISO = re.compile(
    r"\s*(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)"
    r"(?:[T ](?P<H>\d\d?):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.(?P<f>\d{1,7}))?)?"
    r"\s*(?P<z>Z|[+-]\d\d:\d\d)?)?\s*"
)
_US = re.compile(
    r"\s*(?P<m>\d\d?)/(?P<d>\d\d?)/(?P<y>\d{4})"
    r"(?: (?P<H>\d\d?):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.(?P<f>\d{1,7}))?)?(?P<z>Z)?)?\s*"
)
_SPAN = re.compile(
    r"(?P<sign>-?)(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{1,2})(?::(?P<s>\d{1,2})(?:\.(?P<f>\d{1,7}))?)?"
)


@dataclass(frozen=True, slots=True, order=True)
class TimeSpan(Instance):
    """System.TimeSpan."""

    ticks: int
    net_type = "System.TimeSpan"

    def parts(self) -> tuple[int, int, int, int, int]:
        """Return days, hours, minutes, seconds and ticks below a second, each with the sign."""
        sign = -1 if self.ticks < 0 else 1
        seconds, rest = divmod(abs(self.ticks), TICKS_PER_SECOND)
        days, seconds = divmod(seconds, 86400)
        hours, seconds = divmod(seconds, 3600)
        return sign * days, sign * hours, sign * (seconds // 60), sign * (seconds % 60), sign * rest

    def text(self) -> str:
        """Return the constant format, `[-][d.]hh:mm:ss[.fffffff]`."""
        days, hours, minutes, seconds, rest = (abs(p) for p in self.parts())
        sign = "-" if self.ticks < 0 else ""
        day = f"{days}." if days else ""
        fraction = f".{rest:07d}" if rest else ""
        return f"{sign}{day}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"


def span_of(seconds: float) -> TimeSpan:
    """Return a time span of whole and broken seconds."""
    return TimeSpan(round(seconds * TICKS_PER_SECOND))


def parse_span(text: str) -> TimeSpan | None:
    """Return the time span of `d.hh:mm:ss.f`, None if the text has another form."""
    match = _SPAN.fullmatch(text.strip())
    if not match:
        return None
    days, hours, minutes, seconds = (int(match[k] or 0) for k in "dhms")
    if hours > 23 or minutes > 59 or seconds > 59:  # noqa: PLR2004 - limits of a clock
        return None
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    ticks = total * TICKS_PER_SECOND + int((match["f"] or "0").ljust(7, "0"))
    return TimeSpan(-ticks if match["sign"] else ticks)


@dataclass(frozen=True, slots=True)
class DateTime(Instance):
    """System.DateTime; the local zone of the engine is UTC."""

    ticks: int
    kind: str = "Unspecified"
    net_type = "System.DateTime"

    def __post_init__(self) -> None:
        if not 0 <= self.ticks <= _MAX_TICKS:
            raise NetError("ArgumentOutOfRangeException")

    @property
    def moment(self) -> datetime:
        """The time to the second, without a zone."""
        return _EPOCH + timedelta(seconds=self.ticks // TICKS_PER_SECOND)

    @property
    def fraction(self) -> int:
        """Ticks below the second."""
        return self.ticks % TICKS_PER_SECOND

    def text(self, pattern: str) -> str:
        """Return the time in a standard or custom format of the invariant culture."""
        if len(pattern) == 1:
            if pattern not in _STANDARD:
                raise NotInDialect(f"the date format '{pattern}'")
            pattern = _STANDARD[pattern]
        return "".join(self._piece(token) for token in _TOKEN.findall(pattern))

    def _piece(self, token: str) -> str:
        moment = self.moment
        if token[0] in "'\"":
            return token[1:-1]
        if token[0] == "\\":
            return token[1:]
        if token[0] in "fF":
            digits = f"{self.fraction:07d}"[: len(token)]
            return digits if token[0] == "f" else digits.rstrip("0")
        if token == "K":
            return {"Utc": "Z", "Local": "+00:00"}.get(self.kind, "")
        if token == "zzz":
            return "+00:00"
        plain = {
            "yyyy": f"{moment.year:04d}", "yy": f"{moment.year % 100:02d}", "MMMM": _MONTHS[moment.month - 1],
            "MMM": _MONTHS[moment.month - 1][:3], "MM": f"{moment.month:02d}", "M": str(moment.month),
            "dddd": _DAYS[moment.weekday()], "ddd": _DAYS[moment.weekday()][:3], "dd": f"{moment.day:02d}",
            "d": str(moment.day), "HH": f"{moment.hour:02d}", "H": str(moment.hour),
            "hh": f"{(moment.hour + 11) % 12 + 1:02d}", "h": str((moment.hour + 11) % 12 + 1),
            "mm": f"{moment.minute:02d}", "m": str(moment.minute), "ss": f"{moment.second:02d}",
            "s": str(moment.second), "tt": "AM" if moment.hour < 12 else "PM",  # noqa: PLR2004 - noon
        }  # fmt: skip
        if token in plain:
            return plain[token]
        if token[0] in "dfFghHKmMstyz%":
            raise NotInDialect(f"'{token}' in a date format")
        return token


def make_datetime(parts: tuple[int, ...], kind: str = "Unspecified") -> DateTime:
    """Return the time of year, month, day and as many of hour, minute, second, millisecond as are given."""
    milliseconds = parts[6] if len(parts) > 6 else 0  # noqa: PLR2004 - the seventh
    try:
        moment = datetime(*parts[:6])  # type: ignore[arg-type]  # noqa: DTZ001 - the kind says it
    except ValueError:
        raise NetError("ArgumentOutOfRangeException") from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return DateTime(seconds * TICKS_PER_SECOND + milliseconds * 10_000, kind)


def from_python(moment: datetime) -> DateTime:
    """Return an aware time as UTC."""
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    delta = plain - _EPOCH
    return DateTime((delta.days * 86400 + delta.seconds) * TICKS_PER_SECOND + delta.microseconds * 10, "Utc")


def parse_datetime(text: str, *, zone: str = "local") -> DateTime | None:
    """Return the time that a text says, None if the engine cannot tell.

    Args:
        text: ISO 8601 or the invariant culture's month/day/year.
        zone: what becomes of a text with a zone: "local" as .NET does by default, "roundtrip", "utc".
    """
    match = _ISO.fullmatch(text) or _US.fullmatch(text)
    if not match:
        return None
    parts = tuple(int(match[k] or 0) for k in "ymdHMS")
    if parts[3] == 24:  # noqa: PLR2004 - midnight at the end of a day
        return None
    value = make_datetime(parts)
    ticks = value.ticks + int((match["f"] or "").ljust(7, "0"))
    mark = match["z"]
    if not mark:
        return DateTime(ticks)
    if mark != "Z":
        offset = (int(mark[1:3]) * 60 + int(mark[4:6])) * 60 * TICKS_PER_SECOND
        ticks += -offset if mark[0] == "+" else offset
        return DateTime(ticks, "Utc" if zone == "utc" else "Local")
    return DateTime(ticks, "Local" if zone == "local" else "Utc")


def parse_exact(text: str, pattern: str) -> DateTime | None:
    """Return the time of a text in exactly one custom format, None if it does not fit."""
    pattern = _STANDARD.get(pattern, pattern) if len(pattern) == 1 else pattern
    names, expression = [], ""
    known = {
        "yyyy": r"\d{4}", "MM": r"\d\d", "dd": r"\d\d", "HH": r"\d\d", "mm": r"\d\d", "ss": r"\d\d",
        "fff": r"\d{3}", "fffffff": r"\d{7}", "K": r"(?:Z|\+00:00)?",
    }  # fmt: skip
    for token in _TOKEN.findall(pattern):
        if token in known:
            names.append(token)
            expression += f"({known[token]})"
        elif token[0] in "'\"\\":
            expression += re.escape(token[1:] if token[0] == "\\" else token[1:-1])
        elif token.isalpha() and token not in "TZ":
            raise NotInDialect(f"'{token}' in a date format to parse")
        else:
            expression += re.escape(token)
    match = re.fullmatch(expression, text)
    if not match or len(set(names)) != len(names) or not {"yyyy", "MM", "dd"} <= set(names):
        if match:
            raise NotInDialect("this date format to parse")
        return None
    found = dict(zip(names, match.groups(), strict=True))
    value = make_datetime(tuple(int(found.get(k, 0)) for k in ("yyyy", "MM", "dd", "HH", "mm", "ss")))
    ticks = value.ticks + int((found.get("fff") or found.get("fffffff") or "").ljust(7, "0"))
    if found.get("K"):
        raise NotInDialect("a zone in a date to parse")
    return DateTime(ticks)
