"""Grids of values as colours."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from auditor.core.figure import Heatmap
from auditor.report.extent import HUGE
from auditor.report.frame import CHARACTER, Box, Key, add_axes, left_out
from auditor.report.svg import SMALL, WIDTH, canvas, stand_in
from auditor.report.wording import common_start, named, short_number, shortened, tick_names

MOST_CELLS = 256
"""Rows and columns drawn of a larger grid."""
MOST_NAMES = 40
WRITTEN = 12
"""Grids of up to this many rows and columns have their numbers written in the cells."""
LIGHT, DARK = "#ffffff", "#10151c"


def draw_heatmap(figure: Heatmap) -> tuple[Figure, tuple[Key, ...], tuple[str, ...]]:
    """Return the grid with a colour scale beside it, and notes on what is not in it."""
    grid, (down, across) = _grid(figure)
    rows, columns = grid.shape
    x_start, y_start = common_start(figure.x_names), common_start(figure.y_names)
    x_texts = _texts(figure.x_names, x_start, across, columns, 24)
    y_texts = _texts(figure.y_names, y_start, down, rows, 30)
    left = 34.0 + _room(y_texts)
    named_each = (WIDTH - left - 100) / columns * _stride(x_texts, figure.x_names)
    turned = _room(x_texts) > named_each - 6
    bottom = 44.0 + (_room(x_texts) * 0.92 if turned else 0.0)
    cell = min(max(300 / rows, 13.0 if figure.y_names else 4.0), 34.0)
    tall = min(max(cell * rows, 90.0), 560.0)
    drawing = canvas(tall + bottom + 28)
    box = Box(left, 100, top=28, bottom=bottom)
    axes = add_axes(drawing, box)
    axes.spines["bottom"].set_visible(False)
    colours, scale = _colours(grid)
    axes.imshow(
        np.ma.masked_invalid(grid),
        cmap=colours,
        norm=scale,
        aspect="auto",
        interpolation="none",
    )
    x_places = range(0, columns, _stride(x_texts, figure.x_names))
    y_places = range(0, rows, _stride(y_texts, figure.y_names))
    axes.set_xticks(x_places, [x_texts[place] for place in x_places], rotation=90 * turned)
    axes.set_yticks(y_places, [y_texts[place] for place in y_places])
    look: dict[str, Any] = {"color": stand_in("muted"), "fontsize": SMALL}
    axes.set_xlabel(shortened(named(figure.x_label, x_start), 80), **look)
    axes.set_ylabel(shortened(named(figure.y_label, y_start), 60), **look)
    if rows <= WRITTEN and columns <= WRITTEN:
        _write_cells(axes, grid, colours, scale)
    else:
        _cross_out(axes, grid)
    _draw_scale(drawing, box, tall, colours, scale, figure.label)
    lost = int((~np.isfinite(grid)).sum())
    notes = left_out(lost, "not finite and left blank with a cross")
    if down > 1 or across > 1:
        notes = (f"Every {down} × {across} cells are shown as one of them.", *notes)
    return drawing, (), notes


def _grid(figure: Heatmap) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the cells to draw, and how many rows and columns each stands for."""
    columns = max((len(row) for row in figure.values), default=0)
    if not columns:
        return np.full((1, 1), math.nan), (1, 1)
    down = math.ceil(len(figure.values) / MOST_CELLS)
    across = math.ceil(columns / MOST_CELLS)
    kept = [(*row, *[math.nan] * (columns - len(row)))[::across] for row in figure.values[::down]]
    grid = np.array(kept, dtype=np.float64)
    return np.where(np.isfinite(grid), np.clip(grid, -HUGE, HUGE), grid), (down, across)


def _colours(grid: NDArray[np.float64]) -> tuple[Colormap, Normalize]:
    known = grid[np.isfinite(grid)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if low < 0 < high:
        edge = max(-low, high)
        return mpl.colormaps["PuOr_r"], Normalize(-edge, edge)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-200):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return mpl.colormaps["cividis"], Normalize(low, high)


def _texts(
    names: tuple[str, ...], start: str, step: int, count: int, longest: int
) -> tuple[str, ...]:
    """Return what stands beside each drawn row or column: its name, or its number."""
    if not names:
        return tuple(str(place * step) for place in range(count))
    held = [names[place * step] if place * step < len(names) else "" for place in range(count)]
    return tuple(shortened(name[len(start) :], longest) for name in held)


def _stride(texts: tuple[str, ...], names: tuple[str, ...]) -> int:
    return math.ceil(len(texts) / (MOST_NAMES if names else 12))


def _room(texts: tuple[str, ...]) -> float:
    return max(map(len, texts)) * CHARACTER


def _write_cells(
    axes: Axes, grid: NDArray[np.float64], colours: Colormap, scale: Normalize
) -> None:
    for (row, column), value in np.ndenumerate(grid):
        known = math.isfinite(value)
        red, green, blue, _ = colours(scale(value)) if known else (1.0, 1.0, 1.0, 1.0)
        bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55
        axes.text(
            column,
            row,
            short_number(value) if known else "×",
            ha="center",
            va="center",
            fontsize=SMALL - 0.5,
            color=(DARK if bright else LIGHT) if known else stand_in("fail"),
        )


def _cross_out(axes: Axes, grid: NDArray[np.float64]) -> None:
    rows, columns = np.nonzero(~np.isfinite(grid))
    axes.plot(
        columns[:400],
        rows[:400],
        "x",
        color=stand_in("fail"),
        markersize=5,
        markeredgewidth=1.2,
        scalex=False,
        scaley=False,
    )


def _draw_scale(
    drawing: Figure, box: Box, tall: float, colours: Colormap, scale: Normalize, label: str
) -> None:
    width, height = drawing.get_size_inches() * 72
    long = min(tall, 180.0)
    side = drawing.add_axes(
        ((width - 76) / width, (height - box.top - long) / height, 12 / width, long / height)
    )
    for spine in side.spines.values():
        spine.set_visible(False)
    low, high = scale.vmin or 0.0, scale.vmax or 0.0
    side.imshow(
        np.linspace(high, low, 128)[:, None],
        cmap=colours,
        norm=scale,
        aspect="auto",
        interpolation="none",
        extent=(0, 1, low, high),
    )
    side.set_xticks([])
    ticks = [low, (low + high) / 2, high]
    side.yaxis.tick_right()
    side.set_yticks(ticks, tick_names(ticks))
    side.tick_params(length=0, pad=5, labelsize=SMALL, labelcolor=stand_in("muted"))
    drawing.text(
        1 - 4 / width,
        1 - 4 / height,
        shortened(label, 60),
        color=stand_in("muted"),
        fontsize=SMALL,
        ha="right",
        va="top",
    )
