"""Bars with their numbers."""

import math
from dataclasses import dataclass

from auditor.core.figure import Bars
from auditor.core.text import clean_text
from auditor.report.plots.extent import Extent, extent_of
from auditor.report.plots.frame import GAP, Box, Key, draw_nothing, draw_x_axis, left_out
from auditor.report.plots.guides import draw_upright, known, rows_of, unknown_note, upright
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.svg import WIDTH, Canvas, block, outline, segment
from auditor.report.selection import shown_bars
from auditor.report.theme import Theme
from auditor.report.wording import common_start, short_number

LONGEST_LABEL = 250.0
"""Pixels of the longest name of a bar."""
LEAST_VALUES = 44.0


@dataclass(frozen=True)
class _Bar:
    """A bar to draw; an interval whose ends are known."""

    label: str
    value: float
    marked: bool
    ends: tuple[float, float] | None


def draw_bars(figure: Bars, theme: Theme) -> tuple[Canvas, tuple[Key, ...], tuple[str, ...]]:
    """Return horizontal bars with their numbers at the right, the key, and notes."""
    chosen = shown_bars(figure)
    total = min(len(figure.labels), len(figure.values))
    start = common_start(figure.labels) if len(chosen) > 8 else ""
    bars = [_bar(figure, index, len(start)) for index in chosen]
    axis = extent_of(
        [v for bar in bars for v in (bar.value, *(bar.ends or ()))],
        known(figure.guides),
        log=figure.log,
        zero=not figure.log,
    )
    names = [text_width(bar.label, bold=bar.marked) for bar in bars]
    numbers = [text_width(short_number(bar.value), bold=bar.marked) for bar in bars]
    left = max(names, default=0.0) + 2 * GAP
    width = WIDTH - left - max([LEAST_VALUES, *numbers]) - 3 * GAP
    guides = upright(figure.guides, axis, left, width)
    step = 21.0 if len(bars) <= 24 else 17.0
    box = Box(left, 8 + rows_of(guides), width, step * max(len(bars), 1))
    canvas = Canvas(box.bottom + 44, theme)
    draw_x_axis(canvas, box, axis, figure.label)
    _draw_bars(canvas, box, axis, bars, step)
    _draw_intervals(canvas, box, axis, bars, step)
    _draw_words(canvas, box, bars, step)
    draw_upright(canvas, box, guides)
    if not bars:
        draw_nothing(canvas, box)
    notes: tuple[str, ...] = (f'All names begin with "{clean_text(start, 80)}".',) if start else ()
    if total > len(bars):
        notes += (f"Shown: the {len(bars)} worst of {total:,}, in their usual order.",)
    return canvas, _key(bars), notes + _notes(bars, figure)


def _bar(figure: Bars, index: int, start: int) -> _Bar:
    marked = index < len(figure.marked) and figure.marked[index]
    ends = None
    if index < len(figure.low) and index < len(figure.high):
        low, high = figure.low[index], figure.high[index]
        ends = None if math.isnan(low) or math.isnan(high) else (low, high)
    label = fitted(figure.labels[index][start:], LONGEST_LABEL, bold=marked)
    return _Bar(label, figure.values[index], marked, ends)


def _draw_bars(canvas: Canvas, box: Box, axis: Extent, bars: list[_Bar], step: float) -> None:
    foot, thick = box.across(0.0 if axis.log else axis.at(0.0)), 0.64 * step
    for marked, role in ((False, "bar"), (True, "mark")):
        shapes = []
        for place, bar in enumerate(bars):
            if bar.marked != marked or math.isnan(bar.value) or (axis.log and bar.value <= 0):
                continue
            end, middle = box.across(axis.at(bar.value)), _middle(box, place, step)
            if math.isinf(bar.value):
                tip, end = end, end - math.copysign(thick, bar.value)
                corners = (end, middle - 0.7 * thick), (tip, middle), (end, middle + 0.7 * thick)
                shapes.append(outline(corners))
            long = max(abs(end - foot), 0.5)
            shapes.append(block(min(foot, end), middle - thick / 2, long, thick))
        canvas.fill("".join(shapes), role)


def _draw_intervals(canvas: Canvas, box: Box, axis: Extent, bars: list[_Bar], step: float) -> None:
    lines = []
    for place, bar in enumerate(bars):
        if bar.ends is not None:
            low, high = (box.across(axis.at(end)) for end in bar.ends)
            y = _middle(box, place, step)
            lines += [segment(low, y, high, y)]
            lines += [segment(end, y - 3, end, y + 3) for end in (low, high)]
    canvas.stroke("".join(lines), "ink", 1.2)


def _draw_words(canvas: Canvas, box: Box, bars: list[_Bar], step: float) -> None:
    """Write names at the left and numbers at the right; what stands out is bold."""
    for marked in (False, True):
        names, numbers = [], []
        for place, bar in enumerate(bars):
            if bar.marked == marked:
                y = _middle(box, place, step)
                names.append((box.left - GAP, y, bar.label))
                numbers.append((WIDTH - 3, y, short_number(bar.value)))
        bold = marked and not all(bar.marked for bar in bars)
        canvas.texts(names, "ink" if marked else "muted", "end", bold=bold)
        canvas.texts(numbers, "ink", "end", bold=bold)


def _middle(box: Box, place: int, step: float) -> float:
    return box.top + (place + 0.5) * step


def _key(bars: list[_Bar]) -> tuple[Key, ...]:
    if not any(bar.marked for bar in bars):
        return ()
    others = () if all(bar.marked for bar in bars) else (Key("the others", "bar"),)
    return (Key("stands out", "mark"), *others)


def _notes(bars: list[_Bar], figure: Bars) -> tuple[str, ...]:
    values = [bar.value for bar in bars]
    flat = sum(math.isfinite(v) and v <= 0 for v in values) if figure.log else 0
    return (
        *left_out(sum(map(math.isnan, values)), "not a number and without a bar"),
        *left_out(sum(map(math.isinf, values)), "infinite: the bar ends in an arrow at the edge"),
        *left_out(flat, "zero or less and without a bar on the logarithmic axis"),
        *unknown_note(figure.guides),
    )
