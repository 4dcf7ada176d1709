"""Axes: how far they reach, and where their ticks stand."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Guide
from auditor.core.values import Array

FAR = 4.0
"""A guide farther out than this many times the spread of the data is shown at the edge."""
FAR_FROM_ZERO = 9.0
"""The same where the axis starts at zero: the data need less room to be seen for small."""
FAR_DECADES = 6.0
HUGE = 1e60
"""Values beyond this, or below its inverse on a logarithmic axis, are drawn at the edge."""


@dataclass(frozen=True)
class Extent:
    """An axis from `low` to `high`."""

    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """Return where `value` stands, 0 at the low end and 1 at the high one, kept inside."""
        if math.isnan(value):
            return 0.0
        if math.isinf(value):
            return 1.0 if value > 0 else 0.0
        low, high = self.low, self.high
        if self.log:
            if value <= 0:
                return 0.0
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def places(self, values: Array) -> Array:
        """Return where values stand, as `at` does of one; NaN for what has no place of its own."""
        held = np.where(np.isfinite(values), values, np.nan)
        low, high = self.low, self.high
        if self.log:
            held = np.log10(np.where(held > 0, held, np.nan))
            low, high = math.log10(low), math.log10(high)
        places: Array = np.clip((held - low) / (high - low), 0.0, 1.0)
        return places

    def holds(self, value: float) -> bool:
        """Return whether `value` lies on the axis."""
        return math.isfinite(value) and self.low <= value <= self.high

    def side(self, value: float) -> int:
        """Return -1 or 1 for a value off the low or the high end, 0 for one on the axis."""
        return 0 if self.holds(value) else 1 if value > self.high else -1

    def ticks(self) -> list[float]:
        """Return round values along the axis."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def drawable(value: float, log: bool) -> bool:
    """Return whether a value has a place on the axis."""
    return math.isfinite(value) and (value > 0 or not log)


def clipped(value: float, log: bool) -> float:
    """Return a drawable value moved to where the arithmetic of drawing still holds."""
    return min(max(value, 1 / HUGE), HUGE) if log else min(max(value, -HUGE), HUGE)


def extent_of(
    values: Iterable[float],
    guides: Sequence[Guide] = (),
    *,
    log: bool = False,
    zero: bool = False,
) -> Extent:
    """Return an axis that holds the values, the guides near enough and, if asked, zero."""
    held = [clipped(v, log) for v in values if drawable(v, log)]
    limits = [clipped(g.value, log) for g in guides if drawable(g.value, log)]
    if not held:
        held = limits or ([0.1, 1.0] if log else [0.0, 1.0])
    return _log_extent(held, limits) if log else _linear_extent(held, limits, zero)


def _log_extent(held: list[float], limits: list[float]) -> Extent:
    low, high = math.log10(min(held)), math.log10(max(held))
    near = [math.log10(v) for v in limits]
    near = [v for v in near if low - FAR_DECADES <= v <= high + FAR_DECADES]
    low, high = min([low, *near]), max([high, *near])
    pad = max(0.06 * (high - low), 0.15)
    return Extent(10 ** (low - pad), 10 ** (high + pad), log=True)


def _linear_extent(held: list[float], limits: list[float], zero: bool) -> Extent:
    low, high = min(held), max(held)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if zero and low == high == 0:
        high = max([v for v in limits if v > 0], default=1.0)
    spread = (high - low) or abs(high) or 1.0
    far = (FAR_FROM_ZERO if zero else FAR) * spread
    near = [v for v in limits if low - far <= v <= high + far]
    low, high = min([low, *near]), max([high, *near])
    least = max(1e-9 * max(abs(low), abs(high)), 1e-290)
    pad = 0.06 * (high - low) if high - low > least else 0.5 * abs(high) or 1.0
    return Extent(
        low=0.0 if zero and low == 0 else low - pad,
        high=0.0 if zero and high == 0 else high + pad,
        log=False,
    )


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw), 10 * power)
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return [index * step for index in range(first, min(last, first + 2 * most) + 1)]


def _log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    first, last = math.log10(low), math.log10(high)
    if last - first < 0.6:
        return [tick for tick in _ticks(low, high, 5) if tick > 0]
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    stride = max(1, math.ceil((last - first) / most)) if steps == (1,) else 1
    decades = range(math.floor(first / stride) * stride, math.ceil(last) + 1, stride)
    found = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in found if low <= tick <= high]
