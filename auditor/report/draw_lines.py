"""Curves."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from auditor.core.figure import Lines, Series
from auditor.report.extent import Extent, clipped, drawable, extent_of
from auditor.report.frame import (
    CHARACTER,
    Box,
    Key,
    add_axes,
    draw_horizontal_guides,
    left_out,
    set_axis,
)
from auditor.report.selection import MOST_SERIES
from auditor.report.svg import WIDTH, canvas, stand_in
from auditor.report.theme import SERIES
from auditor.report.wording import common_start, named, shortened, tick_names

MOST_NAMES = 14
LONGEST_NAME = 22
PLOT_HEIGHT = 230.0
_DASHES: tuple[tuple[str, Any], ...] = (("", "-"), ("5 2", (0, (5, 2))), ("2 2", (0, (2, 1.5))))


def draw_lines(figure: Lines) -> tuple[Figure, tuple[Key, ...], tuple[str, ...]]:
    """Return the drawing of curves, the entries of its key, and notes on what is not in it."""
    series = [_trimmed(one) for one in figure.series[:MOST_SERIES]]
    start = common_start(figure.x_names)
    names = tuple(shortened(name[len(start) :], LONGEST_NAME) for name in figure.x_names)
    x_axis = extent_of(
        [x for one in series for x in one.x], log=figure.x_log and not names, zero=False
    )
    if names:
        x_axis = Extent(-0.5, max(len(names), 1) - 0.5, log=False)
    y_axis = extent_of(
        [v for one in series for values in (one.y, one.low, one.high) for v in values],
        figure.guides,
        log=figure.y_log,
    )
    bottom = 12.0 + (_tilt_room(names) if names else 22.0) + (18.0 if figure.x_label else 0.0)
    longest = max(map(len, tick_names(y_axis.ticks())), default=0)
    left = max(62.0, longest * CHARACTER + 12)
    if names and _tilted(names):
        left = max(left, len(names[0]) * CHARACTER * 0.85 + 8)
    box = Box(left=left, right=24, top=30, bottom=bottom)
    height = box.top + PLOT_HEIGHT + box.bottom
    drawing = canvas(height)
    axes = add_axes(drawing, box)
    set_axis(axes, "y", y_axis, figure.y_label)
    set_axis(axes, "x", x_axis, named(figure.x_label, start), grid=False)
    notes: tuple[str, ...] = ()
    if names:
        notes += _name_positions(axes, names)
    for index, one in enumerate(series):
        _draw_one(axes, one, index, x_axis, y_axis)
    room = (WIDTH - box.left - box.right, PLOT_HEIGHT)
    dots = [
        (x_axis.at(x) * room[0], y_axis.at(y) * room[1])
        for one in series
        for x, y in _sampled(one)
        if drawable(y, y_axis.log)
    ]
    draw_horizontal_guides(axes, figure.guides, y_axis, room, dots)
    if len(figure.series) > MOST_SERIES:
        notes += (f"Shown: the first {MOST_SERIES} of {len(figure.series):,} curves.",)
    return drawing, _key(series), notes + _notes(series, x_axis, y_axis)


def _sampled(one: Series) -> list[tuple[float, float]]:
    stride = math.ceil(len(one.x) / 200) or 1
    return list(zip(one.x[::stride], one.y[::stride], strict=True))


def _trimmed(one: Series) -> Series:
    count = min(len(one.x), len(one.y))
    banded = len(one.low) >= count and len(one.high) >= count
    low, high = (one.low[:count], one.high[:count]) if banded else ((), ())
    return Series(one.name, one.x[:count], one.y[:count], low, high)


def _tilt_room(names: tuple[str, ...]) -> float:
    return 8 + max(len(name) for name in names) * CHARACTER * 0.55 if _tilted(names) else 22.0


def _tilted(names: tuple[str, ...]) -> bool:
    shown = min(len(names), MOST_NAMES)
    return max(len(name) for name in names) * CHARACTER > (WIDTH - 100) / shown - 8


def _name_positions(axes: Axes, names: tuple[str, ...]) -> tuple[str, ...]:
    stride = math.ceil(len(names) / MOST_NAMES)
    places = list(range(0, len(names), stride))
    tilted = _tilted(names)
    axes.set_xticks(places, [names[place] for place in places])
    axes.tick_params(axis="x", labelrotation=32 if tilted else 0, pad=5)
    for label in axes.get_xticklabels():
        label.set(ha="right" if tilted else "center", rotation_mode="anchor")
    if stride == 1:
        return ()
    return (f"Every {_ordinal(stride)} of {len(names):,} positions is named.",)


def _ordinal(count: int) -> str:
    if count % 100 in {11, 12, 13}:
        return f"{count}th"
    return f"{count}{({1: 'st', 2: 'nd', 3: 'rd'}).get(count % 10, 'th')}"


def _draw_one(axes: Axes, one: Series, index: int, x_axis: Extent, y_axis: Extent) -> None:
    colour = stand_in(f"s{index % SERIES}")
    points = [
        (clipped(x, x_axis.log), clipped(y, y_axis.log) if drawable(y, y_axis.log) else math.nan)
        for x, y in zip(one.x, one.y, strict=True)
        if drawable(x, x_axis.log)
    ]
    if one.low:
        band = [
            (x, *(_on(v, y_axis) for v in ends))
            for x, *ends in zip(one.x, one.low, one.high, strict=True)
            if drawable(x, x_axis.log) and not any(map(math.isnan, ends))
        ]
        x, low, high = _columns(band, 3)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        *_columns(points, 2),
        color=colour,
        linestyle=_DASHES[index // SERIES % len(_DASHES)][1],
        linewidth=1.8,
        marker="o" if len(points) <= 40 else "",
        markersize=3.6,
        markeredgewidth=0,
        solid_capstyle="round",
        zorder=5,
    )
    lost = [
        (x_axis.at(x), 0.985 if math.isnan(y) or y > 0 else 0.015)
        for x, y in zip(one.x, one.y, strict=True)
        if drawable(x, x_axis.log) and not drawable(y, y_axis.log)
    ]
    if lost:
        axes.plot(
            *_columns(lost[:200], 2),
            transform=axes.transAxes,
            color=colour,
            linestyle="",
            marker="x",
            markersize=6,
            markeredgewidth=1.6,
            clip_on=False,
            zorder=7,
        )


def _on(value: float, axis: Extent) -> float:
    """Return a band's end moved onto the axis where it has no place of its own."""
    if math.isfinite(value) and (value > 0 or not axis.log):
        return clipped(value, axis.log)
    return axis.high if value > 0 else axis.low


def _columns(rows: list[Any], count: int) -> list[list[float]]:
    return [[row[index] for row in rows] for index in range(count)]


def _key(series: list[Series]) -> tuple[Key, ...]:
    return tuple(
        Key(
            shortened(one.name, 60),
            f"s{index % SERIES}",
            _DASHES[index // SERIES % len(_DASHES)][0],
            band=bool(one.low),
        )
        for index, one in enumerate(series)
    )


def _notes(series: list[Series], x_axis: Extent, y_axis: Extent) -> tuple[str, ...]:
    values = [y for one in series for y in one.y]
    lost = sum(not math.isfinite(y) for y in values)
    flat = sum(math.isfinite(y) and y <= 0 for y in values) if y_axis.log else 0
    off = sum(not drawable(x, x_axis.log) for one in series for x in one.x)
    return (
        *left_out(lost, "not finite and marked × at the edge"),
        *left_out(flat, "zero or less and marked × at the foot of the logarithmic axis"),
        *left_out(off, "at a position that the horizontal axis can't show"),
    )
