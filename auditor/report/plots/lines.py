"""Curves."""

from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Lines, Series
from auditor.core.values import Array
from auditor.report.plots.extent import Extent, extent_of
from auditor.report.plots.frame import (
    Box,
    Key,
    draw_nothing,
    draw_x_axis,
    draw_y_axis,
    left_out,
    y_room,
)
from auditor.report.plots.guides import draw_level, known, label_level, unknown_note
from auditor.report.plots.markers import draw_markers, key_marker
from auditor.report.plots.names import Names
from auditor.report.plots.svg import (
    WIDTH,
    Canvas,
    Point,
    block,
    cross,
    joined,
    outline,
    segment,
)
from auditor.report.plots.thin import thinned, thinned_band
from auditor.report.selection import MOST_SERIES
from auditor.report.theme import SERIES, Theme
from auditor.report.wording import named, shortened

HEIGHT = 230.0
TOP = 30.0
RIGHT = 24.0
EVERY = 40
"""Points up to which each has a marker; of several denser lines, one point in each stretch."""
STRETCH = 90.0
_DASHES = ("", "6 3", "2 2.5")
_UPRIGHT = "4 2"


@dataclass(frozen=True)
class _Curve:
    """A line in numbers: a band of none has no entries; `index` tells its look."""

    name: str
    index: int
    x: Array
    y: Array
    low: Array
    high: Array

    @property
    def role(self) -> str:
        """Return the role of its colour."""
        return f"s{self.index % SERIES}"

    @property
    def dashes(self) -> str:
        """Return its dashes, which tell lines of one colour apart."""
        return _DASHES[self.index // SERIES % len(_DASHES)]


@dataclass(frozen=True)
class _Stretch:
    """A shaded part of the x axis in pixels, or a line across it; `index` tells its look."""

    name: str
    index: int
    start: float
    end: float

    @property
    def key(self) -> Key:
        """Return its entry in the key."""
        line = self.start == self.end
        return Key(shortened(self.name, 60), self.role, _UPRIGHT if line else "", block=not line)

    @property
    def role(self) -> str:
        """Return the role of its colour."""
        return f"s{self.index % SERIES}"

    def draw(self, canvas: Canvas, box: Box) -> None:
        """Draw it from the foot of the box to its top."""
        if self.start == self.end:
            line = segment(self.start, box.top, self.start, box.bottom)
            canvas.stroke(line, self.role, 1.6, dashes=_UPRIGHT)
        else:
            shape = block(self.start, box.top, self.end - self.start, box.height)
            canvas.fill(shape, self.role, 0.18)


def draw_lines(figure: Lines, theme: Theme) -> tuple[Canvas, tuple[Key, ...], tuple[str, ...]]:
    """Return the drawing of curves, the entries of its key, and notes on what is not in it."""
    curves = [_curve(one, index) for index, one in enumerate(figure.series[:MOST_SERIES])]
    names = Names(figure.x_names, WIDTH - 100) if figure.x_names else None
    x_axis, y_axis = _axes(figure, curves)
    left = max(62.0, y_room(y_axis), names.left(RIGHT) if names else 0.0)
    box = Box(left, TOP, WIDTH - left - RIGHT, HEIGHT)
    below = names.height if names else 22.0
    canvas = Canvas(box.bottom + below + (26.0 if figure.x_label else 4.0), theme)
    draw_y_axis(canvas, box, y_axis, figure.y_label)
    if names is None:
        draw_x_axis(canvas, box, x_axis, figure.x_label, grid=False)
    else:
        names.draw(canvas, box, named(figure.x_label, names.start))
    stretches = _placed(figure, box, x_axis, len(curves))
    for stretch in stretches:
        stretch.draw(canvas, box)
    for curve in curves:
        _draw_band(canvas, box, curve, x_axis, y_axis)
    drawn = [_draw_curve(canvas, box, curve, x_axis, y_axis) for curve in curves]
    draw_level(canvas, box, y_axis, figure.guides)
    for curve, points in zip(curves, drawn, strict=True):
        draw_markers(canvas, _marked(curve, points, len(curves)), curve.index, curve.role)
    if all(np.isnan(points[:, 1]).all() for points in drawn):
        draw_nothing(canvas, box)
    crosses = [_cross_out(canvas, box, curve, x_axis, y_axis) for curve in curves]
    dots = np.concatenate([np.empty((0, 2)), *map(_filled, drawn), *crosses])
    label_level(canvas, box, y_axis, figure.guides, dots)
    notes = names.notes if names else ()
    if len(figure.series) > MOST_SERIES:
        notes += (f"Shown: the first {MOST_SERIES} of {len(figure.series):,} curves.",)
    key = tuple(
        _key(curve, bool(_marked(curve, points, len(curves))))
        for curve, points in zip(curves, drawn, strict=True)
    ) + tuple(stretch.key for stretch in stretches)
    return canvas, key, notes + _notes(curves, x_axis, y_axis) + unknown_note(figure.guides)


def _curve(one: Series, index: int) -> _Curve:
    count = min(len(one.x), len(one.y))
    banded = len(one.low) >= count and len(one.high) >= count and len(one.low) > 0
    x, y, low, high = (
        np.array(values[:count], dtype=np.float64)
        for values in (one.x, one.y, one.low if banded else (), one.high if banded else ())
    )
    return _Curve(one.name, index, x, y, low, high)


def _placed(figure: Lines, box: Box, x_axis: Extent, curves: int) -> list[_Stretch]:
    """Return the stretches that the axis can show, in colours that no curve has."""
    ends = [x_axis.places(np.array([one.start, one.end])) for one in figure.stretches]
    return [
        _Stretch(one.name, curves + place, *map(float, box.across(at)))
        for place, (one, at) in enumerate(zip(figure.stretches, ends, strict=True))
        if not np.isnan(at).any()
    ]


def _axes(figure: Lines, curves: list[_Curve]) -> tuple[Extent, Extent]:
    xs = [x for curve in curves for x in curve.x.tolist()]
    xs += [x for one in figure.stretches for x in (one.start, one.end)]
    ys = [v for curve in curves for part in (curve.y, curve.low, curve.high) for v in part.tolist()]
    y_axis = extent_of(ys, known(figure.guides), log=figure.y_log)
    if figure.x_names:
        return Extent(-0.5, len(figure.x_names) - 0.5, log=False), y_axis
    return extent_of(xs, log=figure.x_log), y_axis


def _draw_band(canvas: Canvas, box: Box, curve: _Curve, x_axis: Extent, y_axis: Extent) -> None:
    if not len(curve.low):
        return
    placed = ~np.isnan(x_axis.places(curve.x)) & ~np.isnan(curve.low) & ~np.isnan(curve.high)
    x = box.across(x_axis.places(curve.x[placed]))
    low, high = (
        box.up(np.array([y_axis.at(value) for value in ends[placed].tolist()]))
        for ends in (curve.low, curve.high)
    )
    x, low, high = thinned_band(x, low, high)
    canvas.fill(outline([*_points(x, high), *_points(x[::-1], low[::-1])]), curve.role, 0.18)


def _draw_curve(canvas: Canvas, box: Box, curve: _Curve, x_axis: Extent, y_axis: Extent) -> Array:
    """Draw a line and return it in pixels, [:, 2]."""
    places = x_axis.places(curve.x)
    placed = ~np.isnan(places)
    x, y = thinned(box.across(places[placed]), box.up(y_axis.places(curve.y[placed])))
    canvas.stroke(_path(x, y), curve.role, 1.8, dashes=curve.dashes, cap="round")
    return np.stack([x, y], axis=1)


def _marked(curve: _Curve, points: Array, count: int) -> list[Point]:
    """Return where a line, one of `count`, has its markers."""
    known = points[~np.isnan(points[:, 1])]
    if len(points) > EVERY:
        known = _spread(known, curve.index / count) if count > 1 else known[:0]
    return _points(known[:, 0], known[:, 1])


def _spread(points: Array, phase: float) -> Array:
    """Return one point in each stretch of the width, those of other lines elsewhere."""
    cells = np.floor(points[:, 0] / STRETCH - phase)
    return points[np.unique(cells, return_index=True)[1]]


def _path(x: Array, y: Array) -> str:
    gaps = np.flatnonzero(np.isnan(y))
    runs = zip(np.split(x, gaps), np.split(y, gaps), strict=True)
    return "".join(joined(_points(*(part[~np.isnan(v)] for part in (u, v)))) for u, v in runs)


def _points(x: Array, y: Array) -> list[Point]:
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _filled(points: Array, most: int = 150) -> Array:
    """Return points all along a line, also between those that it is drawn through."""
    known = points[~np.isnan(points[:, 1])]
    order = np.arange(len(known))
    at = np.linspace(0, len(known) - 1, most if len(known) else 0)
    columns = [np.interp(at, order, known[:, place]) for place in range(2 * bool(len(known)))]
    return np.stack(columns, axis=1) if columns else known


def _cross_out(canvas: Canvas, box: Box, curve: _Curve, x_axis: Extent, y_axis: Extent) -> Array:
    """Mark what has no place on the axis at the edge where it would lie; NaN at the top."""
    x, y = x_axis.places(curve.x), curve.y
    lost = ~np.isnan(x) & np.isnan(y_axis.places(y))
    crosses = []
    for low, at in ((False, box.top + 4), (True, box.bottom - 4)):
        columns = np.unique(np.round(box.across(x[lost & ((y <= 0) == low)])))
        crosses += [(column, at) for column in columns.tolist()]
    canvas.stroke("".join(cross(*point) for point in crosses), curve.role, 1.6)
    return np.array(crosses, dtype=np.float64).reshape(-1, 2)


def _key(curve: _Curve, marked: bool) -> Key:
    return Key(
        shortened(curve.name, 60),
        curve.role,
        curve.dashes,
        band=len(curve.low) > 0,
        marker=key_marker(curve.index) if marked else "",
    )


def _notes(curves: list[_Curve], x_axis: Extent, y_axis: Extent) -> tuple[str, ...]:
    lost = sum(int(np.count_nonzero(~np.isfinite(curve.y))) for curve in curves)
    flat = sum(int(np.count_nonzero(np.isfinite(curve.y) & (curve.y <= 0))) for curve in curves)
    off = sum(int(np.count_nonzero(np.isnan(x_axis.places(curve.x)))) for curve in curves)
    return (
        *left_out(lost, "not finite and marked × at the edge"),
        *left_out(
            flat if y_axis.log else 0,
            "zero or less and marked × at the foot of the logarithmic axis",
        ),
        *left_out(off, "at a position that the horizontal axis can't show"),
    )
