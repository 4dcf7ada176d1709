"""The map of up to some sixty layers: each has a row of its own, with its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditor.core.layer import LayerFacts
from auditor.report.map.columns import Column
from auditor.report.map.marks import Mark
from auditor.report.map.shapes import Canvas, Drawing, Icon, Link, Path, Shape, Text, units
from auditor.report.map.strips import FOOT, HEAD, draw_axes, draw_values, strips_of
from auditor.report.plots.letters import fitted, text_width
from auditor.report.view_finding import FindingView
from auditor.report.wording import WORDS

MOST = 60
"""Layers that have a row each."""

ICON = 13.0


@dataclass(frozen=True)
class Content:
    """What is drawn: layers with safe names, columns, marks by the layers' places, findings."""

    layers: tuple[LayerFacts, ...]
    columns: tuple[Column, ...]
    marks: Mapping[int, Mark]
    findings: tuple[FindingView, ...]
    """By number, from 1."""


def draw_rows(content: Content, shape: Shape) -> tuple[Drawing, ...]:
    """Return the map in as few pieces as stand on pages."""
    many = len(content.layers)
    shape = shape if content.marks else replace(shape, verdicts=0)
    pieces = np.array_split(np.arange(many), max(1, -(-many // shape.piece)))
    return tuple(_piece(content, shape, [int(row) for row in piece]) for piece in pieces)


def _piece(content: Content, shape: Shape, rows: Sequence[int]) -> Drawing:
    canvas = Canvas(shape)
    bottom = HEAD + len(rows) * shape.row
    verdicts = shape.names + shape.kinds + shape.outputs
    _heads(canvas, verdicts)
    for place, row in enumerate(rows):
        _row(canvas, content, row, HEAD + place * shape.row, verdicts)
    lines = "".join(
        f"M0 {units(HEAD + place * shape.row)}H{units(shape.width)}"
        for place in range(len(rows) + 1)
    )
    canvas.paths.append(Path(lines, "grid"))
    left = verdicts + shape.verdicts + shape.gap
    strips = strips_of(content.columns, left, shape.width - 4, shape.gap)
    draw_axes(canvas, strips, bottom)
    middles = [(row, HEAD + (place + 0.5) * shape.row) for place, row in enumerate(rows)]
    for strip in strips:
        draw_values(canvas, strip, middles)
    return canvas.finished(bottom + FOOT)


def _heads(canvas: Canvas, verdicts: float) -> None:
    shape = canvas.shape
    heads = [(0.0, "layer")]
    if shape.kinds:
        heads.append((shape.names, "type"))
    if shape.outputs:
        heads.append((shape.names + shape.kinds, "output"))
    if shape.words and shape.verdicts:
        heads.append((verdicts, "verdict"))
    canvas.texts += [Text(4 + x, 13, head, shape.size, bold=True) for x, head in heads]


def _row(canvas: Canvas, content: Content, row: int, top: float, verdicts: float) -> None:
    shape, layer, mark = canvas.shape, content.layers[row], content.marks.get(row)
    size, small = shape.size, shape.size - 1
    base = round(top + shape.row / 2 + 0.35 * size, 1)
    if mark is not None and mark.cause:
        box = f"M0 {units(top)}h{units(shape.width)}v{units(shape.row)}H0z"
        canvas.paths.append(Path(box, _role(mark), opacity=0.12, filled=True))
    bold = mark is not None and mark.cause
    name = fitted(layer.name, shape.names - 10, bold=bold, size=size)
    canvas.texts.append(Text(4, base, name, size, bold=bold))
    if shape.kinds:
        kind = layer.kind if layer.ran else f"{layer.kind} (idle)"
        kind = fitted(kind, shape.kinds - 8, size=small)
        canvas.texts.append(Text(4 + shape.names, base, kind, small, "muted"))
    if shape.outputs:
        x = 4 + shape.names + shape.kinds
        output = fitted(layer.output.removeprefix("N×"), shape.outputs - 8, size=small)
        canvas.texts.append(Text(x, base, output, small, "muted"))
    if mark is not None:
        _mark(canvas, mark, verdicts + 2, top, base)
        finding = content.findings[mark.numbers[0] - 1]
        title = f"{layer.name}: {finding.title}"
        canvas.links.append(Link(0, top, shape.width, shape.row, mark.target, title))


def _mark(canvas: Canvas, mark: Mark, x: float, top: float, base: float) -> None:
    shape = canvas.shape
    icon = Icon(x, round(top + (shape.row - ICON) / 2, 1), ICON, mark.verdict)
    canvas.icons.append(icon)
    x += ICON + 4
    word = WORDS[mark.verdict]
    if shape.words:
        canvas.texts.append(Text(x, base, word, shape.size - 1, _role(mark), bold=True))
        x += text_width(word, bold=True, size=shape.size - 1) + 6
    most = 4 if shape.words else 1
    canvas.texts.append(Text(round(x, 1), base, numbers(mark, most), shape.size - 1.5, "muted"))


def numbers(mark: Mark, most: int) -> str:
    """Return "1, 2, 3 +2": what a mark comes from, by the numbers of the list below the map."""
    shown = ", ".join(map(str, mark.numbers[:most]))
    left = len(mark.numbers) - most
    return f"{shown} +{left}" if left > 0 else shown


def _role(mark: Mark) -> str:
    return str(mark.verdict)
