"""Cron expressions, in the dialect that cron, Kubernetes and GitHub read alike."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from auditor.core.errors import InputError
from auditor.core.text import clean_text

WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

FARTHEST = 366 * 8 + 1
"""Days within which 29 February comes again, whatever the century."""

_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,3}))?")


@dataclass(frozen=True)
class Field:
    """One of the five fields of an expression: its bounds, and the names of its values."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def all(self) -> tuple[int, ...]:
        """Return every value that the field may have."""
        return tuple(range(self.low, self.high + 1))


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, {name.lower(): 1 + place for place, name in enumerate(MONTHS)}),
    Field("day of the week", 0, 6, {name.lower(): place for place, name in enumerate(WEEKDAYS)}),
)


@dataclass(frozen=True)
class Cron:
    """When something runs, by the clock on the wall."""

    text: str
    values: tuple[tuple[int, ...], ...]
    """The values of each field, in order."""

    def after(self, moment: datetime) -> datetime:
        """Return the next time after a moment that has no zone.

        Raises:
            InputError: there is none.
        """
        minutes, hours, days, months, weekdays = self.values
        for ahead in range(FARTHEST):
            day = moment.date() + timedelta(ahead)
            if day.month not in months or day.day not in days:
                continue
            if day.isoweekday() % 7 not in weekdays:
                continue
            for hour in hours:
                for minute in minutes:
                    found = datetime(day.year, day.month, day.day, hour, minute)
                    if found > moment:
                        return found
        raise InputError(f"{self.text!r}: no such day ever comes")

    @property
    def calendar(self) -> str:
        """Return the same as systemd's `OnCalendar=` says it."""
        minutes, hours, days, months = (
            _ranges(values, known) for values, known in zip(self.values[:4], FIELDS, strict=False)
        )
        weekdays = self.values[4]
        named = ",".join(WEEKDAYS[day] for day in weekdays)
        start = "" if weekdays == FIELDS[4].all else f"{named} "
        return f"{start}*-{months}-{days} {hours}:{minutes}:00"


def cron(text: str) -> Cron:
    """Return what an expression of five fields says.

    Raises:
        InputError: it is none, or one that programs would read in different ways.
    """
    shown = repr(clean_text(text, 60))
    words = text.split()
    if not text.isascii() or len(words) != len(FIELDS):
        raise InputError(
            f"--cron: {shown} is no cron expression; expected five fields: minute, hour, day of "
            "the month, month, day of the week, such as '30 4 * * 1-5'"
        )
    parts = zip(words, FIELDS, strict=True)
    values = tuple(_values(word, known, shown) for word, known in parts)
    days, weekdays = values[2], values[4]
    if days != FIELDS[2].all and weekdays != FIELDS[4].all:
        raise InputError(
            f"--cron: {shown} names days of the month and of the week; to some programs that "
            "means both at once, to others either: name one of them, and leave the other '*'"
        )
    made = Cron(" ".join(words), values)
    try:
        made.after(datetime(2000, 1, 1))
    except InputError as error:
        raise InputError(f"--cron: {error}") from error
    return made


def _values(word: str, known: Field, shown: str) -> tuple[int, ...]:
    found: set[int] = set()
    for item in word.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None or (parts["first"] and parts["step"] and not parts["last"]):
            raise InputError(
                f"--cron: {shown}: {item!r} is no {known.name}; expected '*', a number, "
                "a range such as 1-5, or either with a step such as */15"
            )
        step = int(parts["step"] or 1)
        first = known.low if parts["first"] is None else _number(parts["first"], known, shown)
        last = known.high if parts["first"] is None else first
        last = last if parts["last"] is None else _number(parts["last"], known, shown)
        if step < 1 or first > last:
            raise InputError(f"--cron: {shown}: {item!r} is an empty range")
        found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _number(word: str, known: Field, shown: str) -> int:
    value = known.names.get(word.lower(), int(word) if word.isdecimal() else -1)
    if known.low <= value <= known.high:
        return value
    hint = "; Sunday is 0, as not every program knows 7" if word == "7" and known.names else ""
    raise InputError(
        f"--cron: {shown}: {word!r} is no {known.name} ({known.low} to {known.high}){hint}"
    )


def _ranges(values: Sequence[int], known: Field) -> str:
    """Return "*", or values with runs of three or more drawn together: "01..05,12"."""
    if tuple(values) == known.all:
        return "*"
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(
        f"{run[0]:02}..{run[-1]:02}" if len(run) > 2 else ",".join(f"{value:02}" for value in run)
        for run in runs
    )
