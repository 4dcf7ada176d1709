"""Text of plots on paper: drawn line by line, where WeasyPrint goes letter by letter.

It lays each letter out by itself, twice, and puts each anchored text into a form of its own: a
third of the time of a PDF. Our plots know one kind of text: a line at a point, with an anchor.
"""

from math import inf
from types import ModuleType
from typing import Any

KNOWN = "70."
"""Versions of WeasyPrint whose inside is known; others draw in their own way."""


def draw_lines_of_text(weasyprint: ModuleType) -> None:
    """Have the text of plots drawn line by line from now on."""
    if getattr(weasyprint, "__version__", "").startswith(KNOWN):
        from weasyprint.svg import TAGS

        TAGS["text"] = _line


def _line(svg: Any, node: Any, font_size: float) -> None:
    from weasyprint.draw.text import draw_first_line
    from weasyprint.matrix import Matrix
    from weasyprint.svg.text import TextBox
    from weasyprint.text.line_break import split_first_line

    if not node.text:
        return
    style = _style(svg, node, font_size)
    layout, _, _, width, _, baseline = split_first_line(node.text, style, svg.context, inf, 0)
    x, y = svg.point(node.get("x"), node.get("y"), font_size)
    x -= {"middle": width / 2, "end": width}.get(node.get("text-anchor"), 0.0)
    box = TextBox(layout, style)
    box.baseline = baseline
    svg.stream.push_state()
    fill, stroke = svg.set_graphical_state(node, font_size)
    svg.stream.begin_text()
    layout.reactivate(style)
    svg.fill_stroke(fill, stroke, text=True)
    draw_first_line(svg.stream, box, "none", "none", Matrix(d=-1, e=x, f=y))
    svg.stream.end_text()
    svg.stream.pop_state()


def _style(svg: Any, node: Any, font_size: float) -> Any:
    from weasyprint.css.properties import INITIAL_VALUES
    from weasyprint.svg.text import Style

    style = Style(INITIAL_VALUES)
    style.font_config = svg.font_config
    style["font_family"] = [name.strip() for name in node.get("font-family", "Inter").split(",")]
    style["font_size"] = font_size
    weight = node.get("font-weight", "400")
    style["font_weight"] = {"normal": 400, "bold": 700}.get(weight) or int(weight)
    return style
