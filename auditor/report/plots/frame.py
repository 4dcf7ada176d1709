"""The parts that plots share: the box of the axes, its ticks and labels, keys, notes."""

from dataclasses import dataclass
from typing import TypeVar

from auditor.core.values import Array
from auditor.report.plots.extent import Extent
from auditor.report.plots.letters import text_width
from auditor.report.plots.svg import Canvas, segment
from auditor.report.wording import shortened, tick_names

GAP = 8.0
"""Between two labels that stand side by side, and between a label and what it is for."""
TICKS = 13.0
"""From the foot of the axes down to the middle of the names of their ticks."""
TITLE = 33.0
"""From the foot of the axes down to the middle of the label of the axis."""

Share = TypeVar("Share", float, Array)


@dataclass(frozen=True)
class Box:
    """The area of the axes within a canvas, in pixels from its upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return where the area ends."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Return the foot of the area."""
        return self.top + self.height

    def across(self, share: Share) -> Share:
        """Return the pixel at a share of the width."""
        return self.left + share * self.width

    def up(self, share: Share) -> Share:
        """Return the pixel at a share of the height, from the foot."""
        return self.bottom - share * self.height


@dataclass(frozen=True)
class Key:
    """One entry of the key that stands above a plot; `marker` is the path of a line's sign.

    A `block` is a shaded part of the plot, and no line.
    """

    name: str
    role: str
    dashes: str = ""
    band: bool = False
    marker: str = ""
    block: bool = False


def draw_x_axis(canvas: Canvas, box: Box, extent: Extent, label: str, *, grid: bool = True) -> None:
    """Draw the horizontal axis: a line at the foot, round ticks in our numbers, its label."""
    ticks = extent.ticks()
    places = [box.across(extent.at(tick)) for tick in ticks]
    if grid:
        lines = "".join(segment(x, box.top, x, box.bottom) for x in places)
        canvas.stroke(lines, "grid")
    canvas.stroke(segment(box.left, box.bottom, box.right, box.bottom), "rule")
    names = []
    free = 0.0
    for x, name in zip(places, tick_names(ticks), strict=True):
        half = text_width(name) / 2
        if x - half >= free:
            names.append((x, box.bottom + TICKS, name))
            free = x + half + GAP
    canvas.texts(names, anchor="middle")
    draw_x_label(canvas, box, box.bottom + TITLE, _titled(label, extent))


def draw_x_label(canvas: Canvas, box: Box, y: float, label: str) -> None:
    """Write what a horizontal axis shows below the middle of it."""
    canvas.text(box.across(0.5), y, shortened(label, 80), anchor="middle")


def y_room(extent: Extent) -> float:
    """Return the room that the names of a vertical axis need at its left."""
    return max([text_width(name) for name in tick_names(extent.ticks())], default=0.0) + GAP + 4


def draw_y_axis(canvas: Canvas, box: Box, extent: Extent, label: str) -> None:
    """Draw the vertical axis: level lines at round ticks, their names, the label at the top."""
    ticks = extent.ticks()
    places = [box.up(extent.at(tick)) for tick in ticks]
    canvas.stroke("".join(segment(box.left, y, box.right, y) for y in places), "grid")
    names = zip(places, tick_names(ticks), strict=True)
    canvas.texts([(box.left - GAP, y, name) for y, name in names], anchor="end")
    canvas.text(3, 9, shortened(_titled(label, extent), 80))


def _titled(label: str, extent: Extent) -> str:
    return label + (" (log)" if extent.log else "")


def draw_nothing(canvas: Canvas, box: Box) -> None:
    """Say in an empty plot that it is meant to be empty."""
    canvas.text(box.across(0.5), box.up(0.5), "no values to draw", anchor="middle")


def left_out(count: int, why: str) -> tuple[str, ...]:
    """Return the note on values that could not be drawn as they are; none for none."""
    if not count:
        return ()
    return (f"{count:,} {'value is' if count == 1 else 'values are'} {why}.",)
