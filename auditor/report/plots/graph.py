"""Graphs: boxes in layers from the top, in columns where they are many."""

from dataclasses import replace

from auditor.core.figure import Graph, Node
from auditor.report.plots.frame import Key
from auditor.report.plots.graph_layout import BOX, Layout, Point, Spot, laid_out
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.svg import WIDTH, Canvas, joined, outline, short
from auditor.report.theme import Theme
from auditor.report.wording import shortened

INSET = 8.0
ROUND = 5.0
HEAD = 5.0


def draw_graph(figure: Graph, theme: Theme) -> tuple[Canvas, tuple[Key, ...], tuple[str, ...]]:
    """Return the drawing, the entries of its key, and notes on what is not in it."""
    last = len(figure.nodes) - 1
    inside = tuple(r for r in figure.repeats if 0 <= r.first <= r.last <= last)
    figure = replace(figure, repeats=inside)
    layout = laid_out(figure, WIDTH)
    canvas = Canvas(layout.height, theme)
    routes = [route.points for route in layout.routes]
    canvas.stroke("".join(map(_rounded, routes)), "muted", 1.1)
    canvas.fill("".join(map(_head, routes)), "muted")
    for node, spot in zip(figure.nodes, layout.spots, strict=True):
        _box(canvas, node, spot)
    _brackets(canvas, figure, layout)
    return canvas, (), ()


def _box(canvas: Canvas, node: Node, spot: Spot) -> None:
    canvas.stroke(
        _rounded_block(spot),
        "mark" if node.marked else "muted" if node.end else "bar",
        1.8 if node.marked else 1.1,
        dashes="4 2" if node.end else "",
        fill="paper",
    )
    room = spot.width - 2 * INSET
    start, end = spot.x + INSET, spot.x + spot.width - INSET
    first = spot.y + BOX * (0.31 if node.note else 0.5)
    aside = shortened(node.aside, 60)
    spare = room - text_width(node.name[:60], bold=True) - INSET
    if text_width(aside) > max(spare, room / 3):
        aside = ""
    taken = text_width(aside) + INSET if aside else 0.0
    canvas.text(start, first, fitted(node.name, room - taken, bold=True), "ink", bold=True)
    canvas.text(end, first, aside, anchor="end")
    canvas.text(start, spot.y + BOX * 0.71, fitted(node.note, room))


def _rounded_block(spot: Spot) -> str:
    """Return the path of a box with round corners."""
    wide, tall, corner = short(spot.width - 2 * ROUND), short(BOX - 2 * ROUND), short(ROUND)
    turn = f"a{corner} {corner} 0 0 1"
    return (
        f"M{short(spot.x + ROUND)} {short(spot.y)}h{wide}{turn} {corner} {corner}v{tall}"
        f"{turn}-{corner} {corner}h-{wide}{turn}-{corner}-{corner}v-{tall}{turn} {corner}-{corner}z"
    )


def _rounded(points: tuple[Point, ...]) -> str:
    """Return the path of horizontal and vertical pieces with round corners."""
    path = joined(points[:1]).removesuffix("h0")
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (x, y), (to_x, to_y) = _towards(corner, before), _towards(corner, after)
        path += f"L{short(x)} {short(y)}Q{short(corner[0])} {short(corner[1])}"
        path += f" {short(to_x)} {short(to_y)}"
    return f"{path}L{short(points[-1][0])} {short(points[-1][1])}"


def _head(points: tuple[Point, ...]) -> str:
    """Return the path of the head of an arrow."""
    (x0, y0), (x, y) = points[-2:]
    size = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = HEAD * (x - x0) / size, HEAD * (y - y0) / size
    wings = (x - dx - 0.55 * dy, y - dy + 0.55 * dx), (x - dx + 0.55 * dy, y - dy - 0.55 * dx)
    return outline(((x, y), *wings))


def _towards(corner: Point, other: Point, most: float = 5.0) -> Point:
    size = ((corner[0] - other[0]) ** 2 + (corner[1] - other[1]) ** 2) ** 0.5 or 1.0
    share = min(most, size / 2) / size
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def _brackets(canvas: Canvas, figure: Graph, layout: Layout) -> None:
    """Draw a bracket at the left of what repeats, with the number of times."""
    for repeat, pieces in zip(figure.repeats, layout.brackets, strict=True):
        for x, top, bottom in pieces:
            corners = ((x + 5, top), (x, top), (x, bottom), (x + 5, bottom))
            canvas.stroke(joined(corners), "mark", 1.4)
        for x, top, bottom in pieces[:1]:
            count = f"× {repeat.times:,}"
            text = f"{count}  {shortened(repeat.label, 60)}"
            if text_width(text, bold=True) > bottom - top:
                text = count
            middle = (top + bottom) / 2
            canvas.text(x - 9, middle, text, "mark", "middle", bold=True, turn=-90)
