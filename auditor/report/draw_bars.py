"""Bars and histograms."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from auditor.core.figure import Bars, Histogram
from auditor.core.text import clean_text
from auditor.report.extent import Extent, drawable, extent_of
from auditor.report.frame import (
    CHARACTER,
    ROW,
    Box,
    Key,
    add_axes,
    draw_vertical_guides,
    guide_rows,
    left_out,
    set_axis,
)
from auditor.report.selection import shown_bars
from auditor.report.svg import SMALL, WIDTH, canvas, stand_in
from auditor.report.wording import common_start, short_number, shortened

LONGEST_LABEL = 38
VALUES_ROOM = 78.0
HISTOGRAM_HEIGHT = 200.0


def draw_bars(figure: Bars) -> tuple[Figure, tuple[Key, ...], tuple[str, ...]]:
    """Return horizontal bars with their numbers at the right, the key, and notes."""
    chosen = shown_bars(figure)
    total = min(len(figure.labels), len(figure.values))
    values = [figure.values[index] for index in chosen]
    start = common_start(figure.labels) if len(chosen) > 8 else ""
    labels = [shortened(figure.labels[index][len(start) :], LONGEST_LABEL) for index in chosen]
    marked = [index < len(figure.marked) and figure.marked[index] for index in chosen]
    ends = [
        (figure.low[index], figure.high[index])
        for index in chosen
        if index < len(figure.low) and index < len(figure.high)
    ]
    axis = extent_of(
        [*values, *(end for pair in ends for end in pair)],
        figure.guides,
        log=figure.log,
        zero=not figure.log,
    )
    left = min(max(map(len, labels), default=0) * CHARACTER, 250) + 22
    rows = guide_rows(figure.guides, axis, left, WIDTH - left - VALUES_ROOM)
    step = 21.0 if len(chosen) <= 24 else 17.0
    box = Box(left, VALUES_ROOM, top=8 + ROW * (max(rows, default=-1) + 1), bottom=44)
    height = box.top + step * max(len(chosen), 1) + box.bottom
    drawing = canvas(height)
    axes = add_axes(drawing, box)
    axes.set_ylim(max(len(chosen), 1) - 0.5, -0.5)
    set_axis(axes, "x", axis, figure.label)
    axes.set_yticks([])
    _draw_each(axes, axis, values, marked, ends if len(ends) == len(chosen) else [], 0.64 * step)
    _label_each(drawing, box, step, labels, values, marked)
    draw_vertical_guides(axes, figure.guides, axis, box, WIDTH, height)
    key: tuple[Key, ...] = ()
    if any(marked):
        others = () if all(marked) else (Key("the others", "bar"),)
        key = (Key("stands out", "mark"), *others)
    notes: tuple[str, ...] = (f'All names begin with "{clean_text(start, 80)}".',) if start else ()
    if total > len(chosen):
        notes += (f"Shown: the {len(chosen)} worst of {total:,}, in their usual order.",)
    return drawing, key, notes + _bar_notes(values, figure.log)


def _draw_each(
    axes: Axes,
    axis: Extent,
    values: list[float],
    marked: list[bool],
    ends: list[tuple[float, float]],
    thick: float,
) -> None:
    base = axis.low if axis.log else 0.0
    bars = [
        (place, _kept(value, axis), stand_in("mark" if marked[place] else "bar"))
        for place, value in enumerate(values)
        if not math.isnan(value) and not (axis.log and value <= 0)
    ]
    axes.hlines(
        [place for place, _, _ in bars],
        base,
        [end for _, end, _ in bars],
        colors=[colour for _, _, colour in bars],
        linewidth=thick,
        zorder=3,
    )
    for place, end, colour in bars:
        if math.isinf(values[place]):
            arrow = ">" if values[place] > 0 else "<"
            axes.plot((end,), (place,), arrow, color=colour, markersize=thick, clip_on=False)
    spans = [
        (place, _kept(low, axis), _kept(high, axis))
        for place, (low, high) in enumerate(ends)
        if not math.isnan(low) and not math.isnan(high)
    ]
    if spans:
        places, lows, highs = zip(*spans, strict=True)
        axes.hlines(places, lows, highs, colors=stand_in("ink"), linewidth=1.2, zorder=5)
        axes.plot(lows + highs, places + places, "|", color=stand_in("ink"), markersize=6, zorder=5)


def _kept(value: float, axis: Extent) -> float:
    return min(max(value, axis.low), axis.high)


def _label_each(
    drawing: Figure,
    box: Box,
    step: float,
    labels: list[str],
    values: list[float],
    marked: list[bool],
) -> None:
    height = drawing.get_size_inches()[1] * 72
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = 1 - (box.top + (place + 0.5) * step) / height
        look: dict[str, Any] = {
            "fontsize": SMALL,
            "fontweight": "bold" if marked[place] and not all(marked) else "normal",
            "va": "center",
            "ha": "right",
        }
        role = "ink" if marked[place] else "muted"
        drawing.text((box.left - 8) / WIDTH, y, label, color=stand_in(role), **look)
        drawing.text((WIDTH - 3) / WIDTH, y, short_number(value), color=stand_in("ink"), **look)


def _bar_notes(values: list[float], log: bool) -> tuple[str, ...]:
    lost = sum(math.isnan(v) for v in values)
    endless = sum(math.isinf(v) for v in values)
    flat = sum(math.isfinite(v) and v <= 0 for v in values) if log else 0
    return (
        *left_out(lost, "not a number and without a bar"),
        *left_out(endless, "infinite: the bar ends in an arrow at the edge"),
        *left_out(flat, "zero or less and without a bar on the logarithmic axis"),
    )


def draw_histogram(figure: Histogram) -> tuple[Figure, tuple[Key, ...], tuple[str, ...]]:
    """Return a histogram; `log` is for its counts, edges that grow by a factor get a log axis."""
    bins = [
        (low, high, count)
        for low, high, count in zip(figure.edges, figure.edges[1:], figure.counts, strict=False)
        if math.isfinite(low) and math.isfinite(high) and low < high
    ]
    whole = [(low, high, count) for low, high, count in bins if drawable(count, False)]
    log_edges = _geometric([low for low, _, _ in bins] + [high for _, high, _ in bins[-1:]])
    x_axis = extent_of(
        [edge for low, high, _ in bins for edge in (low, high)], figure.guides, log=log_edges
    )
    y_axis = _counts_axis([count for _, _, count in whole], figure.log)
    rows = guide_rows(figure.guides, x_axis, 62, WIDTH - 86)
    box = Box(left=62, right=24, top=30 + ROW * (max(rows, default=-1) + 1), bottom=48)
    height = box.top + HISTOGRAM_HEIGHT + box.bottom
    drawing = canvas(height)
    axes = add_axes(drawing, box)
    set_axis(axes, "y", y_axis, "Count")
    set_axis(axes, "x", x_axis, figure.label, grid=False)
    shown = [(low, high, count) for low, high, count in whole if count > 0]
    base = y_axis.low
    boxes = [((low, base), (low, count), (high, count), (high, base)) for low, high, count in shown]
    axes.add_collection(
        PolyCollection(
            boxes,
            facecolors=stand_in("bar"),
            edgecolors=stand_in("paper"),
            linewidths=0.5,
            zorder=3,
        ),
        autolim=False,
    )
    draw_vertical_guides(axes, figure.guides, x_axis, box, WIDTH, height)
    lost = max(len(figure.counts), len(figure.edges) - 1, 0) - len(whole)
    return drawing, (), left_out(lost, "not finite and left out")


def _counts_axis(counts: list[float], log: bool) -> Extent:
    axis = extent_of(counts, log=log, zero=not log)
    if log and axis.high > 1:
        return Extent(min(0.7, axis.low), axis.high, log=True)
    return axis


def _geometric(edges: list[float]) -> bool:
    if len(edges) < 4 or min(edges) <= 0 or max(edges) < 30 * min(edges):
        return False
    steps = np.diff(np.log(np.array(edges)))
    return bool(steps.max() - steps.min() < 0.02 * steps.mean())
