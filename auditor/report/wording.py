"""Numbers, dates, verdicts and prose as a reader sees them."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType

from auditor.core.advice import quoted
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict

LONGEST_PROSE = 1500
"""Characters shown of one paragraph."""

LONGEST_COMMAND = 1000
"""Characters shown of the command of an audit."""

MOST_DIGITS = 17
"""Digits with which any two numbers of double precision differ."""

WORDS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: "Passed",
        Verdict.WARN: "Warning",
        Verdict.FAIL: "Failed",
        Verdict.INFO: "For information",
        Verdict.NOT_APPLICABLE: "Not applicable",
        Verdict.ERROR: "Could not be judged",
        Verdict.INCOMPLETE: "Incomplete",
    }
)


@dataclass(frozen=True)
class Span:
    """A run of text; `code` where the author put it between back-ticks."""

    text: str
    code: bool = False


def prose(text: object, longest: int = LONGEST_PROSE) -> str:
    """Return a paragraph on one line, safe to show once escaped for its page.

    A word as long as no word is (a name from a checkpoint) is cut by itself.
    """
    return clean_text(" ".join(map(clean_text, str(text).split())), longest)


def spans(text: str) -> tuple[Span, ...]:
    """Return a paragraph cut at its pairs of back-ticks; a lone one stays as it is."""
    parts = prose(text).split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["`".join(parts[-2:])]
    return tuple(Span(part, code=index % 2 == 1) for index, part in enumerate(parts) if part)


def plain(some: Sequence[Span]) -> str:
    """Return a paragraph without telling its code apart."""
    return "".join(span.text for span in some)


def cropped(text: str, most: int) -> str:
    """Return text of at most `most` characters, cut between words where they are not long."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    at = cut.rfind(" ", most - 20)
    return f"{cut[:at] if at > 0 else cut}…"


def shortened(text: object, most: int) -> str:
    """Return a name cut in its middle to at most `most` characters; its end tells the most."""
    whole = clean_text(text)
    if len(whole) <= most:
        return whole
    head = (most - 1) * 2 // 5
    return f"{whole[:head]}…{whole[len(whole) - (most - 1 - head) :]}"


def common_start(names: Sequence[str]) -> str:
    """Return the dotted parts with which all names begin, where leaving them out saves much."""
    if len(names) < 3:
        return ""
    first, last = min(names), max(names)
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    start = first[: first.rfind(".", 0, same) + 1]
    return start if len(start) >= 6 else ""


def named(label: str, start: str) -> str:
    """Return the label of an axis of names, telling what was left out of them."""
    return f"{label} (in {shortened(start.rstrip('.'), 40)})".strip() if start else label


def number(value: float | None, unit: str = "") -> str:
    """Return a number to three significant digits with its unit.

    A value in the unit "share" is a fraction of one and is shown in percent; one in "%" is
    shown as it is.
    """
    if value is None:
        return "not measured"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if unit == "share":
        return f"{_percent(100 * value)} %"
    if unit == "%":
        return f"{_percent(value)} %"
    shown = _digits(value)
    return f"{shown} {clean_text(unit, 40)}" if unit else shown


def short_number(value: float) -> str:
    """Return a number for the narrow places of a plot."""
    return "NaN" if math.isnan(value) else number(value)


def says(label: str, value: float) -> bool:
    """Return whether a label has a value in its words, however it is written."""
    found = re.findall(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)", label)
    written = (float(text.replace(",", "").replace("−", "-")) for text in found)
    return any(math.isclose(one, value, rel_tol=6e-3) for one in written)


def tick_names(values: Sequence[float]) -> list[str]:
    """Return the short numbers of an axis, with as many digits as tell where its ticks stand."""
    near = 0.02 * min((abs(b - a) for a, b in pairwise(values) if a != b), default=math.inf)
    names = [short_number(value) for value in values]
    digits = 4
    while digits <= MOST_DIGITS and any(
        abs(float(name.replace(",", "")) - value) > near
        for name, value in zip(names, values, strict=True)
    ):
        names = [f"{value:.{digits}g}" for value in values]
        digits += 1
    return names


def _digits(value: float) -> str:
    size = abs(value)
    if size < 1e9 and value == int(value):
        return f"{int(value):,}"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 999.5 else f"{value:.3g}"


def _percent(value: float) -> str:
    if 99.95 <= value < 100:
        return ">99.99" if value > 99.99 else f"{math.floor(value * 100) / 100:.2f}"
    return _digits(value)


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """Return "0.1 to 0.2", or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    first, second = number(low, unit), number(high, unit)
    for suffix in (" %", f" {clean_text(unit, 40)}"):
        if unit and first.endswith(suffix) and second.endswith(suffix):
            first = first.removesuffix(suffix)
            break
    return f"{first} to {second}"


def seconds(value: float) -> str:
    """Return a duration as people say it."""
    if not math.isfinite(value):
        return number(value)
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """Return a number of bytes in a unit of a fitting size."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if abs(amount) < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{_digits(amount)} {unit}"


def date(text: str) -> str:
    """Return an ISO 8601 moment as "23 November 2026, 15:20"; other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return clean_text(text, 60)
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}{zone}"


def short_date(text: str) -> str:
    """Return an ISO 8601 moment as "23 Nov 2026 15:20"; other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return clean_text(text, 60)
    return f"{moment.day:2} {_MONTHS[moment.month - 1][:3]} {moment.year} {moment:%H:%M}"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def rerun(check: str, command: str = "", folder: str = "") -> str:
    """Return what runs one check alone: the command of its audit with the check chosen.

    For a shell it ends in a folder inside that of the reports, so that it overwrites none.
    """
    name, line = clean_text(check, 80), clean_text(command, LONGEST_COMMAND)
    if line.startswith("audit("):
        return f"{line.removesuffix(')')}, only=[{quoted(name)}])"
    only = f"{line or 'audit run SPEC'} --only {shlex.quote(name)}"
    into = clean_text(f"{folder.rstrip('/')}/{name}")
    return f"{only} --out {shlex.quote(into)}" if line and folder else only
