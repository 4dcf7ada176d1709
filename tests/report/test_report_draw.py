"""Figures: each draws, says what it leaves out, and shows its limits."""

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import report_records as given
from report_plots import EXTREMES, FAR, lines, paths, points, texts, words

from auditor.core.figure import Bars, Guide, Heatmap, Histogram, Lines, Series, Stretch
from auditor.report.plots.draw import draw
from auditor.report.plots.extent import extent_of
from auditor.report.selection import shown_bars
from auditor.report.tables import numbers_of
from auditor.report.wording import says, tick_names

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


GUIDED = {name: plot for name, plot in (PLOTS | EXTREMES).items() if getattr(plot, "guides", ())}


@pytest.mark.parametrize("plot", GUIDED.values(), ids=GUIDED)
def test_limits_are_drawn_and_labelled_inside(plot):
    svg = draw(plot).svg
    colours = {"warn": "var(--warn)", "fail": "var(--fail)", "reference": "var(--muted)"}
    for guide in plot.guides:
        if math.isnan(guide.value):
            continue
        assert guide.label[:8] in words(svg)
        assert any(path.get("stroke") == colours[guide.severity] for path in paths(svg))


def test_a_limit_out_of_the_data_s_reach_widens_the_axis():
    svg = draw(lines([0.1, 0.2, 0.3], guides=[Guide(1.0, "fails above 1", "fail")])).svg
    assert "1" in [text.words for text in texts(svg)]
    line = next(p for p in paths(svg) if p.get("stroke") == "var(--fail)")
    (x, y), (end, same) = points(line["d"])
    assert end - x > 500
    assert y == same
    assert 30 < y < 100
    curve = next(p for p in paths(svg) if p.get("stroke") == "var(--s0)")
    assert max(y for _, y in points(curve["d"])) - min(y for _, y in points(curve["d"])) > 20


@pytest.mark.parametrize("plot", [lines([0.1, 0.2, 0.3], guides=FAR), given.COUNTS], ids=["y", "x"])
def test_a_limit_that_would_squash_the_data_is_an_arrow_at_the_edge(plot):
    svg = draw(plot).svg
    far = [guide for guide in plot.guides if abs(guide.value) > 30]
    assert far
    for guide in far:
        assert f"{guide.label} (" in words(svg)
    heads = [p for p in paths(svg) if re.fullmatch(r"M[^Mhv]+z", p["d"])]
    assert len(heads) == len(far)


def test_a_limit_that_is_no_number_is_said():
    assert "1 limit is not a number and not drawn." in draw(lines([1.0], guides=FAR)).notes


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("warns above 0.05", 0.05, True),
        ("fail above 100000", 1e5, True),
        ("healthy: 1e-3", 0.001, True),
        ("explodes above 1,000", 1000.0, True),
        ("loss of 10 classes", 1.0, False),
        ("version v2", 2.0, False),
        ("below -3.5", -3.5, True),
        ("nothing", math.nan, False),
    ],
)
def test_a_value_is_said_once(label, value, said):
    assert says(label, value) == said


@pytest.mark.parametrize(
    "values", [(1.0986, 1.1012), (2.2925, 2.3045), (123456789.0, 123456790.0), (-5.0, -4.9999)]
)
def test_ticks_that_lie_close_are_told_apart(values):
    plot = Lines("t", "c", "x", "y", (Series("s", (0.0, 1.0), values),))
    shown = words(draw(plot).svg)
    ticks = extent_of(values).ticks()
    names = tick_names(ticks)
    assert len(names) == len(set(names)) > 2
    said = [float(name.replace(",", "")) for name in names]
    assert np.allclose(said, ticks, rtol=0, atol=0.02 * (ticks[1] - ticks[0]))
    assert all(name.replace("-", "−") in shown or name in shown for name in names)


def test_mathematics_in_names_is_text():
    name = r"$\frac{1}{2}$"
    plot = replace(given.FEW_BARS, labels=(name,) * 5, label=name, guides=(Guide(1.0, name),))
    assert words(draw(plot).svg).count(name) == 7


def test_many_bars_show_the_worst_and_say_so():
    drawing = draw(given.DEAD_BARS)
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
    assert any("positions is named" in note for note in draw(given.GRADIENTS).notes)


def test_what_is_not_finite_is_said():
    notes = " ".join(draw(given.GRADIENTS).notes)
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
            ET.fromstring(draw(plot).svg)
            numbers_of(plot)


def test_a_spike_among_a_hundred_thousand_points_is_drawn():
    values = np.sin(np.arange(100_000) / 9000)
    values[54_321], values[77_777] = 9.0, math.nan
    for more in ({}, {"x_log": True}):
        svg = draw(lines(values.tolist(), **more)).svg
        curve = next(p for p in paths(svg) if p.get("stroke") == "var(--s0)")
        drawn = points(curve["d"])
        assert 300 < len(drawn) <= 2000
        highest = min(y for _, y in drawn)
        assert highest < 50
        assert sum(y < 100 for _, y in drawn) < 4
        assert "1 value is not finite" in " ".join(draw(lines(values.tolist())).notes)


def test_points_to_and_fro_are_thinned_as_well():
    rng = np.random.default_rng(1)
    x, y = rng.random(50_000), rng.random(50_000)
    y[123] = 7.0
    plot = Lines("t", "c", "x", "y", (Series("s", tuple(x.tolist()), tuple(y.tolist())),))
    curve = next(p for p in paths(draw(plot).svg) if p.get("stroke") == "var(--s0)")
    assert len(points(curve["d"])) <= 2000
    assert sum(y < 60 for _, y in points(curve["d"])) == 1


def test_a_band_of_many_points_keeps_its_reach():
    y = tuple(math.sin(i / 900) for i in range(20_000))
    high = tuple(5.0 if i == 7000 else v + 0.1 for i, v in enumerate(y))
    low = tuple(v - 0.1 for v in y)
    x = tuple(map(float, range(20_000)))
    plot = Lines("t", "c", "x", "y", (Series("s", x, y, low, high),))
    band = next(p for p in paths(draw(plot).svg) if p.get("fill-opacity") == "0.18")
    assert len(points(band["d"][:-1])) <= 2000
    assert min(y for _, y in points(band["d"][:-1])) < 50


def test_stretches_of_the_axis_are_shaded_and_named_in_their_own_words():
    marks = (
        Stretch("last third", 4.0, 6.0),
        Stretch("best, epoch 2", 2.0, 2.0),
        Stretch("nowhere", math.nan, 1.0),
    )
    plot = lines([3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0], guides=(), stretches=marks)
    drawing = draw(plot)
    assert [(key.name, key.block) for key in drawing.key[1:]] == [
        ("last third", True),
        ("best, epoch 2", False),
    ]
    (shade,) = [p for p in paths(drawing.svg) if p.get("fill-opacity") == "0.18"]
    assert "v230" in shade["d"]
    assert "last third from 4 to 6; best, epoch 2 at 2" in numbers_of(plot).note


def test_lines_differ_by_more_than_colour():
    drawing = draw(EXTREMES["fourteen curves"])
    assert len({(key.marker, key.dashes) for key in drawing.key}) == 12
    assert all(key.marker for key in drawing.key)


def test_a_small_grid_is_cells_and_a_large_one_is_a_picture():
    def grid(size):
        rows = tuple(tuple(float(i * j) for j in range(size)) for i in range(size))
        return draw(Heatmap("t", "c", "x", "y", "v", rows)).svg

    assert grid(10).count("<image") == 1
    assert len(paths(grid(10))) > 30
    assert grid(40).count("<image") == 2
    assert len(paths(grid(40))) == 0
    assert len(grid(1000)) < 100_000


def test_a_cell_that_stands_out_survives_thinning():
    rows = [[math.sin(i / 100) for _ in range(1000)] for i in range(1000)]
    rows[333][777], rows[101][402] = -90.0, math.nan
    drawing = draw(Heatmap("t", "c", "x", "y", "v", tuple(map(tuple, rows))))
    assert "-90" in words(drawing.svg).split()
    assert any("1 value is not finite" in note for note in drawing.notes)


def test_an_empty_plot_says_so():
    for name in ("no curve", "no point", "nothing finite", "no bar", "no bin"):
        assert "no values to draw" in words(draw(EXTREMES[name]).svg)
    assert "no values to draw" not in words(draw(EXTREMES["one point"]).svg)


def test_numbers_behind_a_plot_are_few():
    for plot in PLOTS.values():
        assert 0 < len(numbers_of(plot).rows) <= 60


def test_reports_import_neither_torch_nor_what_draws():
    code = (
        "import sys, auditor.report.files, auditor.report.terminal;"
        "sys.exit(bool({'torch', 'PIL', 'weasyprint'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_thousand_layers_keep_their_names_apart():
    names = tuple(f"model.layers.{i}.self_attn.q_proj.weight" for i in range(1000))
    values = tuple(map(float, range(1000)))
    drawing = draw(Bars("t", "c", "v", names, values))
    assert "999.self_attn.q_proj.weight" in words(drawing.svg)
    assert (
        len(draw(Lines("t", "c", "x", "y", (Series("s", values, values),), x_names=names)).svg)
        < 100_000
    )
    grid = Heatmap("t", "c", "x", "y", "v", (values,) * 1000, y_names=names)
    drawing = draw(grid)
    assert "Every 4 × 4 cells" in drawing.notes[0]
    assert "700.self_attn.q_proj.weight" in words(drawing.svg)
