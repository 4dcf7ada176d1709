"""The strips of the map: head, axis, lines and values of each column."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from auditor.report.map.columns import Column
from auditor.report.map.shapes import Anchor, Canvas, Path, Text, units
from auditor.report.plots.letters import text_width

HEAD = 50.0
FOOT = 18.0
WIDEST = 170.0
INSET = 5.0
DOT = 3.6
ROLES = {"reference": "ink", "warn": "warn", "fail": "fail"}


@dataclass(frozen=True)
class Strip:
    """A column where it stands."""

    column: Column
    x: float
    width: float

    def at(self, value: float) -> float:
        """Return the horizontal place of a value; what is not finite stands at the far end."""
        inset = 0.0 if self.column.bars else INSET
        room = self.width - 2 * inset
        share = 1.0 if math.isnan(value) else self.column.extent.at(value)
        return self.x + inset + room * share


def strips_of(columns: Sequence[Column], left: float, right: float, gap: float) -> list[Strip]:
    """Return the columns side by side between two edges."""
    many = max(1, len(columns))
    width = min(WIDEST, (right - left - gap * (many - 1)) / many)
    return [
        Strip(column, left + place * (width + gap), width) for place, column in enumerate(columns)
    ]


def draw_axes(canvas: Canvas, strips: Sequence[Strip], bottom: float) -> None:
    """Draw heads, ticks above and below, and the lines that values are read against."""
    shape = canvas.shape
    size, small = shape.size, shape.size - 1.5
    for strip in strips:
        quantity = strip.column.quantity
        head = quantity.head if shape.words else quantity.short
        canvas.texts.append(Text(strip.x, 13, head, size, bold=True))
        if shape.words:
            canvas.texts.append(Text(strip.x, 27, quantity.unit, small - 0.5, "muted"))
        ticks = _ticks(strip, small)
        grid = "".join(f"M{units(x)} {units(HEAD)}V{units(bottom)}" for x, _ in ticks)
        canvas.paths.append(Path(grid, "grid"))
        for x, name in ticks:
            anchor, at = _anchored(strip, x)
            for y in (HEAD - 5, bottom + 12):
                canvas.texts.append(Text(round(at, 1), y, name, small, "muted", anchor))
        for guide in strip.column.guides:
            line = f"M{units(strip.at(guide.value))} {units(HEAD)}V{units(bottom)}"
            dashes = "" if guide.severity == "fail" else "4 3"
            canvas.paths.append(Path(line, ROLES[guide.severity], 1.2, 0.75, dashes))


def _anchored(strip: Strip, x: float) -> tuple[Anchor, float]:
    """Return from where the name of a tick is written: at the ends it stays near the strip."""
    room = 12.0
    if x < strip.x + room:
        return "start", x - INSET
    if x > strip.x + strip.width - room:
        return "end", x + INSET
    return "middle", x


def _ticks(strip: Strip, size: float) -> list[tuple[float, str]]:
    """Return as many ticks, evenly chosen, as have room for their names."""
    extent = strip.column.extent
    if strip.column.bars:
        ticks = [(strip.at(value), name) for value, name in ((0, "0"), (0.5, "50"), (1, "100 %"))]
    else:
        powers = range(round(math.log10(extent.low)), round(math.log10(extent.high)) + 1)
        ticks = [(strip.at(10.0**power), _decade(power)) for power in powers]
    choices = [ticks[::stride] for stride in range(1, len(ticks))]
    for kept in [*choices, [ticks[0], ticks[-1]]]:
        boxes = [_box(strip, x, name, size) for x, name in kept]
        if all(one[1] + 4 <= other[0] for one, other in pairwise(boxes)):
            return kept
    return ticks[:1]


def _decade(power: int) -> str:
    """Return a power of ten in few letters."""
    return f"{10.0**power:g}" if -2 <= power <= 3 else f"1e{power}"


def _box(strip: Strip, x: float, name: str, size: float) -> tuple[float, float]:
    """Return where the name of a tick begins and ends."""
    wide = text_width(name, size=size)
    anchor, at = _anchored(strip, x)
    start = at - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return start, start + wide


def draw_values(canvas: Canvas, strip: Strip, middles: Sequence[tuple[int, float]]) -> None:
    """Draw the values of layers that have a row each, at the heights of their middles."""
    column = strip.column
    track, bars, dots, trend, zeros, lost = "", "", "", "", "", ""
    start = True
    for row, y in middles:
        value = column.values[row]
        if value is None:
            continue
        x, edge = strip.at(value), column.edge(value)
        if edge:
            start = True
        if column.bars:
            track += f"M{units(strip.x)} {units(y)}h{units(strip.width)}"
            bars += f"M{units(strip.x)} {units(y)}h{units(x - strip.x)}" if value > 0 else ""
        elif edge == "lost":
            lost += f"M{units(x - 4)} {units(y - 4)}l8 8m0 -8l-8 8"
        elif edge == "zero":
            zeros += _circle(x, y)
        else:
            dots += _circle(x, y)
            trend += f"{'M' if start else 'L'}{units(x)} {units(y)}"
            start = False
    canvas.paths += [
        Path(track, "grid", 8),
        Path(bars, "mark", 8),
        Path(trend, "rule", 1.2),
        Path(dots, "s0", filled=True),
        Path(zeros, "paper", filled=True),
        Path(zeros, "s0", 1.6),
        Path(lost, "fail", 2),
    ]


def _circle(x: float, y: float) -> str:
    r = units(DOT)
    half = f"a{r} {r} 0 1 0"
    return f"M{units(x - DOT)} {units(y)}{half} {units(2 * DOT)} 0{half} {units(-2 * DOT)} 0"


def draw_bands(canvas: Canvas, strip: Strip, bands: Sequence[Sequence[int]], height: float) -> None:
    """Draw the values of bands of layers, each from its least to its largest."""
    column, least = strip.column, 3.0
    track, marks, zeros, lost = "", "", "", ""
    for place, band in enumerate(bands):
        values = [v for row in band if (v := column.values[row]) is not None]
        y = units(HEAD + (place + 0.5) * height)
        inside = [strip.at(v) for v in values if not column.edge(v)]
        if column.bars and values:
            track += f"M{units(strip.x)} {y}h{units(strip.width)}"
            if max(values) > 0:
                marks += f"M{units(strip.x)} {y}H{units(max(inside))}"
        if column.bars:
            continue
        if inside:
            low, high = min(inside), max(inside)
            pad = max(0.0, (least - (high - low)) / 2)
            marks += f"M{units(low - pad)} {y}H{units(high + pad)}"
        if any(column.edge(v) == "zero" for v in values):
            zeros += f"M{units(strip.x - 3)} {y}h6"
        if any(column.edge(v) == "lost" for v in values):
            lost += f"M{units(strip.x + strip.width - 3)} {y}h6"
    thick = round(max(height, 1.0), 2)
    canvas.paths += [
        Path(track, "grid", thick),
        Path(marks, "mark" if column.bars else "s0", thick),
        Path(zeros, "mark", thick),
        Path(lost, "fail", thick),
    ]
