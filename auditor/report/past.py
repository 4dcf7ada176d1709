"""What a report shows of the audits before: their verdicts, and how metrics went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditor.core.past import Past, Point, Trend
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.report.wording import WORDS, date, number, prose

WIDTH, HEIGHT, EDGE = 180.0, 44.0, 4.0
"""Of the drawing of a trend, in its own units."""
HUGE = 1e300


@dataclass(frozen=True)
class PastMark:
    """The verdict of one audit, and when that was."""

    verdict: Verdict
    text: str


@dataclass(frozen=True)
class TrendView:
    """A metric over the audits: its drawing, its value now, and what it was."""

    name: str
    check: str
    now: str
    was: str
    """The value before and the first one."""
    line: str
    bars: str
    """The intervals of sampled values."""
    dots: tuple[tuple[float, float], ...]
    """Where it was measured, the newest last."""
    limits: tuple[tuple[float, str], ...]
    """Heights of the limits that lie among the values, each with its severity."""
    text: str


@dataclass(frozen=True)
class PastView:
    """The last audits of a subject, the newest last."""

    title: str
    span: str
    marks: tuple[PastMark, ...]
    trends: tuple[TrendView, ...]


def view_past(past: Past | None) -> PastView | None:
    """Return what a report shows of the audits before; nothing where there was none."""
    if past is None or len(past.audits) < 2:
        return None
    days = [_day(audit.started) for audit in past.audits]
    return PastView(
        title=f"The last {counted(len(past.audits), 'audit')}",
        span=days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
        marks=tuple(
            PastMark(audit.verdict, f"{date(audit.started)}: {WORDS[audit.verdict].lower()}")
            for audit in past.audits
        ),
        trends=tuple(_trend(trend) for trend in past.trends if any(_known(trend.points))),
    )


def _trend(trend: Trend) -> TrendView:
    points = _known(trend.points)
    place = _scale([point for point in points if point is not None])
    step = (WIDTH - 2 * EDGE) / max(len(points) - 1, 1)
    xs = [round(EDGE + step * index, 1) for index in range(len(points))]
    dots = [
        None if point is None else (x, place(point.value))
        for x, point in zip(xs, points, strict=True)
    ]
    limit = trend.limit
    levels = ((limit.warn, "warn"), (limit.fail, "fail")) if limit is not None else ()
    return TrendView(
        name=prose(trend.name, 120),
        check=clean_text(trend.check, 80),
        now=_value(trend.points[-1], trend.unit),
        was=_was(trend),
        line=_line(dots),
        bars=_bars(xs, points, place),
        dots=tuple(dot for dot in dots if dot is not None),
        limits=tuple(
            (height, severity)
            for value, severity in levels
            if value is not None and abs(value) < HUGE and 0 <= (height := place(value)) <= HEIGHT
        ),
        text=f"{prose(trend.name, 120)}: "
        + ", ".join(_value(point, trend.unit) for point in trend.points),
    )


def _known(points: Sequence[Point | None]) -> list[Point | None]:
    """Return the points that can be drawn."""
    return [
        point if point is not None and abs(point.value) < HUGE else None  # infinities and NaN too
        for point in points
    ]


def _scale(points: Sequence[Point]) -> Callable[[float], float]:
    """Return what leads from a value to its height, the larger the higher."""
    ends = [end for point in points for end in (point.value, point.low, point.high)]
    known = [end for end in ends if end is not None and abs(end) < HUGE]
    low, high = min(known), max(known)

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    return place


def _line(dots: Sequence[tuple[float, float] | None]) -> str:
    """Return the path through the points, broken where one is missing."""
    parts, drawing = [], False
    for dot in dots:
        if dot is not None:
            parts.append(f"{'L' if drawing else 'M'}{dot[0]:g} {dot[1]:g}")
        drawing = dot is not None
    return "".join(parts)


def _bars(
    xs: Sequence[float], points: Sequence[Point | None], place: Callable[[float], float]
) -> str:
    return "".join(
        f"M{x:g} {place(point.low):g}V{place(point.high):g}"
        for x, point in zip(xs, points, strict=True)
        if point is not None
        and point.low is not None
        and point.high is not None
        and abs(point.low) < HUGE
        and abs(point.high) < HUGE
    )


def _was(trend: Trend) -> str:
    values = [_value(p, trend.unit) for p in trend.points if p is not None]
    if len(values) < 2:
        return ""
    return f"was {values[-2]}, first {values[0]}"


def _value(point: Point | None, unit: str) -> str:
    return number(None if point is None else point.value, unit)


def _day(started: str) -> str:
    return date(started).partition(",")[0]
