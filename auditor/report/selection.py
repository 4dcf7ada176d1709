"""Which of many bars and curves are worth their room."""

import math

from auditor.core.figure import Bars

MOST_BARS = 40
MOST_SERIES = 12


def shown_bars(bars: Bars, most: int = MOST_BARS) -> tuple[int, ...]:
    """Return the places of the bars to show, in the order given: marked ones, then the worst.

    Worst is what lies farthest to the side on which the marked ones lie; with none marked, the
    largest. What is not finite comes before all that is.
    """
    count = min(len(bars.labels), len(bars.values))
    if count <= most:
        return tuple(range(count))
    marked = [index < len(bars.marked) and bars.marked[index] for index in range(count)]
    sign = _bad_side(bars.values[:count], marked)

    def rank(index: int) -> tuple[bool, bool, float, int]:
        value = bars.values[index]
        finite = math.isfinite(value)
        return not marked[index], finite, -sign * value if finite else 0.0, index

    return tuple(sorted(sorted(range(count), key=rank)[:most]))


def _bad_side(values: tuple[float, ...], marked: list[bool]) -> float:
    pairs = [(v, m) for v, m in zip(values, marked, strict=True) if math.isfinite(v)]
    inside = [value for value, is_marked in pairs if is_marked]
    outside = [value for value, is_marked in pairs if not is_marked]
    if not inside or not outside:
        return 1.0
    return 1.0 if sum(inside) / len(inside) >= sum(outside) / len(outside) else -1.0
