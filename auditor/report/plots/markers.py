"""Signs on the points of a line, so that lines differ by more than their colours."""

from collections.abc import Iterable

from auditor.report.plots.svg import Canvas, Point, joined, short

DOT = 4.6
_SHAPES = (
    "",
    "m-2.2-2.2h4.4v4.4h-4.4z",
    "m0-3.2l3.2 5.4h-6.4z",
    "m0-3.4l3.4 3.4-3.4 3.4-3.4-3.4z",
    "m-3.2-2.2h6.4l-3.2 5.4z",
    "m-1.1-3.3h2.2v2.2h2.2v2.2h-2.2v2.2h-2.2v-2.2h-2.2v-2.2h2.2z",
    "m-3.2-3h6.4l-6.4 6h6.4z",
)
"""Dot, square, triangle, diamond, triangle on its point, plus and hourglass: from the middle of
each around it. A dot is a line without length and with round ends, which takes the fewest bytes.
"""


def draw_markers(canvas: Canvas, points: Iterable[Point], index: int, role: str) -> None:
    """Draw the sign of the line of that number at points."""
    shape = _SHAPES[index % len(_SHAPES)]
    if shape:
        canvas.fill("".join(f"M{short(x)} {short(y)}{shape}" for x, y in points), role)
    else:
        canvas.stroke("".join(joined([point]) for point in points), role, DOT, cap="round")


def key_marker(index: int) -> str:
    """Return the path of a line's sign in the middle of a key's drawing, 22 wide and 10 high."""
    shape = _SHAPES[index % len(_SHAPES)]
    return f"M11 5{shape}" if shape else "M8.4 5a2.6 2.6 0 1 0 5.2 0 2.6 2.6 0 1 0-5.2 0z"
