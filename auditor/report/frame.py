"""The parts that plots share: axes, guides and their labels, notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from auditor.core.figure import Guide
from auditor.report.extent import Extent
from auditor.report.svg import SMALL, stand_in
from auditor.report.wording import short_number, shortened, tick_names

CHARACTER = 0.58 * SMALL
"""Width of a character of a small label, generously."""
ROW = 16.0
GUIDE_ROLES = {"warn": "warn", "fail": "fail", "reference": "muted"}
GUIDE_DASHES: dict[str, Any] = {"warn": (0, (4, 3)), "fail": (0, (9, 3)), "reference": (0, (1, 2))}
LONGEST_GUIDE = 56


@dataclass(frozen=True)
class Box:
    """The room of a plot's axes within its figure: margins in pixels, from each side."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Key:
    """One entry of the key that stands above a plot."""

    name: str
    role: str
    dashes: str = ""
    band: bool = False


def add_axes(figure: Figure, box: Box) -> Axes:
    """Return quiet axes: no box around them, no tick marks, small grey labels."""
    width, height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        (
            box.left / width,
            box.bottom / height,
            (width - box.left - box.right) / width,
            (height - box.top - box.bottom) / height,
        )
    )
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(stand_in("rule"))
    axes.tick_params(length=0, pad=6, labelsize=SMALL, labelcolor=stand_in("muted"), which="both")
    axes.minorticks_off()
    axes.set_axisbelow(True)
    return axes


def set_axis(axes: Axes, which: str, extent: Extent, label: str, grid: bool = True) -> None:
    """Give one axis its reach, round ticks in our numbers, and its label."""
    ticks = extent.ticks()
    names = tick_names(ticks)
    if which == "x":
        axes.set_xscale("log" if extent.log else "linear")
        axes.set_xlim(extent.low, extent.high)
        axes.set_xticks(ticks, names)
        axes.set_xticks([], minor=True)
    else:
        axes.set_yscale("log" if extent.log else "linear")
        axes.set_ylim(extent.low, extent.high)
        axes.set_yticks(ticks, names)
        axes.set_yticks([], minor=True)
    if grid:
        axes.grid(axis="x" if which == "x" else "y", color=stand_in("grid"), linewidth=0.8)
    shown = shortened(label, 80) + (" (log)" if extent.log else "")
    if which == "x":
        axes.set_xlabel(shown, color=stand_in("muted"), fontsize=SMALL, labelpad=7)
    else:
        axes.annotate(
            shown,
            (0.004, 1),
            xycoords="figure fraction",
            xytext=(0, -4),
            textcoords="offset points",
            color=stand_in("muted"),
            fontsize=SMALL,
            va="top",
            annotation_clip=False,
        )


def guide_text(guide: Guide, extent: Extent, far: tuple[str, str]) -> str:
    """Return the label of a guide, its value in it, and an arrow where it lies off the axis."""
    label, value = shortened(guide.label, LONGEST_GUIDE), short_number(guide.value)
    text = label if value in label else f"{label} ({value})"
    if extent.holds(guide.value):
        return text
    return f"{text} {far[1] if guide.value > extent.high else far[0]}"


def guide_rows(guides: Sequence[Guide], extent: Extent, left: float, width: float) -> list[int]:
    """Return the row above the plot in which each vertical guide's label has room."""
    rows: list[list[tuple[float, float]]] = []
    places = []
    for guide in guides:
        start, end = _reach(guide, extent, left, width)
        row = 0
        while row < len(rows) and any(start < e and s < end for s, e in rows[row]):
            row += 1
        if row == len(rows):
            rows.append([])
        rows[row].append((start, end))
        places.append(row)
    return places


def _reach(guide: Guide, extent: Extent, left: float, width: float) -> tuple[float, float]:
    half = (len(guide_text(guide, extent, ("←", "→"))) * CHARACTER + 12) / 2
    middle = left + extent.at(guide.value) * width
    middle = min(max(middle, half), max(left + width + 60 - half, half))
    return middle - half, middle + half


def draw_vertical_guides(
    axes: Axes, guides: Sequence[Guide], extent: Extent, box: Box, width: float, height: float
) -> None:
    """Draw guides across a horizontal axis, their labels in rows above the plot."""
    inside = width - box.left - box.right
    for guide, row in zip(guides, guide_rows(guides, extent, box.left, inside), strict=True):
        role, x = GUIDE_ROLES[guide.severity], extent.at(guide.value)
        tall = height - box.top - box.bottom
        _halo(axes, (x, x), (0, 1))
        axes.plot(
            (x, x),
            (0, 1 + (row * ROW + 3) / tall),
            transform=axes.transAxes,
            color=stand_in(role),
            linestyle=GUIDE_DASHES[guide.severity],
            linewidth=1.3,
            clip_on=False,
            zorder=5.6,
        )
        start, end = _reach(guide, extent, box.left, inside)
        axes.figure.text(
            (start + end) / 2 / width,
            1 - (box.top - row * ROW - 6) / height,
            guide_text(guide, extent, ("←", "→")),
            color=stand_in(role),
            fontsize=SMALL,
            ha="center",
            va="bottom",
            bbox={"facecolor": stand_in("paper"), "alpha": 0.9, "pad": 0.5, "linewidth": 0},
        )


def draw_horizontal_guides(
    axes: Axes,
    guides: Sequence[Guide],
    extent: Extent,
    room: tuple[float, float],
    dots: Sequence[tuple[float, float]],
) -> None:
    """Draw guides across a vertical axis of a plot of `room` (width, height).

    Their labels stand inside, where they hide no other label and the fewest of the data's
    `dots`; both are in pixels from the lower left corner.
    """
    width, height = room
    taken: list[tuple[float, float, float]] = []
    for guide in sorted(guides, key=lambda guide: -extent.at(guide.value)):
        role, y = GUIDE_ROLES[guide.severity], extent.at(guide.value)
        _halo(axes, (0, 1), (y, y))
        axes.plot(
            (0, 1),
            (y, y),
            transform=axes.transAxes,
            color=stand_in(role),
            linestyle=GUIDE_DASHES[guide.severity],
            linewidth=1.3,
            zorder=5.6,
        )
        text = guide_text(guide, extent, ("↓", "↑"))
        long = min(len(text) * CHARACTER, width)
        places = [
            (x, y * height + dy)
            for x in (width - long, 0.0, (width - long) / 2)
            for dy in (8.0, -9.0)
        ]
        places = [(x, at) for x, at in places if 4 < at < height + 6] or places[:1]
        x, at = min(places, key=partial(_hidden, long=long, taken=taken, dots=dots))
        taken.append((x, x + long, at))
        anchor = {width - long: "right", 0.0: "left"}.get(x, "center")
        axes.text(
            {"right": 1.0, "left": 0.0, "center": 0.5}[anchor],
            at / height,
            text,
            transform=axes.transAxes,
            color=stand_in(role),
            fontsize=SMALL,
            ha=anchor,
            va="center",
            zorder=6,
            bbox={"facecolor": stand_in("paper"), "alpha": 0.8, "pad": 1.5, "linewidth": 0},
        )


def _halo(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set a guide off from what it crosses."""
    axes.plot(
        x,
        y,
        transform=axes.transAxes,
        color=stand_in("paper"),
        linewidth=3.4,
        alpha=0.75,
        zorder=5.5,
    )


def _hidden(
    place: tuple[float, float],
    long: float,
    taken: Sequence[tuple[float, float, float]],
    dots: Sequence[tuple[float, float]],
) -> tuple[bool, int]:
    x, y = place
    labels = any(abs(y - at) < 14 and x < end and start < x + long for start, end, at in taken)
    return labels, sum(x - 4 < dx < x + long + 4 and abs(dy - y) < 9 for dx, dy in dots)


def left_out(count: int, why: str) -> tuple[str, ...]:
    """Return the note on values that could not be drawn as they are; none for none."""
    if not count:
        return ()
    return (f"{count:,} {'value is' if count == 1 else 'values are'} {why}.",)
