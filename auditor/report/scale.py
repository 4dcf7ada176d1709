"""A metric drawn to scale: where its value, interval and limits stand on a short line."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from auditor.core.finding import Metric
from auditor.report.wording import number

WIDTH = 300.0
"""Length of the line, in the units of its drawing."""
EDGE = 6.0
LABEL_ROOM = 70.0
LOG_SPREAD = 100.0
"""Largest by smallest value from which on the line is logarithmic."""
HUGE = 1e300
"""What is larger stands at the end of the line, as infinity does."""


@dataclass(frozen=True)
class Mark:
    """A limit on the line, with its label kept inside the drawing."""

    x: float
    label: str
    anchor: Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Zone:
    """A stretch of the line that lies beyond a limit."""

    x: float
    width: float
    severity: Literal["warn", "fail"]


@dataclass(frozen=True)
class Scale:
    """Everything in the drawing of one metric, in units from 0 to `WIDTH`."""

    value: float | None
    low: float | None
    high: float | None
    beyond: Literal["left", "right"] | None
    warn: Mark | None
    fail: Mark | None
    zones: tuple[Zone, ...]
    ends: tuple[str, str]
    log: bool
    text: str


def scale_of(metric: Metric) -> Scale | None:
    """Return the drawing of a metric, or None where it has no limit to be seen against."""
    limit = metric.limit
    limits = _finite([limit.warn, limit.fail] if limit else [])
    if limit is None or not limits:
        return None
    known = limits + _finite([metric.value, metric.low, metric.high])
    log = min(known) > 0 and max(known) / min(known) > LOG_SPREAD
    start, end = _domain(known, log, bounded=metric.unit == "share")

    def place(value: float | None) -> float | None:
        if value is None or math.isnan(value):
            return None
        if abs(value) >= HUGE:
            return WIDTH - EDGE if value > 0 else EDGE
        span = (math.log10(value) if log else value) - start
        return round(EDGE + (WIDTH - 2 * EDGE) * span / (end - start), 2)

    def mark(value: float | None, word: str) -> Mark | None:
        x = place(value)
        if x is None or value is None or math.isinf(value):
            return None
        anchor: Literal["start", "middle", "end"] = "middle"
        if x < LABEL_ROOM:
            anchor = "start"
        elif x > WIDTH - LABEL_ROOM:
            anchor = "end"
        return Mark(x, f"{word} {number(value, metric.unit)}", anchor)

    warn, fail = mark(limit.warn, "warn"), mark(limit.fail, "fail")
    value = metric.value
    beyond: Literal["left", "right"] | None = None
    if value is not None and abs(value) >= HUGE:
        beyond = "right" if value > 0 else "left"
    ends = (10**start, 10**end) if log else (start, end)
    return Scale(
        value=place(value),
        low=place(metric.low),
        high=place(metric.high),
        beyond=beyond,
        warn=warn,
        fail=fail,
        zones=_zones(warn, fail, limit.bad),
        ends=(number(ends[0], metric.unit), number(ends[1], metric.unit)),
        log=log,
        text=_text(metric),
    )


def _finite(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v) and abs(v) < HUGE]


def _domain(known: list[float], log: bool, bounded: bool) -> tuple[float, float]:
    low, high = min(known), max(known)
    if log:
        low, high = math.log10(low), math.log10(high)
        pad = 0.08 * (high - low)
        return max(-307.0, math.floor(low - pad)), min(307.0, math.ceil(high + pad))
    pad = 0.15 * (high - low) or abs(high) * 0.5 or 1.0
    start, end = low - pad, high + pad
    if 0 <= low < 0.6 * high or low == 0:
        start = 0.0
    if bounded and low >= 0 and high <= 1:
        start, end = max(0.0, start), min(1.0, end)
    return start, end


def _zones(
    warn: Mark | None, fail: Mark | None, bad: Literal["above", "below"]
) -> tuple[Zone, ...]:
    zones = []
    edge = WIDTH if bad == "above" else 0.0
    if fail is not None:
        zones.append(_between(fail.x, edge, "fail"))
        edge = fail.x
    if warn is not None and (edge - warn.x) * (1 if bad == "above" else -1) > 0:
        zones.append(_between(warn.x, edge, "warn"))
    return tuple(zones)


def _between(one: float, other: float, severity: Literal["warn", "fail"]) -> Zone:
    return Zone(min(one, other), round(abs(one - other), 2), severity)


def _text(metric: Metric) -> str:
    limit = metric.limit
    words = [number(metric.value, metric.unit)]
    if limit is not None and limit.warn is not None:
        words.append(f"warns {limit.bad} {number(limit.warn, metric.unit)}")
    if limit is not None and limit.fail is not None:
        words.append(f"fails {limit.bad} {number(limit.fail, metric.unit)}")
    return ", ".join(words)
