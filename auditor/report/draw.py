"""From a figure's plain data to an inline SVG."""

from dataclasses import dataclass

from auditor.core.figure import Bars, Graph, Heatmap, Histogram, Lines
from auditor.report.draw_bars import draw_bars, draw_histogram
from auditor.report.draw_graph import draw_graph
from auditor.report.draw_heatmap import draw_heatmap
from auditor.report.draw_lines import draw_lines
from auditor.report.frame import Key
from auditor.report.svg import drawing_style, finished, written
from auditor.report.tables import Plot
from auditor.report.theme import SCREEN, Theme
from auditor.report.wording import prose


@dataclass(frozen=True)
class Drawing:
    """A drawn plot: its SVG, the entries of its key, and notes on what it does not show."""

    svg: str
    key: tuple[Key, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sketch:
    """A plot drawn for any page: an SVG of stand-ins for colours, the key and the notes."""

    svg: str
    key: tuple[Key, ...]
    notes: tuple[str, ...]

    def finished(self, figure: Plot, prefix: str, theme: Theme) -> Drawing:
        """Return the drawing for one page."""
        label = prose(f"{figure.title}. {figure.caption}", 600)
        return Drawing(finished(self.svg, prefix, label, theme), self.key, self.notes)


def sketch(figure: Plot) -> Sketch:
    """Return a plot without the colours of a theme, which it takes matplotlib long to draw."""
    with drawing_style():
        match figure:
            case Lines():
                drawing, key, notes = draw_lines(figure)
            case Bars():
                drawing, key, notes = draw_bars(figure)
            case Histogram():
                drawing, key, notes = draw_histogram(figure)
            case Heatmap():
                drawing, key, notes = draw_heatmap(figure)
            case Graph():
                drawing, key, notes = draw_graph(figure)
        return Sketch(written(drawing), key, notes)


def draw(figure: Plot, prefix: str, theme: Theme = SCREEN) -> Drawing:
    """Draw a plot; all ids in it begin with `prefix`, which is to differ within one page.

    Equal figures with an equal prefix and theme give equal bytes.
    """
    return sketch(figure).finished(figure, prefix, theme)
