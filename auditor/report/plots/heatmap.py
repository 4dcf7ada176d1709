"""Grids of values as colours."""

import math
from collections.abc import Iterator

import numpy as np

from auditor.core.figure import Heatmap
from auditor.core.png import png
from auditor.core.values import Array
from auditor.report.plots.frame import GAP, Box, Key, draw_x_label, left_out
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.ramps import Ramp, hexadecimal, is_bright
from auditor.report.plots.svg import EDGE, WIDTH, Canvas, Label, block, cross
from auditor.report.theme import Theme
from auditor.report.wording import common_start, named, short_number, tick_names

MOST_CELLS = 256
"""Rows and columns drawn of a larger grid."""
MOST_NAMES = 40
MOST_BLOCKS = 256
"""Cells of a grid that is drawn as blocks; a larger one is a picture."""
WRITTEN = 12
"""Grids of up to this many rows and columns have their numbers written in the cells."""
MOST_CROSSES = 400
LIGHT, DARK = "#ffffff", "#10151c"
TOP = 28.0
SCALE = 12.0
TALLEST_SCALE = 180.0


def draw_heatmap(figure: Heatmap, theme: Theme) -> tuple[Canvas, tuple[Key, ...], tuple[str, ...]]:
    """Return the grid with a colour scale beside it, and notes on what is not in it."""
    grid, (down, across) = _grid(figure)
    rows, columns = grid.shape
    ramp = _ramp(grid)
    x_start, y_start = common_start(figure.x_names), common_start(figure.y_names)
    x_texts = _texts(figure.x_names, x_start, across, columns, 150.0)
    y_texts = _texts(figure.y_names, y_start, down, rows, 190.0)
    ticks = tick_names([ramp.low, ramp.middle, ramp.high])
    left = _room(y_texts) + GAP + 4
    width = WIDTH - left - (2 * GAP + SCALE + 6 + max(map(text_width, ticks)) + EDGE)
    turned = _room(x_texts) > width / columns * _stride(x_texts, figure.x_names) - GAP
    below = (_room(x_texts) if turned else 12.0) + GAP + 4
    cell = min(max(300 / rows, 13.0 if figure.y_names else 4.0), 34.0)
    box = Box(left, TOP, width, min(max(cell * rows, 90.0), 560.0))
    canvas = Canvas(box.bottom + below + (18.0 if figure.x_label else 0.0), theme)
    _draw_cells(canvas, box, grid, ramp)
    if rows > WRITTEN or columns > WRITTEN or not _write_cells(canvas, box, grid, ramp):
        _cross_out(canvas, box, grid)
    x_labels = [(_x(box, grid, at), x_texts[at]) for at in _places(x_texts, figure.x_names)]
    y_labels = [(_y(box, grid, at), y_texts[at]) for at in _places(y_texts, figure.y_names)]
    if turned:
        words: list[Label] = [(x, box.bottom + GAP, name) for x, name in x_labels]
        canvas.texts(words, anchor="end", turn=-90)
    else:
        canvas.texts([(x, box.bottom + 13, name) for x, name in x_labels], anchor="middle")
    canvas.texts([(box.left - GAP, y, name) for y, name in y_labels], anchor="end")
    draw_x_label(canvas, box, box.bottom + below + 6, named(figure.x_label, x_start))
    canvas.text(3, 9, fitted(named(figure.y_label, y_start), 0.55 * WIDTH))
    canvas.text(WIDTH - EDGE, 9, fitted(figure.label, 0.4 * WIDTH), anchor="end")
    _draw_scale(canvas, box, ramp, ticks)
    notes = left_out(int((~np.isfinite(grid)).sum()), "not finite and grey with a cross")
    if down > 1 or across > 1:
        size = f"{down} × {across}"
        notes = (f"Every {size} cells are shown as one: the largest, whatever its sign.", *notes)
    return canvas, (), notes


def _grid(figure: Heatmap) -> tuple[Array, tuple[int, int]]:
    """Return the cells to draw, and how many rows and columns each stands for.

    Of several the largest in size is kept, and before it what is not finite.
    """
    columns = max((len(row) for row in figure.values), default=0)
    if not columns:
        return np.full((1, 1), math.nan), (1, 1)
    rows = [(*row, *[math.nan] * (columns - len(row))) for row in figure.values]
    grid = np.array(rows, dtype=np.float64)
    down, across = (math.ceil(count / MOST_CELLS) for count in grid.shape)
    size = np.where(np.isfinite(grid), np.abs(grid), np.inf)
    for axis, step in enumerate((down, across)):
        grid, size = _strongest(grid, size, axis, step)
    return grid, (down, across)


def _strongest(grid: Array, size: Array, axis: int, step: int) -> tuple[Array, Array]:
    """Return one of every `step` cells along an axis: that of the largest size."""
    missing = -grid.shape[axis] % step
    shape = list(grid.shape)
    shape[axis : axis + 1] = [-1, step]
    padding = [(0, missing if place == axis else 0) for place in range(2)]
    cells = np.pad(grid, padding, constant_values=np.nan).reshape(shape)
    sizes = np.pad(size, padding, constant_values=-1.0).reshape(shape)
    best = np.expand_dims(sizes.argmax(axis=axis + 1), axis + 1)
    return (
        np.take_along_axis(cells, best, axis + 1).squeeze(axis + 1),
        np.take_along_axis(sizes, best, axis + 1).squeeze(axis + 1),
    )


def _ramp(grid: Array) -> Ramp:
    known = grid[np.isfinite(grid)]
    return Ramp(float(known.min()), float(known.max())) if known.size else Ramp(0.0, 1.0)


def _texts(
    names: tuple[str, ...], start: str, step: int, count: int, longest: float
) -> tuple[str, ...]:
    """Return what stands beside each drawn row or column: its name, or its number."""
    if not names:
        return tuple(str(place * step) for place in range(count))
    held = [names[place * step] if place * step < len(names) else "" for place in range(count)]
    return tuple(fitted(name[len(start) :], longest) for name in held)


def _stride(texts: tuple[str, ...], names: tuple[str, ...]) -> int:
    return math.ceil(len(texts) / (MOST_NAMES if names else 12))


def _places(texts: tuple[str, ...], names: tuple[str, ...]) -> range:
    return range(0, len(texts), _stride(texts, names))


def _room(texts: tuple[str, ...]) -> float:
    return max(map(text_width, texts))


def _x(box: Box, grid: Array, column: int) -> float:
    x: float = box.left + (column + 0.5) / grid.shape[1] * box.width
    return x


def _y(box: Box, grid: Array, row: int) -> float:
    y: float = box.top + (row + 0.5) / grid.shape[0] * box.height
    return y


def _draw_cells(canvas: Canvas, box: Box, grid: Array, ramp: Ramp) -> None:
    pixels = ramp.pixels(grid)
    if grid.size > MOST_BLOCKS:
        canvas.picture(box.left, box.top, box.width, box.height, png(pixels))
        return
    rows, columns = grid.shape
    wide, tall = box.width / columns, box.height / rows
    same: dict[str, list[str]] = {}
    for row, column in np.ndindex(rows, columns):
        shape = block(box.left + column * wide, box.top + row * tall, wide - 1, tall - 1)
        same.setdefault(hexadecimal(pixels[row, column]), []).append(shape)
    for colour, shapes in same.items():
        canvas.fill("".join(shapes), colour)


def _write_cells(canvas: Canvas, box: Box, grid: Array, ramp: Ramp) -> bool:
    """Write the numbers into the cells, if all have room."""
    room = box.width / grid.shape[1] - 5
    for write in (short_number, _shorter):
        texts = ["×" if not math.isfinite(v) else write(v) for v in grid.ravel().tolist()]
        if max(map(text_width, texts)) <= room and box.height / grid.shape[0] >= 11:
            break
    else:
        return False
    bright = [is_bright(pixel) for pixel in ramp.pixels(grid).reshape(-1, 3)]
    labels = list(_labels(box, grid, texts))
    for colour, wanted in ((DARK, True), (LIGHT, False)):
        chosen = [label for label, is_on in zip(labels, bright, strict=True) if is_on == wanted]
        canvas.texts(chosen, colour, "middle")
    return True


def _labels(box: Box, grid: Array, texts: list[str]) -> Iterator[Label]:
    for (row, column), text in zip(np.ndindex(*grid.shape), texts, strict=True):
        yield _x(box, grid, column) - 0.5, _y(box, grid, row) - 0.5, text


def _shorter(value: float) -> str:
    return f"{value:.2g}"


def _cross_out(canvas: Canvas, box: Box, grid: Array) -> None:
    unknown = np.argwhere(~np.isfinite(grid))[:MOST_CROSSES].tolist()
    reach = min(3.5, max(1.5, 0.3 * box.width / grid.shape[1], 0.3 * box.height / grid.shape[0]))
    shapes = [cross(_x(box, grid, column), _y(box, grid, row), reach) for row, column in unknown]
    canvas.stroke("".join(shapes), DARK, 1.2)


def _draw_scale(canvas: Canvas, box: Box, ramp: Ramp, ticks: list[str]) -> None:
    tall = min(box.height, TALLEST_SCALE)
    left = box.right + 2 * GAP
    shades = ramp.pixels(2 * np.linspace(ramp.high / 2, ramp.low / 2, 64)[:, None])
    canvas.picture(left, box.top, SCALE, tall, png(shades))
    ends = (box.top + tall - 4, box.top + tall / 2, box.top + 4)
    canvas.texts([(left + SCALE + 6, y, name) for y, name in zip(ends, ticks, strict=True)])
