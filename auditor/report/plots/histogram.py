"""Histograms."""

import math

import numpy as np

from auditor.core.figure import Histogram
from auditor.report.plots.extent import Extent, drawable, extent_of
from auditor.report.plots.frame import (
    Box,
    Key,
    draw_nothing,
    draw_x_axis,
    draw_y_axis,
    left_out,
    y_room,
)
from auditor.report.plots.guides import draw_upright, known, rows_of, unknown_note, upright
from auditor.report.plots.svg import WIDTH, Canvas, block, segment
from auditor.report.theme import Theme

HEIGHT = 200.0
RIGHT = 24.0

_Bin = tuple[float, float, float]


def draw_histogram(
    figure: Histogram, theme: Theme
) -> tuple[Canvas, tuple[Key, ...], tuple[str, ...]]:
    """Return a histogram; `log` is for its counts, edges that grow by a factor get a log axis."""
    bins: list[_Bin] = [
        (low, high, count)
        for low, high, count in zip(figure.edges, figure.edges[1:], figure.counts, strict=False)
        if math.isfinite(low) and math.isfinite(high) and low < high
    ]
    whole = [one for one in bins if drawable(one[2], False)]
    log_edges = _geometric([low for low, _, _ in bins] + [high for _, high, _ in bins[-1:]])
    x_axis = extent_of(
        [edge for low, high, _ in bins for edge in (low, high)], known(figure.guides), log=log_edges
    )
    y_axis = _counts_axis([count for _, _, count in whole], figure.log)
    left = max(62.0, y_room(y_axis))
    guides = upright(figure.guides, x_axis, left, WIDTH - left - RIGHT)
    box = Box(left, 30 + rows_of(guides), WIDTH - left - RIGHT, HEIGHT)
    canvas = Canvas(box.bottom + 48, theme)
    draw_y_axis(canvas, box, y_axis, "Count")
    draw_x_axis(canvas, box, x_axis, figure.label, grid=False)
    canvas.fill(_shape(box, x_axis, y_axis, whole), "bar")
    if not whole:
        draw_nothing(canvas, box)
    canvas.stroke(segment(box.left, box.bottom, box.right, box.bottom), "rule")
    draw_upright(canvas, box, guides)
    lost = max(len(figure.counts), len(figure.edges) - 1, 0) - len(whole)
    notes = left_out(lost, "not finite and left out") + unknown_note(figure.guides)
    return canvas, (), notes


def _shape(box: Box, x_axis: Extent, y_axis: Extent, bins: list[_Bin]) -> str:
    """Return the blocks of all bins; of those that share a pixel, the highest."""
    highest: dict[tuple[float, float], float] = {}
    for low, high, count in bins:
        start, end = box.across(x_axis.at(low)), box.across(x_axis.at(high))
        if end - start < 1:
            start, end = math.floor(start), math.floor(start) + 1
        tall = max(y_axis.at(count) * box.height, 0.5) if count > 0 else 0.0
        highest[start, end] = max(highest.get((start, end), 0.0), tall)
    return "".join(
        block(start, box.bottom - tall, end - start - (0.6 if end - start > 4 else 0.0), tall)
        for (start, end), tall in highest.items()
        if tall > 0
    )


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
