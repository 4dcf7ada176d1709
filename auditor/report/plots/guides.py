"""Limits and references: lines across a plot that carry their names, whatever the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Guide
from auditor.core.values import Array
from auditor.report.plots.extent import Extent
from auditor.report.plots.frame import GAP, Box
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.svg import EDGE, WIDTH, Canvas, Point, block, joined, outline, segment
from auditor.report.wording import says, short_number, shortened

ROW = 16.0
"""Height of a row of labels above a plot."""
LONGEST = 56
ARROW = 10.0
"""Length of an arrow beside the label of a guide that lies off the axis."""
_ROLES = {"warn": "warn", "fail": "fail", "reference": "muted"}
_DASHES = {"warn": "5 4", "fail": "11 4", "reference": "1.5 2.5"}

_Place = tuple[float, float, float]
"""Where a label stands: its start, its end, and its height."""


@dataclass(frozen=True)
class Upright:
    """A guide across a horizontal axis; its label has room in a row above the plot.

    `off` is -1 or 1 where it lies off the axis, to the left or to the right.
    """

    guide: Guide
    text: str
    x: float
    middle: float
    row: int
    off: int


def known(guides: Sequence[Guide]) -> tuple[Guide, ...]:
    """Return the guides that have a value."""
    return tuple(guide for guide in guides if not math.isnan(guide.value))


def unknown_note(guides: Sequence[Guide]) -> tuple[str, ...]:
    """Return the note on guides that have none."""
    lost = len(guides) - len(known(guides))
    if not lost:
        return ()
    return (f"{lost} {'limit is' if lost == 1 else 'limits are'} not a number and not drawn.",)


def guide_text(guide: Guide) -> str:
    """Return the label of a guide with its value in it."""
    label = shortened(guide.label, LONGEST)
    return label if says(label, guide.value) else f"{label} ({short_number(guide.value)})"


def upright(
    guides: Sequence[Guide], extent: Extent, left: float, width: float
) -> tuple[Upright, ...]:
    """Return where guides across a horizontal axis from `left` stand, and their labels."""
    rows: list[list[tuple[float, float]]] = []
    placed = []
    for guide in known(guides):
        off = extent.side(guide.value)
        text = fitted(guide_text(guide), WIDTH - 2 * (EDGE + ARROW))
        x = left + extent.at(guide.value) * width
        half = text_width(text) / 2 + abs(off) * ARROW
        middle = min(max(x, EDGE + half), WIDTH - EDGE - half)
        start, end = middle - half - GAP, middle + half + GAP
        row = 0
        while row < len(rows) and any(start < e and s < end for s, e in rows[row]):
            row += 1
        if row == len(rows):
            rows.append([])
        rows[row].append((start, end))
        placed.append(Upright(guide, text, x, middle, row, off))
    return tuple(placed)


def rows_of(placed: Sequence[Upright]) -> float:
    """Return the height of the rows of labels above a plot."""
    return ROW * (max((one.row for one in placed), default=-1) + 1)


def draw_upright(canvas: Canvas, box: Box, placed: Sequence[Upright]) -> None:
    """Draw guides across a horizontal axis, their labels in rows above the plot."""
    for one in placed:
        if not one.off:
            top = box.top - one.row * ROW - 3
            canvas.stroke(segment(one.x, box.top, one.x, box.bottom), "paper", 3.4, opacity=0.75)
            _stroke(canvas, one.guide, segment(one.x, top, one.x, box.bottom))
    for one in placed:
        y = box.top - one.row * ROW - 10
        _label(canvas, one.guide, one.text, one.middle, y, abs(one.off))
        if one.off:
            beside = one.off * (text_width(one.text) / 2 + 3)
            tip = one.middle + beside + one.off * ARROW
            _arrow(canvas, one.guide, (one.middle + beside, y), (tip, y))


def draw_level(canvas: Canvas, box: Box, extent: Extent, guides: Sequence[Guide]) -> None:
    """Draw guides across a vertical axis; their labels come when the data stand."""
    for guide in known(guides):
        if extent.holds(guide.value):
            y = box.up(extent.at(guide.value))
            _stroke(canvas, guide, segment(box.left, y, box.right, y))


def label_level(
    canvas: Canvas, box: Box, extent: Extent, guides: Sequence[Guide], dots: Array
) -> None:
    """Label guides across a vertical axis, where they hide no other label and little of the data.

    `dots` are points of the data in pixels, [:, 2].
    """
    ordered = sorted(known(guides), key=lambda guide: -extent.at(guide.value))
    heights = [box.up(extent.at(guide.value)) for guide in ordered]
    taken: list[_Place] = []
    for guide, height in zip(ordered, heights, strict=True):
        off = extent.side(guide.value)
        text = fitted(guide_text(guide), box.width - 2 * ARROW)
        long = text_width(text) + 2 * abs(off) * ARROW
        start, y = _quietest(box, long, height, taken, dots, heights)
        taken.append((start, start + long, y))
        _label(canvas, guide, text, start + long / 2, y, abs(off))
        if off:
            x = start + long - ARROW / 2
            _arrow(canvas, guide, (x, y + off * ARROW / 2), (x, y - off * ARROW / 2))


def _quietest(
    box: Box,
    long: float,
    height: float,
    taken: Sequence[_Place],
    dots: Array,
    heights: Sequence[float],
) -> tuple[float, float]:
    """Return the start and the height of a label of a guide at `height` that hides least."""

    def cost(place: tuple[float, float]) -> tuple[bool, float]:
        x, y = place
        labels = any(abs(y - at) < 14 and x < end and start < x + long for start, end, at in taken)
        lines = sum(2 < abs(other - y) < 7 for other in heights)
        under = (np.abs(dots[:, 0] - x - long / 2) < long / 2 + 4) & (np.abs(dots[:, 1] - y) < 9)
        return labels, float(under.sum()) + 6 * lines

    starts = (box.right - long - GAP, box.left + 3, box.across(0.5) - long / 2)
    places = [(max(x, box.left), height + dy) for x in starts for dy in (-9.0, 9.0)]
    return min(((x, y) for x, y in places if box.top - 8 < y < box.bottom - 4), key=cost)


def _stroke(canvas: Canvas, guide: Guide, line: str) -> None:
    canvas.stroke(line, _ROLES[guide.severity], 1.3, dashes=_DASHES[guide.severity])


def _arrow(canvas: Canvas, guide: Guide, start: Point, tip: Point) -> None:
    """Draw an arrow that points off the axis."""
    (x0, y0), (x, y) = start, tip
    dx, dy = (x - x0) / ARROW, (y - y0) / ARROW
    neck = x - 4 * dx, y - 4 * dy
    wings = (neck[0] - 3.5 * dy, neck[1] + 3.5 * dx), (neck[0] + 3.5 * dy, neck[1] - 3.5 * dx)
    canvas.stroke(joined((start, neck)), _ROLES[guide.severity], 1.6)
    canvas.fill(outline((tip, *wings)), _ROLES[guide.severity])


def _label(canvas: Canvas, guide: Guide, text: str, middle: float, y: float, arrows: int) -> None:
    """Write a label on a patch of paper, with room for an arrow on each side or for none."""
    long = text_width(text) + 2 * arrows * ARROW + 4
    canvas.fill(block(middle - long / 2, y - 7, long, 14), "paper", 0.8)
    canvas.text(middle, y, text, _ROLES[guide.severity], "middle")
