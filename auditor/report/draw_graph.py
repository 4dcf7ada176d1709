"""Graphs: boxes in layers from the top, in columns where they are many."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from auditor.core.figure import Graph, Node
from auditor.report.frame import CHARACTER, Key
from auditor.report.graph_layout import BOX, Layout, Point, Spot, laid_out
from auditor.report.svg import SMALL, WIDTH, canvas, stand_in
from auditor.report.wording import shortened

INSET = 8.0
ROUND = 5.0
HEAD = 5.0


def draw_graph(figure: Graph) -> tuple[Figure, tuple[Key, ...], tuple[str, ...]]:
    """Return the drawing, the entries of its key, and notes on what is not in it."""
    layout = laid_out(figure, WIDTH)
    drawing = canvas(layout.height)
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(layout.height, 0)
    for route in layout.routes:
        _arrow(axes, route.points)
    for node, spot in zip(figure.nodes, layout.spots, strict=True):
        _box(axes, node, spot)
    _brackets(axes, figure, layout)
    return drawing, (), ()


def _box(axes: Axes, node: Node, spot: Spot) -> None:
    role = "mark" if node.marked else "muted" if node.end else "bar"
    axes.add_patch(
        FancyBboxPatch(
            (spot.x + ROUND, spot.y + ROUND),
            spot.width - 2 * ROUND,
            BOX - 2 * ROUND,
            boxstyle=f"round,pad={ROUND}",
            facecolor=stand_in("paper"),
            edgecolor=stand_in(role),
            linewidth=1.8 if node.marked else 1.1,
            linestyle=(0, (4, 2)) if node.end else "-",
            zorder=3,
        )
    )
    room = int((spot.width - 2 * INSET) / (1.08 * CHARACTER))
    bold = int((spot.width - 2 * INSET) / (1.2 * CHARACTER))
    aside = node.aside if len(node.aside) <= max(bold // 3, bold - len(node.name) - 2) else ""
    first = spot.y + BOX * (0.31 if node.note else 0.5)
    look: dict[str, Any] = {"fontsize": SMALL, "va": "center", "zorder": 4}
    name = shortened(node.name, max(bold - len(aside) - bool(aside), 4))
    axes.text(spot.x + INSET, first, name, color=stand_in("ink"), fontweight="bold", **look)
    if aside:
        end = spot.x + spot.width - INSET
        axes.text(end, first, aside, color=stand_in("muted"), ha="right", **look)
    if node.note:
        second = spot.y + BOX * 0.71
        note = shortened(node.note, room)
        axes.text(spot.x + INSET, second, note, color=stand_in("muted"), **look)


def _arrow(axes: Axes, points: tuple[Point, ...]) -> None:
    """Draw a line of horizontal and vertical pieces with round corners."""
    colour = stand_in("muted")
    path = Path(*_rounded(points))
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, linewidth=1.1, zorder=2))
    (x0, y0), (x, y) = points[-2:]
    size = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x - x0) / size, (y - y0) / size
    base = x - HEAD * dx, y - HEAD * dy
    wings = (
        (base[0] - 0.55 * HEAD * dy, base[1] + 0.55 * HEAD * dx),
        (base[0] + 0.55 * HEAD * dy, base[1] - 0.55 * HEAD * dx),
    )
    axes.add_patch(
        Polygon(((x, y), *wings), closed=True, facecolor=colour, edgecolor="none", zorder=2.5)
    )


def _rounded(
    points: tuple[tuple[float, float], ...],
) -> tuple[list[tuple[float, float]], list[Any]]:
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return [*vertices, points[-1]], [*codes, Path.LINETO]


def _towards(corner: Point, other: Point, most: float = 5.0) -> Point:
    size = ((corner[0] - other[0]) ** 2 + (corner[1] - other[1]) ** 2) ** 0.5 or 1.0
    share = min(most, size / 2) / size
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def _brackets(axes: Axes, figure: Graph, layout: Layout) -> None:
    """Draw a bracket at the left of what repeats, with the number of times."""
    for repeat, pieces in zip(figure.repeats, layout.brackets, strict=True):
        for number, (x, top, bottom) in enumerate(pieces):
            path = Path(((x + 5, top), (x, top), (x, bottom), (x + 5, bottom)))
            axes.add_patch(
                PathPatch(path, facecolor="none", edgecolor=stand_in("mark"), linewidth=1.4)
            )
            if number:
                continue
            count = f"× {repeat.times:,}"
            text = f"{count}  {shortened(repeat.label, 60)}"
            axes.text(
                x - 4,
                (top + bottom) / 2,
                text if len(text) * 1.2 * CHARACTER <= bottom - top else count,
                rotation=90,
                ha="right",
                va="center",
                fontsize=SMALL,
                color=stand_in("mark"),
                fontweight="bold",
            )
