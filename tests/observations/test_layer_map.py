"""The layers of the record: in the order in which they ran, with what checks had asked for."""

import math

import numpy as np
import pytest

from auditor.checks import catalogue
from auditor.core.request import Failed, Unavailable
from auditor.observations.activation_scale import STATISTICS, ActivationScale, LayerKind
from auditor.observations.activity import LayerActivity, UnitActivity
from auditor.observations.gradients import GradientNorms
from auditor.observations.layer_map import (
    ACTIVATIONS,
    ACTIVITY,
    GRADIENTS,
    REQUESTS,
    STRUCTURE,
    TENSORS,
    UPDATES,
    layers_seen,
)
from auditor.observations.structure import Part, Structure, Tensors
from auditor.observations.updates import UpdateRatios


def seen(answers):
    return layers_seen(answers, lambda request: request)


def part(name, kind, parameters=0):
    home = name.rpartition(".")[0]
    return Part(name, kind, home, ("N×4",), ("N×4",), parameters)


def structure(*parts, loose=()):
    every = (part("input", "input"), *parts, part("output", "output"))
    return Structure(every, (), tuple(loose), None, 0.0)


NETWORK = structure(
    part("body.0", "Linear", 20),
    part("body.relu", "relu"),
    part("body.+", "+"),
    part("head", "Linear", 10),
)


def activations(sizes, batches=3):
    """Return activations of these root mean squares; None is a layer that no batch met."""
    rows = np.full((batches, len(sizes), len(STATISTICS)), np.nan)
    for place, size in enumerate(sizes.values()):
        if size is not None:
            rows[:, place, :2] = 8, 0.0
            rows[:, place, STATISTICS.index("variance")] = size * size
    kinds = tuple(
        LayerKind(name, "K", False, False, False, False, not name.startswith("("), False, "float32")
        for name in sizes
    )
    return ActivationScale(kinds, rows, np.arange(batches), np.ones(batches), 24, "val")


def gradients(norms, parameters=(), homes=()):
    table = np.asarray([list(norms.values())] * 3, float)
    count = len(parameters)
    return GradientNorms(
        parameters, (2,) * count, np.ones(count), np.ones((3, count)), tuple(norms),
        ("K",) * len(norms), table, np.ones(3), "train", homes=homes,
    )  # fmt: skip


def updates(ratios):
    table = np.asarray([list(ratios.values())] * 12, float)
    return UpdateRatios(
        tuple(ratios), (2,) * len(ratios), table, np.ones(12), "SGD", 0.1, "checkpoint", False
    )


def test_every_request_is_one_of_a_check():
    asked = {request for check in catalogue() for request in (*check.needs, *check.wants)}
    assert set(REQUESTS) <= asked


def test_nothing_seen_is_no_map():
    assert seen({}) == ()
    assert seen({STRUCTURE: Failed("it broke"), TENSORS: Unavailable("there are none")}) == ()


def test_layers_stand_in_the_order_of_execution_with_all_that_was_measured():
    fired = np.array([True, False, False, True])
    layers = seen(
        {
            STRUCTURE: NETWORK,
            ACTIVATIONS: activations(
                {"body.0": 2.0, "body.relu()": 1.0, "head": 3.0, "(model)": 3.0}
            ),
            GRADIENTS: gradients({"body.0": 0.5, "body.relu()": 0.25, "head": 1.0}),
            ACTIVITY: UnitActivity((LayerActivity("body.relu()", "ReLU", fired),), 24, "val"),
            UPDATES: updates({"body.0.weight": 1e-3, "head.weight": 1e-5}),
        }
    )
    assert [layer.name for layer in layers] == ["body.0", "body.relu", "head"]
    first, relu, head = layers
    assert (first.kind, first.output, first.parameters) == ("Linear", "N×4", 20)
    assert first.activation == pytest.approx(2.0)
    assert (first.gradient, first.dead) == (0.5, None)
    assert first.update == pytest.approx(1e-3)
    assert (relu.activation, relu.dead, relu.update) == (pytest.approx(1.0), 0.5, None)
    assert (head.gradient, head.update) == (1.0, pytest.approx(1e-5))


def test_without_the_structure_the_measured_layers_stand_in_their_own_order():
    fired = np.array([True])
    answers = {
        GRADIENTS: gradients({"a": 1.0, "c": 1.0}),
        ACTIVITY: UnitActivity(
            tuple(LayerActivity(name, "ReLU", fired) for name in ("a", "b")), 24, "val"
        ),
    }
    layers = seen(answers)
    assert [layer.name for layer in layers] == ["a", "b", "c"]
    assert [layer.dead for layer in layers] == [0.0, 0.0, None]
    assert all(layer.activation is None and layer.parameters is None for layer in layers)


def test_what_is_not_finite_is_no_gap_and_what_was_not_met_is_one():
    answers = {
        STRUCTURE: NETWORK,
        ACTIVATIONS: activations({"body.0": math.inf, "head": None}),
        GRADIENTS: gradients({"body.0": math.inf, "head": 0.0}),
    }
    first, head = seen(answers)
    assert math.isnan(first.activation)
    assert first.gradient == math.inf
    assert (head.activation, head.gradient) == (None, 0.0)


def test_the_weight_farthest_from_the_usual_ratio_speaks_for_its_layer():
    ratios = {"gru.w_ih": 1e-3, "gru.w_hh": 0.3, "gru.w_zero": 0.0}
    answers = {STRUCTURE: structure(part("gru", "GRU", 9)), UPDATES: updates(ratios)}
    assert [layer.update for layer in seen(answers)] == [0.0]
    del ratios["gru.w_zero"]
    answers[UPDATES] = updates(ratios)
    assert [layer.update for layer in seen(answers)] == [pytest.approx(0.3)]


def test_a_weight_counts_where_it_came_into_use():
    answers = {
        STRUCTURE: structure(part("attention", "MultiheadAttention", 9)),
        GRADIENTS: gradients({"attention": 1.0}, ("attention.out.weight",), ("attention",)),
        UPDATES: updates({"attention.out.weight": 1e-2}),
    }
    assert [layer.update for layer in seen(answers)] == [pytest.approx(1e-2)]


def test_modules_with_parameters_beside_their_layers_come_first_and_idle_ones_last():
    loose = [
        Part("(model)", "Net", "", (), (), 3, calls=0),
        Part("body", "Body", "", (), (), 2, calls=0),
        Part("unused", "Linear", "", (), (), 5, calls=0),
    ]
    answers = {STRUCTURE: structure(part("stem", "Linear", 1), part("body.0", "Linear", 1),
                                    loose=loose)}  # fmt: skip
    layers = seen(answers)
    assert [layer.name for layer in layers] == ["(model)", "stem", "body", "body.0", "unused"]
    assert [layer.ran for layer in layers] == [True, True, True, True, False]


def test_weights_alone_stand_in_the_order_of_the_file():
    names = ("body.0.weight", "body.0.bias", "head.weight", "scale")
    tensors = Tensors(names, ("4×4", "4", "2×4", "1"), ("float32",) * 4, (16, 4, 8, 1), (1,) * 4)
    layers = seen({TENSORS: tensors})
    assert [(layer.name, layer.parameters, layer.ran) for layer in layers] == [
        ("body.0", 20, False),
        ("head", 8, False),
        ("(model)", 1, False),
    ]


def test_names_from_a_model_are_made_safe():
    (layer,) = seen({STRUCTURE: structure(part("a\x1b[31m", "K\u202e", 1))})
    assert (layer.name, layer.kind) == ("a\\x1b[31m", "K\\u202e")


def test_a_thousand_layers_take_no_time():
    import time

    parts = [part(f"blocks.{i}.fc", "Linear", 1) for i in range(1000)]
    answers = {
        STRUCTURE: structure(*parts),
        UPDATES: updates({f"blocks.{i}.fc.weight": 1e-3 for i in range(1000)}),
        ACTIVATIONS: activations({f"blocks.{i}.fc": 1.0 for i in range(1000)}),
    }
    start = time.monotonic()
    assert len(seen(answers)) == 1000
    assert time.monotonic() - start < 2
