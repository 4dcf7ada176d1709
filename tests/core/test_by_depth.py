"""The figure by depth stays readable, whatever the number of layers."""

import numpy as np

from auditor.core.by_depth import Curve, by_depth, table_by_depth


def drawn(layers: int, curves: tuple[Curve, ...]):
    names = tuple(f"layer{i}" for i in range(layers))
    return by_depth("Title", "gradient", names, curves, (), "Look here.")


def test_each_curve_is_relative_to_its_own_last_layers() -> None:
    values = np.geomspace(8, 1, 4)[None]
    plot = drawn(4, (Curve("a", values), Curve("b", 7 * values), Curve("fit", values, fitted=True)))
    assert plot is not None
    for series in plot.series:
        np.testing.assert_allclose(series.y, np.geomspace(8, 1, 4))
    assert [bool(series.low) for series in plot.series] == [True, True, False]
    assert plot.x_names == ("layer0", "layer1", "layer2", "layer3")
    assert plot.caption.startswith("Look here. Median over batches")


def test_a_thousand_layers_are_drawn_in_forty_groups_and_the_odd_one_widens_the_band() -> None:
    values = np.ones((3, 1000))
    values[:, 612] = 1e-6
    plot = drawn(1000, (Curve("a", values),))
    assert plot is not None
    (series,) = plot.series
    assert len(series.y) == len(plot.x_names) == 40
    assert min(series.y) == 1.0
    assert int(np.argmin(series.low)) == 612 // 25
    assert plot.x_names[24] == "layer600"
    assert "1,000 layers in 40 groups" in plot.caption


def test_nothing_is_drawn_of_fewer_than_two_layers_and_zeros_are_left_out() -> None:
    assert drawn(1, (Curve("a", np.ones((2, 1))),)) is None
    assert drawn(0, (Curve("a", np.ones((2, 0))),)) is None
    assert drawn(3, (Curve("a", np.full((2, 3), np.nan)),)) is None
    plot = drawn(4, (Curve("a", np.array([[0.0, 2.0, np.nan, 1.0]])),))
    assert plot is not None
    assert plot.series[0].x == (1.0, 3.0)


def test_a_table_keeps_the_worst_first() -> None:
    rows = [(f"w{i}", float(i)) for i in range(100)]
    table = table_by_depth("T", "All.", ("w", "x"), rows, [float(i) for i in range(100)], "weights")
    assert [row[0] for row in table.rows[:2]] == ["w99", "w98"]
    assert len(table.rows) == 40
    assert table.caption == "All. Shown are the 40 worst of 100 weights."
