"""From a figure's plain data to an inline SVG."""

from dataclasses import dataclass

from auditor.core.figure import Bars, Graph, Heatmap, Histogram, Lines
from auditor.report.plots.bars import draw_bars
from auditor.report.plots.frame import Key
from auditor.report.plots.graph import draw_graph
from auditor.report.plots.heatmap import draw_heatmap
from auditor.report.plots.histogram import draw_histogram
from auditor.report.plots.lines import draw_lines
from auditor.report.tables import Plot
from auditor.report.theme import SCREEN, Theme
from auditor.report.wording import prose


@dataclass(frozen=True)
class Drawing:
    """A drawn plot: its SVG, the entries of its key, and notes on what it does not show."""

    svg: str
    key: tuple[Key, ...]
    notes: tuple[str, ...]


def draw(figure: Plot, theme: Theme = SCREEN) -> Drawing:
    """Draw a plot; equal figures give equal bytes."""
    match figure:
        case Lines():
            canvas, key, notes = draw_lines(figure, theme)
        case Bars():
            canvas, key, notes = draw_bars(figure, theme)
        case Histogram():
            canvas, key, notes = draw_histogram(figure, theme)
        case Heatmap():
            canvas, key, notes = draw_heatmap(figure, theme)
        case Graph():
            canvas, key, notes = draw_graph(figure, theme)
    return Drawing(canvas.svg(prose(f"{figure.title}. {figure.caption}", 600)), key, notes)
