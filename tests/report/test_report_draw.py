"""Figures: each draws, says what it leaves out, and shows its limits."""

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib as mpl
import pytest
import report_records as given

from auditor.core.figure import Bars, Guide, Heatmap, Histogram, Lines, Series
from auditor.report.draw import draw
from auditor.report.extent import extent_of
from auditor.report.selection import shown_bars
from auditor.report.tables import numbers_of
from auditor.report.theme import PRINT, SCREEN
from auditor.report.wording import tick_names

PLOTS = {
    "lines": given.LOSS,
    "log lines": given.GRADIENTS,
    "bars": given.DEAD_BARS,
    "log bars": given.FEW_BARS,
    "histogram": given.COUNTS,
    "log histogram": given.LOG_COUNTS,
    "heatmap": given.CONFUSION,
    "signed heatmap": given.SIGNED,
}
ODD = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e308, 5e-324, 1.0)


def words(svg: str) -> str:
    return " ".join(
        "".join(text.itertext()) for text in ET.fromstring(svg).iter() if text.tag.endswith("text")
    )


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
@pytest.mark.parametrize("theme", [SCREEN, PRINT], ids=["screen", "paper"])
def test_draws_the_same_bytes_twice(plot, theme):
    first = draw(plot, "figure-n1", theme)
    assert first == draw(plot, "figure-n1", theme)
    assert "#0a00" not in first.svg
    assert "<style" not in first.svg
    assert "DejaVu" not in first.svg or theme is PRINT


@pytest.mark.parametrize("plot", [p for p in PLOTS.values() if hasattr(p, "guides")])
def test_limits_are_drawn_and_labelled(plot):
    drawing = draw(plot, "figure-n1")
    assert plot.guides
    for guide in plot.guides:
        assert guide.label[:20] in words(drawing.svg)
    colours = {"warn": "var(--warn)", "fail": "var(--fail)", "reference": "var(--muted)"}
    for guide in plot.guides:
        assert f"stroke: {colours[guide.severity]}" in drawing.svg


def test_a_limit_far_off_the_axis_is_still_named():
    assert "far limit (-40) ←" in words(draw(given.COUNTS, "f").svg)


@pytest.mark.parametrize("values", [(1.0986, 1.1012), (123456789.0, 123456790.0), (-5.0, -4.9999)])
def test_ticks_that_lie_close_are_told_apart(values):
    plot = Lines("t", "c", "x", "y", (Series("s", (0.0, 1.0), values),))
    shown = words(draw(plot, "figure-n1", SCREEN).svg)
    names = tick_names(extent_of(values).ticks())
    assert len(names) == len(set(names)) > 2
    assert all(name.replace("-", "−") in shown or name in shown for name in names)


def test_ids_of_two_figures_differ():
    ids = [set(re.findall(r' id="([^"]+)"', draw(given.LOSS, prefix).svg)) for prefix in "ab"]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_mathematics_in_names_is_text():
    name = r"$\frac{1}{2}$"
    plot = replace(given.FEW_BARS, labels=(name,) * 5, label=name, guides=(Guide(1.0, name),))
    assert words(draw(plot, "f").svg).count(name) == 7


def test_many_bars_show_the_worst_and_say_so():
    drawing = draw(given.DEAD_BARS, "f")
    assert any("40 worst of 200" in note for note in drawing.notes)
    shown = shown_bars(given.DEAD_BARS)
    assert len(shown) == 40
    assert list(shown) == sorted(shown)
    least = min(given.DEAD[i] for i in shown)
    assert all(given.DEAD[i] <= least for i in range(200) if i not in shown)


def test_the_worst_are_on_the_side_of_the_marked():
    bars = Bars(
        "t",
        "c",
        "v",
        tuple(map(str, range(100))),
        tuple(map(float, range(100))),
        marked=tuple(i < 5 for i in range(100)),
    )
    assert shown_bars(bars, 10) == tuple(range(10))


def test_thinned_names_are_said():
    assert any("positions is named" in note for note in draw(given.GRADIENTS, "f").notes)


def test_what_is_not_finite_is_said():
    notes = " ".join(draw(given.GRADIENTS, "f").notes)
    assert "2 values are not finite" in notes
    assert "1 value is zero or less" in notes


@pytest.mark.parametrize("log", [False, True], ids=["linear", "log"])
@pytest.mark.parametrize("values", [(), (math.nan,), (0.0,), (3.0, 3.0), ODD], ids=str)
def test_odd_values_never_break_a_plot(values, log):
    names = tuple(f"n{i}" for i in range(len(values)))
    xs = tuple(map(float, range(len(values))))
    guides = (Guide(math.inf, "endless", "fail"), Guide(math.nan, "nothing", "warn"))
    for guide in ((), guides):
        plots = [
            Bars("t", "c", "v", names, values, values, values, guides=guide, log=log),
            Lines("t", "c", "x", "y", (Series("s", xs, values, values, values),), guide, y_log=log),
            Lines("t", "c", "x", "y", (Series("s", values, xs),), guide, names, x_log=log),
            Histogram("t", "c", "v", values, values[1:], guide, log=log),
            Heatmap("t", "c", "x", "y", "v", (values, values[:1])),
        ]
        for plot in plots:
            ET.fromstring(draw(plot, "f").svg)
            numbers_of(plot)


def test_a_user_s_own_style_changes_nothing():
    plain = draw(given.LOSS, "f")
    with mpl.rc_context({"axes.facecolor": "red", "svg.fonttype": "path", "font.size": 30}):
        assert draw(given.LOSS, "f") == plain


def test_numbers_behind_a_plot_are_few():
    for plot in PLOTS.values():
        assert 0 < len(numbers_of(plot).rows) <= 60


def test_reports_import_neither_torch_nor_pyplot():
    code = (
        "import sys, auditor.report.files, auditor.report.terminal;"
        "sys.exit(bool({'torch', 'matplotlib.pyplot', 'weasyprint'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_thousand_layers_keep_their_names_apart():
    names = tuple(f"model.layers.{i}.self_attn.q_proj.weight" for i in range(1000))
    values = tuple(map(float, range(1000)))
    drawing = draw(Bars("t", "c", "v", names, values), "f")
    assert "999.self_attn.q_proj.weight" in words(drawing.svg)
    assert (
        len(draw(Lines("t", "c", "x", "y", (Series("s", values, values),), x_names=names), "f").svg)
        < 100_000
    )
    grid = Heatmap("t", "c", "x", "y", "v", (values,) * 1000, y_names=names)
    drawing = draw(grid, "f")
    assert "Every 4 × 4 cells" in drawing.notes[0]
    assert "700.self_attn.q_proj.weight" in words(drawing.svg)
