from dataclasses import replace

import numpy as np

from auditor.checks import find
from auditor.core.check import Seen
from auditor.core.request import Failed, Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.structure import (
    FirstWeights,
    Part,
    Structure,
    StructureOver,
    Tensors,
    TensorsOf,
)

CHECK = find("network-structure")
TENSORS = Tensors(("a.weight", "a.bias"), ("4×3", "4"), ("float32", "int8"), (12, 4), (48, 4))
NETWORK = Structure(
    (
        Part("input", "input", "", (), ("N×3",)),
        Part("a", "Linear", "", ("N×3",), ("N×4",), 16, 64, 12.0, 16.0),
        Part("r", "ReLU", "", ("N×4",), ("N×4",), 0, 0, 0.0, 16.0, calls=2),
        Part("output", "output", "", ("N×4",), ()),
    ),
    ((0, 1), (1, 2), (2, 3)),
    (),
    None,
    24.0,
)


def judged(structure):
    return CHECK(Seen({TensorsOf(): TENSORS, StructureOver(): structure}))


def test_a_network_is_drawn_listed_and_summed_up():
    found = judged(NETWORK)
    assert found.verdict is Verdict.INFO
    assert "2 layers and functions, 16 parameters" in found.summary
    assert "12 multiply-adds and 32 B of activations" in found.summary
    assert "counter" not in found.summary
    assert [figure.kind for figure in found.figures] == ["graph", "table"]
    assert found.figures[1].rows == (
        ("a", "Linear", "N×3", "N×4", 16, 0.064, 12.0, 0.016),
        ("r", "ReLU, 2 times", "N×4", "N×4", 0, 0.0, 0.0, 0.016),
    )
    values = {metric.name: metric.value for metric in found.metrics}
    assert values["multiply-adds of one example"] == 12.0


def test_a_count_that_misses_a_product_is_told():
    assert (
        "PyTorch's own counter tells 50 multiply-adds"
        in judged(replace(NETWORK, flops=100.0)).summary
    )
    assert "counter" not in judged(replace(NETWORK, flops=10.0)).summary


def test_parameters_that_nothing_used_are_named():
    idle = Part("aux.head", "Linear", "aux", (), (), 5, 20, calls=0)
    own = Part("(model)", "Net", "", (), (), 2, 8, calls=0)
    found = judged(replace(NETWORK, loose=(own, idle)))
    assert "Parameters of `aux.head` were not used" in found.summary
    assert [place.name for place in found.where] == ["aux.head"]
    assert [row[1] for row in found.figures[1].rows[2:]] == [
        "Net, its own parameters",
        "Linear, not used",
    ]


def test_filters_are_shown_and_their_smoothness_is_told():
    def with_filters(values):
        first = FirstWeights(
            "a", "conv2d", values, tuple(range(len(values))), len(values), (1, 9, 9)
        )
        return judged(replace(NETWORK, first=first))

    y, x = np.mgrid[:7, :7] / 7
    waves = np.array([[np.sin(5 * x * a + y)] for a in np.linspace(0, 1, 16)])
    assert "have a pattern" in with_filters(waves).summary
    noise = np.random.default_rng(3).normal(size=(16, 1, 7, 7))
    assert "too few weights to tell" in with_filters(noise[:2, :, :3, :3]).summary
    found = with_filters(noise)
    assert "no smoother than noise" in found.summary
    assert [figure.kind for figure in found.figures] == ["graph", "images", "table"]


def test_weights_alone_are_a_table_of_tensors():
    found = judged(Unavailable("no model factory is named"))
    assert found.verdict is Verdict.INFO
    assert found.summary == (
        "2 tensors with 16 values. The network itself can't be drawn: no model factory is named."
    )
    assert found.figures[0].rows[0] == ("a.weight", "4×3", "float32", 12, 0.048)


def test_a_failure_does_not_hide_the_tensors():
    assert "it raised" in judged(Failed("it raised")).summary
